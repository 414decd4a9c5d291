#include "control/acl/access.h"

#include <algorithm>

#include "control/acl/pattern.h"

namespace fg::acl {
namespace {

using Type = portal::Resource::Type;

// spec policy 2.5: what the clock cannot hold is taken as one day from now. Dates up to the year
// 9999, the usual way to write "for ever", are not meant by that.
constexpr Duration kOverflowExpiry = 24h;
constexpr portal::UnixSeconds kYear9999 = 253'402'300'799;

// What a resource permits: its type's part of the description, without the name.
bool same_access(const portal::Resource& a, const portal::Resource& b) {
  if (a.type != b.type) return false;
  switch (a.type) {
    case Type::dns:
      return a.pattern == b.pattern && a.filters == b.filters;
    case Type::cidr:
      return a.network == b.network && a.filters == b.filters;
    case Type::internet:
      return true;
  }
  return false;
}

bool same_domain(const std::optional<portal::Domain>& a, const std::optional<portal::Domain>& b) {
  if (!a || !b) return !a && !b;
  return dns::folded(a->name) == dns::folded(b->name) && a->proxy_ips == b->proxy_ips;
}

// None is "never" and therefore the latest.
std::optional<Instant> later(std::optional<Instant> a, std::optional<Instant> b) {
  if (!a || !b) return std::nullopt;
  return std::max(*a, *b);
}

template <class T>
void sort_unique(std::vector<T>& list) {
  std::ranges::sort(list);
  list.erase(std::ranges::unique(list).begin(), list.end());
}

Change settled(Change change) {
  sort_unique(change.recompile);
  sort_unique(change.emptied);
  sort_unique(change.readdressed);
  sort_unique(change.addresses);
  sort_unique(change.translate);
  sort_unique(change.renumbered);
  return change;
}

bool is_named(const Grant& grant) {
  return grant.style == GrantStyle::extend && grant.resource.type == Type::dns && grant.domain;
}

}  // namespace

std::size_t AccessList::weight_of(const Entry& entry) {
  return 1 + entry.resource.filters.size() + entry.real.size();
}

DropReason drop_reason_of(Refusal refusal) {
  switch (refusal) {
    case Refusal::clients_full:
      return DropReason::clients_full;
    case Refusal::grants_full:
      return DropReason::grants_full;
    case Refusal::access_full:
      return DropReason::access_full;
    case Refusal::domain_missing:
    case Refusal::domain_mismatch:
      return DropReason::domain_not_covered;
    case Refusal::foreign_proxy:
      return DropReason::foreign_proxy;
    case Refusal::translations_full:
      return DropReason::translations_full;
  }
  return DropReason::domain_not_covered;
}

std::optional<Instant> AccessList::deadline_of(std::optional<portal::UnixSeconds> expires_at,
                                               Instant now) const {
  if (!expires_at) return std::nullopt;
  const auto whole = std::chrono::floor<std::chrono::seconds>(start_.wall.time_since_epoch());
  if (*expires_at <= whole.count()) return start_.instant;
  const auto seconds = *expires_at - whole.count();
  const auto room = std::chrono::floor<std::chrono::seconds>(Instant::max() - start_.instant);
  if (seconds >= room.count()) {
    if (*expires_at <= kYear9999) return std::nullopt;
    return now + kOverflowExpiry;
  }
  return start_.instant + std::chrono::seconds{seconds} - (start_.wall.time_since_epoch() - whole);
}

std::optional<Refusal> AccessList::refusal_of(const Grant& grant) const {
  const auto& resource = grant.resource;
  if (grant.style == GrantStyle::extend && resource.type == Type::dns) {
    if (!grant.domain) return Refusal::domain_missing;
    const auto pattern = Pattern::parse(resource.pattern);
    if (!pattern || !pattern->matches(grant.domain->name)) return Refusal::domain_mismatch;
    const auto& proxies = grant.domain->proxy_ips;
    if (!proxies.empty() && !are_proxies(proxies)) return Refusal::foreign_proxy;
  }
  const auto at = clients_.find(grant.client);
  if (at == clients_.end() && clients_.size() >= limits_.clients) return Refusal::clients_full;
  if (is_named(grant)) {
    const Client nobody;
    const auto& client = at == clients_.end() ? nobody : at->second;
    const auto weight =
        client.names.weight_with({resource.id, grant.domain->name, grant.domain->proxy_ips});
    if (weight > room_for_names(client)) return Refusal::translations_full;
  }
  std::size_t freed = 0;
  if (at != clients_.end() && at->second.addresses == TunnelAddresses{grant.v4, grant.v6}) {
    const auto& client = at->second;
    const auto held = client.resources.find(resource.id);
    if (held != client.resources.end()) {
      // Whatever is full, grants that are held may be renewed.
      const bool renews = std::ranges::any_of(held->second, [&](const Entry& entry) {
        return same_access(entry.resource, resource) && same_domain(entry.domain, grant.domain);
      });
      if (renews) return std::nullopt;
    }
    const bool replaces = grant.style == GrantStyle::replace && held != client.resources.end();
    if (!replaces && client.grants >= limits_.grants) return Refusal::grants_full;
    if (replaces) {
      for (const auto& entry : held->second) freed += weight_of(entry);
    }
  }
  const auto real = is_named(grant) ? grant.resolved.all().size() : 0;
  if (weight_ - freed + 1 + resource.filters.size() + real > limits_.weight)
    return Refusal::access_full;
  return std::nullopt;
}

Result<Change, Refusal> AccessList::grant(const Grant& grant, Instant now) {
  if (const auto refusal = refusal_of(grant)) return fail(*refusal);
  Change change;
  auto& client = upsert(grant, change);
  Entry entry{grant.resource, grant.domain, deadline_of(grant.expires_at, now), now, now, {}};
  bool changed = grant.style == GrantStyle::extend
                     ? extend(grant.client, client, std::move(entry))
                     : replace(grant.client, client, std::move(entry));
  changed |= assign_names(client, grant, change);
  if (changed) change.recompile.push_back(grant.client);
  return settled(std::move(change));
}

// Other tunnel addresses discard all that was known of the client (spec policy 2.2).
AccessList::Client& AccessList::upsert(const Grant& grant, Change& change) {
  const TunnelAddresses addresses{grant.v4, grant.v6};
  auto at = clients_.find(grant.client);
  if (at != clients_.end() && at->second.addresses != addresses) {
    auto& old = at->second;
    while (!old.resources.empty())
      erase_resource(grant.client, old, old.resources.begin()->first, EndedWhy::readdressed);
    unindex_addresses(grant.client, old.addresses, change);
    if (!old.names.proxies().empty()) {
      change.translate.push_back(grant.client);
      change.renumbered.push_back(grant.client);
    }
    forget_names(old);
    change.readdressed.push_back(grant.client);
    change.recompile.push_back(grant.client);
    old.addresses = addresses;
  } else if (at == clients_.end()) {
    at = clients_.emplace(grant.client, Client{.addresses = addresses, .resources = {}}).first;
    change.recompile.push_back(grant.client);
  }
  index_addresses(grant.client, addresses, change);
  return at->second;
}

// The client granted last owns an address.
void AccessList::index_addresses(ClientId id, const TunnelAddresses& addresses, Change& change) {
  for (const auto& address : {addresses.v4, addresses.v6}) {
    const auto [at, inserted] = by_address_.try_emplace(address, id);
    if (inserted || at->second != id) change.addresses.push_back(address);
    at->second = id;
  }
}

// Only what still points to this client: another one may have taken the address over.
void AccessList::unindex_addresses(ClientId id, const TunnelAddresses& addresses, Change& change) {
  for (const auto& address : {addresses.v4, addresses.v6}) {
    const auto at = by_address_.find(address);
    if (at == by_address_.end() || at->second != id) continue;
    by_address_.erase(at);
    change.addresses.push_back(address);
  }
}

// An equal grant held twice ends with the later of the two, so holding it once with that expiry is
// the same.
bool AccessList::extend(ClientId id, Client& client, Entry entry) {
  auto& held = client.resources[entry.resource.id];
  const auto equal = std::ranges::find_if(held, [&](const Entry& other) {
    return same_access(other.resource, entry.resource) && same_domain(other.domain, entry.domain);
  });
  if (equal != held.end()) {
    set_deadline(id, *equal, later(equal->deadline, entry.deadline));
    return false;
  }
  if (entry.deadline) deadlines_.insert({*entry.deadline, id, entry.resource.id});
  weight_ += weight_of(entry);
  held.push_back(std::move(entry));
  ++client.grants;
  return true;
}

bool AccessList::replace(ClientId id, Client& client, Entry entry) {
  const auto resource = entry.resource.id;
  const auto held = client.resources.find(resource);
  const bool same = held != client.resources.end() && held->second.size() == 1 &&
                    same_access(held->second.front().resource, entry.resource);
  if (held != client.resources.end()) {
    const auto& before = held->second.front();
    entry.since = before.since;
    if (before.resource.filters == entry.resource.filters)
      entry.filters_since = before.filters_since;
    erase_resource(id, client, resource, std::nullopt);
  }
  if (entry.deadline) deadlines_.insert({*entry.deadline, id, resource});
  weight_ += weight_of(entry);
  client.resources[resource].push_back(std::move(entry));
  ++client.grants;
  return !same;
}

void AccessList::set_deadline(ClientId id, Entry& entry, std::optional<Instant> deadline) {
  if (entry.deadline == deadline) return;
  if (entry.deadline) deadlines_.erase(deadlines_.find({*entry.deadline, id, entry.resource.id}));
  if (deadline) deadlines_.insert({*deadline, id, entry.resource.id});
  entry.deadline = deadline;
}

void AccessList::erase_resource(ClientId id, Client& client, ResourceId resource,
                                std::optional<EndedWhy> why) {
  const auto at = client.resources.find(resource);
  for (auto& entry : at->second) {
    set_deadline(id, entry, std::nullopt);
    weight_ -= weight_of(entry);
    if (why) note_end(id, client, entry, *why);
  }
  client.grants -= at->second.size();
  client.resources.erase(at);
}

void AccessList::note_end(ClientId id, const Client& client, Entry& entry, EndedWhy why) {
  if (ended_.size() == kEndedMax) ended_.pop_front();
  ended_.push_back({id, client.addresses, std::move(entry.resource), why, entry.since});
}

std::optional<Ended> AccessList::poll_ended() {
  if (ended_.empty()) return std::nullopt;
  auto out = std::move(ended_.front());
  ended_.pop_front();
  return out;
}

// After grants of a client ended: says so, and removes the client with its last one.
AccessList::Clients::iterator AccessList::settle(Clients::iterator at, bool changed,
                                                 Change& change) {
  auto& [id, client] = *at;
  if (!client.resources.empty()) {
    if (changed) change.recompile.push_back(id);
    return std::next(at);
  }
  change.emptied.push_back(id);
  unindex_addresses(id, client.addresses, change);
  forget_names(client);
  return clients_.erase(at);
}

Change AccessList::reject(ClientId client, ResourceId resource) {
  Change change;
  const auto at = clients_.find(client);
  if (at == clients_.end() || !at->second.resources.contains(resource)) return change;
  erase_resource(client, at->second, resource, EndedWhy::rejected);
  settle(at, true, change);
  return settled(std::move(change));
}

// The Internet resource has no filters: its description must neither filter one nor, its list being
// absent and hence empty, open a resource of another type.
Change AccessList::update_filters(const portal::Resource& resource, Instant now) {
  Change change;
  if (resource.type == Type::internet) return change;
  for (auto at = clients_.begin(); at != clients_.end();) {
    auto& [id, client] = *at;
    const auto held = client.resources.find(resource.id);
    if (held == client.resources.end()) {
      ++at;
      continue;
    }
    bool changed = false;
    bool fits = true;
    for (auto& entry : held->second) {
      if (entry.resource.type == Type::internet || entry.resource.filters == resource.filters)
        continue;
      const auto weight = weight_ - entry.resource.filters.size() + resource.filters.size();
      fits = fits && weight <= limits_.weight;
      if (!fits) break;
      weight_ = weight;
      entry.resource.filters = resource.filters;
      entry.filters_since = now;
      changed = true;
    }
    if (!fits) erase_resource(id, client, resource.id, EndedWhy::full);
    at = settle(at, changed || !fits, change);
  }
  return settled(std::move(change));
}

bool AccessList::set_expiry(ClientId client, ResourceId resource, portal::UnixSeconds expires_at,
                            Instant now) {
  const auto at = clients_.find(client);
  if (at == clients_.end()) return false;
  const auto held = at->second.resources.find(resource);
  if (held == at->second.resources.end()) return false;
  const auto deadline = deadline_of(expires_at, now);
  for (auto& entry : held->second) set_deadline(client, entry, deadline);
  return true;
}

Change AccessList::retain(const std::vector<portal::AuthorizationEntry>& authorizations,
                          Instant now) {
  std::map<std::pair<ClientId, ResourceId>, portal::UnixSeconds> listed;
  for (const auto& entry : authorizations)
    listed.insert_or_assign({entry.client, entry.resource}, entry.expires_at);
  Change change;
  for (auto at = clients_.begin(); at != clients_.end();) {
    auto& [id, client] = *at;
    std::vector<ResourceId> ended;
    for (auto& [resource, entries] : client.resources) {
      const auto entry = listed.find({id, resource});
      if (entry == listed.end()) {
        ended.push_back(resource);
        continue;
      }
      const auto deadline = deadline_of(entry->second, now);
      for (auto& held : entries) set_deadline(id, held, deadline);
    }
    for (const auto& resource : ended) erase_resource(id, client, resource, EndedWhy::unlisted);
    at = settle(at, !ended.empty(), change);
  }
  return settled(std::move(change));
}

Change AccessList::expire(Instant now) {
  Change change;
  std::set<ClientId> touched;
  while (!deadlines_.empty() && deadlines_.begin()->at <= now) {
    const auto due = *deadlines_.begin();
    auto& client = clients_.at(due.client);
    auto& held = client.resources.at(due.resource);
    const auto entry = std::ranges::find(held, std::optional{due.at}, &Entry::deadline);
    set_deadline(due.client, *entry, std::nullopt);
    weight_ -= weight_of(*entry);
    note_end(due.client, client, *entry, EndedWhy::expired);
    held.erase(entry);
    --client.grants;
    if (held.empty()) client.resources.erase(due.resource);
    touched.insert(due.client);
  }
  for (const auto& id : touched) settle(clients_.find(id), true, change);
  return settled(std::move(change));
}

Change AccessList::remove(ClientId client) {
  Change change;
  const auto at = clients_.find(client);
  if (at == clients_.end()) return change;
  while (!at->second.resources.empty())
    erase_resource(client, at->second, at->second.resources.begin()->first, EndedWhy::left);
  settle(at, true, change);
  return settled(std::move(change));
}

std::optional<Wakeup> AccessList::next_expiry() const {
  if (deadlines_.empty()) return std::nullopt;
  return Wakeup{deadlines_.begin()->at, "authorization expires"};
}

std::optional<ClientId> AccessList::client_for(const IpAddress& tunnel_address) const {
  const auto at = by_address_.find(tunnel_address);
  if (at == by_address_.end()) return std::nullopt;
  return at->second;
}

std::optional<TunnelAddresses> AccessList::addresses_of(ClientId client) const {
  const auto at = clients_.find(client);
  if (at == clients_.end()) return std::nullopt;
  return at->second.addresses;
}

bool AccessList::has(ClientId client, ResourceId resource) const {
  const auto at = clients_.find(client);
  return at != clients_.end() && at->second.resources.contains(resource);
}

std::size_t AccessList::grant_count(ClientId client) const {
  const auto at = clients_.find(client);
  return at == clients_.end() ? 0 : at->second.grants;
}

std::vector<Holding> AccessList::holdings_of(ClientId client) const {
  std::vector<Holding> out;
  const auto at = clients_.find(client);
  if (at == clients_.end()) return out;
  for (const auto& [id, entries] : at->second.resources) {
    for (const auto& entry : entries)
      out.push_back({entry.resource, entry.deadline, entry.since, entry.filters_since});
  }
  return out;
}

std::vector<ClientId> AccessList::clients() const {
  std::vector<ClientId> out;
  out.reserve(clients_.size());
  for (const auto& [id, client] : clients_) out.push_back(id);
  return out;
}

}  // namespace fg::acl
