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

// In a quote.
void replace_address(std::uint8_t* at, const IpAddress& is, std::uint8_t* ip_checksum,
                     const TransportChecksum& transport) noexcept {
  const auto now = is.bytes();
  const Sum old_sum = sum_of({at, now.size()});
  const Sum new_sum = sum_of(now);
  std::memcpy(at, now.data(), now.size());
  if (ip_checksum != nullptr) update_at(ip_checksum, old_sum, new_sum);
  if (transport.field != nullptr && transport.covers_addresses)
    update_at(transport.field, old_sum, new_sum);
}

void replace_port(std::uint8_t* at, std::uint16_t is, const TransportChecksum& transport) noexcept {
  const auto was = load_be16(at);
  store_be16(at, is);
  if (transport.field != nullptr) update_at(transport.field, was, is);
}

}  // namespace

void rewrite(MutableBytes packet, const InnerPacket& parsed, const Rewrite& change,
             ChecksumState state) noexcept {
  auto* p = packet.data();
  const bool to_resource = change.towards == Towards::resource;
  const auto* address = change.address.raw().data();
  if (parsed.is_v4()) {
    std::memcpy(p + (to_resource ? 16 : 12), address, 4);
    store_be16(p + 10, update(load_be16(p + 10), change.address_change));
  } else {
    std::memcpy(p + (to_resource ? 24 : 8), address, 16);
  }
  auto* transport = p + parsed.transport_offset();
  const bool is_echo = parsed.proto_class().kind == ProtoClass::Kind::echo;
  store_be16(transport + (is_echo ? 4 : to_resource ? 0 : 2), change.port);
  const auto checksum =
      checksum_of(transport, packet.size() - parsed.transport_offset(), parsed.protocol());
  if (checksum.field == nullptr) return;
  const Sum covered = checksum.covers_addresses ? change.address_change : Sum{0};
  const auto was = load_be16(checksum.field);
  store_be16(checksum.field, state == ChecksumState::complete
                                 ? update(was, add(covered, change.port_change))
                                 : add(was, covered));
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
  replace_address(quote + (v4 ? 16 : 24), change.proxy, v4 ? quote + 10 : nullptr, checksum);
  replace_port(transport + (echo ? 4 : 0), change.port, checksum);

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
