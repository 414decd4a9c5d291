// The ranges that clients and gateways have their tunnel addresses in (spec policy 1.1), and a
// dense number for each.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"

namespace fg::pipeline {

// 100.64.0.0/11 and fd00:2021:1111::/107 leave 21 bits each: family in bit 21, then those. Nothing
// for other addresses.
[[nodiscard]] inline std::optional<std::uint32_t> tunnel_number(const IpAddress& ip) noexcept {
  const auto* b = ip.raw().data();
  if (ip.is_v4()) {
    const auto value = load_be32(b);
    if ((value & 0xFFE00000) != 0x64400000) return std::nullopt;
    return value & 0x1FFFFF;
  }
  const auto low = load_be32(b + 12);
  if (load_be64(b) != 0xFD00202111110000 || load_be32(b + 8) != 0 || (low & 0xFFE00000) != 0)
    return std::nullopt;
  return low | 0x200000;
}
[[nodiscard]] inline bool is_tunnel_address(const IpAddress& ip) noexcept {
  return tunnel_number(ip).has_value();
}

}  // namespace fg::pipeline
