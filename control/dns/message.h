// DNS messages as far as a forwarder looks into them (RFC 1035 §4): header and question; of a query
// also whether its answer section can be walked. Nothing is decoded, nothing copied.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/bytes.h"

namespace fg::dns {

inline constexpr std::size_t kHeaderSize = 12;        // RFC 1035 §4.1.1
inline constexpr std::size_t kMessageMax = 65535;     // RFC 1035 §4.2.2
inline constexpr std::size_t kUdpReplyMax = 1200;     // spec policy 7
inline constexpr std::uint8_t kNoError = 0;           // RFC 1035 §4.1.1
inline constexpr std::uint16_t kServerPort = 53;      // RFC 1035 §4.2
inline constexpr std::uint16_t kServicePort = 53535;  // spec policy 7: part of the client contract

// Borrows the bytes it was read from.
struct Message {
  // Header and all questions, each name in labels.
  static std::optional<Message> parse(Bytes bytes);

  std::uint16_t id = 0;
  bool is_response = false;
  std::uint8_t rcode = 0;
  std::uint16_t questions = 0;
  Bytes question;  // the whole section
};

// QR=0, one question, an answer section that can be walked (spec policy 7).
[[nodiscard]] std::optional<Message> parse_query(Bytes bytes);
// The same question with the same id; names in any case. Servers that refuse may leave the question
// out.
[[nodiscard]] bool is_answer_to(const Message& reply, const Message& query);

// Header and question of a query, answered SERVFAIL.
[[nodiscard]] ByteVector server_failure(Bytes query);
// Header and question of a reply with TC=1, all other counts zero (spec policy 7).
[[nodiscard]] ByteVector truncated(Bytes reply);
// A query for the addresses of a name; labels of at most 63 bytes.
[[nodiscard]] ByteVector address_query(std::uint16_t id, std::string_view name);

void set_id(MutableBytes message, std::uint16_t id);

}  // namespace fg::dns
