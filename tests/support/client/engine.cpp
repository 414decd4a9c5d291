#include "tests/support/client/engine.h"

#include <algorithm>

#include "base/encoding.h"
#include "packet/control_message.h"
#include "packet/probe.h"

namespace fg::client {
namespace {

// ICMP "administratively prohibited" (spec policy 3.7): destination of the quoted packet.
std::optional<IpAddress> prohibited_destination(Bytes inner) {
  if (inner.size() >= 20 && inner[0] >> 4 == 4 && inner[9] == 1) {
    const std::size_t header = std::size_t{inner[0] & 0x0FU} * 4;
    if (inner.size() < header + 8 + 20 || inner[header] != 3 || inner[header + 1] != 13)
      return std::nullopt;
    return IpAddress::from_bytes(inner.subspan(header + 8 + 16, 4));
  }
  if (inner.size() >= 40 + 8 + 40 && inner[0] >> 4 == 6 && inner[6] == 58 && inner[40] == 1 &&
      inner[41] == 1) {
    return IpAddress::from_bytes(inner.subspan(40 + 8 + 24, 16));
  }
  return std::nullopt;
}

template <class T>
std::optional<T> take(std::deque<T>& queue) {
  if (queue.empty()) return std::nullopt;
  auto out = std::move(queue.front());
  queue.pop_front();
  return out;
}

}  // namespace

Engine::Engine(EngineOptions options, const wireguard::Identity& identity, crypto::AeadEngine& aead,
               Random& random, Log log, Instant now)
    : options_(std::move(options)),
      identity_(identity),
      aead_(aead),
      random_(random),
      log_(std::move(log)),
      relays_(options_.turn, random),
      last_now_(now) {}

void Engine::on_timeout(Instant now, WallTime wall) {
  last_now_ = now;
  relays_.on_timeout(now);
  for (auto& [key, connection] : connections_) {
    connection->agent.on_timeout(now);
    connection->peer.on_timeout(now, wall);
    const auto quiet = now - connection->last_activity;
    if (options_.generation == Generation::a) {
      if (quiet >= kLegacyIdleClose) connection->is_over = true;
    } else if (!connection->is_idle && quiet >= kIdleAfter && connection->agent.is_connected()) {
      connection->is_idle = true;
      connection->agent.set_profile(ice::kClientIdle, now);
    }
  }
  dispatch_.on_timeout(now);
  std::erase_if(asked_at_, [&](const auto& entry) { return now - entry.second >= kAskInterval; });
  for (auto& [resource, wanted] : wants_) {
    if (wanted.insist_until && now >= *wanted.insist_until) wanted.insist_until.reset();
    if (wanted.insist_until) ask(resource, wanted, now);
  }
  std::erase_if(asked_, [&](const auto& entry) { return entry.second.until <= now; });
}

void Engine::settle(Instant now, WallTime wall) {
  last_now_ = now;
  recent_route_.second = nullptr;
  // Each round moves what the round before produced; the bound turns a loop into a delay.
  for (int round = 0; round < 16; ++round) {
    bool is_busy = false;
    while (auto event = relays_.poll_event()) {
      is_busy = true;
      if (const auto* relay = std::get_if<turn::RelayEvent>(&*event))
        on_relay_event(*relay, now);
      else if (options_.generation != Generation::a)
        tell_portal(no_relays());
    }
    std::vector<ConnectionKey> keys;
    for (const auto& [key, connection] : connections_) keys.push_back(key);
    for (const auto key : keys) {
      if (auto* connection = find(key)) pump(*connection, now, wall);
    }
    if (!is_busy && round > 0) break;
  }
  while (auto datagram = relays_.poll_datagram())
    datagrams_.push_back({datagram->to, std::nullopt, std::move(datagram->bytes)});
}

void Engine::close_all(Instant now) {
  last_now_ = now;
  std::vector<ConnectionKey> keys;
  for (const auto& [key, connection] : connections_) keys.push_back(key);
  for (const auto key : keys) remove(*find(key), true, now);
  wants_.clear();
  asked_.clear();
}

// ---- data ----

const Resource* Engine::resource_for(const IpAddress& destination) const {
  const Resource* best = nullptr;
  if (const auto* name = name_for(destination)) {
    const auto at = std::find_if(resources_.begin(), resources_.end(),
                                 [&](const Resource& r) { return r.id == name->resource; });
    return at == resources_.end() ? nullptr : &*at;
  }
  if (destination.is_multicast() || destination.is_link_local() || destination.is_broadcast())
    return best;
  for (const auto& resource : resources_) {
    if (resource.type == Resource::Type::internet && best == nullptr) best = &resource;
    if (resource.type != Resource::Type::cidr || !resource.network.contains(destination)) continue;
    if (best == nullptr || best->type == Resource::Type::internet ||
        best->network.prefix() < resource.network.prefix()) {
      best = &resource;
    }
  }
  return best;
}

Connection* Engine::route(const IpAddress& destination, Instant now) {
  if (recent_route_.second != nullptr && recent_route_.first == destination &&
      recent_route_.second->can_send(now)) {
    return recent_route_.second;
  }
  const auto* resource = resource_for(destination);
  const auto at = resource != nullptr ? gateway_of_.find(resource->id) : gateway_of_.end();
  auto* connection = at != gateway_of_.end() ? find(at->second) : nullptr;
  if (const auto* name = name_for(destination);
      name != nullptr && connection != nullptr && name->settled != connection->gateway) {
    return nullptr;
  }
  if (connection == nullptr || !connection->can_send(now)) return nullptr;
  recent_route_ = {destination, connection};
  return connection;
}

void Engine::keep(std::deque<ByteVector>& queue, Bytes packet) {
  if (queue.size() == kPendingPacketsMax) {
    queue.pop_front();
    ++counters_.queue_dropped;
  }
  queue.push_back(copy_of(packet));
}

void Engine::hold(const IpAddress& destination, Bytes inner, Instant now, WallTime wall) {
  if (auto* name = name_for(destination)) return hold_for_name(*name, inner, now, wall);
  const auto* resource = resource_for(destination);
  if (resource == nullptr) {
    ++counters_.unroutable;
    return;
  }
  if (const auto at = gateway_of_.find(resource->id); at != gateway_of_.end()) {
    if (auto* connection = find(at->second)) {
      keep(connection->pending, inner);
      mark_active(*connection, now);
      if (connection->way.kind != Way::Kind::none) connection->peer.start_handshake(now, wall);
      return;
    }
  }
  auto* wanted = want(resource->id);
  if (wanted == nullptr) return;
  keep(wanted->packets, inner);
  ask(resource->id, *wanted, now);
}

bool Engine::on_arrival(Connection& connection, const path::Path& path, Bytes inner, Instant now) {
  auto* agent = connection.agent.iceless();
  if (agent == nullptr) return true;
  const auto probe = packet::Probe::parse(inner);
  if (probe)
    agent->on_probe(path, *probe, now);
  else
    agent->on_data(path, now);
  return !probe;
}

bool Engine::on_inner(Connection& connection, Bytes inner, Instant now) {
  mark_active(connection, now);
  constexpr std::size_t kTypeAt = 40;
  if (inner.size() >= packet::kControlHeader && inner[0] >> 4 == 6 &&
      inner[6] == packet::kControlProtocol) {
    if (inner[kTypeAt] == packet::ControlMessage::kGoodbye &&
        options_.generation != Generation::a) {
      ++counters_.goodbyes;
      connection.is_over = true;
    } else if (inner[kTypeAt] == packet::ControlMessage::kDomainStatus) {
      const auto length = std::size_t{load_be16(inner.data() + 4)} + 40;
      if (length >= packet::kControlHeader && length <= inner.size())
        on_domain_status(connection, inner.first(length).subspan(packet::kControlHeader), now);
    }
    return false;
  }
  if (const auto destination = prohibited_destination(inner)) {
    const auto* resource = resource_for(*destination);
    if (resource != nullptr && options_.generation != Generation::a) {
      ++counters_.prohibited;
      if (auto* wanted = want(resource->id)) ask(resource->id, *wanted, now);
    }
  }
  return true;
}

void Engine::mark_active(Connection& connection, Instant now) {
  connection.last_activity = now;
  if (!connection.is_idle) return;
  connection.is_idle = false;
  connection.agent.set_profile(ice::kClientDefault, now);
}

// ---- outputs ----

std::optional<Datagram> Engine::poll_datagram() { return take(datagrams_); }
std::optional<PortalMessage> Engine::poll_portal() { return take(portal_); }
std::optional<NetworkSetup> Engine::poll_network() { return std::exchange(network_, std::nullopt); }

std::optional<Wakeup> Engine::wakeup() const {
  if (!datagrams_.empty() || !portal_.empty() || network_)
    return Wakeup{last_now_, "output queued"};
  auto out = relays_.wakeup();
  for (const auto& [key, connection] : connections_) {
    out = earlier(out, earlier(connection->agent.wakeup(), connection->peer.wakeup()));
    if (options_.generation == Generation::a) {
      out = earlier(out, Wakeup{connection->last_activity + kLegacyIdleClose, "idle close"});
    } else if (!connection->is_idle && connection->agent.is_connected()) {
      out = earlier(out, Wakeup{connection->last_activity + kIdleAfter, "idle"});
    }
  }
  for (const auto& [resource, wanted] : wants_) {
    if (!wanted.insist_until) continue;
    const auto last = asked_at_.find(resource);
    if (last != asked_at_.end())
      out = earlier(out, Wakeup{last->second + kAskInterval, "resource wanted"});
  }
  for (const auto& [tag, asked] : asked_) out = earlier(out, Wakeup{asked.until, "portal reply"});
  return out;
}

}  // namespace fg::client
