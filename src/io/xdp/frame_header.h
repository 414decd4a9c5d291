// What stands before a datagram's payload on Ethernet: link header, VLAN tag where there is one,
// IPv4 or IPv6, UDP. Built once for each destination; a packet fills its lengths, its congestion
// mark and its checksums in.
//
// As the sockets do it (io/kernel/udp_socket.cpp): "don't fragment", and so identification 0
// (RFC 6864 §4.1: atomic); no flow label. UDP checksums are computed over IPv4, too: a relay may
// carry the datagram on over IPv6, which needs one (spec connectivity 1.2).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"

namespace fg::io::xdp {

using MacAddress = std::array<std::uint8_t, 6>;

struct VlanTag {
  std::uint16_t protocol = 0x8100;  // IEEE 802.1Q; 0x88A8: 802.1ad
  std::uint16_t id = 0;
  friend bool operator==(const VlanTag&, const VlanTag&) = default;
};

// A frame to be sent has a chunk of 2048 bytes (queue_socket.h), less a link header and a tag.
inline constexpr std::uint16_t kIpPacketMax = 2048 - 14 - 4;

// How a datagram to one destination leaves.
struct NextHop {
  unsigned interface = 0;  // index of the device that AF_XDP is on
  IpAddress source;        // of the packet
  MacAddress source_mac{};
  MacAddress destination_mac{};
  std::optional<VlanTag> vlan{};
  std::uint8_t hop_limit = 64;
  std::uint16_t mtu = 0;  // of the IP packet
};

class FrameHeader {
 public:
  static constexpr std::size_t kSizeMax = 14 + 4 + 40 + 8;

  FrameHeader() = default;
  FrameHeader(const NextHop& hop, std::uint16_t source_port, const SocketAddress& to) noexcept;

  // With this it fits the MTU.
  [[nodiscard]] std::size_t payload_max() const { return payload_max_; }
  // Header and payload, at most payload_max(); `out` has room. The frame's size.
  std::size_t write(Bytes payload, std::uint8_t ecn, std::uint8_t* out) const noexcept;

 private:
  std::array<std::uint8_t, kSizeMax> bytes_{};
  std::uint8_t size_ = 0;
  std::uint8_t ip_at_ = 0;
  bool is_v4_ = true;
  std::uint16_t payload_max_ = 0;
  std::uint16_t ip_sum_ = 0;   // IPv4 header without length and congestion mark
  std::uint16_t udp_sum_ = 0;  // pseudo header and ports, without lengths
};

}  // namespace fg::io::xdp
