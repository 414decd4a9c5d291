// The timers that depend on data traffic (whitepaper §6; spec connectivity 4.6): when to answer
// with an empty packet and when a handshake is due. Plain data beside the sessions of a peer: facts
// in, decisions out, nothing allocated.
//
//   data received, nothing sent for 10 s                -> keepalive (never because of a keepalive)
//   data sent, nothing heard for 15 s                   -> handshake, either role
//   session we initiated: 120 s old and data was sent   -> handshake
//                         165 s old and data was received
//                         180 s old, even if idle
//   any session: REKEY_AFTER_MESSAGES                    -> handshake (the owner asks
//   Session::has_many_messages)
#pragma once

#include <cstdint>
#include <optional>

#include "base/time.h"
#include "wireguard/session_keys.h"

namespace fg::wireguard {

struct TrafficTimersConfig {
  Duration keepalive_timeout = 10s;    // ICE-less 5 s
  Duration rekey_timeout = 5s;         // ICE-less 2 s
  Duration persistent_keepalive = 0s;  // 0: off
  // As initiator of a session, renew it by age. Off: only the "nothing heard" rule asks for
  // handshakes.
  bool rekey_by_age = true;
};

class TrafficTimers {
 public:
  explicit TrafficTimers(TrafficTimersConfig config = {})
      : keepalive_timeout_(timeout_of(config.keepalive_timeout)),
        silence_timeout_(timeout_of(config.keepalive_timeout + config.rekey_timeout)),
        persistent_keepalive_(timeout_of(config.persistent_keepalive)),
        rekey_by_age_(config.rekey_by_age) {}

  // A session became the one to send under.
  void on_session(Role role, Instant established, Instant now) noexcept;
  // An authenticated inner packet with content.
  void on_data_sent(Instant now) noexcept;
  void on_data_received(Instant now) noexcept;
  // An empty one.
  void on_keepalive_sent(Instant now) noexcept;
  void on_keepalive_received(Instant now) noexcept;
  // Somebody started a handshake: do not ask again before a session or new data.
  void on_handshake_started(Instant now) noexcept;

  struct Decision {
    bool send_keepalive = false;
    bool handshake = false;
    bool nothing_heard = false;  // the reason of `handshake` is silence, not age
  };
  // What is due now; each thing is reported once.
  [[nodiscard]] Decision poll(Instant now) noexcept;
  // When poll() has something to say, at the latest.
  [[nodiscard]] Instant next() const noexcept;

 private:
  static constexpr Instant kNever = Instant::max();
  // So small that all of this fits into one cache line.
  using Timeout = std::chrono::duration<std::int32_t, std::milli>;
  static constexpr Timeout timeout_of(Duration d) { return std::chrono::duration_cast<Timeout>(d); }
  void on_sent(Instant now) noexcept;
  void on_received(Instant now) noexcept;

  Instant keepalive_at_ = kNever;
  Instant persistent_at_ = kNever;
  Instant silence_at_ = kNever;
  Instant rekey_at_ = kNever;
  Instant established_ = kNever;
  Timeout keepalive_timeout_;
  Timeout silence_timeout_;  // and how early a session is renewed that only receives
  Timeout persistent_keepalive_;
  bool rekey_by_age_;
  bool is_initiator_ = false;
};

}  // namespace fg::wireguard
