#include "filter/ranges.h"

namespace fg::filter {
namespace {

// 10/8, 172.16/12, 192.168/16, 127/8, 169.254/16, 100.64/10, 224/4 and 240/4 are refused by the
// original; 0/8 is ours.
constexpr bool is_special_v4(const std::uint8_t* b) {
  return b[0] == 0 || b[0] == 10 || b[0] == 127 || b[0] >= 224 ||
         (b[0] == 172 && (b[1] & 0xF0) == 16) || (b[0] == 192 && b[1] == 168) ||
         (b[0] == 169 && b[1] == 254) || (b[0] == 100 && (b[1] & 0xC0) == 64);
}

}  // namespace

bool is_special(const IpAddress& ip) noexcept {
  const auto* b = ip.raw().data();
  if (ip.is_v4()) return is_special_v4(b);
  if ((b[0] & 0xFE) == 0xFC || b[0] == 0xFF) return true;  // fc00::/7, ff00::/8
  if (b[0] == 0xFE && (b[1] & 0xC0) == 0x80) return true;  // fe80::/10
  const auto high = load_be64(b);
  const auto low = load_be64(b + 8);
  if (high == 0) return low == 1 || low >> 32 == 0xFFFF;  // ::1, ::ffff:0:0/96
  // RFC 6052 §2.1: the well-known NAT64 prefix is as special as the IPv4 address behind it.
  if (high == 0x0064'FF9B'0000'0000 && low >> 32 == 0) return is_special_v4(b + 12);
  return false;
}

}  // namespace fg::filter
