// What an outer datagram is, by its bytes alone (spec connectivity 1.3, 1.4). Pure; where it came
// from is the caller's business: channel data counts only from a relay, and a relay's STUN is not a
// client's.
#pragma once

#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/ids.h"
#include "packet/buffer.h"

namespace fg::packet {

enum class DatagramKind : std::uint8_t {
  unknown,
  stun,          // first two bits zero and the magic cookie; its lengths are for the STUN parser
  channel_data,  // first byte 0x40-0x4F and an exact length
  wireguard_initiation,
  wireguard_response,
  wireguard_cookie,
  wireguard_data,
};

[[nodiscard]] DatagramKind classify(Bytes datagram) noexcept;

inline constexpr std::size_t kInitiationSize = 148;  // WireGuard whitepaper 5.4.2
inline constexpr std::size_t kResponseSize = 92;     // 5.4.3
inline constexpr std::size_t kCookieSize = 64;       // 5.4.7
inline constexpr std::size_t kDataSizeMin = kDataHeader + kDataTag;

// A WireGuard data message, not yet authenticated.
struct DataMessage {
  ReceiverIndex receiver{};
  std::uint64_t counter = 0;
  Bytes sealed;  // ciphertext and tag, at least 16 bytes

  static std::optional<DataMessage> parse(Bytes datagram) noexcept {
    if (datagram.size() < kDataSizeMin || load_be32(datagram.data()) != 0x04000000)
      return std::nullopt;
    return DataMessage{ReceiverIndex{load_le32(datagram.data() + 4)},
                       load_le64(datagram.data() + 8), datagram.subspan(kDataHeader)};
  }
};

// Writes the sixteen bytes in front of the sealed packet.
inline void write_data_header(std::uint8_t* at, std::uint32_t receiver,
                              std::uint64_t counter) noexcept {
  store_be32(at, 0x04000000);
  store_le32(at + 4, receiver);
  store_le64(at + 8, counter);
}

}  // namespace fg::packet
