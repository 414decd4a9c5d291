// Whether another program's nftables rules (Docker, ufw, firewalld, by hand) keep forwarded packets
// from passing, judged from the text that `nft --json list table` gives. Rules that accept our
// interface by name count as allowing it; nothing is evaluated beyond that.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fg::gateway {

// A line for each chain of the forward hook that drops what no rule accepts and has no rule about
// this interface; with the command that mends it. Empty for text that is not such JSON.
[[nodiscard]] std::vector<std::string> forward_obstacles(std::string_view ruleset_json,
                                                         const std::string& interface);

}  // namespace fg::gateway
