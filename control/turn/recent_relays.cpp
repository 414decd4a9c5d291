#include "control/turn/recent_relays.h"

#include <algorithm>

namespace fg::turn {

void RecentRelays::remember(const IpAddress& ip) {
  if (contains(ip)) return;
  if (size_ < kRecentRelaysMax) {
    ips_[size_++] = ip;
    return;
  }
  ips_[oldest_] = ip;
  oldest_ = (oldest_ + 1) % kRecentRelaysMax;
}

bool RecentRelays::contains(const IpAddress& ip) const {
  const auto end = ips_.begin() + static_cast<std::ptrdiff_t>(size_);
  return std::find(ips_.begin(), end, ip) != end;
}

}  // namespace fg::turn
