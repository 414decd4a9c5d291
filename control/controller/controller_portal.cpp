// What the portal says (spec portal 2.3, policy 2) and what is answered.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "control/acl/pattern.h"
#include "control/controller/controller.h"
#include "pipeline/tunnel_address.h"

namespace fg::controller {
namespace {

turn::Relay to_turn(const portal::Relay& relay) {
  return {relay.id, relay.v4, relay.v6, relay.username, relay.password};
}

std::vector<turn::Relay> to_turn(const std::vector<portal::Relay>& relays) {
  std::vector<turn::Relay> out;
  for (const auto& relay : relays) out.push_back(to_turn(relay));
  return out;
}

ice::Credentials to_ice(const portal::IceCredentials& credentials) {
  return {credentials.username, credentials.password};
}

bool covers(const portal::Resource& resource, const std::optional<portal::Domain>& domain) {
  if (resource.type != portal::Resource::Type::dns) return true;
  if (!domain) return false;
  const auto pattern = acl::Pattern::parse(resource.pattern);
  return pattern && pattern->matches(domain->name);
}

std::optional<portal::DomainResponse> response_to(const std::optional<portal::Domain>& domain,
                                                  const dns::Resolved& resolved) {
  if (!domain) return std::nullopt;
  return portal::DomainResponse{domain->name, resolved.all()};
}

// Whether a host can carry it at all.
bool is_host_address(const IpAddress& ip) {
  return !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback() && !ip.is_broadcast();
}

}  // namespace

void Controller::on(const portal::Init& message, Instant now) {
  if (!is_host_address(message.v4) || !is_host_address(message.v6)) {
    drop(DropReason::foreign_address);
    log_.warn("init ignored: its tunnel addresses are none of a host",
              {{"ipv4", message.v4}, {"ipv6", message.v6}});
    return;
  }
  update_relays({}, message.relays, now);
  // A whole list: what it leaves out is kept while in use (spec portal 2.3.1), and not tried again.
  if (!message.relays.empty()) {
    std::erase_if(told_relays_,
                  [&](const portal::Relay& relay) { return relays_.find(relay.id) == nullptr; });
  }
  interface_ = SetInterface{message.v4, message.v6};
  interfaces_.push_back(*interface_);
  tell_all(pipeline::SetGatewayAddresses{message.v4, message.v6});
  configure_flow_logs(message.flow_logs);
  // Absent on portals of generation A: nothing is revoked (spec policy 2.6).
  if (message.authorizations) {
    apply(access_.retain(*message.authorizations, now), now);
    withdraw_left_behind(*message.authorizations);
  }
  options_.left_behind.clear();
  release_held(now);
}

// Before any answer of ours: what a client learns of us from now on is not withdrawn by it.
void Controller::withdraw_left_behind(
    const std::vector<portal::AuthorizationEntry>& authorizations) {
  if (options_.left_behind.empty()) return;
  std::set<ClientId> clients;
  for (const auto& entry : authorizations) clients.insert(entry.client);
  for (const auto& client : clients) {
    portal_.emplace_back(
        portal::Egress{portal::BroadcastCandidates{client, options_.left_behind, true}});
  }
  if (!clients.empty())
    log_.info("candidates of the gateway that ended before us withdrawn",
              {{"clients", clients.size()}});
}

void Controller::on(const portal::RelaysPresence& message, Instant now) {
  update_relays(message.disconnected, message.connected, now);
  release_held(now);
}

void Controller::update_relays(const std::vector<RelayId>& removed,
                               const std::vector<portal::Relay>& added, Instant now) {
  relays_.update(removed, to_turn(added), now);
  if (!added.empty()) relay_retry_ = kRelayRetry;
  std::erase_if(told_relays_, [&](const portal::Relay& relay) {
    // One that restarted has another id, another secret and the same sockets (spec connectivity
    // 7.1); what it answers to the old credentials nobody can verify.
    const auto is_it = [&](const portal::Relay& other) {
      return other.id == relay.id || (other.v4 && other.v4 == relay.v4) ||
             (other.v6 && other.v6 == relay.v6);
    };
    return std::find(removed.begin(), removed.end(), relay.id) != removed.end() ||
           std::any_of(added.begin(), added.end(), is_it);
  });
  told_relays_.insert(told_relays_.end(), added.begin(), added.end());
  if (told_relays_.size() > turn::kRelaysMax)
    told_relays_.erase(told_relays_.begin(), told_relays_.end() - turn::kRelaysMax);
}

// Relays that the portal gave and did not take back are tried again, ever less often: it may not
// know that we cannot reach them, and one of generation A cannot be asked for others. Soon at
// first: without any relay no client is told where we are.
void Controller::retry_relays_later(Instant now) {
  if (now - std::exchange(relay_lost_at_, now) > 2 * kRelayRetryMax) relay_retry_ = kRelayRetry;
  if (retry_relays_at_) return;
  retry_relays_at_ = now + relay_retry_;
  relay_retry_ = std::min(2 * relay_retry_, kRelayRetryMax);
}

void Controller::retry_relays(Instant now) {
  retry_relays_at_.reset();
  relays_.update({}, to_turn(told_relays_), now);
}

void Controller::on(portal::Authorize&& message, Instant now) {
  // Without our own addresses a grant could not be kept (spec policy 2.2): not acknowledged, the
  // client asks again.
  if (!interface_) {
    log_.warn("authorization before init ignored: the client asks again",
              {{"client", message.client.id}});
    return;
  }
  // One that stays as it is needs no relay (spec connectivity 4.8).
  const auto* connection = find(message.client.id);
  const bool stays = connection != nullptr && is_same_connection(*connection, message);
  if (!stays && must_wait_for_relay()) {
    if (!hold(std::move(message), {}, now)) answer_no_relays();
    return;
  }
  accept(message, now);
}

bool Controller::refuses(const acl::Grant& grant) {
  const bool is_ours = interface_ && (grant.v4 == interface_->v4 || grant.v6 == interface_->v6);
  auto reason = DropReason::foreign_address;
  if (!is_ours && pipeline::is_tunnel_address(grant.v4) && pipeline::is_tunnel_address(grant.v6)) {
    const auto refusal = access_.refusal_of(grant);
    if (!refusal) return false;
    reason = acl::drop_reason_of(*refusal);
  }
  drop(reason);
  log_.warn(
      "authorization refused",
      {{"client", grant.client}, {"resource", grant.resource.id}, {"reason", sentence_of(reason)}});
  return true;
}

bool Controller::refuses_connections() {
  if (!commands_.is_full()) return false;
  drop(DropReason::command_queue_full);
  log_.warn("workers do not keep up, connection refused: the client asks again");
  return true;
}

void Controller::accept(const portal::Authorize& message, Instant now) {
  const acl::Grant grant{message.client.id,       message.client.v4,  message.client.v6,
                         message.resource,        message.expires_at, std::nullopt,
                         acl::GrantStyle::replace};
  if (refuses(grant)) return;
  const auto whose = attribution_of(message);
  announce_token(whose);
  Connection* connection = find(message.client.id);
  if (connection != nullptr && is_same_connection(*connection, message)) {
    // The client may have lost what it knew of us without changing keys (spec connectivity 4.8).
    seed_candidates(*connection, now);
    connection->announce = connection->agent.local_candidates();
    const auto* agent = connection->agent.ice();
    if (agent != nullptr && now - agent->last_heard() >= ice::kUnheardAfter)
      prompt(*connection, now);
    wake(*connection, now);
    dirty_.push_back(connection->options.key);
  } else {
    if (refuses_connections()) return;
    const auto relay = relays_.select();
    if (!relay) {
      answer_no_relays();
      return;
    }
    if (connection != nullptr) remove(*connection, false, now);
    connection = create({message.client.id, message.client.public_key, message.client.preshared_key,
                         message.client.v4, message.client.v6, to_ice(message.gateway_ice),
                         to_ice(message.client_ice), false, message.use_iceless, relay},
                        now);
    if (connection == nullptr) return;
  }
  const auto change = access_.grant(grant, now);
  FG_ASSERT(change);
  apply(*change, now);
  attribute(message.client.id, message.resource, whose);
  portal_.emplace_back(portal::Egress{portal::Authorized{message.dialect, message.ref}});
  log_.debug("access granted", {{"client", message.client.id}, {"resource", message.resource.id}});
}

void Controller::on(portal::RequestConnection&& message, Instant now) {
  const auto client = message.client.id;
  resolve_then_accept(client, std::move(message), now);
}

void Controller::on(portal::AllowAccess&& message, Instant now) {
  const auto client = message.client;
  resolve_then_accept(client, std::move(message), now);
}

template <class Request>
void Controller::resolve_then_accept(const ClientId& client, Request&& request, Instant now) {
  // A refused domain gets no answer and touches nothing else (spec portal 2.3.2 step 4).
  if (!covers(request.resource, request.domain)) {
    drop(DropReason::domain_not_covered);
    log_.warn("request for a name outside its resource: check the resource's address in the portal",
              {{"client", client}, {"resource", request.resource.id}});
    return;
  }
  if (!request.domain) {
    accept(request, {}, now);
    return;
  }
  const auto& proxies = request.domain->proxy_ips;
  if (!proxies.empty() && !acl::are_proxies(proxies)) {
    drop(DropReason::foreign_proxy);
    log_.debug("request with foreign proxy addresses", {{"client", client}});
    return;
  }
  const auto id = resolutions_.start(request.domain->name, dns::Asker::request, client, now);
  if (id)
    asked_.emplace(*id, std::forward<Request>(request));
  else
    drop(id.error());
}

void Controller::accept(const portal::RequestConnection& message, const dns::Resolved& resolved,
                        Instant now) {
  if (own_addresses_.empty() && must_wait_for_relay()) {
    portal::RequestConnection copy;
    copy.ref = message.ref;
    copy.resource = message.resource;
    copy.expires_at = message.expires_at;
    copy.client = {message.client.id, message.client.public_key,
                   message.client.preshared_key.copy(), message.client.v4, message.client.v6};
    copy.client_ice = message.client_ice;
    copy.domain = message.domain;
    if (hold(std::move(copy), resolved, now)) return;
  }
  const acl::Grant grant{
      message.client.id,  message.client.v4, message.client.v6,       message.resource,
      message.expires_at, message.domain,    acl::GrantStyle::extend, resolved};
  if (refuses(grant) || refuses_connections()) return;
  // Always a new connection; grants made before survive it (spec portal 2.3.3).
  if (Connection* previous = find(message.client.id)) remove(*previous, false, now);
  const auto ours = ice::generate_credentials(random_);
  auto relay = relays_.select();
  if (!relay) relay = relays_.select_any();
  auto* connection = create(
      {message.client.id, message.client.public_key, message.client.preshared_key,
       message.client.v4, message.client.v6, ours, to_ice(message.client_ice), true, false, relay},
      now);
  if (connection == nullptr) return;
  const auto change = access_.grant(grant, now);
  FG_ASSERT(change);
  apply(*change, now);
  attribute_known(message.client.id, message.resource);
  portal_.emplace_back(portal::Egress{
      portal::ConnectionReady{message.ref, portal::IceCredentials{ours.ufrag, ours.password},
                              response_to(message.domain, resolved)}});
}

void Controller::accept(const portal::AllowAccess& message, const dns::Resolved& resolved,
                        Instant now) {
  // May come before the connection: the access list then waits for it (spec portal 2.3.3).
  const acl::Grant grant{
      message.client,     message.client_v4, message.client_v6,       message.resource,
      message.expires_at, message.domain,    acl::GrantStyle::extend, resolved};
  if (refuses(grant)) return;
  const auto change = access_.grant(grant, now);
  FG_ASSERT(change);
  apply(*change, now);
  attribute_known(message.client, message.resource);
  // Only grants that asked for a name are answered.
  if (message.domain) {
    portal_.emplace_back(portal::Egress{
        portal::ConnectionReady{message.ref, std::nullopt, response_to(message.domain, resolved)}});
  }
}

void Controller::on(const portal::RejectAccess& message, Instant now) {
  apply(access_.reject(message.client, message.resource), now);
}

void Controller::on(const portal::ResourceUpdated& message, Instant now) {
  apply(access_.update_filters(message.resource, now), now);
}

void Controller::on(const portal::ExpiryUpdated& message, Instant now) {
  (void)access_.set_expiry(message.client, message.resource, message.expires_at, now);
}

void Controller::on(const portal::IceCandidates& message, Instant now) {
  auto* connection = find(message.client);
  if (connection == nullptr) {
    drop(DropReason::unknown_client);
    return;
  }
  for (const auto& line : message.candidates) {
    if (message.invalidated) {
      connection->agent.invalidate_remote(line, now);
      take_back_answers(*connection);
      continue;
    }
    const auto added = connection->agent.add_remote(line, now);
    if (!added.is_parsable) drop(DropReason::unparsable_candidate);
    if (!added.accepted) continue;
    tell_all(pipeline::ExpectSource{added.accepted->address.ip});
    if (ice::wants_channel(added.accepted->kind) && connection->relay)
      relays_.bind_channel(*connection->relay, added.accepted->address, now);
  }
  wake(*connection, now);
  dirty_.push_back(connection->options.key);
}

// ---- requests that came before any relay was measured ----

bool Controller::must_wait_for_relay() const {
  bool measuring = false;
  for (const auto& id : relays_.ids()) {
    const auto* allocation = relays_.find(id);
    if (allocation == nullptr) continue;
    if (allocation->rtt()) return false;
    if (!allocation->is_suspended()) measuring = true;
  }
  return measuring;
}

bool Controller::hold(Held request, dns::Resolved resolved, Instant now) {
  if (held_.size() == kHeldRequestsMax) return false;
  held_.push_back({std::move(request), std::move(resolved), now + kHoldMax});
  return true;
}

void Controller::release_held(Instant now) {
  if (held_.empty() || must_wait_for_relay()) return;
  for (auto held = std::exchange(held_, {}); !held.empty(); held.pop_front()) {
    auto& request = held.front();
    if (const auto* authorize = std::get_if<portal::Authorize>(&request.request)) {
      accept(*authorize, now);
    } else {
      accept(std::get<portal::RequestConnection>(request.request), request.resolved, now);
    }
  }
}

void Controller::answer_no_relays() {
  // An A portal knows no such message and its channel would crash on it (spec portal 2.4).
  if (generation_ != portal::Generation::a)
    portal_.emplace_back(portal::Egress{portal::NoRelays{}});
}

void Controller::drain_resolutions(Instant now) {
  while (const auto outcome = resolutions_.poll_outcome()) {
    const auto found = asked_.extract(outcome->id);
    if (found.empty()) continue;
    std::visit([&](const auto& asked) { accept(asked, outcome->resolved, now); }, found.mapped());
  }
}

void Controller::apply(const acl::Change& change, Instant now) {
  note_endings();
  for (const auto& address : change.addresses) {
    if (address.is_v4() && !access_.client_for(address)) tell_all(pipeline::ForgetFlows{address});
  }
  // Other tunnel addresses are another client to the workers; a connection made for the old ones
  // has to be asked for anew.
  for (const auto& client : change.readdressed) {
    auto* connection = find(client);
    const auto addresses = access_.addresses_of(client);
    if (connection == nullptr || !addresses) continue;
    if (connection->options.tunnel_v4 != addresses->v4 ||
        connection->options.tunnel_v6 != addresses->v6) {
      remove(*connection, false, now);
    }
  }
  // Where names lead is told before who may go there.
  for (const auto& client : change.translate) {
    auto* connection = find(client);
    if (connection == nullptr) continue;
    set_translations(*connection, std::ranges::binary_search(change.renumbered, client));
  }
  for (const auto& client : change.recompile) {
    if (auto* connection = find(client)) set_policy(*connection);
  }
  for (const auto* list : {&change.recompile, &change.translate, &change.emptied})
    for (const auto& client : *list) forget_attributions(client);
  for (const auto& client : change.emptied) {
    auto* connection = find(client);
    if (connection == nullptr) continue;
    log_.info("client has no access left", {{"client", client}});
    // A clients know no goodbye and expect their connection to serve a later grant (spec
    // portal 2.3.5).
    if (connection->options.is_legacy) {
      set_translations(*connection, true);
      set_policy(*connection);
    } else {
      remove(*connection, true, now);
    }
  }
}

}  // namespace fg::controller
