// Names of DNS resources: who may announce which, and what lives and dies with a client's grants
// (spec policy 4.3 to 4.5).
#include <algorithm>

#include "base/assert.h"
#include "control/acl/access.h"
#include "control/acl/pattern.h"
#include "filter/ranges.h"

namespace fg::acl {
namespace {

using Type = portal::Resource::Type;

bool covers(const portal::Resource& resource, std::string_view name) {
  if (resource.type != Type::dns) return false;
  const auto pattern = Pattern::parse(resource.pattern);
  return pattern && pattern->matches(name);
}

// ::ffff:0:0/96: an IPv4 address in an IPv6 packet.
bool is_mapped(const IpAddress& ip) {
  return ip.is_v6() && load_be64(ip.raw().data()) == 0 && load_be32(ip.raw().data() + 8) == 0xFFFF;
}

// A name server may say anything; no resource is the gateway itself, a client or a proxy (spec
// policy 3.6).
bool is_resource(const IpAddress& ip) {
  return !ip.is_unspecified() && !ip.is_loopback() && !ip.is_multicast() && !ip.is_broadcast() &&
         !filter::is_tunnel(ip) && !filter::is_proxy(ip) && !filter::is_sentinel(ip) &&
         !is_mapped(ip);
}

dns::Resolved only_resources(dns::Resolved resolved) {
  for (auto* family : {&resolved.v4, &resolved.v6}) {
    if (*family) std::erase_if(**family, [](const IpAddress& ip) { return !is_resource(ip); });
  }
  return resolved;
}

}  // namespace

bool are_proxies(std::span<const IpAddress> addresses) {
  return !addresses.empty() && addresses.size() <= dns::kProxiesMax &&
         std::ranges::all_of(addresses, [](const IpAddress& ip) {
           return filter::is_proxy(ip) && !filter::is_sentinel(ip);
         });
}

std::optional<DropReason> AccessList::refusal_of(ClientId client,
                                                 const dns::Names::Announcement& announced) const {
  const auto at = clients_.find(client);
  if (at == clients_.end()) return DropReason::name_not_granted;
  const auto held = at->second.resources.find(announced.resource);
  const auto is_dns = [](const Entry& entry) { return entry.resource.type == Type::dns; };
  if (held == at->second.resources.end() || std::ranges::none_of(held->second, is_dns))
    return DropReason::name_not_granted;
  const auto is_covering = [&](const Entry& entry) {
    return covers(entry.resource, announced.name);
  };
  if (std::ranges::none_of(held->second, is_covering)) return DropReason::name_not_covered;
  if (!are_proxies(announced.proxies)) return DropReason::foreign_proxy;
  return std::nullopt;
}

Result<Change, DropReason> AccessList::announce(ClientId client,
                                                const dns::Names::Announcement& announced,
                                                const dns::Resolved& resolved) {
  if (const auto refusal = refusal_of(client, announced)) return fail(*refusal);
  auto& of = clients_.at(client);
  const auto room = room_for_names(of);
  const auto before = of.names.weight();
  const auto done =
      of.names.set_up(announced, only_resources(resolved), dns::Assignment::sorted, room);
  if (!done) return fail(done.error());
  translations_ += of.names.weight() - before;
  Change change;
  if (done->resources) change.recompile.push_back(client);
  if (done->mappings) change.translate.push_back(client);
  if (done->renumbered) change.renumbered.push_back(client);
  return change;
}

std::optional<std::string> AccessList::start_refresh(ClientId client, dns::NameId name,
                                                     Instant now) {
  const auto at = clients_.find(client);
  if (at == clients_.end()) return std::nullopt;
  return at->second.names.start_refresh(name, now);
}

Change AccessList::refresh(ClientId client, dns::NameId id, const dns::Resolved& resolved) {
  Change change;
  const auto at = clients_.find(client);
  if (at == clients_.end()) return change;
  auto& of = at->second;
  const auto name = of.names.name_of(id);
  const auto usable = only_resources(resolved);
  if (!name || !of.names.refresh(id, usable).mappings) return change;
  change.translate.push_back(client);
  for (auto& [resource, entries] : of.resources) {
    for (auto& entry : entries) {
      if (!entry.domain || dns::folded(entry.domain->name) != *name) continue;
      set_real(entry, usable.all());
      change.recompile = {client};
    }
  }
  return change;
}

const dns::Names* AccessList::names_of(ClientId client) const {
  const auto at = clients_.find(client);
  return at == clients_.end() ? nullptr : &at->second.names;
}

// Weight the names of this client may have at most.
std::size_t AccessList::room_for_names(const Client& client) const {
  const auto others = translations_ - client.names.weight();
  const auto left = limits_.translations_of_all - std::min(limits_.translations_of_all, others);
  return std::min(limits_.translations, left);
}

// What a grant means for the client's names, once it is held.
bool AccessList::assign_names(Client& client, const Grant& grant, Change& change) {
  if (grant.resource.type != Type::dns) return false;
  if (grant.style == GrantStyle::replace) {
    // A wider grant of old may have let in names that this one does not cover.
    const auto before = client.names.weight();
    const auto pattern = Pattern::parse(grant.resource.pattern);
    const auto done = client.names.restrict(grant.resource.id, [&](std::string_view name) {
      return pattern && pattern->matches(name);
    });
    translations_ += client.names.weight() - before;
    return done.resources;
  }
  const auto usable = only_resources(grant.resolved);
  bool changed = false;
  if (auto real = usable.all(); !real.empty()) {
    // Of each grant of this name: what it led to before may be somebody else's by now.
    for (auto& entry : client.resources.at(grant.resource.id)) {
      if (!entry.domain || dns::folded(entry.domain->name) != dns::folded(grant.domain->name))
        continue;
      if (entry.real == real) continue;
      set_real(entry, real);
      changed = true;
    }
  }
  if (grant.domain->proxy_ips.empty()) return changed;
  const auto before = client.names.weight();
  const auto done =
      client.names.set_up({grant.resource.id, grant.domain->name, grant.domain->proxy_ips}, usable,
                          dns::Assignment::crossed, room_for_names(client));
  FG_ASSERT(done);
  translations_ += client.names.weight() - before;
  if (done->mappings) change.translate.push_back(grant.client);
  if (done->renumbered) change.renumbered.push_back(grant.client);
  return changed || done->resources;
}

void AccessList::set_real(Entry& entry, std::vector<IpAddress> real) {
  weight_ -= weight_of(entry);
  entry.real = std::move(real);
  weight_ += weight_of(entry);
}

void AccessList::forget_names(Client& client) {
  translations_ -= client.names.weight();
  client.names = {};
}

}  // namespace fg::acl
