// The client's connection to one gateway: what finds the way, WireGuard peer, the way both agreed
// on, packets that wait.
//
//   connecting --way and session--> connected
//   any --ICE failed, handshake unanswered, 540 s without a session, goodbye--> gone
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "control/path/finder.h"
#include "tests/support/client/messages.h"
#include "tests/support/client/peer.h"

namespace fg::client {

inline constexpr std::size_t kPendingPacketsMax = 128;  // spec connectivity 8.1, B and C
inline constexpr std::size_t kEarlyMessagesMax = 128;   // spec connectivity 2.17

enum class ConnectionKey : std::uint32_t {};

// Where data goes. relayed: `to` is the relay and the channel names the peer.
struct Way {
  enum class Kind : std::uint8_t { none, direct, relayed };
  Kind kind = Kind::none;
  SocketAddress to;
  std::optional<IpAddress> from;
  ChannelNumber channel{};
  friend bool operator==(const Way&, const Way&) = default;
};

struct Connection {
  Connection(ConnectionKey connection_key, const GatewayId& id, Secret<32> psk,
             path::Finder way_finder, const wireguard::Identity& identity, PeerConfig peer_config,
             crypto::AeadEngine& engine, Random& random, Instant now)
      : key(connection_key),
        gateway(id),
        preshared(std::move(psk)),
        agent(std::move(way_finder)),
        peer(identity, std::move(peer_config), engine, random, now),
        since(now),
        last_activity(now) {}

  [[nodiscard]] bool can_send(Instant now) {
    return way.kind != Way::Kind::none && peer.can_send(now);
  }

  ConnectionKey key;
  GatewayId gateway;
  Secret<32> preshared;
  path::Finder agent;
  Peer peer;
  std::optional<RelayId> relay;
  Way way;
  std::deque<ByteVector> pending;  // inner packets, until they can be sent
  std::deque<ByteVector> early;    // WireGuard messages, until a pair is nominated
  std::vector<ice::Candidate> announce;
  std::vector<ice::Candidate> withdraw;
  Instant since;  // of the state
  Instant last_activity;
  std::optional<Instant> requested;
  std::optional<Duration> established_after;  // from the request
  bool wants_handshake = false;               // without ICE: at every grant (spec connectivity 5.4)
  bool has_session = false;
  bool is_connected = false;
  bool is_idle = false;
  bool is_over = false;  // the gateway said goodbye
};

}  // namespace fg::client
