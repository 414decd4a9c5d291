// The four messages of WireGuard (whitepaper §5.4): sizes, fields and their places. Reading is a
// view into the datagram; multi-byte fields are little-endian. The first word is the type, so the
// three reserved bytes must be zero.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/ids.h"

namespace fg::wireguard {

enum class MessageType : std::uint8_t { initiation = 1, response = 2, cookie_reply = 3, data = 4 };

inline constexpr std::size_t kInitiationSize = 148;
inline constexpr std::size_t kResponseSize = 92;
inline constexpr std::size_t kCookieReplySize = 64;
inline constexpr std::size_t kDataHeaderSize = 16;
inline constexpr std::size_t kDataOverhead = 32;  // header and tag; also the smallest data message
inline constexpr std::size_t kMacSize = 16;
inline constexpr std::size_t kMacsSize = 2 * kMacSize;  // MAC1 and MAC2 end a handshake message
inline constexpr std::size_t kTimestampSize = 12;

using Mac = std::array<std::uint8_t, kMacSize>;
using InitiationBytes = std::array<std::uint8_t, kInitiationSize>;
using ResponseBytes = std::array<std::uint8_t, kResponseSize>;
using CookieReplyBytes = std::array<std::uint8_t, kCookieReplySize>;

// What the datagram is by its first word and length (spec connectivity 1.3); none for anything
// else.
[[nodiscard]] std::optional<MessageType> classify(Bytes datagram);

struct InitiationView {
  std::uint32_t sender = 0;
  Bytes ephemeral;            // 32
  Bytes encrypted_static;     // 48
  Bytes encrypted_timestamp;  // 28
};
struct ResponseView {
  std::uint32_t sender = 0;
  ReceiverIndex receiver{};
  Bytes ephemeral;          // 32
  Bytes encrypted_nothing;  // 16
};
struct CookieReplyView {
  ReceiverIndex receiver{};
  Bytes nonce;             // 24
  Bytes encrypted_cookie;  // 32
};
struct DataView {
  ReceiverIndex receiver{};
  std::uint64_t counter = 0;
  Bytes sealed;  // ciphertext and tag
};
[[nodiscard]] std::optional<InitiationView> parse_initiation(Bytes message);
[[nodiscard]] std::optional<ResponseView> parse_response(Bytes message);
[[nodiscard]] std::optional<CookieReplyView> parse_cookie_reply(Bytes message);
[[nodiscard]] std::optional<DataView> parse_data(Bytes message);
// The receiver index of a message of type 2, 3 or 4: whose connection it is.
[[nodiscard]] std::optional<ReceiverIndex> receiver_of(Bytes message);

// Of a whole type 1 or 2 message.
[[nodiscard]] inline Bytes mac1_of(Bytes message) {
  return message.subspan(message.size() - kMacsSize, kMacSize);
}
[[nodiscard]] inline Bytes mac2_of(Bytes message) { return message.last(kMacSize); }
[[nodiscard]] inline Bytes before_mac1(Bytes message) {
  return message.first(message.size() - kMacsSize);
}
[[nodiscard]] inline Bytes before_mac2(Bytes message) {
  return message.first(message.size() - kMacSize);
}

inline void write_type(std::uint8_t* message, MessageType type) {
  store_le32(message, static_cast<std::uint32_t>(type));
}
// Header of a data message at a known-good place.
inline void write_data_header(std::uint8_t* message, std::uint32_t receiver,
                              std::uint64_t counter) noexcept {
  write_type(message, MessageType::data);
  store_le32(message + 4, receiver);
  store_le64(message + 8, counter);
}
[[nodiscard]] inline ReceiverIndex data_receiver(const std::uint8_t* message) noexcept {
  return ReceiverIndex{load_le32(message + 4)};
}
[[nodiscard]] inline std::uint64_t data_counter(const std::uint8_t* message) noexcept {
  return load_le64(message + 8);
}

}  // namespace fg::wireguard
