// Datagrams and TUN packets in bulk: the values that backends (io) and the pipeline hand each
// other. All are views; who owns the bytes, and until when they stay, is said by the call that
// carries them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.h"
#include "base/bytes.h"

namespace fg {

// What one receive yields: datagrams of one sender, back to back, all `segment` bytes long but the
// last.
struct ReceivedDatagrams {
  MutableBytes bytes;
  std::uint16_t segment = 0;  // never 0
  std::uint8_t ecn = 0;       // RFC 3168, two bits
  SocketAddress from;
  SocketAddress local;  // destination address and our port

  [[nodiscard]] std::size_t count() const { return (bytes.size() + segment - 1U) / segment; }
};

// What one send takes: same layout. At most 64 segments and 65,507 bytes.
struct OutgoingDatagrams {
  SocketAddress to;
  std::optional<IpAddress> from;  // none: routing decides
  std::uint8_t ecn = 0;
  std::uint16_t segment = 0;  // never 0
  Bytes bytes;

  [[nodiscard]] std::size_t count() const { return (bytes.size() + segment - 1U) / segment; }
};

inline constexpr std::size_t kSegmentsMax = 64;        // UDP_SEGMENT of every kernel that has it
inline constexpr std::size_t kUdpPayloadMax = 65'507;  // IPv4: 65,535 - 20 - 8
inline constexpr std::size_t kTunSuperPacketMax = 65'535;  // IP total length
inline constexpr std::size_t kVnetHeaderSize = 10;         // virtio_net_hdr without num_buffers

// A packet read from the TUN device: virtio header, then one IP packet or a super-packet still to
// be segmented.
struct TunRead {
  MutableBytes bytes;
};

// A packet to be written to the TUN device, gathered from parts; the first part begins with the IP
// header.
struct TunWrite {
  std::array<std::uint8_t, kVnetHeaderSize> header{};
  std::span<const Bytes> parts;
  std::size_t packets = 1;  // inner packets in it
};

}  // namespace fg
