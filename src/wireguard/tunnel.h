// A whole WireGuard peer in one object without sockets and clocks: Handshake, sessions, timers and
// a queue of packets that wait for a session. For clients, tests and talks with other
// implementations; the gateway uses the parts (handshakes on the control thread, sessions on
// workers).
#pragma once

#include <deque>
#include <optional>

#include "base/address.h"
#include "wireguard/handshake.h"
#include "wireguard/session.h"
#include "wireguard/traffic_timers.h"

namespace fg::wireguard {

struct TunnelConfig {
  HandshakeConfig handshake;
  TrafficTimersConfig timers;
  // A gateway never starts a handshake for want of a session and drops instead (spec
  // connectivity 4.5, 4.9).
  bool initiate_on_data = true;
};

class Tunnel {
 public:
  static constexpr std::size_t kQueueMax =
      128;  // packets waiting for a session; the oldest is dropped

  enum class Event : std::uint8_t {
    established,  // first session, or a new one
    unanswered,   // see Handshake::Event
    expired,      // 540 s without a new session: keys are gone
  };

  Tunnel(const Identity& identity, TunnelConfig config, crypto::AeadEngine& engine, Random& random,
         Instant now);

  // ---- inputs ----
  void encapsulate(Bytes inner, Instant now, WallTime wall);
  // Any WireGuard message for this peer. source: for cookies under load.
  void on_datagram(Bytes datagram, const IpAddress& source, Instant now);
  void on_timeout(Instant now, WallTime wall);
  // Starts a handshake unless one is under way.
  void initiate(Instant now, WallTime wall);

  // ---- outputs ----
  [[nodiscard]] std::optional<ByteVector> poll_datagram();
  [[nodiscard]] std::optional<ByteVector> poll_inner();
  [[nodiscard]] std::optional<Event> poll_event();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  // ---- for tests and people ----
  struct Counters {
    std::uint64_t queue_dropped =
        0;  // oldest waiting packet given up, or dropped without a session
    std::uint64_t bad_handshakes = 0;
    std::uint64_t bad_mac1 = 0;
    std::uint64_t cookie_replies_sent = 0;
    std::uint64_t unknown_receiver = 0;
    std::uint64_t replayed = 0;
    std::uint64_t bad_tag = 0;
    std::uint64_t expired = 0;
    std::uint64_t malformed = 0;  // datagram, or inner packet with lying length
    std::uint64_t sessions = 0;
  };
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] const SessionRing& sessions() const { return sessions_; }
  [[nodiscard]] std::size_t queued() const { return queue_.size(); }

 private:
  void on_initiation(Bytes message, Instant now);
  void on_response(Bytes message, Instant now);
  void on_data(Bytes message, Instant now);
  void send_keepalive(Instant now);
  // `session` is the one to send under from here on.
  void adopt(Session& session, Instant now);
  [[nodiscard]] bool seal_and_queue(Bytes inner, Instant now);
  void drain_handshake();

  const Identity& identity_;
  bool initiate_on_data_;
  crypto::AeadEngine& engine_;
  HandshakeLimiter limiter_;
  Handshake handshake_;
  SessionRing sessions_;
  TrafficTimers timers_;
  std::deque<ByteVector> queue_;
  std::deque<ByteVector> datagrams_;
  std::deque<ByteVector> inner_;
  std::deque<Event> events_;
  Counters counters_;
  Instant last_now_;
};

}  // namespace fg::wireguard
