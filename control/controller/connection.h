// One client's connection: what finds the way to it (an ICE agent, or a path agent where the portal
// chose to do without ICE), WireGuard handshakes and the way both agreed on (spec connectivity 1.6,
// 2.16 to 2.19, 4.5 to 4.9, 5). Data of the controller, which moves messages between these
// machines; sessions and packets are a worker's.
//
//   connecting --first nomination or primary--> connected --20 s without inner packets--> idle
//   idle --inner packet, candidate, re-authorization--> connected
//   any --agent failed, 540 s without a session, initiation unanswered--> removed
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/ids.h"
#include "base/time.h"
#include "base/token_bucket.h"
#include "control/path/finder.h"
#include "control/portal/messages.h"
#include "control/turn/allocation.h"
#include "pipeline/commands.h"
#include "pipeline/traffic.h"
#include "wireguard/handshake.h"

namespace fg::controller {

inline constexpr std::size_t kEarlyMessagesMax =
    128;                                     // spec connectivity 6: buffered before nomination
inline constexpr Duration kIdleAfter = 20s;  // spec connectivity 2.19
inline constexpr Duration kPathStands = 3s;  // without change, before checks are left to a worker
inline constexpr Duration kLegacyIdleClose = 5min;  // spec connectivity 2.16, A

// In-tunnel announcements: ours to answer, the client's to send (spec policy 4.5.4: one a lookup).
inline constexpr Duration kAnnouncementInterval = 10ms;
inline constexpr int kAnnouncementBurst = 400;

// Names a connection inside the controller: worker bits and connection bits of its receiver
// indices.
enum class ConnectionKey : std::uint32_t {};

struct ConnectionOptions {
  ConnectionKey key{};
  ClientId client;
  ClientSlot slot{};
  WorkerIndex worker{};
  IpAddress tunnel_v4;
  IpAddress tunnel_v6;
  bool is_legacy = false;  // made by A's request_connection
  std::optional<RelayId> relay;
};

struct Connection {
  Connection(const ConnectionOptions& about, path::Finder way_finder,
             wireguard::HandshakeConfig handshake_config, const wireguard::Identity& identity,
             Random& random, Instant now)
      : options(about),
        preshared(handshake_config.preshared.copy()),
        agent(std::move(way_finder)),
        handshake(identity, std::move(handshake_config), random, now),
        relay(about.relay),
        path_since(now),
        last_activity(now),
        created(now) {}

  ConnectionOptions options;
  Secret<32> preshared;
  path::Finder agent;
  wireguard::Handshake handshake;

  std::optional<RelayId>
      relay;  // whose relayed addresses are this connection's; none: to be chosen
  std::optional<SocketAddress> relayed_peer;  // the newest of a relayed route
  pipeline::Path path;                        // what the worker has been told
  Instant path_since;
  std::deque<ByteVector> early;  // handshake messages before the first nomination
  Instant last_activity;
  std::optional<Instant> deadline;  // its place in the controller's order
  bool has_session = false;
  bool is_idle = false;
  bool is_path_doubted = false;
  std::vector<ice::Repeatable> standing;  // answered by a worker

  Instant created;
  std::optional<Instant> last_handshake;
  std::optional<pipeline::Traffic> traffic;  // as its worker last told
  Instant traffic_at;

  // What announcements changed and the worker is not yet told, and the answers that wait for it.
  struct NamesNews {
    bool translate = false;
    bool forget_flows = false;
    bool recompile = false;
    std::vector<std::string> answers;
    [[nodiscard]] bool empty() const { return answers.empty(); }
  };
  NamesNews names;
  Instant names_at = Instant::min();  // not told before
  TokenBucket announcements{kAnnouncementInterval, kAnnouncementBurst};

  // Candidate lines not yet told to the client, in the order of the agent's priorities when sent.
  std::vector<ice::Candidate> announce;
  std::vector<ice::Candidate> withdraw;
};

[[nodiscard]] path::LocalAddress to_local(const turn::Candidate& candidate);

// Equal: the portal only repeats itself and the connection stays (spec connectivity 4.8).
[[nodiscard]] bool is_same_connection(const Connection& connection,
                                      const portal::Authorize& request);

}  // namespace fg::controller
