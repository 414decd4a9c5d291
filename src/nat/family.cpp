#include "nat/family.h"

#include <algorithm>
#include <array>
#include <utility>

#include "packet/checksum.h"

namespace fg::nat {
namespace {

using packet::Sum;
using Kind = packet::ProtoClass::Kind;

constexpr std::size_t kV4Header = 20;
constexpr std::size_t kV6Header = 40;
constexpr std::size_t kIcmpHeader = 8;
constexpr std::uint8_t kErrorTtl = 20;  // spec policy 5.5
constexpr std::uint16_t kDontFragment = 0x4000;

constexpr std::size_t header_of(bool v4) noexcept { return v4 ? kV4Header : kV6Header; }
constexpr std::uint8_t icmp_of(bool v4) noexcept { return v4 ? packet::kIcmpV4 : packet::kIcmpV6; }

// Everything the two headers have in common. `payload` is the length behind the IP header.
struct Header {
  IpAddress source;
  IpAddress destination;
  std::uint8_t traffic_class = 0;
  std::uint8_t ttl = 0;
  std::uint8_t protocol = 0;
  std::size_t payload = 0;
};

void write_header(const Header& h, std::uint16_t v4_flags, std::uint8_t* out) noexcept {
  const bool v4 = h.source.is_v4();
  ByteWriter w{MutableBytes{out, header_of(v4)}};
  if (v4) {
    w.u8(0x45);
    w.u8(h.traffic_class);
    w.be16(static_cast<std::uint16_t>(kV4Header + h.payload));
    w.be16(0);
    w.be16(v4_flags);
    w.u8(h.ttl);
    w.u8(h.protocol);
    w.be16(0);
  } else {
    w.be32(0x60000000U | std::uint32_t{h.traffic_class} << 20);
    w.be16(static_cast<std::uint16_t>(h.payload));
    w.u8(h.protocol);
    w.u8(h.ttl);
  }
  w.bytes(h.source.bytes());
  w.bytes(h.destination.bytes());
  if (v4) store_be16(out + 10, packet::finish(packet::sum_of({out, kV4Header})));
}

Sum sum_of_addresses(const Header& h) noexcept {
  return packet::add(packet::sum_of(h.source.bytes()), packet::sum_of(h.destination.bytes()));
}

void replace16(std::uint8_t* at, std::uint16_t is, Sum& was_sum, Sum& is_sum) noexcept {
  was_sum = packet::add(was_sum, load_be16(at));
  is_sum = packet::add(is_sum, is);
  store_be16(at, is);
}

// The transport header in `bytes`, perhaps cut short in a quote, for its new IP header: ports,
// echo type, checksum. `to` is the header it gets, `from` that it had.
void change_transport(Kind kind, const Header& from, const Header& to,
                      std::optional<std::uint16_t> source_port,
                      std::optional<std::uint16_t> destination_port, MutableBytes bytes) noexcept {
  auto* p = bytes.data();
  Sum was = sum_of_addresses(from);
  Sum is = sum_of_addresses(to);
  if (kind == Kind::echo) {
    // The pseudo header is part of the checksum over IPv6 only.
    const Sum length_and_protocol =
        packet::add(static_cast<Sum>(to.payload & 0xFFFF), packet::kIcmpV6);
    (to.source.is_v4() ? is : was) = 0;
    Sum& pseudo = to.source.is_v4() ? was : is;
    pseudo = packet::add(pseudo, length_and_protocol);
    const bool request = p[0] == 8 || p[0] == 128;
    const auto type =
        static_cast<std::uint16_t>(to.source.is_v4() ? (request ? 8 : 0) : (request ? 128 : 129));
    replace16(p, static_cast<std::uint16_t>(type << 8 | p[1]), was, is);
    if (source_port) replace16(p + 4, *source_port, was, is);
    if (destination_port) replace16(p + 4, *destination_port, was, is);
  } else {
    if (source_port) replace16(p, *source_port, was, is);
    if (destination_port) replace16(p + 2, *destination_port, was, is);
  }
  const std::size_t at = kind == Kind::tcp ? 16 : kind == Kind::udp ? 6 : 2;
  if (at + 2 > bytes.size()) return;
  const auto checksum = load_be16(p + at);
  if (kind == Kind::udp && checksum == 0) return;
  store_be16(p + at, packet::update(checksum, was, is));
}

// RFC 1191 §7: what a router that tells no MTU may have meant.
std::uint32_t plateau_below(std::size_t length) noexcept {
  constexpr std::array<std::uint32_t, 10> kPlateaus = {68,   296,  508,  1006,   1492,
                                                       2002, 4352, 8166, 32'000, 65'535};
  const auto above = std::ranges::lower_bound(kPlateaus, length);
  return above == kPlateaus.begin() ? kPlateaus.front() : *(above - 1);
}

}  // namespace

std::size_t change_family(const packet::InnerPacket& packet, const FamilyChange& change,
                          MutableBytes out) noexcept {
  const auto kind = packet.proto_class().kind;
  const bool to_v4 = change.source.is_v4();
  if (to_v4 == packet.is_v4() || change.destination.is_v4() != to_v4) return 0;
  if (!packet.proto_class().is_translatable()) return 0;
  if (!packet.is_v4() && packet.has_options_or_extensions()) return 0;
  const auto segment = packet.transport();
  const bool has_no_checksum = kind == Kind::udp && load_be16(segment.data() + 6) == 0;
  if (has_no_checksum && to_v4) return 0;  // RFC 8200 §8.1: it was never valid
  const auto size = header_of(to_v4) + segment.size();
  if (size > out.size()) return 0;

  const Header from{packet.source(), packet.destination(), packet.traffic_class(),
                    packet.ttl(),    packet.protocol(),    segment.size()};
  Header to = from;
  to.source = change.source;
  to.destination = change.destination;
  if (kind == Kind::echo) to.protocol = icmp_of(to_v4);
  write_header(to, kDontFragment, out.data());
  auto* transport = out.data() + header_of(to_v4);
  std::ranges::copy(segment, transport);
  change_transport(kind, from, to, change.source_port, change.destination_port,
                   {transport, segment.size()});
  if (has_no_checksum) {
    const Sum sum = packet::add(
        packet::pseudo_header(to.source.bytes(), to.destination.bytes(), to.protocol, to.payload),
        packet::sum_of({transport, segment.size()}));
    store_be16(transport + 6, packet::finish(sum));
  }
  return size;
}

std::size_t change_error_family(const packet::IcmpError& error, const ErrorChange& change,
                                MutableBytes out) noexcept {
  const bool to_v4 = change.proxy.is_v4();
  const bool was_v4 = error.quoted_source.is_v4();
  if (to_v4 == was_v4 || change.client.is_v4() != to_v4) return 0;
  if (!was_v4 && error.quote_transport != kV6Header) return 0;
  const auto kind = to_v4 ? v4_of({error.type, error.code}) : v6_of({error.type, error.code});
  if (!kind) return 0;

  const auto* q = error.quote.data();
  const std::size_t quoted_length =
      was_v4 ? load_be16(q + 2) : kV6Header + std::size_t{load_be16(q + 4)};
  if (quoted_length < error.quote_transport) return 0;
  const auto transport = error.quote.subspan(error.quote_transport);
  const auto head = header_of(to_v4) + kIcmpHeader + header_of(to_v4);
  const auto size = std::min(head + transport.size(), packet::kPacketMax);
  if (size > out.size()) return 0;

  const auto traffic_class =
      was_v4 ? q[1] : static_cast<std::uint8_t>((q[0] & 0x0F) << 4 | q[1] >> 4);
  const Header from{error.quoted_source,   error.quoted_destination,
                    traffic_class,         q[was_v4 ? 8 : 7],
                    error.quoted_protocol, quoted_length - error.quote_transport};
  Header to = from;
  to.source = change.client;
  to.destination = change.proxy;
  if (error.quoted.kind == Kind::echo) to.protocol = icmp_of(to_v4);

  const Header outer{change.proxy, change.client,  0,
                     kErrorTtl,    icmp_of(to_v4), size - header_of(to_v4)};
  write_header(outer, 0, out.data());
  auto* icmp = out.data() + header_of(to_v4);
  auto* quote = icmp + kIcmpHeader;
  write_header(to, kDontFragment, quote);
  const MutableBytes body{quote + header_of(to_v4), size - head};
  std::ranges::copy(transport.first(body.size()), body.begin());
  change_transport(error.quoted.kind, from, to, change.port, std::nullopt, body);

  // RFC 7915 §4.2, §5.2: the MTU counts another header; parameter problem points to the protocol.
  std::uint32_t rest = 0;
  if (to_v4 && kind->type == 3 && kind->code == 4)
    rest = error.mtu < 20 ? 0 : std::min<std::uint32_t>(error.mtu - 20, 0xFFFF);
  if (!to_v4 && kind->type == 2)
    rest = (error.mtu == 0 ? plateau_below(quoted_length) : error.mtu) + 20;
  if (!to_v4 && kind->type == 4) rest = 6;
  icmp[0] = kind->type;
  icmp[1] = kind->code;
  store_be16(icmp + 2, 0);
  store_be32(icmp + 4, rest);
  Sum sum = packet::sum_of({icmp, outer.payload});
  if (!to_v4) {
    sum = packet::add(sum, packet::pseudo_header(outer.source.bytes(), outer.destination.bytes(),
                                                 packet::kIcmpV6, outer.payload));
  }
  store_be16(icmp + 2, packet::finish(sum));
  return size;
}

std::optional<IcmpKind> v6_of(IcmpKind v4) noexcept {
  const auto [type, code] = v4;
  if (type == 8 && code == 0) return IcmpKind{128, 0};
  if (type == 0 && code == 0) return IcmpKind{129, 0};
  if (type == 11) return IcmpKind{3, code};
  if (type != 3) return std::nullopt;
  switch (code) {
    case 0:
    case 1:
    case 5:
    case 6:
    case 7:
    case 8:
    case 11:
    case 12:
      return IcmpKind{1, 0};
    case 2:
      return IcmpKind{4, 1};
    case 3:
      return IcmpKind{1, 4};
    case 4:
      return IcmpKind{2, 0};
    case 9:
    case 10:
    case 13:
    case 15:
      return IcmpKind{1, 1};
    default:
      return std::nullopt;
  }
}

std::optional<IcmpKind> v4_of(IcmpKind v6) noexcept {
  const auto [type, code] = v6;
  if (type == 128 && code == 0) return IcmpKind{8, 0};
  if (type == 129 && code == 0) return IcmpKind{0, 0};
  if (type == 3) return IcmpKind{11, code};
  if (type == 2 && code == 0) return IcmpKind{3, 4};
  if (type == 4 && code == 1) return IcmpKind{3, 2};
  if (type != 1) return std::nullopt;
  switch (code) {
    case 0:
    case 2:
    case 3:
      return IcmpKind{3, 1};
    case 1:
      return IcmpKind{3, 10};
    case 4:
      return IcmpKind{3, 3};
    default:
      return std::nullopt;
  }
}

}  // namespace fg::nat
