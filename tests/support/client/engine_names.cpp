// Names of DNS resources: addresses handed out for them, and telling the gateway (spec policy 1.1,
// 4.5.4, 4.6; portal 5.3).
#include <nlohmann/json.hpp>

#include "base/encoding.h"
#include "control/acl/pattern.h"
#include "packet/control_message.h"
#include "tests/support/client/engine.h"

namespace fg::client {

const Resource* Engine::resource_of_name(const std::string& name) const {
  const Resource* best = nullptr;
  for (const auto& resource : resources_) {
    if (resource.type != Resource::Type::dns) continue;
    const auto pattern = acl::Pattern::parse(resource.address);
    if (!pattern || !pattern->matches(name)) continue;
    if (best == nullptr || best->address.size() < resource.address.size()) best = &resource;
  }
  return best;
}

Engine::Name* Engine::name_for(const IpAddress& destination) {
  const auto at = by_proxy_.find(destination);
  return at == by_proxy_.end() ? nullptr : &names_.at(at->second);
}
const Engine::Name* Engine::name_for(const IpAddress& destination) const {
  const auto at = by_proxy_.find(destination);
  return at == by_proxy_.end() ? nullptr : &names_.at(at->second);
}

// Consecutive; the network address of the IPv4 range is skipped.
std::vector<IpAddress> Engine::next_proxies() {
  std::vector<IpAddress> out;
  for (std::uint32_t i = 0; i < kProxiesAName; ++i) {
    std::array<std::uint8_t, 4> v4{};
    store_be32(v4.data(), 0x6460'0001 + proxies_given_ + i);
    out.push_back(IpAddress::v4(v4));
  }
  for (std::uint32_t i = 0; i < kProxiesAName; ++i) {
    std::array<std::uint8_t, 16> v6{0xFD, 0x00, 0x20, 0x21, 0x11, 0x11, 0x80, 0x00};
    store_be32(v6.data() + 12, proxies_given_ + i);
    out.push_back(IpAddress::v6(v6));
  }
  proxies_given_ += kProxiesAName;
  return out;
}

std::vector<IpAddress> Engine::resolve(const std::string& name, std::optional<ResourceId> through,
                                       Instant now) {
  last_now_ = now;
  recent_route_.second = nullptr;
  const auto* resource = resource_of_name(name);
  if (!through && resource == nullptr) return {};
  const auto id = through ? *through : resource->id;
  auto [at, is_new] = names_.try_emplace(name);
  auto& known = at->second;
  if (is_new) {
    known.proxies = next_proxies();
    for (const auto& proxy : known.proxies) by_proxy_[proxy] = name;
    known.resource = id;
  }
  if (through && known.resource != id) {
    known.resource = id;
    known.settled.reset();
  }
  if (options_.generation == Generation::a) {
    if (!known.settled) ask_for_name(known, now);
    return known.proxies;
  }
  // Every later query is another announcement, once the resource has a gateway.
  const auto gateway = gateway_of_.find(known.resource);
  if (gateway == gateway_of_.end()) return known.proxies;
  if (auto* connection = find(gateway->second); connection != nullptr && known.announced_at) {
    known.announced_at.reset();
    announce(known, *connection, now);
  }
  return known.proxies;
}

void Engine::hold_for_name(Name& name, Bytes inner, Instant now, WallTime wall) {
  auto* settled = name.settled ? find(*name.settled) : nullptr;
  const auto gateway = gateway_of_.find(name.resource);
  auto* connection = settled;
  if (settled == nullptr && gateway != gateway_of_.end()) connection = find(gateway->second);
  if (settled != nullptr)
    keep(settled->pending, inner);
  else if (name.packets.size() < kHeldForAName)
    name.packets.push_back(copy_of(inner));
  else
    ++counters_.queue_dropped;
  if (settled == nullptr) {
    if (options_.generation == Generation::a) return ask_for_name(name, now);
    if (connection == nullptr) {
      if (auto* wanted = want(name.resource)) ask(name.resource, *wanted, now);
      return;
    }
    announce(name, *connection, now);
  }
  mark_active(*connection, now);
  if (!connection->can_send(now) && connection->way.kind != Way::Kind::none)
    connection->peer.start_handshake(now, wall);
}

// A: access is asked for name by name.
void Engine::ask_for_name(Name& name, Instant now) {
  if (!interface_ || (name.announced_at && now - *name.announced_at < kAskInterval)) return;
  name.announced_at = now;
  ++counters_.requests;
  if (!first_request_) first_request_ = now;
  tell_portal(prepare_connection(name.resource, connected_gateways()),
              await_reply(PrepareAsked{name.resource, by_proxy_.at(name.proxies.front())}, now));
}

void Engine::announce(Name& name, Connection& connection, Instant now) {
  if (name.announced_at && now - *name.announced_at < kAnnounceInterval) return;
  name.announced_at = now;
  ++counters_.announcements;
  const auto json = assigned_ips(name.resource, by_proxy_.at(name.proxies.front()), name.proxies);
  std::array<std::uint8_t, packet::kPacketMax> packet{};
  const packet::ControlMessage message{packet::ControlMessage::kAssignedIps, as_bytes(json)};
  keep(connection.pending, Bytes{packet}.first(message.write(packet)));
  flush_pending(connection, now);
}

// After a grant: the gateway may have forgotten what it was told.
void Engine::announce_again(const ResourceId& resource, Connection& connection, Instant now) {
  if (options_.generation == Generation::a) return;
  for (auto& [text, name] : names_) {
    if (name.resource != resource) continue;
    name.settled.reset();
    name.announced_at.reset();
    if (!name.packets.empty()) announce(name, connection, now);
  }
}

void Engine::settle_name(Name& name, Connection& connection, Instant now) {
  recent_route_.second = nullptr;
  name.settled = connection.gateway;
  for (auto packets = std::exchange(name.packets, {}); const auto& packet : packets)
    keep(connection.pending, packet);
  flush_pending(connection, now);
}

// Whatever it says, the packets that waited go out: the gateway answers them.
void Engine::on_domain_status(Connection& connection, Bytes json, Instant now) {
  const auto value = nlohmann::json::parse(json.begin(), json.end(), nullptr, false);
  if (!value.is_object()) return;
  const DomainStatus status{value.value("resource", ""), value.value("domain", ""),
                            value.value("status", "")};
  ++counters_.statuses;
  if (statuses_.size() == kStatusesMax) statuses_.pop_front();
  statuses_.push_back(status);
  const auto name = names_.find(status.domain);
  if (name == names_.end() || name->second.resource.to_string() != status.resource) return;
  settle_name(name->second, connection, now);
}

void Engine::unsettle_names(const GatewayId& gateway) {
  for (auto& [text, name] : names_) {
    if (name.settled != gateway) continue;
    name.settled.reset();
    name.announced_at.reset();
  }
}

bool Engine::send_raw(Bytes inner, Instant now) {
  for (auto& [key, connection] : connections_) {
    if (!connection->can_send(now)) continue;
    send_inner(*connection, inner, now);
    return true;
  }
  return false;
}

}  // namespace fg::client
