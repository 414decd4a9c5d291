// Data half of WireGuard, owned by one worker: keys, counter and replay window of a session, and
// the few sessions of a peer. Nothing here allocates, locks or reads a clock per packet.
//
// In place: a message to send lies as [16 bytes for the header][inner packet][16 bytes for the
// tag]; a received one is decrypted where it is. An inner packet is not padded (spec connectivity
// 6: 1280 + 32 bytes).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/time.h"
#include "crypto/aead.h"
#include "wireguard/message.h"
#include "wireguard/replay_window.h"
#include "wireguard/session_keys.h"

namespace fg::wireguard {

inline constexpr Duration kRejectAfterTime = 180s;        // whitepaper §6.1
inline constexpr Duration kInitiatorStopsSending = 170s;  // spec connectivity 4.6
inline constexpr std::uint64_t kRekeyAfterMessages = std::uint64_t{1} << 60;  // whitepaper §6.1

enum class OpenStatus : std::uint8_t {
  ok,
  expired,   // session older than 180 s
  replayed,  // counter seen, too old or beyond the limit
  bad_tag,
};
struct OpenResult {
  OpenStatus status = OpenStatus::bad_tag;
  MutableBytes inner;  // empty: keepalive
};

class Session {
 public:
  // first_counter: where sending starts. Anything but 0 only reaches the limits sooner.
  Session(SessionKeys keys, crypto::AeadEngine& engine, std::uint64_t first_counter = 0);

  // message: at least inner_length + kDataOverhead bytes. False when the counters are used up
  // (nothing is written). Age is the caller's matter: can_send().
  [[nodiscard]] bool seal(std::uint8_t* message, std::size_t inner_length) noexcept;
  // message: a data message whose receiver index is ours.
  [[nodiscard]] OpenResult open(MutableBytes message, Instant now) noexcept;

  // open() in three steps, for batches: would_accept, decrypt, then commit.
  [[nodiscard]] bool would_accept(std::uint64_t counter) const noexcept {
    return window_.would_accept(counter);
  }
  [[nodiscard]] bool decrypt(MutableBytes message) noexcept;
  void commit(std::uint64_t counter) noexcept { window_.commit(counter); }
  // What a packet of either direction will touch. The window's word is known with its counter.
  void prefetch_receiving(std::uint64_t counter) const noexcept {
    __builtin_prefetch(&local_index_, 1);
    __builtin_prefetch(&receive_);
    __builtin_prefetch(window_.address_of(counter), 1);
  }
  void prefetch_sending() const noexcept {
    __builtin_prefetch(&local_index_, 1);
    __builtin_prefetch(&send_);
  }

  [[nodiscard]] bool can_send(Instant now) const noexcept {
    return now < send_until_ && send_counter_ < kRejectAfterMessages;
  }
  [[nodiscard]] bool can_receive(Instant now) const noexcept { return now < receive_until_; }
  [[nodiscard]] ReceiverIndex local_index() const noexcept { return local_index_; }
  [[nodiscard]] std::uint32_t remote_index() const noexcept { return remote_index_; }
  [[nodiscard]] Role role() const noexcept { return role_; }
  [[nodiscard]] Instant established() const noexcept { return receive_until_ - kRejectAfterTime; }
  [[nodiscard]] std::uint64_t send_counter() const noexcept { return send_counter_; }
  // REKEY_AFTER_MESSAGES reached in either direction.
  [[nodiscard]] bool has_many_messages() const noexcept {
    return send_counter_ >= kRekeyAfterMessages || window_.next() >= kRekeyAfterMessages;
  }

 private:
  // A packet touches one key, the line of plain members with the window's edge, and a word of it.
  alignas(64) crypto::AeadKey send_;
  alignas(64) crypto::AeadKey receive_;
  alignas(64) ReceiverIndex local_index_;
  std::uint32_t remote_index_;
  std::uint64_t send_counter_;
  Instant receive_until_;
  Instant send_until_;
  Role role_;
  ReplayWindow window_;
};

// Up to eight sessions of one peer, by handshake slot (spec connectivity 4.3). A session we
// initiated sends at once; one we answered only from the first authenticated packet under it, until
// then the previous one goes on sending (4.5). Most packets are of the sending session: those touch
// nothing else here.
class SessionRing {
 public:
  static constexpr std::size_t kSize = 8;

  SessionRing() : all_(std::make_unique<All>()) {}

  // Replaces whatever had the same slot. Allocates: not per packet.
  Session& install(SessionKeys keys, crypto::AeadEngine& engine);
  // By the full 32-bit index.
  [[nodiscard]] Session* find(ReceiverIndex index) noexcept {
    if (index == current_index_ && current_ != nullptr) return current_;
    Entry& entry = all_->entries[number(index) % kSize];
    return entry.session && entry.session->local_index() == index ? entry.session.get() : nullptr;
  }
  // The session to send under, if there is one and it may still send.
  [[nodiscard]] Session* sending(Instant now) noexcept {
    return current_ != nullptr && current_->can_send(now) ? current_ : nullptr;
  }
  // The sending session whatever its age.
  [[nodiscard]] Session* current() noexcept { return current_; }
  [[nodiscard]] const Session* current() const noexcept { return current_; }
  // A packet under `session` was authenticated. True when this confirmed it: it sends from here on.
  bool on_authenticated(Session& session) noexcept {
    return &session != current_ && confirm(session);
  }
  // Frees and wipes what is older than 180 s. Cheap enough for each timer tick, not for each
  // packet.
  void expire(Instant now) noexcept;
  void clear() noexcept;
  [[nodiscard]] std::size_t size() const noexcept;
  // When expire() has work again.
  [[nodiscard]] std::optional<Instant> next_expiry() const noexcept { return all_->next_expiry; }

 private:
  struct Entry {
    std::unique_ptr<Session> session;
    std::uint64_t order = 0;  // of installation
  };
  struct All {
    std::array<Entry, kSize> entries;
    std::uint64_t current_order = 0;
    std::optional<Instant> next_expiry;
    std::uint64_t installed = 0;
  };
  bool confirm(Session& session) noexcept;
  void send_under(Entry& entry) noexcept;
  [[nodiscard]] std::optional<Instant> first_expiry() const noexcept;

  Session* current_ = nullptr;
  ReceiverIndex current_index_{};
  std::unique_ptr<All> all_;
};

// Length of the IP packet at the start of a decrypted text, which may carry padding; none when its
// header is cut short, has a wrong version or claims more than there is.
[[nodiscard]] std::optional<std::size_t> inner_length(Bytes decrypted) noexcept;

}  // namespace fg::wireguard
