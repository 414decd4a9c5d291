// Handshakes of one peer, both roles, without sockets and clocks (whitepaper §5.4; spec
// connectivity 4.3 to 4.6). The owner (control thread, or Tunnel) passes messages in, sends what it
// gets back and hands the SessionKeys to whoever moves data.
//
// Order for a received message: HandshakeLimiter::check() first, then
//   type 1: open_initiation() -> find the connection by initiator() -> on_initiation()
//   type 2: connection by receiver_of() >> 8 -> on_response();  type 3: the same ->
//   on_cookie_reply()
//
//   initiator:  idle --start--> waiting --response--> idle (keys)
//               waiting --rekey_timeout + jitter--> waiting (new initiation)
//               waiting --attempt_time--> idle, Event::unanswered
//   Any role:   no new session for 540 s --> Event::no_session
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/random.h"
#include "base/result.h"
#include "base/time.h"
#include "base/timers.h"
#include "wireguard/cookie.h"
#include "wireguard/identity.h"
#include "wireguard/message.h"
#include "wireguard/noise.h"
#include "wireguard/session_keys.h"

namespace fg::wireguard {

// TAI64N stamp of an initiation; compares as bytes.
using Timestamp = std::array<std::uint8_t, kTimestampSize>;
[[nodiscard]] Timestamp tai64n(WallTime wall);

// An initiation decrypted just far enough to know who sent it (one Diffie-Hellman). Consumed by
// on_initiation().
class OpenedInitiation {
 public:
  [[nodiscard]] const crypto::PublicKey& initiator() const { return initiator_; }

 private:
  friend std::optional<OpenedInitiation> open_initiation(const Identity& identity, Bytes message);
  friend class Handshake;
  explicit OpenedInitiation(noise::SymmetricState state) : state_(std::move(state)) {}

  noise::SymmetricState state_;
  crypto::PublicKey initiator_{};
  crypto::PublicKey ephemeral_{};
  std::array<std::uint8_t, kTimestampSize + 16> sealed_timestamp_{};
  std::uint32_t sender_ = 0;
};
// MAC1 has been verified by the caller. None: malformed, or not for our key.
[[nodiscard]] std::optional<OpenedInitiation> open_initiation(const Identity& identity,
                                                              Bytes message);

enum class HandshakeError : std::uint8_t {
  malformed,
  wrong_peer,       // authentic, but of another static key
  unauthentic,      // does not decrypt: wrong keys or a forgery
  replayed,         // timestamp not newer than the last one
  low_order_point,  // a Diffie-Hellman result is zero
  not_waiting,      // response or cookie reply to nothing we sent
};
[[nodiscard]] std::string_view name_of(HandshakeError error);

struct HandshakeConfig {
  crypto::PublicKey remote{};
  Secret<32> preshared;
  // Our indices are this with the handshake's slot in the low eight bits (which are zero here).
  ReceiverIndex index_base{};
  Duration rekey_timeout = 5s;  // spec connectivity 4.6; ICE-less 2 s
  Duration attempt_time = 90s;  // gateways of B and C in ICE mode 20 s
};

class Handshake {
 public:
  // identity and random must outlive this. random: secrets and jitter.
  Handshake(const Identity& identity, HandshakeConfig config, Random& random, Instant now);

  // ---- responder ----
  struct Answer {
    ResponseBytes response;  // to be sent
    SessionKeys keys;
  };
  [[nodiscard]] Result<Answer, HandshakeError> on_initiation(OpenedInitiation opened, Instant now);

  // ---- initiator ----
  // Queues an initiation; while one is waiting for its response nothing happens.
  void start(Instant now, WallTime wall);
  [[nodiscard]] Result<SessionKeys, HandshakeError> on_response(Bytes message, Instant now);
  [[nodiscard]] Result<void, HandshakeError> on_cookie_reply(Bytes message, Instant now);
  // A packet under a session we answered was authenticated: an initiation of ours still in flight
  // is not repeated.
  void on_session_confirmed(Instant now);

  void on_timeout(Instant now, WallTime wall);

  // ---- outputs ----
  enum class Event : std::uint8_t {
    unanswered,  // nobody answered for attempt_time
    no_session,  // 540 s without a new session
  };
  [[nodiscard]] std::optional<InitiationBytes> poll_initiation();
  [[nodiscard]] std::optional<Event> poll_event();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  [[nodiscard]] bool is_waiting() const { return waiting_.has_value(); }
  // When the newest initiation was made; none before the first.
  [[nodiscard]] std::optional<Instant> last_initiation() const { return last_initiation_; }
  [[nodiscard]] const crypto::PublicKey& remote() const { return config_.remote; }
  [[nodiscard]] ReceiverIndex index_base() const { return config_.index_base; }

 private:
  enum class Timer : std::uint8_t { retransmit, give_up, no_session, count_ };
  struct Waiting {
    noise::SymmetricState state;
    crypto::KeyPair ephemeral;
    ReceiverIndex local_index{};
    Mac mac1{};
  };

  void initiate(Instant now, WallTime wall);
  void stop_attempt();
  void on_new_session(Instant now);
  [[nodiscard]] ReceiverIndex next_index();
  [[nodiscard]] Timestamp next_timestamp(WallTime wall);

  const Identity& identity_;
  Random& random_;
  HandshakeConfig config_;
  MacKeys peer_mac_keys_;
  std::optional<Secret<32>>
      static_shared_;  // none: the peer's key is a point of low order, nothing works
  CookieJar cookies_;
  TimerTable<Timer> timers_;
  std::optional<Waiting> waiting_;
  std::optional<InitiationBytes> outgoing_;
  std::optional<Event> event_;
  std::optional<Instant> last_initiation_;
  Timestamp last_sent_{};
  Timestamp newest_received_{};
  Instant last_now_;
  std::uint8_t next_slot_ = 0;
};

}  // namespace fg::wireguard
