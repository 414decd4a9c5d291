// An IP packet inside the tunnel, accepted by the rules of generation C (spec policy 3.8). Holding
// an InnerPacket proves that every length in it is true, that it is no fragment and that its
// transport header is complete. It borrows the bytes. Left out: checksums (packet/checksum.h) and
// changes (packet/rewrite.h). Addresses and ports are those at parsing time; offsets stay valid
// when packet/rewrite.h changes the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"
#include "base/drop_reason.h"
#include "base/result.h"
#include "packet/buffer.h"

namespace fg::packet {

// IANA protocol numbers.
inline constexpr std::uint8_t kIcmpV4 = 1;
inline constexpr std::uint8_t kTcp = 6;
inline constexpr std::uint8_t kUdp = 17;
inline constexpr std::uint8_t kIcmpV6 = 58;
inline constexpr std::uint8_t kControlProtocol = 255;  // spec policy 4.6

// Spec policy 0.3. tcp, udp: the ports; echo: the identifier, twice; icmp_other: the type, twice;
// other_ip: the protocol number, twice. So "destination for outbound, source for inbound" is right
// for every kind.
struct ProtoClass {
  enum class Kind : std::uint8_t { tcp, udp, echo, icmp_other, other_ip };
  Kind kind = Kind::other_ip;
  std::uint16_t source = 0;
  std::uint16_t destination = 0;

  // Only these have a port or identifier that a translation can change.
  [[nodiscard]] constexpr bool is_translatable() const noexcept {
    return kind == Kind::tcp || kind == Kind::udp || kind == Kind::echo;
  }
  friend constexpr bool operator==(const ProtoClass&, const ProtoClass&) = default;
};

// An ICMP error with a usable quote (spec policy 5.5). The quote may be cut after four bytes of a
// TCP or UDP header.
struct IcmpError {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t mtu = 0;  // v4 type 3 code 4 (16 bit) and v6 type 2 (32 bit); else 0
  ProtoClass quoted;      // ports or identifier of the quoted packet; never icmp_other or other_ip
  IpAddress quoted_source;
  IpAddress quoted_destination;
  std::uint8_t quoted_protocol = 0;
  std::uint16_t quote_transport = 0;  // offset of the transport header in quote
  Bytes quote;                        // from the quoted IP header to the end
};

class InnerPacket {
 public:
  // malformed_packet, fragmented or oversized_packet. `size_max` is kSuperPacketMax for what the
  // TUN device hands over with offloads; the pieces are held to 1280 by packet/segment.h.
  static Result<InnerPacket, DropReason> parse(Bytes packet,
                                               std::size_t size_max = kPacketMax) noexcept;

  [[nodiscard]] Bytes bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  [[nodiscard]] Family family() const noexcept { return source_.family(); }
  [[nodiscard]] bool is_v4() const noexcept { return source_.is_v4(); }
  [[nodiscard]] const IpAddress& source() const noexcept { return source_; }
  [[nodiscard]] const IpAddress& destination() const noexcept { return destination_; }
  // The transport protocol, behind IPv6 extension headers.
  [[nodiscard]] std::uint8_t protocol() const noexcept { return protocol_; }
  [[nodiscard]] const ProtoClass& proto_class() const noexcept { return proto_class_; }
  // Of everything before the transport header: IPv4 options and IPv6 extension headers included.
  [[nodiscard]] std::size_t ip_header_length() const noexcept { return transport_; }
  [[nodiscard]] std::size_t transport_offset() const noexcept { return transport_; }
  // TCP with options, UDP and ICMP 8, others 0.
  [[nodiscard]] std::size_t transport_header_length() const noexcept { return transport_header_; }
  [[nodiscard]] Bytes transport() const noexcept { return bytes_.subspan(transport_); }
  [[nodiscard]] Bytes payload() const noexcept {
    return bytes_.subspan(std::size_t{transport_} + transport_header_);
  }
  [[nodiscard]] bool has_options_or_extensions() const noexcept {
    return transport_ != (is_v4() ? 20 : 40);
  }
  [[nodiscard]] std::uint8_t traffic_class() const noexcept;
  [[nodiscard]] std::uint8_t ecn() const noexcept { return traffic_class() & 3; }
  [[nodiscard]] std::uint8_t ttl() const noexcept { return bytes_[is_v4() ? 8 : 7]; }
  [[nodiscard]] std::uint8_t tcp_flags() const noexcept {  // 0 unless TCP
    return protocol_ == kTcp ? bytes_[transport_ + 13U] : std::uint8_t{0};
  }
  [[nodiscard]] bool is_icmp() const noexcept { return protocol_ == (is_v4() ? kIcmpV4 : kIcmpV6); }

  [[nodiscard]] bool has_multicast_destination() const noexcept {
    return is_v4() ? (destination_.raw()[0] & 0xF0) == 0xE0 : destination_.raw()[0] == 0xFF;
  }
  // Next header 255 from :: to ::, whatever follows (spec policy 4.6).
  [[nodiscard]] bool is_control() const noexcept;
  // ICMP types no client may send, quotes or not: v4 3, 4, 5, 9-12; v6 1-4, 130-137 (spec
  // policy 3.7, HARDEN).
  [[nodiscard]] bool is_forbidden_icmp() const noexcept;
  // One of the types of spec policy 5.5. icmp_error() additionally needs a usable quote.
  [[nodiscard]] bool is_icmp_error_type() const noexcept;
  [[nodiscard]] std::optional<IcmpError> icmp_error() const noexcept;

  // Every checksum that the packet carries: IPv4 header, TCP, UDP, ICMP. UDP over IPv4 may be 0,
  // over IPv6 it must not.
  [[nodiscard]] bool has_valid_checksums() const noexcept;

 private:
  InnerPacket() = default;

  Bytes bytes_;
  IpAddress source_;
  IpAddress destination_;
  ProtoClass proto_class_;
  std::uint16_t transport_ = 0;
  std::uint8_t transport_header_ = 0;
  std::uint8_t protocol_ = 0;
};

// Length of the IP packet at the front of a decrypted message, to cut off padding (spec
// connectivity 1.7). Nothing when the version is unknown or the header promises more than there is.
[[nodiscard]] std::optional<std::size_t> inner_length(Bytes plaintext) noexcept;

}  // namespace fg::packet
