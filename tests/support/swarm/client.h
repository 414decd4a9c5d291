// One client of the swarm (spec connectivity 8, generation B, or A where the gateway is of A): ICE
// as the controlling side, a WireGuard peer, requests that are echoed. Sans-IO.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "control/ice/agent.h"
#include "crypto/aead.h"
#include "tests/support/client/peer.h"
#include "tests/support/swarm/dialect.h"

namespace fg::swarm {

struct Place {
  std::uint32_t number = 0;  // below 2^20; also in its ids and addresses
  SocketAddress address;
};
[[nodiscard]] IpAddress tunnel_of(std::uint32_t number);  // inside

struct Outgoing {
  SocketAddress to;
  ByteVector bytes;
  std::optional<stun::TransactionId> check;
};
struct Echoed {
  std::uint32_t sequence = 0;
};

class Client {
 public:
  // With `gateway` a plain WireGuard peer: no ICE, no preshared key.
  Client(const Place& place, const std::string& gateway_key, crypto::AeadEngine& engine,
         Random& random, Instant now, std::optional<SocketAddress> gateway = std::nullopt);

  // What the portal tells the gateway to let it in, and where it is.
  [[nodiscard]] Introduction introduction(Generation generation) const;
  [[nodiscard]] Json candidates() const;  // once it is let in
  // The gateway lets it in; `theirs` in place of those it was told.
  void on_let_in(const std::optional<ice::Credentials>& theirs, Instant now);

  void on_candidates(const Json& lines, Instant now);
  void on_check(const stun::Message& message, const SocketAddress& from, Instant now);
  void on_wireguard(MutableBytes message, const SocketAddress& from, Instant now);
  void on_timeout(Instant now, WallTime wall);
  // False without a session.
  bool request(const SocketAddress& to, std::uint32_t sequence, Instant now);
  void say_goodbye(Instant now);
  // Nobody answers for it.
  void give_up() { has_failed_ = true; }
  // A new session before the old one is too old.
  void shake_hands(Instant now, WallTime wall);
  // Of who received and has nothing to send.
  void send_keepalive(Instant now, WallTime wall);
  // For loads: nothing is queued. message: [16 header][length inner][16 tag]. False without a
  // session.
  [[nodiscard]] bool seal(std::uint8_t* message, std::size_t length, Instant now);
  // Empty unless authentic and with content.
  [[nodiscard]] MutableBytes open(MutableBytes message, Instant now);

  std::optional<Outgoing> poll_outgoing();
  std::optional<Echoed> poll_echoed();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  // Where sealed packets go to; none yet while nothing is nominated.
  [[nodiscard]] std::optional<SocketAddress> remote() const;
  [[nodiscard]] std::optional<Instant> session_since() const { return session_since_; }
  [[nodiscard]] const IpAddress& tunnel() const { return tunnel_; }
  [[nodiscard]] const crypto::PublicKey& public_key() const { return identity_.public_key(); }
  [[nodiscard]] bool is_plain() const { return gateway_.has_value(); }
  [[nodiscard]] const Place& place() const { return place_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] bool has_session() const { return session_since_.has_value(); }
  [[nodiscard]] bool has_candidates() const { return has_candidates_; }  // the gateway's
  [[nodiscard]] bool has_failed() const { return has_failed_; }
  [[nodiscard]] const ice::Credentials& ours() const { return ours_; }
  [[nodiscard]] const ice::Credentials& theirs() const { return theirs_; }

 private:
  static constexpr Duration kIdleAfter = 20s;  // spec connectivity 2.19

  void pump(Instant now, WallTime wall);
  void pump_agent(Instant now, WallTime wall);
  bool send_inner(Bytes inner, Instant now);
  void send(ByteVector message);
  void become_active(Instant now);

  Place place_;
  std::optional<SocketAddress> gateway_;
  std::string id_;
  IpAddress tunnel_;
  wireguard::Identity identity_;
  Secret<32> preshared_;
  ice::Credentials ours_;
  ice::Credentials theirs_;
  std::optional<ice::Agent> agent_;  // since it is let in
  client::Peer peer_;
  std::deque<Outgoing> outgoing_;
  std::deque<Echoed> echoed_;
  Random& random_;
  Instant active_;
  std::optional<Instant> session_since_;
  bool has_candidates_ = false;
  bool has_failed_ = false;
  bool is_idle_ = false;
};

}  // namespace fg::swarm
