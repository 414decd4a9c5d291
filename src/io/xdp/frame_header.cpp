#include "io/xdp/frame_header.h"

#include <algorithm>
#include <cstring>

#include "packet/checksum.h"

namespace fg::io::xdp {
namespace {

constexpr std::uint16_t kIpv4 = 0x0800;
constexpr std::uint16_t kIpv6 = 0x86DD;
constexpr std::uint16_t kDontFragment = 0x4000;  // RFC 791
constexpr std::uint8_t kUdp = 17;
constexpr std::size_t kV4Header = 20;
constexpr std::size_t kV6Header = 40;
constexpr std::size_t kUdpHeader = 8;

}  // namespace

FrameHeader::FrameHeader(const NextHop& hop, std::uint16_t source_port,
                         const SocketAddress& to) noexcept
    : is_v4_(to.ip.is_v4()) {
  auto* at = bytes_.data();
  at = std::ranges::copy(hop.destination_mac, at).out;
  at = std::ranges::copy(hop.source_mac, at).out;
  if (hop.vlan) {
    store_be16(at, hop.vlan->protocol);
    store_be16(at + 2, hop.vlan->id);
    at += 4;
  }
  store_be16(at, is_v4_ ? kIpv4 : kIpv6);
  at += 2;
  ip_at_ = static_cast<std::uint8_t>(at - bytes_.data());
  if (is_v4_) {
    at[0] = 0x45;
    store_be16(at + 6, kDontFragment);
    at[8] = hop.hop_limit;
    at[9] = kUdp;
    std::ranges::copy(hop.source.bytes(), at + 12);
    std::ranges::copy(to.ip.bytes(), at + 16);
    ip_sum_ = packet::sum_of({at, kV4Header});
    at += kV4Header;
  } else {
    at[0] = 0x60;
    at[6] = kUdp;
    at[7] = hop.hop_limit;
    std::ranges::copy(hop.source.bytes(), at + 8);
    std::ranges::copy(to.ip.bytes(), at + 24);
    at += kV6Header;
  }
  store_be16(at, source_port);
  store_be16(at + 2, to.port);
  udp_sum_ = packet::add(packet::pseudo_header(hop.source.bytes(), to.ip.bytes(), kUdp, 0),
                         packet::sum_of({at, 4}));
  size_ = static_cast<std::uint8_t>(at + kUdpHeader - bytes_.data());
  const std::size_t headers = size_ - ip_at_;
  payload_max_ = static_cast<std::uint16_t>(hop.mtu > headers ? hop.mtu - headers : 0);
}

std::size_t FrameHeader::write(Bytes payload, std::uint8_t ecn, std::uint8_t* out) const noexcept {
  std::memcpy(out, bytes_.data(), size_);
  auto* ip = out + ip_at_;
  auto* udp = out + size_ - kUdpHeader;
  const auto udp_length = static_cast<std::uint16_t>(kUdpHeader + payload.size());
  if (is_v4_) {
    const auto total = static_cast<std::uint16_t>(kV4Header + udp_length);
    ip[1] = ecn;
    store_be16(ip + 2, total);
    store_be16(ip + 10, packet::finish(packet::add(ip_sum_, packet::add(ecn, total))));
  } else {
    ip[1] = static_cast<std::uint8_t>(ecn << 4);  // the low bits of the traffic class
    store_be16(ip + 4, udp_length);
  }
  // The length counts twice: in the pseudo header and in the header.
  const auto lengths = packet::add(udp_length, udp_length);
  const auto sum =
      packet::add(packet::copy_and_sum(out + size_, payload), packet::add(udp_sum_, lengths));
  store_be16(udp + 4, udp_length);
  store_be16(udp + 6, packet::finish(sum));
  return size_ + payload.size();
}

}  // namespace fg::io::xdp
