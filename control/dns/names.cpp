#include "control/dns/names.h"

#include <algorithm>
#include <utility>

namespace fg::dns {
namespace {

std::size_t weight_of(const Names::Proxy& proxy) {
  return std::max<std::size_t>(1, proxy.resources.size());
}

std::vector<IpAddress> sorted_unique(std::vector<IpAddress> list) {
  std::ranges::sort(list);
  list.erase(std::ranges::unique(list).begin(), list.end());
  return list;
}

bool same_set(const std::vector<IpAddress>& a, const std::vector<IpAddress>& b) {
  return sorted_unique(a) == sorted_unique(b);
}

bool reaches(const Names::Proxy& proxy, const ResourceId& resource) {
  return std::ranges::binary_search(proxy.resources, resource);
}

}  // namespace

std::string folded(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  std::string out{name};
  for (auto& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

Result<Names::Change, DropReason> Names::set_up(const Announcement& announced,
                                                const Resolved& resolved, Assignment assignment,
                                                std::size_t room) {
  const auto key = folded(announced.name);
  const auto known = names_.find(key);
  if (assignment == Assignment::sorted && resolved.is_failed() && known == names_.end())
    return fail(DropReason::name_unresolved);
  Change change;
  change.renumbered = renumbers(key, announced.proxies);
  // Under A a grant only replaces what it lists; under B/C another name on a known proxy means that
  // the client counts anew (spec policy 4.5.3 step 1).
  const bool begins_anew = change.renumbered && assignment == Assignment::sorted;
  const auto weight = begins_anew ? announced.proxies.size() : weight_with(announced);
  if (weight > room) return fail(DropReason::translations_full);

  auto v4 =
      resolved.v4.value_or(known != names_.end() ? known->second.v4 : std::vector<IpAddress>{});
  auto v6 =
      resolved.v6.value_or(known != names_.end() ? known->second.v6 : std::vector<IpAddress>{});
  std::vector<IpAddress> proxies{announced.proxies.begin(), announced.proxies.end()};
  if (assignment == Assignment::sorted) {
    v4 = sorted_unique(std::move(v4));
    v6 = sorted_unique(std::move(v6));
    proxies = sorted_unique(std::move(proxies));
  } else if (v4.empty() && v6.empty()) {
    // Nothing is written, and what is known of the name stays; but no proxy goes on leading to
    // another name's addresses.
    take_from_other_names(key, proxies);
    change.mappings = change.resources = change.renumbered;
    if (known == names_.end()) return change;
    v4 = known->second.v4;
    v6 = known->second.v6;
  }
  if (begins_anew) {
    clear();
    change.mappings = change.resources = true;
  } else {
    take_from_other_names(key, proxies);
  }

  const auto [at, is_new] = names_.try_emplace(key);
  auto& name = at->second;
  if (is_new) {
    name.id = NameId{next_id_++};
    by_id_.emplace(name.id, key);
  }
  name.v4 = std::move(v4);
  name.v6 = std::move(v6);
  for (const auto& address : proxies) {
    const auto [entry, inserted] = proxies_.try_emplace(address, Proxy{key, name.id, {}, {}});
    auto& proxy = entry->second;
    if (inserted) {
      name.proxies.push_back(address);
      change.mappings = true;
      ++weight_;
    }
    if (reaches(proxy, announced.resource)) continue;
    weight_ -= weight_of(proxy);
    proxy.resources.insert(std::ranges::upper_bound(proxy.resources, announced.resource),
                           announced.resource);
    weight_ += weight_of(proxy);
    change.resources = true;
  }
  assign(name, proxies, assignment, change);
  return change;
}

Names::Change Names::restrict(const ResourceId& resource,
                              const std::function<bool(std::string_view)>& covers) {
  Change change;
  for (const auto& [key, name] : names_) {
    std::optional<bool> is_covered;
    for (const auto& address : name.proxies) {
      auto& proxy = proxies_.at(address);
      if (!reaches(proxy, resource)) continue;
      if (!is_covered) is_covered = covers(key);
      if (*is_covered) break;
      weight_ -= weight_of(proxy);
      std::erase(proxy.resources, resource);
      weight_ += weight_of(proxy);
      change.resources = true;
    }
  }
  return change;
}

std::optional<std::string> Names::start_refresh(NameId id, Instant now) {
  const auto key = by_id_.find(id);
  if (key == by_id_.end()) return std::nullopt;
  auto& name = names_.find(key->second)->second;
  if (name.refreshed_at && now - *name.refreshed_at < kRefreshInterval) return std::nullopt;
  name.refreshed_at = now;
  return key->second;
}

std::optional<std::string> Names::name_of(NameId id) const {
  const auto at = by_id_.find(id);
  if (at == by_id_.end()) return std::nullopt;
  return at->second;
}

Names::Change Names::refresh(NameId id, const Resolved& resolved) {
  Change change;
  const auto key = by_id_.find(id);
  if (key == by_id_.end()) return change;
  auto& name = names_.find(key->second)->second;
  const auto v4 = resolved.v4.value_or(name.v4);
  const auto v6 = resolved.v6.value_or(name.v6);
  if (v4.empty() && v6.empty()) return change;
  if (same_set(v4, name.v4) && same_set(v6, name.v6)) return change;
  name.v4 = v4;
  name.v6 = v6;
  assign(name, name.proxies, Assignment::crossed, change);
  return change;
}

std::vector<nat::Translation> Names::translations() const {
  std::vector<nat::Translation> out;
  out.reserve(proxies_.size());
  for (const auto& [address, proxy] : proxies_) out.push_back({address, proxy.real, proxy.id});
  return out;
}

bool Names::renumbers(std::string_view name, std::span<const IpAddress> proxies) const {
  return std::ranges::any_of(proxies, [&](const IpAddress& address) {
    const auto at = proxies_.find(address);
    return at != proxies_.end() && at->second.name != name;
  });
}

std::size_t Names::weight_with(const Announcement& announced) const {
  auto out = weight_;
  for (const auto& address : announced.proxies) {
    const auto at = proxies_.find(address);
    if (at == proxies_.end() ||
        (!at->second.resources.empty() && !reaches(at->second, announced.resource)))
      ++out;
  }
  return out;
}

void Names::clear() {
  proxies_.clear();
  names_.clear();
  by_id_.clear();
  weight_ = 0;
}

void Names::take_from_other_names(std::string_view name, std::span<const IpAddress> proxies) {
  for (const auto& address : proxies) {
    const auto at = proxies_.find(address);
    if (at == proxies_.end() || at->second.name == name) continue;
    const auto other = names_.find(at->second.name);
    std::erase(other->second.proxies, address);
    if (other->second.proxies.empty()) {
      by_id_.erase(other->second.id);
      names_.erase(other);
    }
    weight_ -= weight_of(at->second);
    proxies_.erase(at);
  }
}

void Names::assign(const Name& name, std::span<const IpAddress> proxies, Assignment assignment,
                   Change& change) {
  const bool borrows = assignment == Assignment::crossed;
  const auto& v4 = borrows && name.v4.empty() ? name.v6 : name.v4;
  const auto& v6 = borrows && name.v6.empty() ? name.v4 : name.v6;
  std::size_t next_v4 = 0;
  std::size_t next_v6 = 0;
  for (const auto& address : proxies) {
    const auto& pool = address.is_v4() ? v4 : v6;
    auto& next = address.is_v4() ? next_v4 : next_v6;
    const auto real = pool.empty() ? std::nullopt : std::optional{pool[next++ % pool.size()]};
    auto& proxy = proxies_.at(address);
    if (proxy.real == real) continue;
    proxy.real = real;
    change.mappings = true;
  }
}

}  // namespace fg::dns
