// IP addresses, socket addresses and networks as values. No OS types here: io and control/net
// convert at their edge.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace fg {

enum class Family : std::uint8_t { v4, v6 };

// Host order is never used: bytes_ is as on the wire; a v4 address occupies the first four, the
// rest is zero.
class IpAddress {
 public:
  constexpr IpAddress() = default;
  static constexpr IpAddress v4(std::array<std::uint8_t, 4> b) {
    // In one piece: bytes written one by one would delay the words that are compared and hashed.
    return IpAddress{Words{load_native(b), 0}};
  }
  static constexpr IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    return v4({a, b, c, d});
  }
  static constexpr IpAddress v6(std::array<std::uint8_t, 16> b) {
    IpAddress a;
    a.bytes_ = b;
    a.family_ = Family::v6;
    return a;
  }
  // 4 or 16 bytes in network order; anything else yields 0.0.0.0.
  static IpAddress from_bytes(Bytes b) {
    if (b.size() == 4) return v4(b[0], b[1], b[2], b[3]);
    IpAddress a;
    if (b.size() != 16) return a;
    std::copy_n(b.begin(), 16, a.bytes_.begin());
    a.family_ = Family::v6;
    return a;
  }
  // Textual form without brackets, zone or prefix length. RFC 4291 §2.2, dotted decimal for v4 (no
  // leading zeros).
  static std::optional<IpAddress> parse(std::string_view text);

  [[nodiscard]] constexpr Family family() const { return family_; }
  [[nodiscard]] constexpr bool is_v4() const { return family_ == Family::v4; }
  [[nodiscard]] constexpr bool is_v6() const { return family_ == Family::v6; }
  [[nodiscard]] Bytes bytes() const { return {bytes_.data(), is_v4() ? 4U : 16U}; }
  [[nodiscard]] constexpr int bits() const { return is_v4() ? 32 : 128; }
  [[nodiscard]] constexpr const std::array<std::uint8_t, 16>& raw() const { return bytes_; }

  [[nodiscard]] bool is_unspecified() const;
  [[nodiscard]] bool is_loopback() const;
  [[nodiscard]] bool is_multicast() const;
  [[nodiscard]] bool is_broadcast() const;   // 255.255.255.255
  [[nodiscard]] bool is_link_local() const;  // 169.254/16, fe80::/10

  [[nodiscard]] std::string to_string() const;  // RFC 5952
  friend constexpr bool operator==(const IpAddress& a, const IpAddress& b) {
    const auto x = std::bit_cast<Words>(a.bytes_);
    const auto y = std::bit_cast<Words>(b.bytes_);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0 && a.family_ == b.family_;
  }
  friend constexpr std::strong_ordering operator<=>(const IpAddress& a, const IpAddress& b) {
    if (a.family_ != b.family_) return a.family_ <=> b.family_;
    return a.bytes_ <=> b.bytes_;
  }

 private:
  using Words = std::array<std::uint64_t, 2>;  // as they lie in memory
  constexpr explicit IpAddress(Words words)
      : bytes_(std::bit_cast<std::array<std::uint8_t, 16>>(words)) {}
  static constexpr std::uint64_t load_native(std::array<std::uint8_t, 4> b) {
    const std::uint64_t word = std::bit_cast<std::uint32_t>(b);
    return std::endian::native == std::endian::little ? word : word << 32;
  }

  std::array<std::uint8_t, 16> bytes_{};
  Family family_ = Family::v4;
};

struct SocketAddress {
  IpAddress ip;
  std::uint16_t port = 0;

  // "1.2.3.4:3478" or "[2001:db8::1]:3478"; an IPv6 address without brackets is refused.
  static std::optional<SocketAddress> parse(std::string_view text);
  [[nodiscard]] Family family() const { return ip.family(); }
  [[nodiscard]] std::string to_string() const;
  friend constexpr bool operator==(const SocketAddress&, const SocketAddress&) = default;
  friend constexpr auto operator<=>(const SocketAddress&, const SocketAddress&) = default;
};

// A network. The stored address has its host bits zeroed.
class Cidr {
 public:
  constexpr Cidr() = default;
  // Host bits are masked; prefix is cut to the family's length.
  Cidr(IpAddress address, int prefix);
  // "10.0.0.0/8". strict: host bits must be zero and the prefix present. Otherwise host bits are
  // masked and a bare address is a host route.
  static std::optional<Cidr> parse(std::string_view text, bool strict);

  [[nodiscard]] const IpAddress& address() const { return address_; }
  [[nodiscard]] int prefix() const { return prefix_; }
  [[nodiscard]] Family family() const { return address_.family(); }
  [[nodiscard]] bool contains(const IpAddress& ip) const;
  [[nodiscard]] bool contains(const Cidr& other) const;
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const Cidr&, const Cidr&) = default;
  friend auto operator<=>(const Cidr&, const Cidr&) = default;

 private:
  IpAddress address_;
  int prefix_ = 0;
};

}  // namespace fg

template <>
struct std::hash<fg::IpAddress> {
  std::size_t operator()(const fg::IpAddress& a) const noexcept {
    const auto* p = a.raw().data();
    std::uint64_t h = fg::load_be64(p) * 0x9E3779B97F4A7C15ULL ^ fg::load_be64(p + 8);
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9ULL;
    return static_cast<std::size_t>(h ^ (h >> 32) ^ static_cast<std::uint64_t>(a.family()));
  }
};
template <>
struct std::hash<fg::SocketAddress> {
  std::size_t operator()(const fg::SocketAddress& a) const noexcept {
    return std::hash<fg::IpAddress>{}(a.ip) * 31 + a.port;
  }
};
