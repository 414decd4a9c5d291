#include "control/controller/controller.h"

#include <algorithm>
#include <utility>

namespace fg::controller {
namespace {

constexpr Duration kRelayRecent =
    5s;  // silent relays are asked ever less often (docs/protocols/turn.md)

}  // namespace

Controller::Controller(Options options, const wireguard::Identity& identity, Random& random,
                       Log log, Instant now, WallTime wall)
    : options_(std::move(options)),
      identity_(identity),
      random_(random),
      log_(std::move(log)),
      relays_(options_.turn, random),
      access_(acl::ProcessStart{now, wall}, acl::Limits{.clients = options_.clients_max}),
      limiter_(identity, random, now),
      slots_(options_.clients_max),
      commands_(options_.commands_max * options_.workers),
      last_now_(now) {}

void Controller::on_portal_joined(portal::Generation generation) { generation_ = generation; }

void Controller::on_portal(portal::Ingress message, Instant now, WallTime) {
  last_now_ = now;
  std::visit([&](auto&& m) { on(std::forward<decltype(m)>(m), now); }, std::move(message));
  drain_resolutions(now);
  pump_relays(now);
}

void Controller::on_punt(const pipeline::Punt& punt, Instant now, WallTime) {
  last_now_ = now;
  const Bytes bytes = Bytes{punt.bytes}.first(punt.length);
  if (punt.kind == pipeline::Punt::Kind::inner) {
    on_control_packet(punt.slot, bytes, now);
  } else {
    on_datagram(punt.local, punt.from, bytes, now);
  }
  pump_relays(now);
}

void Controller::on_event(const pipeline::Event& event, Instant now, WallTime wall) {
  last_now_ = now;
  if (const auto* confirmed = std::get_if<pipeline::SessionConfirmed>(&event)) {
    if (auto* connection = find(confirmed->slot)) {
      connection->handshake.on_session_confirmed(now);
      if (auto* agent = connection->agent.iceless()) agent->on_usable(now);
      dirty_.push_back(connection->options.key);
    }
  } else if (const auto* needed = std::get_if<pipeline::HandshakeNeeded>(&event)) {
    if (auto* connection = find(needed->slot)) {
      // Without ICE there are no checks to miss, but data without an answer for 7 s.
      if (needed->why == pipeline::HandshakeNeeded::Why::nothing_heard &&
          connection->agent.iceless() != nullptr && relays_.was_heard_after(now - kRelayRecent))
        prompt(*connection, now);
      connection->handshake.start(now, wall);
      dirty_.push_back(connection->options.key);
    }
  } else if (const auto* active = std::get_if<pipeline::ClientActivity>(&event)) {
    if (auto* connection = find(active->slot)) wake(*connection, now);
  } else if (const auto* heard = std::get_if<pipeline::RouteActivity>(&event)) {
    if (auto* connection = find(heard->slot)) on_route_activity(*connection, *heard, now);
  } else if (const auto* channel = std::get_if<pipeline::ChannelActivity>(&event)) {
    relays_.on_channel_activity(channel->relay, channel->channel, now);
  } else if (const auto* answered = std::get_if<pipeline::CheckAnswered>(&event)) {
    on_check_answered(*answered);
  } else if (const auto* retired = std::get_if<pipeline::PolicyRetired>(&event)) {
    release_policy(retired->policy);
  } else if (const auto* given_back = std::get_if<pipeline::TranslationsRetired>(&event)) {
    translations_.erase(given_back->translations);
  } else if (const auto* silent = std::get_if<pipeline::NameSilent>(&event)) {
    on_name_silent(*silent, now);
  } else if (const auto* removed = std::get_if<pipeline::ClientRemoved>(&event)) {
    slots_.give_back(removed->slot);
  } else if (const auto* read = std::get_if<pipeline::TrafficRead>(&event)) {
    take_traffic(read->page, now);
  }
  pump_relays(now);
}

void Controller::on_route_activity(Connection& connection, const pipeline::RouteActivity& heard,
                                   Instant now) {
  const auto path = path_of(heard.route, now);
  if (!path) return;
  if (auto* agent = connection.agent.ice()) {
    agent->on_data(path->local, path->remote, now);
  } else if (heard.probe) {
    connection.agent.iceless()->on_probe(*path, *heard.probe, now);
  } else {
    connection.agent.iceless()->on_data(*path, now);
  }
  dirty_.push_back(connection.options.key);
}

void Controller::on_resolved(dns::ResolutionId id, dns::Resolved resolved, Instant now, WallTime) {
  last_now_ = now;
  resolutions_.on_answer(id, std::move(resolved), now);
  drain_resolutions(now);
  pump_relays(now);
}

void Controller::on_network_changed(Instant now) {
  last_now_ = now;
  relays_.probe(now);
  pump_relays(now);
}

void Controller::send_keepalives(Instant now) {
  for (const auto& [client, key] : by_client_) {
    const auto* connection = find(key);
    if (connection != nullptr && connection->has_session &&
        connection->path.kind != pipeline::Path::Kind::none)
      send_inner(*connection, {});  // nothing inside: a keepalive
  }
  on_network_changed(now);
}

void Controller::on_timeout(Instant now, WallTime wall) {
  last_now_ = now;
  // Relays before connections: what an allocation lost or won decides what a connection may still
  // do (spec connectivity 1.5).
  relays_.on_timeout(now);
  if (retry_relays_at_ && *retry_relays_at_ <= now) retry_relays(now);
  pump_relays(now);
  // Each connection once a call: one that is due again at this very instant does not starve the
  // others.
  std::vector<ConnectionKey> due;
  for (auto at = deadlines_.begin(); at != deadlines_.end() && at->first <= now; ++at)
    due.push_back(at->second);
  for (const auto key : due) {
    if (auto* connection = find(key)) on_connection_timeout(*connection, now, wall);
  }
  apply(access_.expire(now), now);
  resolutions_.on_timeout(now);
  drain_resolutions(now);
  dispatch_.on_timeout(now);
  while (!held_.empty() && held_.front().until <= now) {
    held_.pop_front();
    answer_no_relays();
  }
  for (; !retired_.empty() && retired_.front().first <= now; retired_.pop_front())
    retired_keys_.erase(retired_.front().second);
  pump_relays(now);
}

void Controller::shut_down(Instant now) {
  last_now_ = now;
  std::vector<ConnectionKey> keys;
  for (const auto& [client, key] : by_client_) keys.push_back(key);
  for (const auto key : keys) {
    auto* connection = find(key);
    if (connection == nullptr) continue;
    connection->announce.clear();
    if (connection->agent.ice() != nullptr)
      connection->withdraw = connection->agent.local_candidates();
    flush_signals(*connection);
    remove(*connection, true, now);
  }
  if (std::exchange(is_tracking_flows_, false)) tell_all(pipeline::SetFlowTracking{false});
}

std::optional<Datagram> Controller::poll_datagram() {
  if (datagrams_.empty()) return std::nullopt;
  auto out = std::move(datagrams_.front());
  datagrams_.pop_front();
  return out;
}

std::optional<WorkerCommand> Controller::poll_command(const WorkerSet& busy) {
  return commands_.pop(busy);
}

void Controller::enqueue(WorkerCommand command) {
  if (!commands_.push(std::move(command))) drop(DropReason::command_queue_full);
  while (const auto policy = commands_.poll_unused_policy()) release_policy(*policy);
  while (const auto unused = commands_.poll_unused_translations()) translations_.erase(*unused);
}

std::optional<PortalOutput> Controller::poll_portal() {
  if (portal_.empty()) return std::nullopt;
  auto out = std::move(portal_.front());
  portal_.pop_front();
  return out;
}

std::optional<SetInterface> Controller::poll_interface() {
  if (interfaces_.empty()) return std::nullopt;
  auto out = interfaces_.front();
  interfaces_.pop_front();
  return out;
}

std::optional<std::vector<std::string>> Controller::poll_reachable() {
  if (!std::exchange(is_reachable_news_, false)) return std::nullopt;
  std::vector<std::string> out;
  for (const auto& id : relays_.ids()) {
    for (const auto& candidate : relays_.find(id)->candidates()) {
      const auto address = to_local(candidate);
      const auto line =
          ice::to_line({.kind = address.kind,
                        .address = address.address,
                        .base = address.socket,
                        .raddr = std::nullopt,
                        .priority = 1,
                        .foundation = ice::make_foundation(address.kind, address.socket.ip, 1)},
                       "", ice::LineForm::standard);
      if (std::find(out.begin(), out.end(), line) == out.end()) out.push_back(line);
    }
  }
  return out;
}

std::optional<Wakeup> Controller::wakeup() const {
  if (!datagrams_.empty() || !commands_.is_empty() || !portal_.empty() || !interfaces_.empty() ||
      !flow_log_news_.empty() || is_reachable_news_) {
    return Wakeup{last_now_, "output queued"};
  }
  if (!dirty_.empty()) return Wakeup{last_now_, "connections to serve"};
  std::optional<Wakeup> out = relays_.wakeup();
  if (!deadlines_.empty()) out = earlier(out, Wakeup{deadlines_.begin()->first, "connection"});
  if (!held_.empty()) out = earlier(out, Wakeup{held_.front().until, "request waits for a relay"});
  if (retry_relays_at_) out = earlier(out, Wakeup{*retry_relays_at_, "relay retry"});
  out = earlier(out, access_.next_expiry());
  out = earlier(out, resolutions_.wakeup());
  return out;
}

Summary Controller::summary() const {
  Summary out;
  out.clients = access_.client_count();
  out.connections = connections_.size();
  out.direct = by_path_kind_[static_cast<std::size_t>(pipeline::Path::Kind::direct)];
  out.relayed = by_path_kind_[static_cast<std::size_t>(pipeline::Path::Kind::relayed)];
  out.relays = relays_.size();
  for (const auto& id : relays_.ids()) {
    const auto* allocation = relays_.find(id);
    if (allocation != nullptr &&
        (allocation->relayed(Family::v4) || allocation->relayed(Family::v6)))
      ++out.relays_answering;
  }
  return out;
}

}  // namespace fg::controller
