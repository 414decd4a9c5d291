// Ethernet frames with IPv4 and UDP as a load sends and receives them, each behind the virtio
// header that packet sockets use. UDP checksums are left to the device, as a card would be asked
// to.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/bytes.h"
#include "base/datagram.h"

namespace fg::load {

using Mac = std::array<std::uint8_t, 6>;

inline constexpr std::size_t kEthernet = 14;
inline constexpr std::size_t kIpUdp = 28;
inline constexpr std::size_t kHeaders = kVnetHeaderSize + kEthernet + kIpUdp;
inline constexpr std::size_t kFrameMax = kHeaders + 1500;

struct Ends {
  Mac own{};
  Mac other{};
};

// Everything in front of `payload` bytes that follow at kHeaders. Returns the frame's length.
std::size_t write_headers(std::uint8_t* frame, const Ends& ends, const SocketAddress& from,
                          const SocketAddress& to, std::size_t payload);

// IPv4 and UDP headers of an inner packet; `sum` is what its payload adds up to (RFC 1071), folded.
void write_inner(std::uint8_t* packet, const SocketAddress& from, const SocketAddress& to,
                 std::size_t payload, std::uint16_t sum);

// What the datagrams of a load carry: a mark, their number, and whose they are. Numbers stand
// beside their complement, so every datagram adds up to the same sum.
struct Content {
  static constexpr std::uint32_t kMark = 0x4647'4C44;
  static constexpr std::size_t kSize = 20;
  static constexpr std::uint16_t kSum = (kMark >> 16) + (kMark & 0xFFFF);

  std::uint32_t sequence = 0;
  std::uint32_t flow = 0;

  // payload: at least kSize bytes; the rest becomes zero.
  void write(MutableBytes payload) const;
  static std::optional<Content> read(Bytes payload);
};

// A received frame, virtio header first: one datagram, or a run of them that are `segment` long but
// the last.
struct Seen {
  SocketAddress from;
  SocketAddress to;
  std::size_t segment = 0;
  MutableBytes payload;
};
std::optional<Seen> read_frame(MutableBytes frame);

}  // namespace fg::load
