#include "packet/inner.h"

#include "packet/checksum.h"

namespace fg::packet {
namespace {

constexpr std::size_t kV4Header = 20;
constexpr std::size_t kV6Header = 40;

// IPv6 next headers (IANA). Only these are skipped, in any order; ESP and AH are protocols like any
// other (spec policy 3.8).
constexpr std::uint8_t kFragmentHeader = 44;
constexpr bool is_extension(std::uint8_t next) noexcept {
  switch (next) {
    case 0:   // hop-by-hop options
    case 43:  // routing
    case kFragmentHeader:
    case 60:   // destination options
    case 135:  // mobility
    case 139:  // host identity
    case 140:  // shim6
    case 253:  // experiments
    case 254:
      return true;
    default:
      return false;
  }
}

// Where the transport header begins in an IP packet whose total length is not looked at, so that it
// serves quotes as well.
struct IpLayout {
  std::size_t transport = 0;
  std::uint8_t protocol = 0;
  bool fragment = false;        // offset or more-fragments set
  bool later_fragment = false;  // offset set: there is no transport header
};

std::optional<IpLayout> v4_layout(Bytes packet) noexcept {
  if (packet.size() < kV4Header || packet[0] >> 4 != 4) return std::nullopt;
  const std::size_t header = std::size_t{packet[0] & 0xFU} * 4;
  if (header < kV4Header || header > packet.size()) return std::nullopt;
  const auto fragment = load_be16(packet.data() + 6);
  return IpLayout{.transport = header,
                  .protocol = packet[9],
                  .fragment = (fragment & 0x3FFF) != 0,  // RFC 791 §3.1: MF and offset
                  .later_fragment = (fragment & 0x1FFF) != 0};
}

std::optional<IpLayout> v6_layout(Bytes packet) noexcept {
  if (packet.size() < kV6Header || packet[0] >> 4 != 6) return std::nullopt;
  IpLayout at{.transport = kV6Header, .protocol = packet[6]};
  while (is_extension(at.protocol)) {
    const auto rest = packet.subspan(at.transport);
    if (rest.size() < 8) return std::nullopt;
    std::size_t length = 8;
    if (at.protocol == kFragmentHeader) {
      const auto fragment = load_be16(rest.data() + 2);
      at.fragment = at.fragment || (fragment & 0xFFF9) != 0;  // RFC 8200 §4.5: offset and M
      at.later_fragment = at.later_fragment || (fragment & 0xFFF8) != 0;
      if (at.later_fragment) return at;
    } else {
      length = (std::size_t{rest[1]} + 1) * 8;
    }
    if (length > rest.size()) return std::nullopt;
    at.protocol = rest[0];
    at.transport += length;
  }
  return at;
}

bool is_echo(bool v4, std::uint8_t type, std::uint8_t code) noexcept {
  if (code != 0) return false;  // spec policy 0.3
  return v4 ? type == 8 || type == 0 : type == 128 || type == 129;
}

struct Transport {
  ProtoClass proto;
  std::uint8_t header = 0;
};

// The transport header of a whole packet; nothing when it is truncated or lies.
std::optional<Transport> parse_transport(bool v4, std::uint8_t protocol, Bytes bytes) noexcept {
  using Kind = ProtoClass::Kind;
  switch (protocol) {
    case kTcp: {
      if (bytes.size() < 20) return std::nullopt;
      const std::size_t header = std::size_t{bytes[12]} >> 4 << 2;
      if (header < 20 || header > bytes.size()) return std::nullopt;
      return Transport{{Kind::tcp, load_be16(bytes.data()), load_be16(bytes.data() + 2)},
                       static_cast<std::uint8_t>(header)};
    }
    case kUdp:
      if (bytes.size() < 8 || load_be16(bytes.data() + 4) != bytes.size()) return std::nullopt;
      return Transport{{Kind::udp, load_be16(bytes.data()), load_be16(bytes.data() + 2)}, 8};
    case kIcmpV4:
    case kIcmpV6: {
      if (v4 != (protocol == kIcmpV4) || bytes.size() < 8) return std::nullopt;
      if (is_echo(v4, bytes[0], bytes[1])) {
        const auto identifier = load_be16(bytes.data() + 4);
        return Transport{{Kind::echo, identifier, identifier}, 8};
      }
      return Transport{{Kind::icmp_other, bytes[0], bytes[0]}, 8};
    }
    default:
      return Transport{{Kind::other_ip, protocol, protocol}, 0};
  }
}

IpAddress address_at(bool v4, const std::uint8_t* p) noexcept {
  if (v4) return IpAddress::v4(p[0], p[1], p[2], p[3]);
  std::array<std::uint8_t, 16> b{};
  std::memcpy(b.data(), p, b.size());
  return IpAddress::v6(b);
}

// Ports or identifier of a quoted packet, which may be cut after four bytes (spec policy 5.5).
std::optional<ProtoClass> quoted_class(bool v4, std::uint8_t protocol, Bytes bytes) noexcept {
  using Kind = ProtoClass::Kind;
  if (protocol == kTcp || protocol == kUdp) {
    if (bytes.size() < 4) return std::nullopt;
    return ProtoClass{protocol == kTcp ? Kind::tcp : Kind::udp, load_be16(bytes.data()),
                      load_be16(bytes.data() + 2)};
  }
  if (protocol != (v4 ? kIcmpV4 : kIcmpV6) || bytes.size() < 8) return std::nullopt;
  if (bytes[0] != (v4 ? 8 : 128) || bytes[1] != 0) return std::nullopt;
  const auto identifier = load_be16(bytes.data() + 4);
  return ProtoClass{Kind::echo, identifier, identifier};
}

}  // namespace

Result<InnerPacket, DropReason> InnerPacket::parse(Bytes packet, std::size_t size_max) noexcept {
  if (packet.empty()) return fail(DropReason::malformed_packet);
  const bool v4 = packet[0] >> 4 == 4;
  const auto layout = v4 ? v4_layout(packet) : v6_layout(packet);
  if (!layout) return fail(DropReason::malformed_packet);
  if (packet.size() > size_max) return fail(DropReason::oversized_packet);
  const std::size_t length =
      v4 ? load_be16(packet.data() + 2) : kV6Header + load_be16(packet.data() + 4);
  if (length != packet.size()) return fail(DropReason::malformed_packet);
  if (layout->fragment) return fail(DropReason::fragmented);
  const auto transport = parse_transport(v4, layout->protocol, packet.subspan(layout->transport));
  if (!transport) return fail(DropReason::malformed_packet);

  InnerPacket out;
  out.bytes_ = packet;
  out.source_ = address_at(v4, packet.data() + (v4 ? 12 : 8));
  out.destination_ = address_at(v4, packet.data() + (v4 ? 16 : 24));
  out.proto_class_ = transport->proto;
  out.transport_ = static_cast<std::uint16_t>(layout->transport);
  out.transport_header_ = transport->header;
  out.protocol_ = layout->protocol;
  return out;
}

std::uint8_t InnerPacket::traffic_class() const noexcept {
  if (is_v4()) return bytes_[1];
  return static_cast<std::uint8_t>(bytes_[0] << 4 | bytes_[1] >> 4);
}

bool InnerPacket::is_control() const noexcept {
  constexpr std::array<std::uint8_t, 32> kZeros{};
  return !is_v4() && protocol_ == kControlProtocol &&
         std::memcmp(bytes_.data() + 8, kZeros.data(), kZeros.size()) == 0;
}

bool InnerPacket::is_forbidden_icmp() const noexcept {
  if (!is_icmp()) return false;
  const auto type = bytes_[transport_];
  if (is_v4()) return (type >= 3 && type <= 5) || (type >= 9 && type <= 12);
  return (type >= 1 && type <= 4) || (type >= 130 && type <= 137);
}

bool InnerPacket::is_icmp_error_type() const noexcept {
  if (!is_icmp()) return false;
  const auto type = bytes_[transport_];
  const auto code = bytes_[transport_ + 1U];
  if (is_v4()) return type == 3 || type == 11;
  return type == 1 || (type == 2 && code == 0) || type == 3;
}

std::optional<IcmpError> InnerPacket::icmp_error() const noexcept {
  if (!is_icmp_error_type()) return std::nullopt;
  const auto quote = payload();
  const bool v4 = is_v4();
  const auto layout = v4 ? v4_layout(quote) : v6_layout(quote);
  if (!layout || layout->later_fragment) return std::nullopt;
  const auto quoted = quoted_class(v4, layout->protocol, quote.subspan(layout->transport));
  if (!quoted) return std::nullopt;

  IcmpError error;
  const auto* icmp = bytes_.data() + transport_;
  error.type = icmp[0];
  error.code = icmp[1];
  if (v4 && error.type == 3 && error.code == 4) error.mtu = load_be16(icmp + 6);  // RFC 1191 §4
  if (!v4 && error.type == 2) error.mtu = load_be32(icmp + 4);                    // RFC 4443 §3.2
  error.quoted = *quoted;
  error.quoted_source = address_at(v4, quote.data() + (v4 ? 12 : 8));
  error.quoted_destination = address_at(v4, quote.data() + (v4 ? 16 : 24));
  error.quoted_protocol = layout->protocol;
  error.quote_transport = static_cast<std::uint16_t>(layout->transport);
  error.quote = quote;
  return error;
}

bool InnerPacket::has_valid_checksums() const noexcept {
  const bool v4 = is_v4();
  if (v4 && !is_zero(sum_of(bytes_.first(transport_)))) return false;
  const auto segment = transport();
  if (protocol_ == kIcmpV4 && v4) return is_zero(sum_of(segment));
  if (protocol_ != kTcp && protocol_ != kUdp && protocol_ != kIcmpV6) return true;
  if (protocol_ == kUdp && load_be16(segment.data() + 6) == 0) return v4;  // RFC 8200 §8.1
  const std::size_t width = v4 ? 4 : 16;
  const auto source = bytes_.subspan(v4 ? 12 : 8, width);
  const auto destination = bytes_.subspan(v4 ? 16 : 24, width);
  return is_zero(
      add(pseudo_header(source, destination, protocol_, segment.size()), sum_of(segment)));
}

std::optional<std::size_t> inner_length(Bytes plaintext) noexcept {
  std::size_t length = 0;
  if (plaintext.size() >= kV4Header && plaintext[0] >> 4 == 4) {
    length = load_be16(plaintext.data() + 2);
    if (length < kV4Header) return std::nullopt;
  } else if (plaintext.size() >= kV6Header && plaintext[0] >> 4 == 6) {
    length = kV6Header + load_be16(plaintext.data() + 4);
  } else {
    return std::nullopt;
  }
  if (length > plaintext.size()) return std::nullopt;
  return length;
}

}  // namespace fg::packet
