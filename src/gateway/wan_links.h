// Which interfaces the tunnel's datagrams come in by: those of the default routes and of the routes
// to relays, or those the operator named; and for each what a driver can be asked at. Pure.
#pragma once

#include <string>
#include <vector>

#include "gateway/netlink.h"

namespace fg::gateway {

struct WanLink {
  std::string name;
  std::string obstacle;  // why its frames cannot be had, with the mend; empty: they may
  friend bool operator==(const WanLink&, const WanLink&) = default;
};

// `routed`: by index, repetitions allowed. Names take their place when there are any.
[[nodiscard]] std::vector<WanLink> wan_links(const std::vector<Interface>& all,
                                             const std::vector<unsigned>& routed,
                                             const std::vector<std::string>& named);

}  // namespace fg::gateway
