// The Internet checksum: RFC 1071 sums, RFC 1624 updates. A Sum is the folded one's complement sum,
// not complemented, as a host-order number; 0x0000 and 0xFFFF both mean zero.
#pragma once

#include <cstdint>

#include "base/address.h"
#include "base/bytes.h"

namespace fg::packet {

using Sum = std::uint16_t;

// Sum of the bytes as big-endian 16-bit words; an odd last byte counts as the high half. At most 4
// GiB.
[[nodiscard]] Sum sum_of(Bytes data) noexcept;
// Copies all of `from` to `to` (no overlap) and returns its sum, in one pass.
Sum copy_and_sum(std::uint8_t* to, Bytes from) noexcept;

[[nodiscard]] constexpr Sum add(Sum a, Sum b) noexcept {
  const std::uint32_t s = std::uint32_t{a} + b;
  return static_cast<Sum>((s & 0xFFFF) + (s >> 16));
}
[[nodiscard]] constexpr Sum subtract(Sum a, Sum b) noexcept { return add(a, static_cast<Sum>(~b)); }
// Appends a part that begins at an odd offset: RFC 1071 §2(B).
[[nodiscard]] constexpr Sum swapped(Sum s) noexcept { return static_cast<Sum>(s << 8 | s >> 8); }

// Addresses of 4 or 16 bytes each, transport protocol, transport length. RFC 9293 §3.1, RFC 8200
// §8.1.
[[nodiscard]] Sum pseudo_header(Bytes source, Bytes destination, std::uint8_t protocol,
                                std::size_t length) noexcept;

// What a sum grows by when one address takes the place of another of its family.
[[nodiscard]] Sum change_of(const IpAddress& was, const IpAddress& is) noexcept;

// The checksum field of a sum. A result of zero is sent as 0xFFFF, for every protocol (spec
// policy 5.7).
[[nodiscard]] constexpr std::uint16_t finish(Sum s) noexcept {
  return s == 0xFFFF ? std::uint16_t{0xFFFF} : static_cast<std::uint16_t>(~s);
}
[[nodiscard]] constexpr bool is_zero(Sum s) noexcept { return s == 0 || s == 0xFFFF; }

// The checksum after the sum that it is of grew: RFC 1624 equation 3. Or after a part covered by it
// changed from `was` to `is`.
[[nodiscard]] constexpr std::uint16_t update(std::uint16_t checksum, Sum change) noexcept {
  return finish(add(static_cast<Sum>(~checksum), change));
}
[[nodiscard]] constexpr std::uint16_t update(std::uint16_t checksum, Sum was, Sum is) noexcept {
  return update(checksum, subtract(is, was));
}

}  // namespace fg::packet
