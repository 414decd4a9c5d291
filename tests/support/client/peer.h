// WireGuard towards one gateway: handshakes as initiator, sessions, timers. Data is sealed and
// opened in place in the caller's buffers; wireguard/tunnel.h is the same with copies. Sans-IO.
#pragma once

#include <deque>
#include <optional>

#include "base/address.h"
#include "wireguard/handshake.h"
#include "wireguard/session.h"
#include "wireguard/traffic_timers.h"

namespace fg::client {

struct PeerConfig {
  wireguard::HandshakeConfig handshake;
  wireguard::TrafficTimersConfig timers;
};

class Peer {
 public:
  enum class Event : std::uint8_t { established, unanswered, expired };
  struct Opened {
    bool is_authentic = false;
    MutableBytes inner;  // empty: keepalive
  };

  Peer(const wireguard::Identity& identity, PeerConfig config, crypto::AeadEngine& engine,
       Random& random, Instant now);

  // ---- data ----
  [[nodiscard]] bool can_send(Instant now) { return sessions_.sending(now) != nullptr; }
  // message: [16 header][length inner][16 tag]. False without a session.
  [[nodiscard]] bool seal(std::uint8_t* message, std::size_t length, Instant now);
  [[nodiscard]] Opened open(MutableBytes message, Instant now);

  // ---- handshakes ----
  void start_handshake(Instant now, WallTime wall);
  void send_keepalive(Instant now) { send_empty(now); }
  // False: refused.
  bool on_message(Bytes message, const IpAddress& source, Instant now);
  void on_timeout(Instant now, WallTime wall);

  std::optional<ByteVector> poll_message();
  std::optional<Event> poll_event();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  [[nodiscard]] const crypto::PublicKey& remote() const { return handshake_.remote(); }
  [[nodiscard]] ReceiverIndex index_base() const { return handshake_.index_base(); }
  [[nodiscard]] std::optional<Instant> last_initiation() const {
    return handshake_.last_initiation();
  }
  [[nodiscard]] std::uint64_t refused() const { return refused_; }  // data or handshake messages

 private:
  void adopt(wireguard::Session& session, Instant now);
  void send_empty(Instant now);
  void drain();

  const wireguard::Identity& identity_;
  crypto::AeadEngine& engine_;
  wireguard::HandshakeLimiter limiter_;
  wireguard::Handshake handshake_;
  wireguard::SessionRing sessions_;
  wireguard::TrafficTimers timers_;
  std::deque<ByteVector> messages_;
  std::deque<Event> events_;
  std::uint64_t refused_ = 0;
  Instant last_now_;
};

}  // namespace fg::client
