// The address plan of the tunnel (spec policy 1.1) and what the Internet resource never reaches
// (spec policy 3.5). The tunnel and own-address checks themselves are made by the pipeline.
#pragma once

#include "base/address.h"

namespace fg::filter {

namespace detail {
// fd00:2021:1111:<fourth>::/107: the address bits left of the 21 host bits.
constexpr bool in_ula(const IpAddress& ip, std::uint16_t fourth) {
  const auto& b = ip.raw();
  return ip.is_v6() && b[0] == 0xFD && b[1] == 0x00 && b[2] == 0x20 && b[3] == 0x21 &&
         b[4] == 0x11 && b[5] == 0x11 && b[6] == fourth >> 8 && b[7] == (fourth & 0xFF) &&
         b[8] == 0 && b[9] == 0 && b[10] == 0 && b[11] == 0 && b[12] == 0 && b[13] < 0x20;
}
}  // namespace detail

// 100.64.0.0/11 and fd00:2021:1111::/107: clients and gateways.
[[nodiscard]] constexpr bool is_tunnel(const IpAddress& ip) {
  const auto& b = ip.raw();
  return ip.is_v4() ? b[0] == 100 && (b[1] & 0xE0) == 64 : detail::in_ula(ip, 0);
}

// 100.96.0.0/11 and fd00:2021:1111:8000::/107: what clients hand out for names of DNS resources.
[[nodiscard]] constexpr bool is_proxy(const IpAddress& ip) {
  const auto& b = ip.raw();
  return ip.is_v4() ? b[0] == 100 && (b[1] & 0xE0) == 96 : detail::in_ula(ip, 0x8000);
}

// 100.100.111.0/24 (inside the proxy range) and fd00:2021:1111:8000:100:100:111:0/120 (outside it).
[[nodiscard]] constexpr bool is_sentinel(const IpAddress& ip) {
  const auto& b = ip.raw();
  if (ip.is_v4()) return b[0] == 100 && b[1] == 100 && b[2] == 111;
  constexpr std::array<std::uint8_t, 15> kPrefix = {0xFD, 0x00, 0x20, 0x21, 0x11, 0x11, 0x80, 0x00,
                                                    0x01, 0x00, 0x01, 0x00, 0x01, 0x11, 0x00};
  for (std::size_t i = 0; i < kPrefix.size(); ++i) {
    if (b[i] != kPrefix[i]) return false;
  }
  return true;
}

// Addresses the Internet resource refuses: private, shared, loopback, link-local, multicast,
// reserved and 0/8, and IPv6 forms that carry such an IPv4 address.
[[nodiscard]] bool is_special(const IpAddress& ip) noexcept;

}  // namespace fg::filter
