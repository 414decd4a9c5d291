// Sizes of the packets and of the room kept around them, so that headers are written in place and
// nothing moves.
#pragma once

#include <cstddef>

namespace fg::packet {

inline constexpr std::size_t kPacketMax = 1280;  // spec connectivity 1.7: inner IP packet
inline constexpr std::size_t kSuperPacketMax =
    65535;  // largest IP packet the TUN device hands over with offloads
inline constexpr std::size_t kDataHeader = 16;    // WireGuard data message: type, receiver, counter
inline constexpr std::size_t kDataTag = 16;       // Poly1305
inline constexpr std::size_t kChannelHeader = 4;  // RFC 8656 §12.4
inline constexpr std::size_t kVnetHeader = 10;    // struct virtio_net_hdr without num_buffers
inline constexpr std::size_t kDatagramMax =
    kChannelHeader + kDataHeader + kPacketMax + kDataTag;  // 1316

// Before an inner packet: data header and channel header, rounded up so that the packet stays
// aligned.
inline constexpr std::size_t kHeadroom = 32;
inline constexpr std::size_t kTailroom = kDataTag;
static_assert(kHeadroom >= kChannelHeader + kDataHeader && kHeadroom >= kVnetHeader);

}  // namespace fg::packet
