// Connections: their making and end, candidates, ways and timers (spec connectivity 2, 4, 8).
#include <algorithm>
#include <utility>

#include "packet/channel_data.h"
#include "packet/control_message.h"
#include "packet/probe.h"
#include "tests/support/client/engine.h"

namespace fg::client {
namespace {

constexpr Duration kAttemptTime = 20s;       // spec connectivity 4.6, B and C in ICE mode
constexpr Duration kAttemptTimeOther = 90s;  // A, and C without ICE
constexpr Duration kIcelessRekeyTimeout = 2s;
constexpr Duration kIcelessKeepalive = 5s;
constexpr Duration kPersistentKeepalive = 10s;  // A
constexpr Duration kBetweenInitiations = 20s;   // spec connectivity 2.17, B and C

}  // namespace

Connection* Engine::find(const GatewayId& gateway) {
  for (auto& [key, connection] : connections_) {
    if (connection->gateway == gateway) return connection.get();
  }
  return nullptr;
}

Connection* Engine::find(ConnectionKey key) {
  const auto at = connections_.find(key);
  return at == connections_.end() ? nullptr : at->second.get();
}

Connection* Engine::find(ReceiverIndex receiver) {
  return find(ConnectionKey{number(receiver) >> 8});
}

Connection& Engine::create(NewConnection request, Instant now) {
  const bool is_a = options_.generation == Generation::a;
  ConnectionKey key{};
  do {
    key = ConnectionKey{random_.u32() >> 8};
  } while (connections_.contains(key));

  PeerConfig peer;
  peer.handshake.remote = request.key;
  peer.handshake.preshared = request.preshared.copy();
  peer.handshake.index_base = ReceiverIndex{number(key) << 8};
  peer.handshake.attempt_time = is_a || request.use_iceless ? kAttemptTimeOther : kAttemptTime;
  if (request.use_iceless) {
    peer.handshake.rekey_timeout = peer.timers.rekey_timeout = kIcelessRekeyTimeout;
    peer.timers.keepalive_timeout = kIcelessKeepalive;
  }
  if (is_a) peer.timers.persistent_keepalive = kPersistentKeepalive;
  const auto make_finder = [&] {
    if (request.use_iceless) return path::Finder{path::Agent{path::Role::controlling, now}};
    ice::Agent::Options agent;
    agent.role = ice::Role::controlling;
    agent.local = std::move(request.ours);
    agent.remote = std::move(request.theirs);
    agent.profile = is_a ? ice::kGenerationA : ice::kClientDefault;
    agent.form = is_a ? ice::LineForm::legacy : ice::LineForm::standard;
    (void)dispatch_.add(agent.local.ufrag, agent.remote->ufrag, key);
    return path::Finder{ice::Agent{std::move(agent), random_, now}};
  };
  auto owned =
      std::make_unique<Connection>(key, request.gateway, std::move(request.preshared),
                                   make_finder(), identity_, std::move(peer), aead_, random_, now);
  auto& connection = *owned;
  connection.wants_handshake = request.use_iceless;
  connections_[key] = std::move(owned);
  ++counters_.connections;
  std::erase_if(failures_,
                [&](const Failure& failure) { return failure.gateway == request.gateway; });
  log_.info("connection created", {{"gateway", connection.gateway}});
  seed_candidates(connection, now);
  choose_relay(connection, now);
  return connection;
}

void Engine::remove(Connection& connection, bool goodbye, Instant now) {
  recent_route_.second = nullptr;
  if (goodbye && options_.generation != Generation::a && connection.can_send(now)) {
    send_inner(connection, packet::goodbye_packet(), now);
  }
  // What was granted goes with the connection: the next packet asks again.
  std::erase_if(gateway_of_, [&](const auto& entry) { return entry.second == connection.gateway; });
  unsettle_names(connection.gateway);
  if (const auto* agent = connection.agent.ice()) {
    (void)dispatch_.remove(agent->local_credentials().ufrag, agent->remote_credentials()->ufrag,
                           connection.key);
  }
  connections_.erase(connection.key);
}

void Engine::give_up(Connection& connection, const std::string& reason, Instant now) {
  log_.info("connection failed", {{"gateway", connection.gateway}, {"reason", reason}});
  ++counters_.failures;
  if (failures_.size() == kFailuresMax) failures_.pop_front();
  failures_.push_back({connection.gateway, reason, now});
  remove(connection, false, now);
}

// ---- candidates ----

void Engine::seed_candidates(Connection& connection, Instant now) {
  for (const auto& id : relays_.ids()) {
    const auto* allocation = relays_.find(id);
    if (allocation == nullptr) continue;
    for (const auto& candidate : allocation->candidates()) {
      // Host and reflexive addresses of every relay, relayed ones of the connection's own (spec
      // connectivity 2.6).
      if (candidate.kind == turn::Candidate::Kind::relayed && connection.relay != id) continue;
      add_local(connection, candidate, now);
    }
  }
}

void Engine::add_local(Connection& connection, const turn::Candidate& candidate, Instant now) {
  using Kind = turn::Candidate::Kind;
  const auto kind = candidate.kind == Kind::host               ? ice::CandidateKind::host
                    : candidate.kind == Kind::server_reflexive ? ice::CandidateKind::srflx
                                                               : ice::CandidateKind::relay;
  if (const auto added =
          connection.agent.add_local({kind, candidate.address, candidate.local}, now))
    connection.announce.push_back(*added);
}

void Engine::choose_relay(Connection& connection, Instant now) {
  if (connection.relay) return;
  connection.relay = options_.generation == Generation::a ? relays_.select_any() : relays_.select();
  if (!connection.relay) return;
  seed_candidates(connection, now);
}

// One message a kind, best first (spec connectivity 2.9).
void Engine::flush_signals(Connection& connection) {
  const auto tell = [&](std::vector<ice::Candidate>& list, bool invalidated) {
    if (list.empty()) return;
    std::sort(list.begin(), list.end(), [](const auto& a, const auto& b) {
      return a.priority != b.priority ? a.priority > b.priority : a.address < b.address;
    });
    std::vector<std::string> lines;
    for (const auto& candidate : list) lines.push_back(connection.agent.line_of(candidate));
    lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
    tell_portal(candidates(options_.generation, connection.gateway, lines, invalidated));
    list.clear();
  };
  tell(connection.announce, false);
  tell(connection.withdraw, true);
}

// ---- pumping ----

void Engine::pump(Connection& connection, Instant now, WallTime wall) {
  const auto key = connection.key;
  choose_relay(connection, now);
  if (auto* agent = connection.agent.iceless()) {
    pump_agent(connection, *agent, now, wall);
    if (find(key) == nullptr) return;
    pump_peer(connection, now);
    if (auto* still = find(key)) flush_signals(*still);
    return;
  }
  auto& agent = *connection.agent.ice();
  while (auto out = agent.poll_transmit()) transmit(connection, std::move(*out), now);
  while (auto event = agent.poll_event()) {
    if (const auto* changed = std::get_if<ice::StateChanged>(&*event)) {
      log_.debug("ICE state",
                 {{"gateway", connection.gateway}, {"state", ice::name_of(changed->to)}});
    } else if (std::holds_alternative<ice::Nominated>(*event)) {
      update_way(connection, now);
      start_handshake(connection, now, wall);
    } else if (const auto* failed = std::get_if<ice::Failed>(&*event)) {
      const bool is_silent = failed->reason == ice::Failed::Reason::no_remote_candidate;
      return give_up(connection, is_silent ? "no candidate from the gateway" : "no path left", now);
    }
  }
  if (!agent.nominated()) update_way(connection, now);  // losing the last pair is no event
  pump_peer(connection, now);
  if (auto* still = find(key)) flush_signals(*still);
}

void Engine::pump_peer(Connection& connection, Instant now) {
  while (auto event = connection.peer.poll_event()) {
    if (*event != Peer::Event::established) {
      return give_up(
          connection,
          *event == Peer::Event::unanswered ? "handshake unanswered" : "no session for 540 s", now);
    }
    ++counters_.handshakes;
    if (!connection.has_session && connection.requested)
      connection.established_after = now - *connection.requested;
    if (!established_after_ && first_request_) established_after_ = now - *first_request_;
    connection.has_session = true;
  }
  while (auto message = connection.peer.poll_message()) {
    auto* agent = connection.agent.iceless();
    if (agent != nullptr && wireguard::classify(*message) == wireguard::MessageType::initiation) {
      agent->on_own_initiation(*message, now);
    } else
      send_message(connection, *message);
  }
  if (connection.is_over) {
    log_.info("connection closed", {{"gateway", connection.gateway}});
    return remove(connection, false, now);
  }
  if (!connection.is_connected && connection.can_send(now)) {
    connection.is_connected = true;
    connection.since = now;
    log_.info("gateway connected", {{"gateway", connection.gateway}, {"to", connection.way.to}});
  }
  flush_pending(connection, now);
}

void Engine::pump_agent(Connection& connection, path::Agent& agent, Instant now, WallTime wall) {
  if (std::exchange(connection.wants_handshake, false)) start_handshake(connection, now, wall);
  while (auto out = agent.poll_transmit()) {
    const auto* probe = std::get_if<packet::Probe>(&out->what);
    if (probe == nullptr) {
      send_on(out->path, std::get<ByteVector>(out->what), now);
      continue;
    }
    ByteVector message(packet::kProbeSize + wireguard::kDataOverhead);
    const auto inner = probe->write();
    std::copy(inner.begin(), inner.end(), message.begin() + wireguard::kDataHeaderSize);
    if (connection.peer.seal(message.data(), inner.size(), now)) send_on(out->path, message, now);
  }
  while (const auto event = agent.poll_event()) {
    if (std::holds_alternative<path::Failed>(*event))
      return give_up(connection, "no candidate from the gateway", now);
    update_way(connection, now);
  }
}

void Engine::send_on(const path::Path& path, Bytes message, Instant now) {
  if (const auto relay = relays_.relay_owning(path.local))
    (void)relays_.send_to_peer(*relay, path.remote, message, now);
  else
    datagrams_.push_back({path.remote, path.local.ip, copy_of(message)});
}

void Engine::transmit(Connection& connection, ice::Transmit out, Instant now) {
  if (out.transaction) dispatch_.on_check_sent(*out.transaction, connection.key, now);
  if (!out.relayed) {
    datagrams_.push_back({out.remote, out.local.ip, std::move(out.bytes)});
    return;
  }
  // Without a channel the check is lost and the channel asked for; the next check finds it.
  if (const auto relay = relays_.relay_owning(out.local); relay && relay == connection.relay) {
    (void)relays_.send_to_peer(*relay, out.remote, out.bytes, now);
  }
}

void Engine::update_way(Connection& connection, Instant now) {
  recent_route_.second = nullptr;
  Way way;
  const auto path = connection.agent.route();
  if (!path && connection.agent.iceless() != nullptr) return;  // spec connectivity 5.2
  if (path) {
    if (!path->local_relayed) {
      way = {Way::Kind::direct, path->remote, path->local.ip, {}};
    } else if (connection.relay) {
      const auto* allocation = relays_.find(*connection.relay);
      const auto server = allocation != nullptr ? allocation->active_server() : std::nullopt;
      const auto channel =
          allocation != nullptr ? allocation->channel_for(path->remote, now) : std::nullopt;
      if (server && channel)
        way = {Way::Kind::relayed, *server, std::nullopt, *channel};
      else
        relays_.bind_channel(*connection.relay, path->remote, now);
    }
  }
  if (way == connection.way) return;
  connection.way = way;
  if (way.kind == Way::Kind::none) {
    connection.is_connected = false;
    connection.since = now;
    return;
  }
  log_.info("path", {{"gateway", connection.gateway},
                     {"kind", way.kind == Way::Kind::direct ? "direct" : "relayed"},
                     {"remote", path->remote}});
  for (auto early = std::exchange(connection.early, {}); !early.empty(); early.pop_front()) {
    send_message(connection, early.front());
  }
}

// Spec connectivity 2.17: A at every nomination, later generations at most once in 20 s.
void Engine::start_handshake(Connection& connection, Instant now, WallTime wall) {
  const auto last = connection.peer.last_initiation();
  if (options_.generation != Generation::a && last && now - *last < kBetweenInitiations) return;
  connection.peer.start_handshake(now, wall);
}

// ---- sending ----

void Engine::send_message(Connection& connection, Bytes message) {
  const auto& way = connection.way;
  if (way.kind == Way::Kind::none) {
    if (connection.early.size() == kEarlyMessagesMax) connection.early.pop_front();
    connection.early.push_back(copy_of(message));
    return;
  }
  if (way.kind == Way::Kind::direct) {
    datagrams_.push_back({way.to, way.from, copy_of(message)});
    return;
  }
  ByteVector bytes(packet::kChannelHeader + message.size());
  packet::write_channel_header(bytes.data(), way.channel,
                               static_cast<std::uint16_t>(message.size()));
  std::copy(message.begin(), message.end(), bytes.begin() + packet::kChannelHeader);
  datagrams_.push_back({way.to, std::nullopt, std::move(bytes)});
}

void Engine::send_inner(Connection& connection, Bytes inner, Instant now) {
  ByteVector message(inner.size() + wireguard::kDataOverhead);
  std::copy(inner.begin(), inner.end(), message.begin() + wireguard::kDataHeaderSize);
  if (connection.peer.seal(message.data(), inner.size(), now)) send_message(connection, message);
}

void Engine::flush_pending(Connection& connection, Instant now) {
  if (connection.pending.empty() || !connection.can_send(now)) return;
  for (auto pending = std::exchange(connection.pending, {}); !pending.empty();
       pending.pop_front()) {
    send_inner(connection, pending.front(), now);
  }
}

}  // namespace fg::client
