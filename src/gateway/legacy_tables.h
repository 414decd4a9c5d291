// Whether rules of iptables-legacy keep forwarded packets from passing. nftables does not show
// them; they are read from the kernel itself, and only where a table exists: asking for another
// would make it. Rules that accept our interface by name count as allowing it; nothing is evaluated
// beyond that.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"

namespace fg::gateway {

// A line for each family whose filter table drops in FORWARD what no rule accepts and has no rule
// about this interface; with the command that mends it.
[[nodiscard]] std::vector<std::string> legacy_obstacles(const std::string& interface);

// The table as the kernel lays it out (ipt_entry, ip6t_entry): "policy drop", "a last rule drop" or
// "a last rule REJECT"; nothing when FORWARD lets pass, or a rule accepts the interface.
struct LegacyTable {
  Family family = Family::v4;
  Bytes entries;
  std::size_t forward_first = 0;  // offset of the chain's first entry
  std::size_t forward_last = 0;   // of its policy
};
[[nodiscard]] std::optional<std::string> refusal_in(const LegacyTable& table,
                                                    const std::string& interface);

}  // namespace fg::gateway
