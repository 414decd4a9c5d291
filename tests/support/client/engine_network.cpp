// Datagrams that carry no data, and what the relays report (spec connectivity 1.3, 2.12, 4.4).
#include <algorithm>

#include "control/stun/message.h"
#include "packet/demux.h"
#include "tests/support/client/engine.h"

namespace fg::client {

void Engine::on_datagram(const SocketAddress& local, const SocketAddress& from, Bytes bytes,
                         Instant now) {
  last_now_ = now;
  recent_route_.second = nullptr;
  switch (packet::classify(bytes)) {
    case packet::DatagramKind::stun:
      return on_stun(local, from, bytes, now);
    case packet::DatagramKind::wireguard_initiation:
    case packet::DatagramKind::wireguard_response:
    case packet::DatagramKind::wireguard_cookie:
      return on_handshake({local, from}, bytes, now);
    default:
      ++counters_.dropped_datagrams;
  }
}

void Engine::on_stun(const SocketAddress& local, const SocketAddress& from, Bytes bytes,
                     Instant now) {
  const auto message = stun::Message::parse(bytes);
  if (!message) {
    ++counters_.dropped_datagrams;
    return;
  }
  std::vector<ConnectionKey> keys;
  if (message->is(stun::Method::binding, stun::Class::request)) {
    const auto username = message->username();
    const auto found = username ? dispatch_.find(*username) : std::span<const ConnectionKey>{};
    keys.assign(found.begin(), found.end());
  } else if (message->is(stun::Method::binding, stun::Class::success)) {
    if (const auto key = dispatch_.take(message->transaction(), now)) keys.push_back(*key);
  }
  for (const auto key : keys) {
    auto* connection = find(key);
    auto* agent = connection != nullptr ? connection->agent.ice() : nullptr;
    if (agent != nullptr && !agent->on_message(*message, local, from, now)) return;
  }
  ++counters_.dropped_datagrams;
}

void Engine::on_handshake(const path::Path& arrival, Bytes bytes, Instant now) {
  Connection* connection = nullptr;
  if (packet::classify(bytes) == packet::DatagramKind::wireguard_initiation) {
    // Without a MAC1 of our key it is not for us; the peer checks the rest.
    const auto opened =
        identity_.verify_mac1(bytes) ? wireguard::open_initiation(identity_, bytes) : std::nullopt;
    for (auto& [key, known] : connections_) {
      if (opened && known->peer.remote() == opened->initiator()) connection = known.get();
    }
  } else if (const auto receiver = wireguard::receiver_of(bytes)) {
    connection = find(*receiver);
  }
  if (connection == nullptr) {
    ++counters_.dropped_datagrams;
    return;
  }
  const bool is_accepted = connection->peer.on_message(bytes, arrival.remote.ip, now);
  auto* agent = connection->agent.iceless();
  if (agent == nullptr || !is_accepted) return;
  if (packet::classify(bytes) == packet::DatagramKind::wireguard_response) {
    agent->on_response(arrival, now);
  } else if (packet::classify(bytes) == packet::DatagramKind::wireguard_initiation) {
    agent->on_initiation(arrival, now);
    // The answer takes the way of its question (spec connectivity 5.5).
    while (const auto answer = connection->peer.poll_message()) send_on(arrival, *answer, now);
  }
}

void Engine::on_relay_event(const turn::RelayEvent& event, Instant now) {
  for (auto& [key, connection] : connections_) {
    if (const auto* learnt = std::get_if<turn::CandidateLearnt>(&event.what)) {
      const bool is_relayed = learnt->candidate.kind == turn::Candidate::Kind::relayed;
      if (!is_relayed || connection->relay == event.id)
        add_local(*connection, learnt->candidate, now);
    } else if (const auto* lost = std::get_if<turn::CandidateInvalidated>(&event.what)) {
      const auto removed = connection->agent.remove_local(lost->candidate.address, now);
      if (!removed) continue;
      std::erase(connection->announce, *removed);
      if (connection->agent.ice() != nullptr) connection->withdraw.push_back(*removed);
    } else if (connection->relay == event.id) {
      if (std::holds_alternative<turn::RelayGone>(event.what)) connection->relay.reset();
      update_way(*connection, now);
    }
  }
}

}  // namespace fg::client
