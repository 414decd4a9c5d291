// Who else on the host relies on the kernel's tracking of our datagrams: judged from the text that
// `nft --json list table` gives and from what nftables does not show. Nothing is evaluated: a
// rule that may concern them does, and one that is not understood may.
//
// Harmless is what neither reads nor writes the tracking of a packet, whatever else it does to it:
//   * chains of the hook forward, as our datagrams begin or end here; not those they jump to, which
//     other hooks may enter, too
//   * elsewhere, rules of known statements without `ct` in them
// Anything else is a user: `ct`, which meets ours as untracked; translations, whose answers may
// come to our port and would no longer be found (also those of the user's containers and guests);
// statements of iptables (xt) and those unknown here; tables of iptables-legacy; IPVS services.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fg::gateway {

// The first found: a few words for the log. Text that is no such JSON is one as well.
[[nodiscard]] std::optional<std::string> tracking_user(std::string_view json);

// Likewise of iptables-legacy and IPVS. Tests hand in another root.
[[nodiscard]] std::optional<std::string> legacy_tracking_user(const std::string& proc = "/proc");

}  // namespace fg::gateway
