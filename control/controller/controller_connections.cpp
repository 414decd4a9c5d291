// Connections: their making and end, candidates, paths and timers (spec connectivity 2, 4.8).
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "control/controller/controller.h"
#include "packet/control_message.h"

namespace fg::controller {
namespace {

constexpr Duration kKeyRest = 5s;            // spec connectivity 4.3
constexpr Duration kAttemptTime = 20s;       // spec connectivity 4.6, B and C in ICE mode
constexpr Duration kAttemptTimeOther = 90s;  // A, and C without ICE
constexpr Duration kIcelessRekeyTimeout = 2s;
// Ours, if no relay is heard later than the client's next check was due (spec connectivity 2.18).
constexpr Duration kOwnSilence = 1500ms;

WorkerIndex worker_for(const ClientId& client, unsigned workers) {
  // Stable, so that a client that comes back finds its worker, whose ring orders removal before
  // addition.
  return WorkerIndex{static_cast<std::uint8_t>(
      (std::hash<ClientId>{}(client) * 0x9E3779B97F4A7C15ULL >> 32) % workers)};
}

// Of what is due that far ahead, where no peer waits for it: checks that are 15 or 25 s apart; how
// long a peer was not heard.
Duration grain_of(Duration ahead) {
  if (ahead > 5s) return 500ms;
  return ahead > 500ms ? 100ms : Duration{1};
}

Instant round_up(Instant at, Duration grain) {
  const auto over = at.time_since_epoch() % grain;
  return over == Duration::zero() ? at : at + (grain - over);
}

}  // namespace

Connection* Controller::find(const ClientId& client) {
  const auto found = by_client_.find(client);
  return found == by_client_.end() ? nullptr : find(found->second);
}
Connection* Controller::find(ClientSlot slot) {
  const auto found = by_slot_.find(slot);
  return found == by_slot_.end() ? nullptr : find(found->second);
}
Connection* Controller::find(ConnectionKey key) {
  const auto found = connections_.find(key);
  return found == connections_.end() ? nullptr : found->second.get();
}

Connection* Controller::create(NewConnection request, Instant now) {
  const auto slot = slots_.take();
  if (!slot) {
    drop(DropReason::clients_full);
    log_.warn("no room for another client: add a gateway to the site",
              {{"clients_max", options_.clients_max}});
    return nullptr;
  }
  ConnectionOptions options{.client = request.client,
                            .slot = *slot,
                            .worker = worker_for(request.client, options_.workers),
                            .tunnel_v4 = request.v4,
                            .tunnel_v6 = request.v6,
                            .is_legacy = request.is_legacy,
                            .relay = request.relay};
  do {
    const auto index = pipeline::make_receiver_index(options.worker, random_.u32(), 0);
    options.key = ConnectionKey{pipeline::connection_of(index)};
  } while (connections_.contains(options.key) || retired_keys_.contains(options.key));

  wireguard::HandshakeConfig handshake;
  handshake.remote = request.public_key;
  handshake.preshared = request.preshared.copy();
  handshake.index_base = ReceiverIndex{number(options.key) << 8};
  handshake.attempt_time =
      request.is_legacy || request.use_iceless ? kAttemptTimeOther : kAttemptTime;
  if (request.use_iceless) handshake.rekey_timeout = kIcelessRekeyTimeout;

  const auto make_agent = [&] {
    if (request.use_iceless) return path::Finder{path::Agent{path::Role::controlled, now}};
    ice::Agent::Options agent;
    agent.role = ice::Role::controlled;
    agent.local = std::move(request.local);
    agent.remote = std::move(request.remote);
    agent.form = request.is_legacy ? ice::LineForm::legacy : ice::LineForm::standard;
    if (!dispatch_.add(agent.local.ufrag, agent.remote->ufrag, options.key))
      FG_BUG("connection added to the dispatch twice");
    return path::Finder{ice::Agent{std::move(agent), random_, now}};
  };
  auto owned = std::make_unique<Connection>(options, make_agent(), std::move(handshake), identity_,
                                            random_, now);
  auto& connection = *owned;
  connections_[options.key] = std::move(owned);
  by_client_[options.client] = options.key;
  by_slot_[options.slot] = options.key;
  by_public_key_[request.public_key] = options.key;
  by_relay_[connection.relay].insert(options.key);
  ++by_path_kind_[static_cast<std::size_t>(connection.path.kind)];

  tell(options.worker,
       pipeline::AddClient{*slot, request.v4, request.v6, borrow_policy(request.client),
                           request.is_legacy, request.use_iceless, request.client});
  // What the client announced over an earlier connection still holds (spec policy 2.8).
  if (const auto* names = access_.names_of(options.client);
      names != nullptr && !names->proxies().empty()) {
    set_translations(connection, false);
  }
  for (const auto& address : {request.v4, request.v6})
    tell_all(pipeline::SetTunnelOwner{address, options.worker});
  seed_candidates(connection, now);
  dirty_.push_back(options.key);
  log_.debug("connection created", {{"client", options.client}});
  return &connection;
}

void Controller::remove(Connection& connection, bool goodbye, Instant now) {
  const auto options = connection.options;
  take_back_answers(connection);
  if (goodbye && connection.has_session && connection.path.kind != pipeline::Path::Kind::none) {
    send_inner(connection, packet::goodbye_packet());
  }
  // Of a client of generation A nothing outlives its connection (spec policy 2.8).
  const auto kept = access_.addresses_of(options.client);
  const bool keep_flows =
      !options.is_legacy && kept && kept->v4 == options.tunnel_v4 && kept->v6 == options.tunnel_v6;
  tell(options.worker, pipeline::RemoveClient{options.slot, keep_flows});
  for (const auto& address : {options.tunnel_v4, options.tunnel_v6}) {
    // Another client may have been given it meanwhile (spec policy 2.2, HARDEN).
    const auto owner = access_.client_for(address);
    const auto* heir = owner && *owner != options.client ? find(*owner) : nullptr;
    tell_all(pipeline::SetTunnelOwner{
        address, heir != nullptr ? std::optional{heir->options.worker} : std::nullopt});
  }
  if (const auto* agent = connection.agent.ice(); agent != nullptr && agent->remote_credentials()) {
    (void)dispatch_.remove(agent->local_credentials().ufrag, agent->remote_credentials()->ufrag,
                           options.key);
  }
  answers_.forget(options.key);
  if (const auto key = by_public_key_.find(connection.handshake.remote());
      key != by_public_key_.end() && key->second == options.key) {
    by_public_key_.erase(key);
  }
  by_slot_.erase(options.slot);
  by_client_.erase(options.client);
  if (connection.deadline) deadlines_.erase({*connection.deadline, options.key});
  if (const auto own = by_relay_.find(connection.relay); own != by_relay_.end()) {
    own->second.erase(options.key);
    if (own->second.empty()) by_relay_.erase(own);
  }
  set_relayed_peer(connection, std::nullopt);
  --by_path_kind_[static_cast<std::size_t>(connection.path.kind)];
  retired_.emplace_back(now + kKeyRest, options.key);
  retired_keys_.insert(options.key);
  connections_.erase(options.key);
  portal_.emplace_back(ForgetClient{options.client});
}

// Grants are kept: the client may come back without asking for them again. One of generation A asks
// for all of them anew (spec policy 2.8).
void Controller::give_up(Connection& connection, const char* reason, Instant now) {
  const auto client = connection.options.client;
  const bool is_legacy = connection.options.is_legacy;
  log_.info("connection failed", {{"client", client}, {"reason", reason}});
  remove(connection, false, now);
  if (is_legacy) (void)access_.remove(client);
}

void Controller::seed_candidates(Connection& connection, Instant now) {
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
  // A client of generation A is told of these also while no relay answers (spec connectivity 2.6).
  if (!connection.options.is_legacy) return;
  for (const auto& [kind, own] : own_addresses_) add_local(connection, own, now);
}

void Controller::add_local(Connection& connection, const turn::Candidate& candidate, Instant now) {
  if (const auto added = connection.agent.add_local(to_local(candidate), now))
    connection.announce.push_back(*added);
}

void Controller::take_back_answers(Connection& connection) {
  if (std::exchange(connection.standing, {}).empty()) return;
  tell(pipeline::kFirstWorker, pipeline::DropStandingAnswers{number(connection.options.key)});
}

void Controller::wake(Connection& connection, Instant now) {
  connection.last_activity = now;
  if (connection.is_idle) {
    connection.is_idle = false;
    connection.agent.set_profile(ice::kServerDefault, now);
  }
  dirty_.push_back(connection.options.key);
}

// Connections whose relay is gone, or allocates nothing, choose another as soon as one has been
// measured (spec connectivity 3.11).
void Controller::migrate_orphans(Instant now) {
  std::vector<ConnectionKey> orphans;
  for (const auto& [relay, keys] : by_relay_) {
    const auto* own = relay ? relays_.find(*relay) : nullptr;
    if (own == nullptr || own->is_suspended())
      orphans.insert(orphans.end(), keys.begin(), keys.end());
  }
  for (const auto key : orphans) {
    const auto chosen = relays_.select();
    if (!chosen) return;
    auto* connection = find(key);
    if (connection->relay == chosen) continue;
    set_relay(*connection, chosen);
    log_.debug("connection moved to another relay", {{"client", connection->options.client}});
    seed_candidates(*connection, now);
    bind_channels(*connection, now);
    take_back_answers(*connection);
    wake(*connection, now);
  }
}

void Controller::set_relay(Connection& connection, std::optional<RelayId> relay) {
  const auto key = connection.options.key;
  const auto before = by_relay_.find(connection.relay);
  before->second.erase(key);
  if (before->second.empty()) by_relay_.erase(before);
  connection.relay = relay;
  by_relay_[relay].insert(key);
}

void Controller::set_relayed_peer(Connection& connection, std::optional<SocketAddress> peer) {
  if (connection.relayed_peer == peer) return;
  if (connection.relayed_peer) {
    const auto before = by_relayed_peer_.find(*connection.relayed_peer);
    before->second.erase(connection.options.key);
    if (before->second.empty()) by_relayed_peer_.erase(before);
  }
  connection.relayed_peer = peer;
  if (peer) by_relayed_peer_[*peer].insert(connection.options.key);
}

std::vector<Connection*> Controller::with_relay(const RelayId& relay) {
  std::vector<Connection*> out;
  if (const auto found = by_relay_.find(relay); found != by_relay_.end()) {
    for (const auto key : found->second) out.push_back(find(key));
  }
  return out;
}

// Spec connectivity 2.9: what the client signalled, hosts excepted, gets its channel without being
// asked for.
void Controller::bind_channels(Connection& connection, Instant now) {
  for (const auto& remote : connection.agent.remote_candidates()) {
    if (connection.relay && ice::wants_channel(remote.kind))
      relays_.bind_channel(*connection.relay, remote.address, now);
  }
}

void Controller::on_connection_timeout(Connection& connection, Instant now, WallTime wall) {
  connection.agent.on_timeout(now);
  connection.handshake.on_timeout(now, wall);
  if (!connection.names.empty() && connection.names_at <= now) tell_names(connection, now);
  const auto quiet = now - connection.last_activity;
  if (connection.options.is_legacy && quiet >= kLegacyIdleClose) {
    // As with one that failed (spec policy 2.8): the client asks for access anew.
    const auto client = connection.options.client;
    log_.info("connection closed, idle", {{"client", client}});
    remove(connection, false, now);
    (void)access_.remove(client);
    return;
  }
  if (!connection.is_idle && quiet >= kIdleAfter && connection.agent.is_connected()) {
    connection.is_idle = true;
    connection.agent.set_profile(ice::kServerIdle, now);
  }
  pump(connection, now);
}

void Controller::pump(Connection& connection, Instant now) {
  const auto key = connection.options.key;
  while (auto initiation = connection.handshake.poll_initiation()) {
    // Our own initiations go out on a nominated path or not at all: a peer that has none cannot be
    // asked.
    if (auto* agent = connection.agent.iceless())
      agent->on_own_initiation(*initiation, now);
    else if (connection.agent.route())
      send_handshake(connection, *initiation, now);
  }
  if (auto* agent = connection.agent.iceless())
    pump_agent(connection, *agent, now);
  else
    pump_agent(connection, *connection.agent.ice(), now);
  if (find(key) == nullptr) return;
  if (const auto event = connection.handshake.poll_event()) {
    give_up(connection,
            *event == wireguard::Handshake::Event::unanswered ? "handshake unanswered"
                                                              : "no session for 540 s",
            now);
    return;
  }
  flush_signals(connection);
  reschedule(connection);
}

void Controller::pump_agent(Connection& connection, ice::Agent& agent, Instant now) {
  const auto key = connection.options.key;
  while (auto out = agent.poll_transmit()) transmit(connection, std::move(*out), now);
  while (auto event = agent.poll_event()) {
    if (const auto* changed = std::get_if<ice::StateChanged>(&*event)) {
      log_.debug("ICE state", {{"client", connection.options.client},
                               {"from", ice::name_of(changed->from)},
                               {"to", ice::name_of(changed->to)}});
    } else if (std::holds_alternative<ice::Nominated>(*event)) {
      update_path(connection, now);
      for (auto early = std::exchange(connection.early, {}); !early.empty(); early.pop_front()) {
        send_handshake(connection, early.front(), now);
      }
    } else if (const auto* failed = std::get_if<ice::Failed>(&*event)) {
      give_up(connection,
              failed->reason == ice::Failed::Reason::no_remote_candidate
                  ? "no candidate from the client"
                  : "no path left",
              now);
    } else if (const auto* told = std::get_if<ice::Reconsidered>(&*event)) {
      log_.debug(told->is_withdrawn ? "path lost, its candidates withdrawn" : "candidates restored",
                 {{"client", connection.options.client}});
      auto& signals = told->is_withdrawn ? connection.withdraw : connection.announce;
      signals.insert(signals.end(), told->candidates.begin(), told->candidates.end());
    } else if (const auto* unheard = std::get_if<ice::Unheard>(&*event)) {
      // If we hear nobody, the fault is ours.
      if (relays_.was_heard_after(unheard->since + kOwnSilence)) prompt(connection, now);
    }
    if (find(key) == nullptr) return;
  }
  if (agent.is_doubting() && !connection.is_path_doubted) {
    take_back_answers(connection);  // each check counts, when it comes
    tell(connection.options.worker, pipeline::AskRoute{connection.options.slot});
  }
  connection.is_path_doubted = agent.is_doubting();
}

// A client that lost its relay, or its place there, learns of it by the next request it makes to
// that relay; as long as all its channels stand it makes none for minutes (spec connectivity 3.7).
// A candidate it never heard of needs another channel, at once (2.9). Nobody is at that address
// (RFC 5737), and it is withdrawn before it is checked more than once; relayed, so that no further
// addresses are guessed from it (2.10).
void Controller::prompt(Connection& connection, Instant now) {
  if (!prompts_.take(now)) return;
  const auto random = random_.u32();
  const SocketAddress nowhere{IpAddress::v4(192, 0, 2, static_cast<std::uint8_t>(random >> 16)),
                              static_cast<std::uint16_t>(random | 1024)};
  const ice::Candidate candidate{
      .kind = ice::CandidateKind::relay,
      .address = nowhere,
      .base = nowhere,
      // Without ICE a relayed candidate has a base, or is none (spec connectivity 5.3).
      .raddr = connection.agent.iceless() != nullptr ? std::optional{nowhere} : std::nullopt,
      .priority = ice::candidate_priority(ice::CandidateKind::relay, 0),
      .foundation = ice::make_foundation(ice::CandidateKind::relay, nowhere.ip, 0)};
  log_.debug("client unheard", {{"client", connection.options.client}});
  connection.announce.push_back(candidate);
  connection.withdraw.push_back(candidate);
}

void Controller::pump_agent(Connection& connection, path::Agent& agent, Instant now) {
  while (auto out = agent.poll_transmit()) {
    const auto relay = relays_.relay_owning(out->path.local);
    if (const auto* probe = std::get_if<packet::Probe>(&out->what)) {
      const ice::Path route{out->path.local, out->path.remote, relay.has_value(), false};
      if (const auto way = way_over(route, now))
        tell(connection.options.worker, pipeline::SendProbe{connection.options.slot, *way, *probe});
    } else {
      reply({out->path.local, out->path.remote, relay}, std::get<ByteVector>(out->what), now);
    }
  }
  while (const auto event = agent.poll_event()) {
    if (std::holds_alternative<path::Failed>(*event))
      return give_up(connection, "no candidate from the client", now);
    update_path(connection, now);
  }
}

void Controller::transmit(Connection& connection, ice::Transmit out, Instant now) {
  if (out.transaction) dispatch_.on_check_sent(*out.transaction, connection.options.key, now);
  if (!out.relayed) {
    datagrams_.push_back({out.remote, out.local.ip, std::move(out.bytes)});
    return;
  }
  // Without a channel the check is lost and the channel asked for; the next check finds it (spec
  // connectivity 2.13).
  if (const auto relay = relays_.relay_owning(out.local); relay && relay == connection.relay) {
    (void)relays_.send_to_peer(*relay, out.remote, out.bytes, now);
  }
}

// Nothing: no channel yet, which is asked for, or no such relay any more.
std::optional<pipeline::Path> Controller::way_over(const ice::Path& route, Instant now) {
  if (!route.local_relayed)
    return pipeline::Path{pipeline::Path::Kind::direct, route.local.ip, route.remote, {}};
  const auto relay = relays_.relay_owning(route.local);
  const auto* allocation = relay ? relays_.find(*relay) : nullptr;
  if (allocation == nullptr) return std::nullopt;
  const auto server = allocation->active_server();
  const auto channel = allocation->channel_for(route.remote, now);
  if (server && channel)
    return pipeline::Path{pipeline::Path::Kind::relayed, {}, *server, *channel};
  relays_.bind_channel(*relay, route.remote, now);
  return std::nullopt;
}

void Controller::update_path(Connection& connection, Instant now) {
  const auto route = connection.agent.route();
  // Where it went last is tried until something better has answered (spec connectivity 5.2).
  if (!route) return;
  if (route->local_relayed) set_relayed_peer(connection, route->remote);
  const auto path = way_over(*route, now).value_or(pipeline::Path{});
  if (path == connection.path) return;
  if (path.kind == pipeline::Path::Kind::direct) tell_all(pipeline::ExpectSource{path.remote.ip});
  const auto kind_before = std::exchange(connection.path, path).kind;
  connection.path_since = now;
  --by_path_kind_[static_cast<std::size_t>(kind_before)];
  ++by_path_kind_[static_cast<std::size_t>(path.kind)];
  tell(connection.options.worker, pipeline::SetPath{connection.options.slot, path});
  log_.debug("path", {{"client", connection.options.client}, {"remote", path.remote}});
  // A client can change its address as often as it likes, but hardly the kind of its path.
  if (path.kind == pipeline::Path::Kind::none || path.kind == kind_before) return;
  log_.info("client reachable",
            {{"client", connection.options.client},
             {"path", path.kind == pipeline::Path::Kind::direct ? "direct" : "relayed"}});
}

void Controller::send_handshake(Connection& connection, Bytes message, Instant now) {
  const auto route = connection.agent.route();
  if (!route) {
    if (connection.early.size() == kEarlyMessagesMax) connection.early.pop_front();
    connection.early.push_back(copy_of(message));
  } else if (!route->local_relayed) {
    datagrams_.push_back({route->remote, route->local.ip, copy_of(message)});
  } else if (connection.relay) {
    (void)relays_.send_to_peer(*connection.relay, route->remote, message, now);
  }
}

// One message a kind, additions before removals (spec portal 2.4).
void Controller::flush_signals(Connection& connection) {
  const auto tell_client = [&](std::vector<ice::Candidate>& candidates, bool invalidated) {
    if (candidates.empty()) return;
    std::vector<std::pair<std::uint32_t, std::string>> lines;
    for (const auto& candidate : candidates)
      lines.emplace_back(candidate.priority, connection.agent.line_of(candidate));
    std::sort(lines.begin(), lines.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
    portal::BroadcastCandidates message{connection.options.client, {}, invalidated};
    for (auto& line : lines) message.candidates.push_back(std::move(line.second));
    portal_.emplace_back(portal::Egress{std::move(message)});
    candidates.clear();
  };
  tell_client(connection.announce, false);
  tell_client(connection.withdraw, true);
}

void Controller::reschedule(Connection& connection) {
  const auto key = connection.options.key;
  auto due = earlier(connection.agent.wakeup(), connection.handshake.wakeup());
  if (!connection.is_idle && connection.agent.is_connected()) {
    due = earlier(due, Wakeup{connection.last_activity + kIdleAfter, "idle"});
  }
  if (connection.options.is_legacy)
    due = earlier(due, Wakeup{connection.last_activity + kLegacyIdleClose, "idle close"});
  if (!connection.names.empty()) due = earlier(due, Wakeup{connection.names_at, "names"});
  // They are looked at together: waking up costs more than what one of them has to do.
  if (due && (connection.is_idle || !connection.standing.empty()))
    due->at = round_up(due->at, grain_of(due->at - last_now_));
  const auto deadline = due ? std::optional{due->at} : std::nullopt;
  if (connection.deadline == deadline) return;
  if (connection.deadline) deadlines_.erase({*connection.deadline, key});
  connection.deadline = deadline;
  if (deadline) deadlines_.emplace(*deadline, key);
}

// ---- policies ----

std::unique_ptr<const filter::Policy> Controller::compile_policy(const ClientId& client) const {
  if (auto policy = filter::Policy::compile(access_.rules_for(client))) return policy;
  // Too many rules for one policy: nothing is allowed rather than something wrong.
  log_.warn(
      "access rules of a client exceed what can be compiled: give it fewer resources or ports",
      {{"client", client}});
  return filter::Policy::compile({});
}

const filter::Policy* Controller::borrow_policy(const ClientId& client) {
  auto policy = compile_policy(client);
  const auto* borrowed = policy.get();
  policies_[borrowed] = {std::move(policy), 1};
  return borrowed;
}

void Controller::release_policy(const filter::Policy* policy) {
  const auto found = policies_.find(policy);
  if (found != policies_.end() && --found->second.borrows == 0) policies_.erase(found);
}

void Controller::set_policy(Connection& connection) {
  tell(connection.options.worker,
       pipeline::SetPolicy{connection.options.slot, borrow_policy(connection.options.client)});
}

void Controller::send_inner(const Connection& connection, Bytes packet) {
  pipeline::SendInner command{
      connection.options.slot, static_cast<std::uint16_t>(packet.size()), {}};
  std::copy(packet.begin(), packet.end(), command.bytes.begin());
  tell(connection.options.worker, command);
}

}  // namespace fg::controller
