// IP addresses of relays no longer in use, so that their late replies are not taken for a peer's
// (spec connectivity 1.3).
#pragma once

#include <array>
#include <cstddef>

#include "base/address.h"

namespace fg::turn {

inline constexpr std::size_t kRecentRelaysMax = 64;  // spec connectivity 1.3

class RecentRelays {
 public:
  // The oldest one is forgotten at the limit. A known address is not remembered twice.
  void remember(const IpAddress& ip);
  [[nodiscard]] bool contains(const IpAddress& ip) const;

 private:
  std::array<IpAddress, kRecentRelaysMax> ips_{};
  std::size_t size_ = 0;
  std::size_t oldest_ = 0;
};

}  // namespace fg::turn
