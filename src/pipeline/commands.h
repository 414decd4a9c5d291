// What the control thread tells a worker and what a worker tells it. Small values moved through
// bounded single-producer single-consumer rings (base/spsc_ring.h); a full ring is counted by the
// sender.
//
// Ownership: a Policy and Translations are made by the control thread and only borrowed by the
// worker; the worker gives them back with PolicyRetired and TranslationsRetired when it uses them
// no more; likewise a TrafficPage with TrafficRead. A ClientSlot may be used again only after
// ClientRemoved.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ids.h"
#include "base/secret.h"
#include "base/time.h"
#include "nat/translations.h"
#include "packet/probe.h"
#include "wireguard/session_keys.h"

namespace fg::filter {
class Policy;
}

namespace fg::pipeline {

struct TrafficPage;

inline constexpr std::size_t kInnerPacketMax =
    1280;  // spec connectivity 1.7: TUN MTU, and the largest inner packet

// Layout of the receiver indices we choose: worker in the top four bits, so that a socket filter,
// XDP or a hand-over finds the owner without a table; then 20 unpredictable bits naming the
// connection; then the handshake's slot (spec connectivity 4.3).
inline constexpr unsigned kWorkersMax = 16;
[[nodiscard]] constexpr ReceiverIndex make_receiver_index(WorkerIndex worker,
                                                          std::uint32_t connection,
                                                          std::uint8_t handshake) {
  return ReceiverIndex{std::uint32_t{number(worker)} << 28 | (connection & 0xFFFFF) << 8 |
                       handshake};
}
[[nodiscard]] constexpr WorkerIndex worker_of(ReceiverIndex index) {
  return WorkerIndex{static_cast<std::uint8_t>(number(index) >> 28)};
}
// Where datagrams without a receiver index arrive (io/kernel/steering.h).
inline constexpr WorkerIndex kFirstWorker{0};
// The connection a receiver index belongs to: everything but the handshake slot.
[[nodiscard]] constexpr std::uint32_t connection_of(ReceiverIndex index) {
  return number(index) >> 8;
}

// The nominated way to a client (spec connectivity 1.6).
struct Path {
  enum class Kind : std::uint8_t { none, direct, relayed };
  Kind kind = Kind::none;
  IpAddress local;       // direct: source address of what we send; relayed: unused, routing decides
  SocketAddress remote;  // direct: the client; relayed: the relay's server socket
  ChannelNumber channel{};  // relayed only
  friend bool operator==(const Path&, const Path&) = default;
};

// The way a datagram came.
struct Route {
  SocketAddress local;  // its destination
  SocketAddress from;
  std::optional<RelaySlot> relay;  // channel data of this relay
  ChannelNumber channel{};
};

// The number of a name in events about flows, where none is zero.
[[nodiscard]] constexpr std::uint32_t flow_name_of(nat::NameId name) { return number(name) + 1; }

// ---- control thread -> worker ----

struct AddClient {
  ClientSlot slot{};
  IpAddress tunnel_v4;
  IpAddress tunnel_v6;
  const filter::Policy* policy = nullptr;  // never null
  // The client sends as soon as it asked, not when it was granted (generation A): see
  // Client::grants_may_lag.
  bool grants_may_lag = false;
  bool is_iceless = false;  // its way is found by probes inside the session
  ClientId id{};            // for flow logs
};
struct RemoveClient {
  ClientSlot slot{};
  // The client keeps its access: its translated flows are kept for its next connection, an
  // AddClient with the same tunnel addresses (spec policy 2.8).
  bool keep_flows = false;
};
// Nobody has access under this tunnel address any more: what was kept of it is forgotten.
struct ForgetFlows {
  IpAddress tunnel_v4;
};
struct SetPolicy {
  ClientSlot slot{};
  const filter::Policy* policy = nullptr;  // never null
};
// What the client's proxy addresses stand for; none: it has none. Its flows go on with the real
// addresses they began with, unless `forget_flows`: the client gave known proxy addresses to other
// names (spec policy 4.5.3 step 1).
struct SetTranslations {
  ClientSlot slot{};
  const nat::Translations* translations = nullptr;
  bool forget_flows = false;
};
struct SetPath {
  ClientSlot slot{};
  Path path;
};
// The newest session of the client. A responder's session is used for sending only after the first
// packet under it.
struct InstallSession {
  ClientSlot slot{};
  wireguard::SessionKeys keys;
};
// Data that comes by the path in use is to be told once, as RouteActivity.
struct AskRoute {
  ClientSlot slot{};
};
// One packet of ours through the client's tunnel (in-tunnel control protocol).
struct SendInner {
  ClientSlot slot{};
  std::uint16_t length = 0;
  std::array<std::uint8_t, kInnerPacketMax> bytes{};
};
// A probe inside the client's session, over any path.
struct SendProbe {
  ClientSlot slot{};
  Path path;
  packet::Probe probe;
};
// A relay's server socket in use; none removes it and all its channels.
struct SetRelay {
  RelaySlot relay{};
  std::optional<SocketAddress> server;
};
// Whether channel data with this number is accepted from the relay.
struct SetChannel {
  RelaySlot relay{};
  ChannelNumber channel{};
  bool usable = false;
};
// Told to every worker: which of them owns a tunnel address, so that a packet read from the wrong
// TUN queue is handed over.
struct SetTunnelOwner {
  IpAddress address;
  std::optional<WorkerIndex> owner;
};
struct SetGatewayAddresses {
  std::optional<IpAddress> v4;
  std::optional<IpAddress> v6;
};
// The portal named this address as a client's, or somebody there authenticated: what comes from it
// is punted as PuntClass::expected.
struct ExpectSource {
  IpAddress address;
};
// The control thread has answered this check, which came by the path and goes back by it, and would
// answer it again. MESSAGE-INTEGRITY and FINGERPRINT end the question; the answer is a header with
// transaction id zero, XOR-MAPPED-ADDRESS and room for the two. One for each pair.
struct SetStandingAnswer {
  std::uint32_t connection = 0;  // connection_of() its receiver indices
  std::uint32_t pair = 0;        // a name of the control thread's, like `nominates` for the event
  bool nominates = false;
  Path path;
  SecretText key;
  ByteVector question;
  ByteVector answer;
};
// All of the connection: what it is asked is the control thread's again.
struct DropStandingAnswers {
  std::uint32_t connection = 0;
};
// Fills in the page, which comes back with TrafficRead.
struct ReadTraffic {
  TrafficPage* page = nullptr;  // never null
};

// Whether flows are tracked for flow logs. Off: what is open is completed.
struct SetFlowTracking {
  bool is_on = false;
};

using Command =
    std::variant<std::monostate, AddClient, RemoveClient, ForgetFlows, SetPolicy, SetTranslations,
                 SetPath, InstallSession, AskRoute, SendInner, SendProbe, SetRelay, SetChannel,
                 SetTunnelOwner, SetGatewayAddresses, ExpectSource, SetStandingAnswer,
                 DropStandingAnswers, ReadTraffic, SetFlowTracking>;

// ---- worker -> control thread ----

// First authenticated packet under a session installed as responder, or the session's first use as
// initiator.
struct SessionConfirmed {
  ClientSlot slot{};
  ReceiverIndex local_index{};
};
// The worker saw that a new session is due (spec connectivity 4.6).
struct HandshakeNeeded {
  enum class Why : std::uint8_t {
    nothing_heard,  // data sent, nothing received for 15 s
    rekey_due,  // we initiated the session and it is 120 s old with data sent, or 165 s with data
                // received
  };
  ClientSlot slot{};
  Why why = Why::nothing_heard;
};
// An inner packet passed in either direction; at most one event each five seconds and client, told
// within 250 ms unless none passed for long.
struct ClientActivity {
  ClientSlot slot{};
};
// Of a client without ICE: a probe arrived, or other data. The latter at most every two seconds for
// the path in use and for all others, but at once after a new session, and four times a second when
// the way is another than the last reported. Of another client: what AskRoute asked for.
struct RouteActivity {
  ClientSlot slot{};
  Route route;
  std::optional<packet::Probe> probe;
};
// Data arrived on the channel. Told when the channel was not named for five seconds, and of any
// channel when its relay was not for 250 ms: who waits for news of a relay hears soon that there
// are none.
struct ChannelActivity {
  RelaySlot relay{};
  ChannelNumber channel{};
};
// A standing answer was given. Told within 250 ms.
struct CheckAnswered {
  std::uint32_t connection = 0;
  std::uint32_t pair = 0;
  bool nominates = false;
  Instant at;
};
struct PolicyRetired {
  const filter::Policy* policy = nullptr;
};
struct TranslationsRetired {
  const nat::Translations* translations = nullptr;
};
// What was sent to the name's proxies lately stays unanswered: it is to be resolved again (spec
// policy 4.4). Only of translations that watch for it.
struct NameSilent {
  ClientSlot slot{};
  nat::NameId name{};
};
struct ClientRemoved {
  ClientSlot slot{};
};
struct TrafficRead {
  TrafficPage* page = nullptr;
};

using Event = std::variant<std::monostate, SessionConfirmed, HandshakeNeeded, ClientActivity,
                           RouteActivity, ChannelActivity, CheckAnswered, PolicyRetired,
                           TranslationsRetired, NameSilent, ClientRemoved, TrafficRead>;

// Which punts suffer when there are too many: each class has a ring of its own, so that a flood
// fills only the one it belongs to.
enum class PuntClass : std::uint8_t {
  trusted,   // in-tunnel control packets; relays in use and what came on their channels
  expected,  // STUN and handshakes from where a client may be
  stranger,  // STUN and handshakes from anywhere else, so many a second at most
  count_
};
inline constexpr std::size_t kPuntClasses = static_cast<std::size_t>(PuntClass::count_);

// What the fast path does not finish, copied for the control thread.
struct Punt {
  enum class Kind : std::uint8_t {
    datagram,  // an outer datagram as received: STUN, TURN (channel data still framed), handshakes
    inner,     // a decrypted in-tunnel control packet of the client `slot`
  };
  Kind kind = Kind::datagram;
  std::uint8_t ecn = 0;
  std::uint16_t length = 0;
  ClientSlot slot{};
  SocketAddress local;  // destination address of the datagram and our port
  SocketAddress from;
  std::array<std::uint8_t, 1600> bytes{};
};

}  // namespace fg::pipeline
