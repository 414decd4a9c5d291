// One client of the swarm (spec connectivity 8, generation B): ICE as the controlling side, a
// WireGuard peer, requests that are echoed. Sans-IO.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "control/ice/agent.h"
#include "crypto/aead.h"
#include "tests/support/client/peer.h"
#include "tests/support/swarm/portal.h"

namespace fg::swarm {

struct Place {
  std::uint32_t number = 0;  // below 2^20; also in its ids and addresses
  SocketAddress address;
};
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
  Client(const Place& place, const std::string& gateway_key, crypto::AeadEngine& engine,
         Random& random, Instant now);

  // What the portal tells the gateway to let it in, and where it is.
  [[nodiscard]] Json authorization(const Json& resource) const;
  [[nodiscard]] Json candidates();

  void on_candidates(const Json& lines, Instant now);
  void on_check(const stun::Message& message, const SocketAddress& from, Instant now);
  void on_wireguard(MutableBytes message, const SocketAddress& from, Instant now);
  void on_timeout(Instant now, WallTime wall);
  // False without a session.
  bool request(const SocketAddress& to, std::uint32_t sequence, Instant now);
  void say_goodbye(Instant now);

  std::optional<Outgoing> poll_outgoing();
  std::optional<Echoed> poll_echoed();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  [[nodiscard]] const Place& place() const { return place_; }
  [[nodiscard]] const std::string& id() const { return id_; }
  [[nodiscard]] bool has_session() const { return has_session_; }
  [[nodiscard]] bool has_failed() const { return has_failed_; }
  [[nodiscard]] const ice::Credentials& ours() const { return ours_; }
  [[nodiscard]] const ice::Credentials& theirs() const { return theirs_; }

 private:
  static constexpr Duration kIdleAfter = 20s;  // spec connectivity 2.19

  void pump(Instant now, WallTime wall);
  bool send_inner(Bytes inner, Instant now);
  void send(ByteVector message);

  Place place_;
  std::string id_;
  IpAddress tunnel_;
  wireguard::Identity identity_;
  Secret<32> preshared_;
  ice::Credentials ours_;
  ice::Credentials theirs_;
  ice::Agent agent_;
  client::Peer peer_;
  std::deque<Outgoing> outgoing_;
  std::deque<Echoed> echoed_;
  Instant active_;
  bool wants_handshake_ = false;
  bool has_session_ = false;
  bool has_failed_ = false;
  bool is_idle_ = false;
};

}  // namespace fg::swarm
