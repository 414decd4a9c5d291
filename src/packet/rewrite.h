// Changes to an accepted inner packet in place, with its checksums carried along by RFC 1624 (spec
// policy 5.7): wrong ones stay wrong by the same amount, an IPv4 UDP checksum of zero stays zero.
#pragma once

#include <cstdint>

#include "base/address.h"
#include "base/bytes.h"
#include "packet/checksum.h"
#include "packet/inner.h"

namespace fg::packet {

enum class ChecksumState : std::uint8_t {
  complete,  // as on the wire
  partial,   // holds the pseudo-header sum only: packets of the TUN device with NEEDS_CSUM
};

// A translation of TCP, UDP or echo: the resource's address and the client's port, or identifier,
// are replaced, whichever of source and destination they are.
enum class Towards : std::uint8_t { resource, client };
struct Rewrite {
  Towards towards;
  const IpAddress& address;  // of the packet's family
  std::uint16_t port;
  Sum address_change;  // what the sums over the packet grow by, known of every packet of a flow
  Sum port_change;
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
