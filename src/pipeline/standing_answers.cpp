#include "pipeline/standing_answers.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/secret.h"
#include "crypto/hash.h"

namespace fg::pipeline {
namespace {

constexpr std::size_t kHeader = 20;                 // RFC 8489 §5
constexpr std::size_t kTransaction = 8;             // where it lies, 12 bytes
constexpr std::size_t kAttributeHeader = 4;         // RFC 8489 §14
constexpr std::size_t kIntegrity = 24;              // RFC 8489 §14.5, header included
constexpr std::size_t kFingerprint = 8;             // RFC 8489 §14.7, header included
constexpr std::uint32_t kMask = 0x5354554E;         // RFC 8489 §14.7
constexpr std::size_t kMapped = kHeader + 4;        // value of XOR-MAPPED-ADDRESS in the answer
constexpr std::size_t kMappedMasked = kMapped + 8;  // what the transaction id masks, IPv6 only
constexpr std::uint8_t kFamilyV6 = 0x02;            // RFC 8489 §14.1
constexpr std::size_t kSealed = kIntegrity + kFingerprint;
constexpr std::size_t kMessageMin = kHeader + kSealed;
constexpr std::size_t kAnswerV4 = kMapped + 8 + kSealed;
constexpr std::size_t kAnswerV6 = kMapped + 20 + kSealed;

Bytes before_integrity(Bytes message) { return message.first(message.size() - kSealed); }

std::uint64_t hash_of(Bytes message, const Path& path) {
  const auto asked = before_integrity(message).subspan(kHeader);
  const auto from = std::hash<SocketAddress>{}(path.remote) ^ std::uint64_t{number(path.channel)}
                                                                  << 32;
  return from * 0x9E3779B97F4A7C15ULL ^ std::hash<std::string_view>{}(as_text(asked));
}

// But for the three fields.
bool is_same(Bytes a, Bytes b) {
  const auto n = a.size();
  return n == b.size() && equal(a.first(kTransaction), b.first(kTransaction)) &&
         equal(a.subspan(kHeader, n - kHeader - kSealed + kAttributeHeader),
               b.subspan(kHeader, n - kHeader - kSealed + kAttributeHeader)) &&
         equal(a.subspan(n - kFingerprint, kAttributeHeader),
               b.subspan(n - kFingerprint, kAttributeHeader));
}

// As if the message ended with MESSAGE-INTEGRITY (RFC 8489 §14.5).
std::array<std::uint8_t, 20> integrity_of(Bytes message, Bytes key) {
  const auto covered = before_integrity(message);
  std::array<std::uint8_t, 4> start{covered[0], covered[1]};
  store_be16(start.data() + 2, static_cast<std::uint16_t>(covered.size() + kIntegrity - kHeader));
  return crypto::hmac_sha1(key, {Bytes{start}, covered.subspan(start.size())});
}

std::uint32_t fingerprint_of(Bytes message) {
  return crypto::crc32(message.first(message.size() - kFingerprint)) ^ kMask;
}

bool is_authentic(Bytes message, const SecretText& key) {
  const auto* end = message.data() + message.size();
  if (load_be32(end - 4) != fingerprint_of(message)) return false;
  const auto found = message.subspan(message.size() - kSealed + kAttributeHeader, 20);
  return equal_constant_time(integrity_of(message, as_bytes(key.expose())), found);
}

}  // namespace

bool StandingAnswers::set(SetStandingAnswer answer) {
  if (answer.question.size() < kMessageMin ||
      (answer.answer.size() != kAnswerV4 && answer.answer.size() != kAnswerV6))
    return false;
  auto& places = places_[answer.connection];
  const auto known = std::ranges::find(places, answer.pair, &Place::pair);
  if (known != places.end()) {
    answers_.erase(known->hash);
    places.erase(known);
  }
  const bool has_room = answers_.size() < kAnswersMax;
  if (has_room) {
    const auto hash = hash_of(answer.question, answer.path);
    places.push_back({answer.pair, hash});
    answers_.insert_or_assign(hash, Entry{std::move(answer), {}});
  } else if (places.empty()) {
    places_.erase(answer.connection);
  }
  return has_room;
}

void StandingAnswers::drop(std::uint32_t connection) {
  const auto found = places_.find(connection);
  if (found == places_.end()) return;
  for (const auto& place : found->second) {
    // Another connection's question may have taken the place.
    const auto at = answers_.find(place.hash);
    if (at != answers_.end() && at->second.answer.connection == connection) answers_.erase(at);
  }
  places_.erase(found);
}

const SetStandingAnswer* StandingAnswers::find(Bytes message, const Path& path,
                                               Instant now) noexcept {
  if (answers_.empty() || message.size() < kMessageMin) return nullptr;
  const auto found = answers_.find(hash_of(message, path));
  if (found == answers_.end()) return nullptr;
  auto& [answer, next] = found->second;
  if (now < next || answer.path != path || !is_same(message, answer.question) ||
      !is_authentic(message, answer.key))
    return nullptr;
  next = now + kInterval;
  return &answer;
}

void StandingAnswers::write(const SetStandingAnswer& answer, Bytes question,
                            MutableBytes out) noexcept {
  std::ranges::copy(answer.answer, out.begin());
  const auto transaction = question.subspan(kTransaction, kHeader - kTransaction);
  std::ranges::copy(transaction, out.begin() + kTransaction);
  if (out[kMapped + 1] == kFamilyV6) {  // RFC 8489 §14.2
    for (std::size_t i = 0; i < transaction.size(); ++i) out[kMappedMasked + i] ^= transaction[i];
  }
  std::ranges::copy(integrity_of(out, as_bytes(answer.key.expose())),
                    out.end() - kSealed + kAttributeHeader);
  store_be32(out.data() + out.size() - 4, fingerprint_of(out));
}

}  // namespace fg::pipeline
