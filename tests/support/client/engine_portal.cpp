// What the portal says (spec portal 5), and asking it for access.
#include <algorithm>

#include "tests/support/client/engine.h"

namespace fg::client {
namespace {

// Proxy addresses of DNS resources (spec portal 3.5); tunnel addresses of others are reached
// through no route.
const std::array kProxyRanges = {Cidr{IpAddress::v4(100, 96, 0, 0), 11},
                                 Cidr{*IpAddress::parse("fd00:2021:1111:8000::"), 107}};

}  // namespace

void Engine::on_portal_joined(Instant now) {
  last_now_ = now;
  for (auto& [resource, wanted] : wants_) {
    if (wanted.insist_until) ask(resource, wanted, now);
  }
}

void Engine::on_message(Message message, Instant now) {
  last_now_ = now;
  recent_route_.second = nullptr;
  std::visit([&](auto&& m) { on(std::forward<decltype(m)>(m), now); }, std::move(message));
}

void Engine::on(Init&& message, Instant now) {
  interface_ = message.interface;
  resources_ = std::move(message.resources);
  std::erase_if(gateway_of_, [&](const auto& entry) {
    return std::none_of(resources_.begin(), resources_.end(),
                        [&](const Resource& r) { return r.id == entry.first; });
  });
  relays_.update({}, message.relays, now);
  set_network();
}

void Engine::on(const ConfigChanged& message, Instant /*now*/) {
  interface_ = message.interface;
  set_network();
}

void Engine::on(const ResourceChanged& message, Instant /*now*/) {
  const auto known = std::find_if(resources_.begin(), resources_.end(),
                                  [&](const Resource& r) { return r.id == message.resource.id; });
  if (known == resources_.end())
    resources_.push_back(message.resource);
  else
    *known = message.resource;
  set_network();
}

void Engine::on(const ResourceDeleted& message, Instant /*now*/) {
  std::erase_if(resources_, [&](const Resource& r) { return r.id == message.resource; });
  gateway_of_.erase(message.resource);
  wants_.erase(message.resource);
  set_network();
}

void Engine::on(const RelaysPresence& message, Instant now) {
  relays_.update(message.disconnected, message.connected, now);
}

void Engine::on(const Candidates& message, Instant now) {
  auto* connection = find(message.gateway);
  if (connection == nullptr) {
    log_.debug("candidates of an unknown gateway", {{"gateway", message.gateway}});
    return;
  }
  for (const auto& line : message.lines) {
    if (message.invalidated) {
      connection->agent.invalidate_remote(line, now);
      continue;
    }
    const auto added = connection->agent.add_remote(line, now);
    if (added.accepted && ice::wants_channel(added.accepted->kind) && connection->relay) {
      relays_.bind_channel(*connection->relay, added.accepted->address, now);
    }
  }
  mark_active(*connection, now);
}

void Engine::on(Granted&& message, Instant now) {
  const auto wanted = wants_.find(message.resource);
  if (wanted == wants_.end() || !wanted->second.first_asked) {
    ++counters_.ignored_grants;
    return;
  }
  ++counters_.grants;
  auto* connection = find(message.gateway);
  const bool is_same =
      connection != nullptr && message.use_iceless == (connection->agent.ice() == nullptr) &&
      (message.use_iceless || (connection->agent.ice()->local_credentials() == message.ours &&
                               connection->agent.ice()->remote_credentials() == message.theirs)) &&
      connection->peer.remote() == message.gateway_key &&
      connection->preshared == message.preshared;
  if (is_same) {
    // Spec connectivity 4.8: the gateway may have lost what it knew of us.
    mark_active(*connection, now);
    seed_candidates(*connection, now);
    connection->announce = connection->agent.local_candidates();
    connection->wants_handshake = message.use_iceless;
  } else {
    if (connection != nullptr) remove(*connection, false, now);
    connection = &create({message.gateway, message.gateway_key, std::move(message.preshared),
                          std::move(message.ours), std::move(message.theirs), message.use_iceless},
                         now);
  }
  grant(message.resource, *connection);
}

void Engine::on(const Refused& message, Instant /*now*/) {
  refuse(message.resource, message.reason);
}

void Engine::on(const RejectAccess& message, Instant /*now*/) {
  gateway_of_.erase(message.resource);
}

// ---- generation A: replies ----

void Engine::on_reply(const Channel::Replied& reply, Instant now) {
  last_now_ = now;
  recent_route_.second = nullptr;
  auto asked = asked_.extract(reply.tag);
  if (asked.empty()) return;
  if (const auto* prepare = std::get_if<PrepareAsked>(&asked.mapped().what))
    return on_prepared(*prepare, reply, now);
  on_offer_reply(std::move(std::get<OfferAsked>(asked.mapped().what)), reply, now);
}

void Engine::on_prepared(const PrepareAsked& asked, const Channel::Replied& reply, Instant now) {
  const auto& resource = asked.resource;
  const auto known = names_.find(asked.name);
  auto* name = known == names_.end() ? nullptr : &known->second;
  const auto proxies = name != nullptr ? name->proxies : std::vector<IpAddress>{};
  const auto prepared = reply.is_ok ? parse_prepared(reply.response) : std::nullopt;
  if (!prepared) return refuse(resource, reply.reason);
  if (auto* connection = find(prepared->gateway)) {
    tell_portal(reuse_connection(resource, prepared->gateway, asked.name, proxies));
    grant(resource, *connection);
    if (name != nullptr) settle_name(*name, *connection, now);
    return;
  }
  if (auto* offer = offer_to(prepared->gateway)) {
    const std::pair wanted{resource, asked.name};
    const bool is_known =
        wanted == std::pair{offer->offer.resource, offer->offer.name} ||
        std::find(offer->also.begin(), offer->also.end(), wanted) != offer->also.end();
    if (is_known) return;
    offer->also.push_back(wanted);
    tell_portal(reuse_connection(resource, prepared->gateway, asked.name, proxies));
    return;
  }
  Offer offer{.gateway = prepared->gateway,
              .resource = resource,
              .preshared = {},
              .ours = ice::generate_credentials(random_),
              .name = asked.name,
              .proxies = proxies};
  random_.fill(offer.preshared.expose_mutable());
  auto message = request_connection(offer);
  const auto tag = await_reply(OfferAsked{std::move(offer), {}}, now);
  tell_portal(std::move(message), tag);
}

void Engine::on_offer_reply(OfferAsked asked, const Channel::Replied& reply, Instant now) {
  auto accepted = reply.is_ok ? parse_accepted(reply.response) : std::nullopt;
  if (!accepted || !accepted->theirs) return refuse(asked.offer.resource, reply.reason);
  ++counters_.grants;
  if (auto* previous = find(asked.offer.gateway)) remove(*previous, false, now);
  auto& connection =
      create({asked.offer.gateway, accepted->gateway_key, std::move(asked.offer.preshared),
              std::move(asked.offer.ours), std::move(*accepted->theirs), false},
             now);
  asked.also.emplace(asked.also.begin(), asked.offer.resource, asked.offer.name);
  for (const auto& [resource, text] : asked.also) {
    grant(resource, connection);
    if (const auto name = names_.find(text); name != names_.end())
      settle_name(name->second, connection, now);
  }
}

Engine::OfferAsked* Engine::offer_to(const GatewayId& gateway) {
  for (auto& [tag, asked] : asked_) {
    auto* offer = std::get_if<OfferAsked>(&asked.what);
    if (offer != nullptr && offer->offer.gateway == gateway) return offer;
  }
  return nullptr;
}

Tag Engine::await_reply(std::variant<PrepareAsked, OfferAsked> what, Instant now) {
  const Tag tag{next_tag_++};
  asked_.emplace(tag, Asked{std::move(what), now + kOfferTimeout});
  return tag;
}

// ---- asking ----

void Engine::connect(const ResourceId& resource, Instant now) {
  last_now_ = now;
  if (const auto at = gateway_of_.find(resource);
      at != gateway_of_.end() && find(at->second) != nullptr)
    return;
  auto* wanted = want(resource);
  if (wanted == nullptr) return;
  wanted->insist_until = now + kInsistFor;
  ask(resource, *wanted, now);
}

Engine::Want* Engine::want(const ResourceId& resource) {
  if (const auto known = wants_.find(resource); known != wants_.end()) return &known->second;
  return wants_.size() < kWantsMax ? &wants_[resource] : nullptr;
}

void Engine::ask(const ResourceId& resource, Want& wanted, Instant now) {
  const auto last = asked_at_.find(resource);
  if (!interface_ || (last != asked_at_.end() && now - last->second < kAskInterval)) return;
  // A: an offer is on its way, and would only be replaced by another.
  for (const auto& [tag, asked] : asked_) {
    const auto* offer = std::get_if<OfferAsked>(&asked.what);
    if (offer != nullptr && offer->offer.resource == resource) return;
  }
  asked_at_[resource] = now;
  if (!wanted.first_asked) wanted.first_asked = now;
  if (!first_request_) first_request_ = now;
  ++counters_.requests;
  if (options_.generation == Generation::a) {
    tell_portal(prepare_connection(resource, connected_gateways()),
                await_reply(PrepareAsked{resource, {}}, now));
  } else {
    tell_portal(request_access(options_.generation, resource, connected_gateways()));
  }
}

std::vector<GatewayId> Engine::connected_gateways() const {
  std::vector<GatewayId> out;
  for (const auto& [key, connection] : connections_) out.push_back(connection->gateway);
  for (const auto& [tag, asked] : asked_) {
    if (const auto* offer = std::get_if<OfferAsked>(&asked.what))
      out.push_back(offer->offer.gateway);
  }
  return out;
}

void Engine::refuse(const ResourceId& resource, const std::string& reason) {
  ++counters_.refusals;
  log_.info("access refused", {{"resource", resource}, {"reason", reason}});
  const auto wanted = wants_.find(resource);
  if (wanted == wants_.end()) return;
  wanted->second.packets.clear();
}

void Engine::grant(const ResourceId& resource, Connection& connection) {
  gateway_of_[resource] = connection.gateway;
  announce_again(resource, connection, last_now_);
  auto wanted = wants_.extract(resource);
  if (wanted.empty()) return;
  if (!connection.requested) connection.requested = wanted.mapped().first_asked;
  for (const auto& packet : wanted.mapped().packets) keep(connection.pending, packet);
  flush_pending(connection, last_now_);
}

void Engine::set_network() {
  if (!interface_) return;
  NetworkSetup out{*interface_, {kProxyRanges.begin(), kProxyRanges.end()}};
  for (const auto& resource : resources_) {
    if (resource.type == Resource::Type::cidr) out.routes.push_back(resource.network);
    if (resource.type != Resource::Type::internet) continue;
    out.routes.emplace_back(IpAddress::v4(0, 0, 0, 0), 0);
    out.routes.emplace_back(IpAddress::v6({}), 0);
  }
  std::sort(out.routes.begin(), out.routes.end());
  out.routes.erase(std::unique(out.routes.begin(), out.routes.end()), out.routes.end());
  network_ = std::move(out);
}

}  // namespace fg::client
