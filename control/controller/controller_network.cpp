// Datagrams that no worker finishes, and what the relays report (spec connectivity 1.3, 2.12, 4.4).
#include <algorithm>

#include "control/controller/controller.h"
#include "control/stun/message.h"
#include "packet/control_message.h"
#include "packet/demux.h"

namespace fg::controller {
namespace {

std::string_view name_of(turn::RelayGone::Why why) {
  switch (why) {
    case turn::RelayGone::Why::removed:
      return "removed by the portal";
    case turn::RelayGone::Why::replaced:
      return "replaced by the portal";
    case turn::RelayGone::Why::no_response:
      return "no answer, is UDP to it blocked?";
    case turn::RelayGone::Why::authentication:
      return "credentials refused";
    case turn::RelayGone::Why::protocol_failure:
      return "protocol error";
  }
  return "";
}

}  // namespace

void Controller::on_datagram(const SocketAddress& local, const SocketAddress& from, Bytes bytes,
                             Instant now) {
  const auto classified = relays_.on_datagram(local, from, bytes, now);
  if (const auto* reason = std::get_if<DropReason>(&classified)) {
    drop(*reason);
    return;
  }
  if (std::holds_alternative<turn::Consumed>(classified)) return;
  Arrival arrival{local, from, std::nullopt};
  if (const auto* relayed = std::get_if<turn::FromPeer>(&classified)) {
    arrival = {relayed->relayed, relayed->peer, relayed->id};
    bytes = relayed->payload;
  }
  switch (packet::classify(bytes)) {
    case packet::DatagramKind::stun:
      on_stun(arrival, bytes, now);
      break;
    case packet::DatagramKind::wireguard_initiation:
    case packet::DatagramKind::wireguard_response:
    case packet::DatagramKind::wireguard_cookie:
      on_handshake(arrival, bytes, now);
      break;
    default:
      // Data is the workers' business; what they passed on belongs to no session.
      drop(DropReason::not_wireguard);
  }
}

void Controller::on_stun(const Arrival& arrival, Bytes bytes, Instant now) {
  const auto message = stun::Message::parse(bytes);
  if (!message) {
    drop(DropReason::malformed_stun);
    return;
  }
  // Before any HMAC: which connections could it be for (spec connectivity 2.12)?
  std::vector<ConnectionKey> candidates;
  if (message->is(stun::Method::binding, stun::Class::request)) {
    const auto username = message->username();
    const auto found = username ? dispatch_.find(*username) : std::span<const ConnectionKey>{};
    candidates.assign(found.begin(), found.end());
  } else if (message->is(stun::Method::binding, stun::Class::success)) {
    if (const auto key = dispatch_.take(message->transaction(), now)) candidates.push_back(*key);
  }
  auto reason = DropReason::unknown_stun;
  for (const auto key : candidates) {
    auto* connection = find(key);
    auto* agent = connection != nullptr ? connection->agent.ice() : nullptr;
    if (agent == nullptr) continue;
    const auto refused = agent->on_message(*message, arrival.local, arrival.from, now);
    if (!refused) {
      if (message->is(stun::Method::binding, stun::Class::request))
        leave_to_worker(*connection, *message, arrival, bytes, now);
      dirty_.push_back(key);
      return;
    }
    reason = *refused;
  }
  drop(reason);
}

// The next checks of a client whose path stands will ask the same (spec connectivity 2.18, 2.19).
void Controller::leave_to_worker(Connection& connection, const stun::Message& request,
                                 const Arrival& arrival, Bytes bytes, Instant now) {
  auto& agent = *connection.agent.ice();
  if (!agent.is_connected() || now - connection.path_since < kPathStands) return;
  if (arrival.relay && arrival.relay != connection.relay) return;
  const auto repeatable = agent.repeatable(request, arrival.local, arrival.from);
  auto& standing = connection.standing;
  if (!repeatable || std::ranges::find(standing, *repeatable) != standing.end()) return;
  const auto path = way_over({arrival.local, arrival.from, arrival.relay.has_value(), false}, now);
  auto answer = agent.standing_answer(arrival.from);
  if (!path || !answer) return;
  std::erase_if(standing, [&](const auto& known) { return known.pair == repeatable->pair; });
  standing.push_back(*repeatable);
  tell(pipeline::kFirstWorker,
       pipeline::SetStandingAnswer{number(connection.options.key), number(repeatable->pair),
                                   repeatable->nominates, *path, agent.local_credentials().password,
                                   copy_of(bytes), std::move(*answer)});
}

void Controller::on_check_answered(const pipeline::CheckAnswered& answered) {
  auto* connection = find(ConnectionKey{answered.connection});
  auto* agent = connection != nullptr ? connection->agent.ice() : nullptr;
  if (agent == nullptr) return;
  if (!agent->on_repeated({ice::PairId{answered.pair}, answered.nominates}, answered.at))
    take_back_answers(*connection);
  // Otherwise its deadline comes too early now, and is put right when it comes.
  if (agent->has_output() || agent->is_doubting()) dirty_.push_back(connection->options.key);
}

void Controller::on_handshake(const Arrival& arrival, Bytes bytes, Instant now) {
  if (packet::classify(bytes) == packet::DatagramKind::wireguard_cookie) {
    const auto receiver = ReceiverIndex{load_le32(bytes.data() + 4)};
    auto* connection = find(ConnectionKey{pipeline::connection_of(receiver)});
    if (connection == nullptr || !connection->handshake.on_cookie_reply(bytes, now))
      drop(DropReason::bad_handshake);
    return;
  }
  if (const auto known = answers_.find(bytes, now); !known.empty()) {
    reply(arrival, known, now);
    return;
  }
  // MAC1 and the limiter stand before any Diffie-Hellman (spec connectivity 4.4).
  switch (limiter_.check(bytes, arrival.from.ip, now)) {
    case wireguard::HandshakeVerdict::process:
      if (!commands_.is_full()) break;
      drop(DropReason::command_queue_full);  // its session could not be told; the peer asks again
      return;
    case wireguard::HandshakeVerdict::reply_with_cookie:
      drop(DropReason::handshake_rate_limited);
      reply(arrival, limiter_.cookie_reply(bytes, arrival.from.ip, now), now);
      return;
    case wireguard::HandshakeVerdict::bad_mac1:
      drop(DropReason::bad_mac1);
      return;
    case wireguard::HandshakeVerdict::malformed:
      drop(DropReason::not_wireguard);
      return;
  }
  if (packet::classify(bytes) == packet::DatagramKind::wireguard_initiation) {
    on_initiation(arrival, bytes, now);
    return;
  }
  const auto receiver = ReceiverIndex{load_le32(bytes.data() + 8)};
  auto* connection = find(ConnectionKey{pipeline::connection_of(receiver)});
  auto keys = connection != nullptr ? connection->handshake.on_response(bytes, now)
                                    : Result<wireguard::SessionKeys, wireguard::HandshakeError>{
                                          fail(wireguard::HandshakeError::not_waiting)};
  if (!keys) {
    drop(DropReason::bad_handshake);
    return;
  }
  if (auto* agent = connection->agent.iceless())
    agent->on_response({arrival.local, arrival.from}, now);
  install(*connection, std::move(*keys));
}

void Controller::on_initiation(const Arrival& arrival, Bytes bytes, Instant now) {
  auto opened = wireguard::open_initiation(identity_, bytes);
  if (!opened) {
    drop(DropReason::bad_handshake);
    return;
  }
  const auto known = by_public_key_.find(opened->initiator());
  auto* connection = known == by_public_key_.end() ? nullptr : find(known->second);
  if (connection == nullptr) {
    drop(DropReason::unknown_initiator);
    return;
  }
  auto answer = connection->handshake.on_initiation(std::move(*opened), now);
  if (!answer) {
    drop(DropReason::bad_handshake);
    return;
  }
  install(*connection, std::move(answer->keys));
  if (auto* agent = connection->agent.iceless()) {
    // The answer takes the way of its question, whatever the primary is (spec connectivity 5.5).
    agent->on_initiation({arrival.local, arrival.from}, now);
    answers_.put(connection->options.key, bytes, answer->response, now);
    reply(arrival, answer->response, now);
  } else {
    send_handshake(*connection, answer->response, now);
  }
}

// Nothing: the channel is not, or no longer, known here.
std::optional<path::Path> Controller::path_of(const pipeline::Route& route, Instant now) const {
  if (!route.relay) return path::Path{route.local, route.from};
  const auto id = relays_.id_of(*route.relay);
  const auto* allocation = id ? relays_.find(*id) : nullptr;
  const auto peer = allocation != nullptr ? allocation->peer_of(route.channel, now) : std::nullopt;
  const auto relayed = peer ? allocation->relayed(peer->family()) : std::nullopt;
  if (!relayed) return std::nullopt;
  return path::Path{*relayed, *peer};
}

// The worker has the session before the peer can use it: the command is queued before the answer
// leaves.
void Controller::install(Connection& connection, wireguard::SessionKeys keys) {
  if (!connection.has_session) {
    connection.has_session = true;
    log_.info("client connected", {{"client", connection.options.client}});
  }
  tell(connection.options.worker,
       pipeline::InstallSession{connection.options.slot, std::move(keys)});
  connection.last_handshake = last_now_;
  dirty_.push_back(connection.options.key);
}

void Controller::reply(const Arrival& arrival, Bytes bytes, Instant now) {
  if (arrival.relay) {
    (void)relays_.send_to_peer(*arrival.relay, arrival.from, bytes, now);
  } else {
    datagrams_.push_back({arrival.from, arrival.local.ip, copy_of(bytes)});
  }
}

void Controller::on_control_packet(ClientSlot slot, Bytes packet, Instant now) {
  auto* connection = find(slot);
  if (connection == nullptr) {
    drop(DropReason::unknown_client);
    return;
  }
  const auto parsed = packet::InnerPacket::parse(packet);
  const auto message =
      parsed ? packet::ControlMessage::parse(*parsed)
             : Result<packet::ControlMessage, DropReason>{fail(DropReason::control_malformed)};
  if (!message) {
    drop(DropReason::control_malformed);
    return;
  }
  if (message->type == packet::ControlMessage::kGoodbye) {
    log_.info("client said goodbye", {{"client", connection->options.client}});
    const auto client = connection->options.client;
    remove(*connection, false, now);
    apply(access_.remove(client), now);
    return;
  }
  if (message->type != packet::ControlMessage::kAssignedIps) return;
  auto assigned = parse_assigned_ips(message->payload);
  if (!assigned) {
    drop(DropReason::control_malformed);
    return;
  }
  on_announcement(*connection, std::move(*assigned), now);
}

// ---- relays ----

void Controller::pump_relays(Instant now) {
  // Connections and relays feed each other: checks need channels, lost candidates end pairs. Each
  // round moves what the round before produced; a handful is enough, and the bound turns a loop
  // into a counter.
  for (int round = 0; round < 16; ++round) {
    bool any = false;
    while (auto event = relays_.poll_event()) {
      any = true;
      if (const auto* relay = std::get_if<turn::RelayEvent>(&*event)) {
        on_relay_event(*relay, now);
      } else if (now - no_relays_at_ >= kNoRelaysInterval) {
        no_relays_at_ = now;
        log_.info("Removed last relay; requesting a new set");
        answer_no_relays();
      }
    }
    if (any) {
      migrate_orphans(now);
      release_held(now);
    }
    for (auto dirty = std::exchange(dirty_, {}); const auto key : dirty) {
      any = true;
      if (auto* connection = find(key)) pump(*connection, now);
    }
    if (!any) break;
  }
  while (auto datagram = relays_.poll_datagram())
    datagrams_.push_back({datagram->to, std::nullopt, std::move(datagram->bytes)});
}

void Controller::on_relay_event(const turn::RelayEvent& event, Instant now) {
  if (const auto* learnt = std::get_if<turn::CandidateLearnt>(&event.what)) {
    is_reachable_news_ = true;
    const auto& candidate = learnt->candidate;
    if (candidate.kind != turn::Candidate::Kind::relayed)
      own_addresses_.insert_or_assign({candidate.address.family(), candidate.kind}, candidate);
    for (auto* connection : with_relay(event.id)) {
      add_local(*connection, learnt->candidate, now);
      if (learnt->candidate.kind == turn::Candidate::Kind::relayed) bind_channels(*connection, now);
      take_back_answers(*connection);
      wake(*connection, now);
    }
  } else if (const auto* lost = std::get_if<turn::CandidateInvalidated>(&event.what)) {
    is_reachable_news_ = true;
    std::erase_if(own_addresses_, [&](const auto& own) { return own.second == lost->candidate; });
    // Of any connection: one that moved to another relay still has what it was told before.
    for (const auto& [client, key] : by_client_) {
      auto* connection = find(key);
      const auto removed = connection->agent.remove_local(lost->candidate.address, now);
      if (!removed) continue;
      take_back_answers(*connection);
      std::erase(connection->announce, *removed);
      // Without ICE the client is not told: its probes tell (spec connectivity 5.9).
      if (connection->agent.ice() != nullptr) connection->withdraw.push_back(*removed);
      dirty_.push_back(key);
    }
  } else if (const auto* channel = std::get_if<turn::ChannelChanged>(&event.what)) {
    tell_all(pipeline::SetChannel{event.slot, channel->number,
                                  channel->state == turn::ChannelChanged::State::confirmed});
    const auto found = by_relayed_peer_.find(channel->peer);
    const auto keys = found == by_relayed_peer_.end() ? std::set<ConnectionKey>{} : found->second;
    for (const auto key : keys) {
      auto* connection = find(key);
      const auto route = connection->agent.route();
      if (connection->relay == event.id && route && route->local_relayed &&
          route->remote == channel->peer) {
        update_path(*connection, now);
      }
    }
  } else if (const auto* active = std::get_if<turn::ActiveServerChanged>(&event.what)) {
    tell_all(pipeline::SetRelay{event.slot, active->server});
    for (auto* connection : with_relay(event.id)) update_path(*connection, now);
  } else if (const auto* gone = std::get_if<turn::RelayGone>(&event.what)) {
    log_.info("relay gone", {{"relay", event.id}, {"reason", name_of(gone->why)}});
    tell_all(pipeline::SetRelay{event.slot, std::nullopt});
    if (gone->why != turn::RelayGone::Why::removed) retry_relays_later(now);
    for (auto* connection : with_relay(event.id)) {
      set_relay(*connection, std::nullopt);
      update_path(*connection, now);
      dirty_.push_back(connection->options.key);
    }
  } else if (std::holds_alternative<turn::Suspended>(event.what)) {
    log_.warn("relay allocates nothing", {{"relay", event.id}});
    retry_relays_later(now);
  }
}

}  // namespace fg::controller
