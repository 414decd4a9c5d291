// The ten bytes before every packet of a TUN device opened with IFF_VNET_HDR: struct
// virtio_net_hdr, native byte order. Ours, because the kernel's header does not compile as C++.
#pragma once

#include <cstdint>
#include <cstring>

#include "packet/buffer.h"

namespace fg::packet {

struct VnetHeader {
  static constexpr std::uint8_t kNeedsChecksum =
      1;  // the checksum field holds the pseudo-header sum
  static constexpr std::uint8_t kDataValid = 2;
  static constexpr std::uint8_t kGsoNone = 0;
  static constexpr std::uint8_t kGsoTcpV4 = 1;
  static constexpr std::uint8_t kGsoTcpV6 = 4;
  static constexpr std::uint8_t kGsoUdp = 5;  // UDP_L4, of either family
  static constexpr std::uint8_t kGsoEcn = 0x80;

  std::uint8_t flags = 0;
  std::uint8_t gso_type = kGsoNone;
  std::uint16_t header_length = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t checksum_start = 0;
  std::uint16_t checksum_offset = 0;

  [[nodiscard]] static VnetHeader load(const std::uint8_t* from) noexcept {
    VnetHeader h;
    h.flags = from[0];
    h.gso_type = from[1];
    std::memcpy(&h.header_length, from + 2, 2);
    std::memcpy(&h.gso_size, from + 4, 2);
    std::memcpy(&h.checksum_start, from + 6, 2);
    std::memcpy(&h.checksum_offset, from + 8, 2);
    return h;
  }
  void store(std::uint8_t* to) const noexcept {
    to[0] = flags;
    to[1] = gso_type;
    std::memcpy(to + 2, &header_length, 2);
    std::memcpy(to + 4, &gso_size, 2);
    std::memcpy(to + 6, &checksum_start, 2);
    std::memcpy(to + 8, &checksum_offset, 2);
  }
  friend constexpr bool operator==(const VnetHeader&, const VnetHeader&) = default;
};

}  // namespace fg::packet
