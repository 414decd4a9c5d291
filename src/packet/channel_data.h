// ChannelData framing over UDP (RFC 8656 §12.4 without padding, spec connectivity 3.9).
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/ids.h"
#include "packet/buffer.h"

namespace fg::packet {

struct ChannelData {
  ChannelNumber channel{};
  Bytes payload;

  // Channel 0x4000-0x7FFF and a length that is exactly the rest of the datagram. The payload may be
  // empty.
  static std::optional<ChannelData> parse(Bytes datagram) noexcept {
    if (datagram.size() < kChannelHeader) return std::nullopt;
    const auto channel = load_be16(datagram.data());
    if (channel < 0x4000 || channel > 0x7FFF) return std::nullopt;
    if (load_be16(datagram.data() + 2) != datagram.size() - kChannelHeader) return std::nullopt;
    return ChannelData{ChannelNumber{channel}, datagram.subspan(kChannelHeader)};
  }
};

// Writes the four bytes in front of a payload of `length` bytes.
inline void write_channel_header(std::uint8_t* at, ChannelNumber channel,
                                 std::uint16_t length) noexcept {
  store_be16(at, static_cast<std::uint16_t>(channel));
  store_be16(at + 2, length);
}

}  // namespace fg::packet
