// Changes to an accepted inner packet in place, with its checksums carried along by RFC 1624 (spec
// policy 5.7): wrong ones stay wrong by the same amount, an IPv4 UDP checksum of zero stays zero.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"
#include "packet/inner.h"

namespace fg::packet {

enum class ChecksumState : std::uint8_t {
  complete,  // as on the wire
  partial,   // holds the pseudo-header sum only: packets of the TUN device with NEEDS_CSUM
};

// Addresses must be of the packet's family (others are ignored). A port is the identifier of an
// echo; ports of other protocols are ignored.
struct Rewrite {
  std::optional<IpAddress> source;
  std::optional<IpAddress> destination;
  std::optional<std::uint16_t> source_port;
  std::optional<std::uint16_t> destination_port;
};

// `packet` holds the bytes `parsed` was made from.
void rewrite(MutableBytes packet, const InnerPacket& parsed, const Rewrite& change,
             ChecksumState state = ChecksumState::complete) noexcept;

// A translation's ICMP error (spec policy 5.5 step 3): a new packet from `proxy` to `client` with
// the quote's destination and port replaced and its checksums kept right. Longer than 1280: the
// quote is cut. 0 when it does not fit `out` or families differ.
struct IcmpErrorRewrite {
  IpAddress proxy;
  IpAddress client;
  std::uint16_t port = 0;  // the inside source port or identifier
};
[[nodiscard]] std::size_t write_translated_error(const IcmpError& error,
                                                 const IcmpErrorRewrite& change,
                                                 MutableBytes out) noexcept;

// Outer congestion mark into the inner header: CE replaces ECT(0) and ECT(1), nothing else changes
// (spec connectivity 1.7). `packet` is an IP packet with a complete fixed header.
void copy_congestion(MutableBytes packet, std::uint8_t outer_ecn) noexcept;

}  // namespace fg::packet
