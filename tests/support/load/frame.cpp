#include "tests/support/load/frame.h"

#include <algorithm>
#include <cstring>

namespace fg::load {
namespace {

constexpr std::uint8_t kNeedsChecksum = 1;  // virtio_net_hdr, VIRTIO_NET_HDR_F_NEEDS_CSUM
constexpr std::uint8_t kUdp = 17;

std::uint32_t add(const std::uint8_t* p, std::size_t size, std::uint32_t sum) {
  for (std::size_t i = 0; i < size; i += 2) sum += load_be16(p + i);
  return sum;
}
std::uint16_t fold(std::uint32_t sum) {
  sum = (sum & 0xFFFF) + (sum >> 16);
  return static_cast<std::uint16_t>((sum & 0xFFFF) + (sum >> 16));
}

// Returns the sum of the pseudo header.
std::uint32_t write_ip_udp(std::uint8_t* ip, const SocketAddress& from, const SocketAddress& to,
                           std::size_t payload) {
  std::memset(ip, 0, kIpUdp);
  ip[0] = 0x45;
  store_be16(ip + 2, static_cast<std::uint16_t>(kIpUdp + payload));
  ip[6] = 0x40;  // do not fragment
  ip[8] = 64;
  ip[9] = kUdp;
  std::ranges::copy(from.ip.bytes(), ip + 12);
  std::ranges::copy(to.ip.bytes(), ip + 16);
  store_be16(ip + 10, static_cast<std::uint16_t>(~fold(add(ip, 20, 0))));
  store_be16(ip + 20, from.port);
  store_be16(ip + 22, to.port);
  const auto length = static_cast<std::uint16_t>(8 + payload);
  store_be16(ip + 24, length);
  return add(ip + 12, 8, std::uint32_t{kUdp} + length);
}

}  // namespace

std::size_t write_headers(std::uint8_t* frame, const Ends& ends, const SocketAddress& from,
                          const SocketAddress& to, std::size_t payload) {
  std::memset(frame, 0, kVnetHeaderSize);
  frame[0] = kNeedsChecksum;
  frame[6] = kEthernet + 20;  // little-endian: where the checksum starts, and where it lies in that
  frame[8] = 6;
  auto* ethernet = frame + kVnetHeaderSize;
  std::ranges::copy(ends.other, ethernet);
  std::ranges::copy(ends.own, ethernet + 6);
  store_be16(ethernet + 12, 0x0800);
  auto* ip = ethernet + kEthernet;
  store_be16(ip + 26, fold(write_ip_udp(ip, from, to, payload)));
  return kHeaders + payload;
}

void write_inner(std::uint8_t* packet, const SocketAddress& from, const SocketAddress& to,
                 std::size_t payload, std::uint16_t sum) {
  const auto pseudo = write_ip_udp(packet, from, to, payload);
  const auto checksum = static_cast<std::uint16_t>(~fold(add(packet + 20, 8, pseudo) + sum));
  store_be16(packet + 26, checksum == 0 ? 0xFFFF : checksum);
}

void Content::write(MutableBytes payload) const {
  auto* p = payload.data();
  store_be32(p, kMark);
  store_be32(p + 4, sequence);
  store_be32(p + 8, ~sequence);
  store_be32(p + 12, flow);
  store_be32(p + 16, ~flow);
  std::memset(p + kSize, 0, payload.size() - kSize);
}

std::optional<Content> Content::read(Bytes payload) {
  if (payload.size() < kSize || load_be32(payload.data()) != kMark) return std::nullopt;
  const Content out{load_be32(payload.data() + 4), load_be32(payload.data() + 12)};
  if (load_be32(payload.data() + 8) != ~out.sequence ||
      load_be32(payload.data() + 16) != ~out.flow) {
    return std::nullopt;
  }
  return out;
}

std::optional<Seen> read_frame(MutableBytes frame) {
  if (frame.size() < kHeaders) return std::nullopt;
  const auto gso_size = static_cast<std::size_t>(frame[4]) | static_cast<std::size_t>(frame[5])
                                                                 << 8;
  const auto* ip = frame.data() + kVnetHeaderSize + kEthernet;
  if (load_be16(ip - 2) != 0x0800 || ip[0] != 0x45 || ip[9] != kUdp) return std::nullopt;
  // Short frames may be padded; lengths of a super-packet cover the whole of it.
  const std::size_t length = load_be16(ip + 2);
  if (length < kIpUdp || kVnetHeaderSize + kEthernet + length > frame.size()) return std::nullopt;
  const auto payload = frame.subspan(kHeaders, length - kIpUdp);
  return Seen{{IpAddress::from_bytes({ip + 12, 4}), load_be16(ip + 20)},
              {IpAddress::from_bytes({ip + 16, 4}), load_be16(ip + 22)},
              gso_size == 0 ? std::max<std::size_t>(payload.size(), 1) : gso_size,
              payload};
}

}  // namespace fg::load
