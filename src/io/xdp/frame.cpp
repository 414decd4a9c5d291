#include "io/xdp/frame.h"

namespace fg::io::xdp {
namespace {

constexpr std::uint16_t kIpv4 = 0x0800;
constexpr std::uint16_t kIpv6 = 0x86DD;
constexpr std::uint16_t kVlan = 0x8100;         // IEEE 802.1Q
constexpr std::uint16_t kServiceVlan = 0x88A8;  // IEEE 802.1ad
constexpr std::size_t kVlansMax = 2;
constexpr std::size_t kEthernet = 14;
constexpr std::size_t kTag = 4;
constexpr std::size_t kV4Header = 20;
constexpr std::size_t kV6Header = 40;
constexpr std::size_t kUdpHeader = 8;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint16_t kFragmentBits = 0x3FFF;  // RFC 791: more fragments, and the offset

struct Packet {
  MutableBytes udp;  // header and payload
  IpAddress source;
  IpAddress destination;
  std::uint8_t ecn = 0;
};

std::optional<Packet> parse_v4(MutableBytes bytes) noexcept {
  if (bytes.size() < kV4Header || bytes[0] != 0x45 || bytes[9] != kUdp) return std::nullopt;
  if ((load_be16(&bytes[6]) & kFragmentBits) != 0) return std::nullopt;
  const std::size_t total = load_be16(&bytes[2]);
  if (total < kV4Header || total > bytes.size()) return std::nullopt;
  return Packet{.udp = bytes.subspan(kV4Header, total - kV4Header),
                .source = IpAddress::from_bytes(bytes.subspan(12, 4)),
                .destination = IpAddress::from_bytes(bytes.subspan(16, 4)),
                .ecn = static_cast<std::uint8_t>(bytes[1] & 3U)};
}

std::optional<Packet> parse_v6(MutableBytes bytes) noexcept {
  if (bytes.size() < kV6Header || bytes[0] >> 4 != 6 || bytes[6] != kUdp) return std::nullopt;
  const std::size_t length = load_be16(&bytes[4]);
  if (length > bytes.size() - kV6Header) return std::nullopt;
  return Packet{.udp = bytes.subspan(kV6Header, length),
                .source = IpAddress::from_bytes(bytes.subspan(8, 16)),
                .destination = IpAddress::from_bytes(bytes.subspan(24, 16)),
                .ecn = static_cast<std::uint8_t>(bytes[1] >> 4 & 3U)};
}

std::optional<Packet> parse_ethernet(MutableBytes frame) noexcept {
  if (frame.size() < kEthernet) return std::nullopt;
  std::size_t at = kEthernet;
  auto protocol = load_be16(&frame[at - 2]);
  for (std::size_t i = 0; i < kVlansMax && (protocol == kVlan || protocol == kServiceVlan); ++i) {
    if (frame.size() - at < kTag) return std::nullopt;
    at += kTag;
    protocol = load_be16(&frame[at - 2]);
  }
  if (protocol == kIpv4) return parse_v4(frame.subspan(at));
  if (protocol == kIpv6) return parse_v6(frame.subspan(at));
  return std::nullopt;
}

}  // namespace

std::optional<ReceivedDatagrams> parse_frame(MutableBytes frame) noexcept {
  const auto packet = parse_ethernet(frame);
  if (!packet || packet->udp.size() < kUdpHeader) return std::nullopt;
  const auto* header = packet->udp.data();
  const std::size_t length = load_be16(header + 4);
  if (length <= kUdpHeader || length > packet->udp.size()) return std::nullopt;
  const auto payload = packet->udp.subspan(kUdpHeader, length - kUdpHeader);
  return ReceivedDatagrams{.bytes = payload,
                           .segment = static_cast<std::uint16_t>(payload.size()),
                           .ecn = packet->ecn,
                           .from = {packet->source, load_be16(header)},
                           .local = {packet->destination, load_be16(header + 2)}};
}

}  // namespace fg::io::xdp
