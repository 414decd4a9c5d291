// Who else on the host has a say in what leaves it: judged from the text that `nft --json list
// table` gives. Frames that AF_XDP sends pass none of it, so a rule that is there, whatever it does
// and to whom, keeps them with the sockets unless the operator says otherwise.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fg::gateway {

// The first found, a few words for the log: a base chain of the hooks output, postrouting or egress
// with rules or that drops by policy. Text that is no such JSON is one as well.
[[nodiscard]] std::optional<std::string> outgoing_filter(std::string_view json);

}  // namespace fg::gateway
