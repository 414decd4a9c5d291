// Packets that change their family on the way between a proxy address and a real address of the
// other one (spec policy 5.8; RFC 7915 where that is silent). The traffic class is copied whole;
// identification and flow label are zero, Don't Fragment is set. IPv4 options are left out. The hop
// limit is copied: it is no hop. Clients of generation A only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"
#include "packet/buffer.h"
#include "packet/inner.h"

namespace fg::nat {

// An IPv4 packet of 1280 bytes becomes one of 1300.
inline constexpr std::size_t kCrossedMax = packet::kPacketMax + 20;

struct FamilyChange {
  IpAddress source;  // both of the family to be written
  IpAddress destination;
  std::optional<std::uint16_t> source_port;  // or echo identifier
  std::optional<std::uint16_t> destination_port;
};

// Returns the length, or 0: not TCP, UDP or echo, IPv6 with extension headers, UDP over IPv6
// without checksum, or larger than `out`, which must not overlap the packet.
[[nodiscard]] std::size_t change_family(const packet::InnerPacket& packet,
                                        const FamilyChange& change, MutableBytes out) noexcept;

// An ICMP error about a packet that had changed its family: written as one of the client's family,
// from the proxy, quoting what the client sent (spec policy 5.5, 5.8). Longer than 1280: the quote
// is cut. 0: types without counterpart, quotes with extension headers, or larger than `out`.
struct ErrorChange {
  IpAddress proxy;
  IpAddress client;
  std::uint16_t port = 0;  // the inside source port or identifier
};
[[nodiscard]] std::size_t change_error_family(const packet::IcmpError& error,
                                              const ErrorChange& change, MutableBytes out) noexcept;

// Spec policy 5.8: type and code in the other family.
struct IcmpKind {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  friend constexpr bool operator==(IcmpKind, IcmpKind) = default;
};
[[nodiscard]] std::optional<IcmpKind> v6_of(IcmpKind v4) noexcept;
[[nodiscard]] std::optional<IcmpKind> v4_of(IcmpKind v6) noexcept;

}  // namespace fg::nat
