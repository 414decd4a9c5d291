#include "packet/rewrite.h"

#include "packet/checksum.h"

namespace fg::packet {
namespace {

constexpr std::uint8_t kErrorTtl = 20;  // spec policy 5.5

void update_at(std::uint8_t* checksum, Sum was, Sum is) noexcept {
  store_be16(checksum, update(load_be16(checksum), was, is));
}

// The transport checksum field and how it is to be treated; nothing to do when `field` is null.
struct TransportChecksum {
  std::uint8_t* field = nullptr;
  bool covers_addresses = false;
};

TransportChecksum checksum_of(std::uint8_t* transport, std::size_t available,
                              std::uint8_t protocol) noexcept {
  TransportChecksum out;
  std::size_t at = 0;
  switch (protocol) {
    case kTcp:
      at = 16;
      break;
    case kUdp:
      at = 6;
      break;
    case kIcmpV4:
    case kIcmpV6:
      at = 2;
      break;
    default:
      return out;
  }
  if (at + 2 > available) return out;                                  // a quote cut short
  if (protocol == kUdp && load_be16(transport + at) == 0) return out;  // not computed, and stays so
  out.field = transport + at;
  out.covers_addresses = protocol != kIcmpV4;
  return out;
}

// sum_of() for so few bytes, in place.
Sum sum_of_address(const std::uint8_t* at, bool v4) noexcept {
  if (v4) return add(load_be16(at), load_be16(at + 2));
  std::uint64_t sum =
      std::uint64_t{load_be32(at)} + load_be32(at + 4) + load_be32(at + 8) + load_be32(at + 12);
  while (sum > 0xFFFF) sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<Sum>(sum);
}

void replace_address(std::uint8_t* at, const IpAddress& is, std::uint8_t* ip_checksum,
                     const TransportChecksum& transport, ChecksumState state) noexcept {
  const auto now = is.bytes();
  const Sum old_sum = sum_of_address(at, is.is_v4());
  const Sum new_sum = sum_of_address(now.data(), is.is_v4());
  std::memcpy(at, now.data(), now.size());
  if (ip_checksum != nullptr) update_at(ip_checksum, old_sum, new_sum);
  if (transport.field == nullptr || !transport.covers_addresses) return;
  if (state == ChecksumState::complete) {
    update_at(transport.field, old_sum, new_sum);
  } else {
    store_be16(transport.field, add(subtract(load_be16(transport.field), old_sum), new_sum));
  }
}

void replace_port(std::uint8_t* at, std::uint16_t is, const TransportChecksum& transport,
                  ChecksumState state) noexcept {
  const auto was = load_be16(at);
  store_be16(at, is);
  if (transport.field != nullptr && state == ChecksumState::complete)
    update_at(transport.field, was, is);
}

}  // namespace

void rewrite(MutableBytes packet, const InnerPacket& parsed, const Rewrite& change,
             ChecksumState state) noexcept {
  auto* p = packet.data();
  const bool v4 = parsed.is_v4();
  auto* transport = p + parsed.transport_offset();
  const auto checksum =
      checksum_of(transport, packet.size() - parsed.transport_offset(), parsed.protocol());
  auto* ip_checksum = v4 ? p + 10 : nullptr;
  if (change.source && change.source->family() == parsed.family()) {
    replace_address(p + (v4 ? 12 : 8), *change.source, ip_checksum, checksum, state);
  }
  if (change.destination && change.destination->family() == parsed.family()) {
    replace_address(p + (v4 ? 16 : 24), *change.destination, ip_checksum, checksum, state);
  }
  switch (parsed.proto_class().kind) {
    case ProtoClass::Kind::tcp:
    case ProtoClass::Kind::udp:
      if (change.source_port) replace_port(transport, *change.source_port, checksum, state);
      if (change.destination_port)
        replace_port(transport + 2, *change.destination_port, checksum, state);
      break;
    case ProtoClass::Kind::echo:
      if (change.source_port) replace_port(transport + 4, *change.source_port, checksum, state);
      if (change.destination_port)
        replace_port(transport + 4, *change.destination_port, checksum, state);
      break;
    default:
      break;
  }
}

std::size_t write_translated_error(const IcmpError& error, const IcmpErrorRewrite& change,
                                   MutableBytes out) noexcept {
  const bool v4 = error.quoted_source.is_v4();
  if (change.proxy.is_v4() != v4 || change.client.is_v4() != v4) return 0;
  const std::size_t header = v4 ? 20 : 40;
  const std::size_t size = std::min(header + 8 + error.quote.size(), kPacketMax);
  const bool echo = error.quoted.kind == ProtoClass::Kind::echo;
  if (size > out.size() || size < header + 8 + error.quote_transport + (echo ? 8U : 4U)) return 0;
  ByteWriter w{out};
  if (v4) {
    w.be16(0x4500);
    w.be16(static_cast<std::uint16_t>(size));
    w.be32(0);  // identification, flags, offset
    w.u8(kErrorTtl);
    w.u8(kIcmpV4);
    w.be16(0);
  } else {
    w.be32(0x60000000);
    w.be16(static_cast<std::uint16_t>(size - header));
    w.u8(kIcmpV6);
    w.u8(kErrorTtl);
  }
  w.bytes(change.proxy.bytes());
  w.bytes(change.client.bytes());
  w.u8(error.type);
  w.u8(error.code);
  w.be16(0);
  w.be32(error.mtu);
  w.bytes(error.quote.first(size - header - 8));

  auto* quote = out.data() + header + 8;
  auto* transport = quote + error.quote_transport;
  const std::size_t transport_length = size - header - 8 - error.quote_transport;
  const auto checksum = checksum_of(transport, transport_length, error.quoted_protocol);
  replace_address(quote + (v4 ? 16 : 24), change.proxy, v4 ? quote + 10 : nullptr, checksum,
                  ChecksumState::complete);
  replace_port(transport + (echo ? 4 : 0), change.port, checksum, ChecksumState::complete);

  auto* icmp = out.data() + header;
  Sum sum = sum_of({icmp, size - header});
  if (v4) {
    store_be16(out.data() + 10, finish(sum_of({out.data(), header})));
  } else {
    sum = add(sum,
              pseudo_header(change.proxy.bytes(), change.client.bytes(), kIcmpV6, size - header));
  }
  store_be16(icmp + 2, finish(sum));
  return size;
}

void copy_congestion(MutableBytes packet, std::uint8_t outer_ecn) noexcept {
  constexpr std::uint8_t kNotEct = 0;  // RFC 3168 §5
  constexpr std::uint8_t kCe = 3;
  auto* p = packet.data();
  if (outer_ecn != kCe) return;
  if (p[0] >> 4 == 4) {
    if ((p[1] & 3) == kNotEct) return;
    const Sum was = load_be16(p);
    p[1] |= kCe;
    if (load_be16(p) != was) update_at(p + 10, was, load_be16(p));
  } else {
    // The traffic class straddles bytes 0 and 1: ECN is bits 4 and 5 of byte 1.
    if ((p[1] & 0x30) != kNotEct) p[1] |= kCe << 4;
  }
}

}  // namespace fg::packet
