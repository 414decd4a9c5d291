#include "control/controller/sample_packet.h"

#include <algorithm>

namespace fg::controller {
namespace {

constexpr std::size_t kV4Header = 20;
constexpr std::size_t kV6Header = 40;
constexpr std::uint8_t kTtl = 64;
constexpr std::uint16_t kEphemeralPort = 49'152;
constexpr std::uint8_t kEchoRequestV4 = 8;
constexpr std::uint8_t kEchoRequestV6 = 128;

struct Transport {
  std::uint8_t protocol = 0;
  std::size_t size = 0;
};

Transport transport_of(filter::ProtoKind kind, std::uint16_t port, bool v4) {
  using Kind = filter::ProtoKind;
  switch (kind) {
    case Kind::tcp:
      return {packet::kTcp, 20};
    case Kind::udp:
      return {packet::kUdp, 8};
    case Kind::echo:
    case Kind::icmp_other:
      return {v4 ? packet::kIcmpV4 : packet::kIcmpV6, 8};
    case Kind::other_ip:
      break;
  }
  return {static_cast<std::uint8_t>(port), 8};
}

}  // namespace

SamplePacket::SamplePacket(const IpAddress& source, const IpAddress& destination,
                           filter::ProtoKind kind, std::uint16_t port) {
  if (source.family() != destination.family()) return;
  using Kind = filter::ProtoKind;
  const bool v4 = destination.is_v4();
  const auto transport = transport_of(kind, port, v4);
  auto* ip = bytes_.data();
  const auto header = v4 ? kV4Header : kV6Header;
  size_ = header + transport.size;
  if (v4) {
    ip[0] = 0x45;
    store_be16(ip + 2, static_cast<std::uint16_t>(size_));
    ip[8] = kTtl;
    ip[9] = transport.protocol;
    std::ranges::copy(source.bytes(), ip + 12);
    std::ranges::copy(destination.bytes(), ip + 16);
  } else {
    ip[0] = 0x60;
    store_be16(ip + 4, static_cast<std::uint16_t>(transport.size));
    ip[6] = transport.protocol;
    ip[7] = kTtl;
    std::ranges::copy(source.bytes(), ip + 8);
    std::ranges::copy(destination.bytes(), ip + 24);
  }
  auto* payload = ip + header;
  if (kind == Kind::tcp || kind == Kind::udp) {
    store_be16(payload, kEphemeralPort);
    store_be16(payload + 2, port);
    if (kind == Kind::tcp) payload[12] = 0x50;  // data offset: five words
    if (kind == Kind::udp) store_be16(payload + 4, static_cast<std::uint16_t>(transport.size));
  } else if (kind == Kind::echo) {
    payload[0] = v4 ? kEchoRequestV4 : kEchoRequestV6;
  } else if (kind == Kind::icmp_other) {
    payload[0] = static_cast<std::uint8_t>(port);
  }
}

}  // namespace fg::controller
