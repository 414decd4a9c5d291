#include "filter/policy.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <span>

#include "filter/ranges.h"

namespace fg::filter {

// Networks are nested or disjoint, so one pass in order of (address, prefix) with a stack of open
// networks yields both the intervals and each network's next outer one. Sizes stay linear in the
// rules: nothing is copied into inner networks.
class PolicyCompiler {
 public:
  explicit PolicyCompiler(Policy& policy) : policy_(policy) {}

  void compile(const PolicyRules& rules) {
    collect_resources(rules);
    std::vector<Item> sorted;
    for (const auto& rule : rules.rules)
      sorted.push_back({rule.network, index_of(rule.resource), &rule.filter});
    for (const auto& rule : rules.hosts) {
      const auto resource = index_of(rule.resource);
      for (const auto& host : rule.hosts)
        sorted.push_back({Cidr{host, host.bits()}, resource, &rule.filter});
    }
    std::ranges::stable_sort(sorted, {}, &Item::network);
    policy_.v4_.starts = {0};
    policy_.v4_.networks = {Policy::kNone};
    policy_.v6_.starts = {Policy::Key128{}};
    policy_.v6_.networks = {Policy::kNone};
    for (auto group = sorted.begin(); group != sorted.end();) {
      const auto end = std::find_if(
          group, sorted.end(), [&](const Item& item) { return item.network != group->network; });
      enter(group->network, add_network({group, end}));
      group = end;
    }
    while (!open_.empty()) leave();
  }

 private:
  // One network under one filter, which no other resource shares.
  struct Item {
    Cidr network;
    std::uint32_t resource;
    const RuleFilter* filter;
  };
  using ItemSpan = std::span<const Item>;
  // Resources are numbered in the order of their ids, so a higher number is a higher id.
  struct RankedRange {
    PortRange ports;
    std::uint32_t resource;
  };
  struct Open {
    Cidr network;
    std::uint32_t index;
  };

  void collect_resources(const PolicyRules& rules) {
    auto& ids = policy_.resources_;
    for (const auto& rule : rules.rules) ids.push_back(rule.resource);
    for (const auto& rule : rules.hosts) ids.push_back(rule.resource);
    if (rules.internet) ids.push_back(*rules.internet);
    std::ranges::sort(ids);
    ids.erase(std::ranges::unique(ids).begin(), ids.end());
    ids.shrink_to_fit();
    if (rules.internet) policy_.internet_ = index_of(*rules.internet);
  }
  [[nodiscard]] std::uint32_t index_of(const ResourceId& id) const {
    const auto at = std::ranges::lower_bound(policy_.resources_, id);
    return static_cast<std::uint32_t>(at - policy_.resources_.begin());
  }

  std::uint32_t add_network(ItemSpan items) {
    std::vector<const RuleFilter*> filters;
    for (const auto& item : items) filters.push_back(item.filter);
    const auto [built, is_new] = built_.try_emplace(std::move(filters));
    if (is_new) built->second = build(items);
    policy_.networks_.push_back(built->second);
    return static_cast<std::uint32_t>(policy_.networks_.size() - 1);
  }
  Policy::Network build(ItemSpan items) {
    Policy::Network network;
    std::vector<RankedRange> tcp;
    std::vector<RankedRange> udp;
    std::uint32_t highest = 0;
    for (const auto& item : items) {
      const auto resource = item.resource;
      const auto& filter = *item.filter;
      highest = std::max(highest, resource);
      if (filter.everything) {
        raise(network.other, resource);
        tcp.push_back({{}, resource});
        udp.push_back({{}, resource});
      } else {
        for (const auto ports : filter.tcp) tcp.push_back({ports, resource});
        for (const auto ports : filter.udp) udp.push_back({ports, resource});
      }
      if (filter.everything || filter.icmp) raise(network.icmp, resource);
    }
    if (network.other == highest) {
      network.all = highest;
    } else {
      network.tcp = add_segments(tcp);
      network.udp = add_segments(udp);
    }
    return network;
  }
  static void raise(std::uint32_t& winner, std::uint32_t resource) {
    if (winner == Policy::kNone || winner < resource) winner = resource;
  }

  // Disjoint sorted segments, each with the highest resource that lists its ports.
  Policy::SegmentSpan add_segments(const std::vector<RankedRange>& ranges) {
    struct Edge {
      std::uint32_t port;
      std::uint32_t resource;
      bool opens;
    };
    std::vector<Edge> edges;
    for (const auto& [ports, resource] : ranges) {
      if (ports.first > ports.last) continue;
      edges.push_back({ports.first, resource, true});
      edges.push_back({std::uint32_t{ports.last} + 1, resource, false});
    }
    std::ranges::sort(edges, {}, &Edge::port);
    auto& segments = policy_.segments_;
    const auto begin = segments.size();
    std::multiset<std::uint32_t> active;
    for (std::size_t i = 0; i < edges.size();) {
      const auto port = edges[i].port;
      for (; i < edges.size() && edges[i].port == port; ++i) {
        if (edges[i].opens) {
          active.insert(edges[i].resource);
        } else {
          active.erase(active.find(edges[i].resource));
        }
      }
      if (active.empty()) continue;
      const auto winner = *active.rbegin();
      const auto last = static_cast<std::uint16_t>(edges[i].port - 1);
      if (segments.size() > begin && segments.back().resource == winner &&
          segments.back().last + 1U == port) {
        segments.back().last = last;
      } else {
        segments.push_back({static_cast<std::uint16_t>(port), last, winner});
      }
    }
    return {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(segments.size())};
  }

  void enter(const Cidr& network, std::uint32_t index) {
    while (!open_.empty() && !open_.back().network.contains(network)) leave();
    policy_.networks_[index].outer = innermost();
    open_.push_back({network, index});
    emit(network.address(), index);
  }
  void leave() {
    const auto network = open_.back().network;
    open_.pop_back();
    if (const auto next = behind(network)) emit(*next, innermost());
  }
  [[nodiscard]] std::uint32_t innermost() const {
    return open_.empty() ? Policy::kNone : open_.back().index;
  }

  // First address after the network; none after the family's highest.
  static std::optional<IpAddress> behind(const Cidr& network) {
    auto bytes = network.address().raw();
    for (int bit = network.prefix() - 1; bit >= 0; --bit) {
      const auto mask = static_cast<std::uint8_t>(0x80 >> (bit % 8));
      auto& byte = bytes[static_cast<std::size_t>(bit / 8)];
      byte ^= mask;
      if ((byte & mask) != 0) {
        const auto length = static_cast<std::size_t>(network.address().bits() / 8);
        return IpAddress::from_bytes(Bytes{bytes}.first(length));
      }
    }
    return std::nullopt;
  }

  void emit(const IpAddress& start, std::uint32_t network) {
    const auto* b = start.raw().data();
    if (start.is_v4()) {
      emit_to(policy_.v4_, load_be32(b), network);
    } else {
      emit_to(policy_.v6_, Policy::Key128{load_be64(b), load_be64(b + 8)}, network);
    }
  }
  // A later interval with the same start replaces the earlier: it is the outer or the next network.
  template <class Key>
  static void emit_to(Policy::Intervals<Key>& intervals, Key start, std::uint32_t network) {
    auto& [starts, networks] = intervals;
    if (starts.back() == start) {
      networks.back() = network;
    } else {
      starts.push_back(start);
      networks.push_back(network);
    }
    const auto n = networks.size();
    if (n > 1 && networks[n - 2] == network) {
      starts.pop_back();
      networks.pop_back();
    }
  }

  Policy& policy_;
  std::vector<Open> open_;
  std::map<std::vector<const RuleFilter*>, Policy::Network> built_;  // without its outer network
};

std::unique_ptr<const Policy> Policy::compile(const PolicyRules& rules) {
  if (rules.rules.size() > kRulesMax) return nullptr;
  std::size_t hosts = 0;
  std::size_t ranges = 0;
  for (const auto& rule : rules.rules) ranges += rule.filter.tcp.size() + rule.filter.udp.size();
  for (const auto& rule : rules.hosts) {
    hosts += rule.hosts.size();
    ranges += rule.filter.tcp.size() + rule.filter.udp.size();
  }
  if (hosts > kHostsMax || ranges > kPortRangesMax) return nullptr;
  std::unique_ptr<Policy> policy{new Policy};
  PolicyCompiler{*policy}.compile(rules);
  return policy;
}

// Halving without a branch on the data; for the usual handful of intervals this is two or three
// steps.
template <class Key>
std::uint32_t Policy::Intervals<Key>::find(Key key) const noexcept {
  const Key* base = starts.data();
  for (std::size_t n = starts.size(); n > 1;) {
    const auto half = n / 2;
    base = base[half] <= key ? base + half : base;
    n -= half;
  }
  return networks.data()[base - starts.data()];
}

// Several searches step by step together: while one waits for memory the others go on.
template <class Key>
class Policy::Searches {
 public:
  void add(const Intervals<Key>& in, Key key, Place& place, const Network* networks) noexcept {
    auto& s = all_[used_++];
    s = {in.starts.data(),
         in.starts.data(),
         in.starts.size(),
         key,
         in.networks.data(),
         networks,
         &place};
    if (used_ == all_.size()) run();
  }
  void run() noexcept {
    std::size_t longest = 0;
    for (std::size_t i = 0; i < used_; ++i) longest = std::max(longest, all_[i].n);
    for (; longest > 1; longest -= longest / 2) {
      for (std::size_t i = 0; i < used_; ++i) {
        auto& s = all_[i];
        const auto half = s.n / 2;  // of one: stays
        s.base = s.base[half] <= s.key ? s.base + half : s.base;
        s.n -= half;
      }
    }
    for (std::size_t i = 0; i < used_; ++i) __builtin_prefetch(all_[i].network());
    for (std::size_t i = 0; i < used_; ++i) {
      const auto found = *all_[i].network();
      all_[i].place->network = found;
      if (found != kNone) __builtin_prefetch(all_[i].records + found);
    }
    used_ = 0;
  }

 private:
  struct One {
    const Key* begin;
    const Key* base;
    std::size_t n;
    Key key;
    const std::uint32_t* networks;
    const Network* records;
    Place* place;
    [[nodiscard]] const std::uint32_t* network() const noexcept {
      return networks + (base - begin);
    }
  };
  std::array<One, 8> all_;
  std::size_t used_ = 0;
};

void Policy::locate(std::span<Place> places) noexcept {
  Searches<std::uint32_t> v4;
  Searches<Key128> v6;
  for (auto& place : places) {
    const auto& policy = *place.policy;
    const auto* b = place.ip.raw().data();
    if (place.ip.is_v4())
      v4.add(policy.v4_, load_be32(b), place, policy.networks_.data());
    else
      v6.add(policy.v6_, Key128{load_be64(b), load_be64(b + 8)}, place, policy.networks_.data());
  }
  v4.run();
  v6.run();
}

std::uint32_t Policy::network_of(const IpAddress& ip) const noexcept {
  const auto* b = ip.raw().data();
  return ip.is_v4() ? v4_.find(load_be32(b)) : v6_.find(Key128{load_be64(b), load_be64(b + 8)});
}

std::uint32_t Policy::at_port(SegmentSpan span, std::uint16_t port) const noexcept {
  const Segment* base = segments_.data() + span.begin;
  std::size_t n = span.end - span.begin;
  if (n == 0) return kNone;
  while (n > 1) {
    const auto half = n / 2;
    base = base[half].first <= port ? base + half : base;
    n -= half;
  }
  return base->first <= port && port <= base->last ? base->resource : kNone;
}

std::uint32_t Policy::permitting(const Network& network, ProtoKey proto) const noexcept {
  if (network.all != kNone) return network.all;
  switch (proto.kind) {
    case ProtoKind::tcp:
      return at_port(network.tcp, proto.port);
    case ProtoKind::udp:
      return at_port(network.udp, proto.port);
    case ProtoKind::echo:
    case ProtoKind::icmp_other:
      return network.icmp;
    case ProtoKind::other_ip:
      return network.other;
  }
  return kNone;
}

Verdict Policy::classify(const IpAddress& ip, ProtoKey proto) const noexcept {
  if (internet_ != kNone && !is_proxy(ip)) {
    if (is_special(ip)) return {Verdict::Kind::unreachable, 0};
    return {Verdict::Kind::allowed, internet_};
  }
  return verdict_in(network_of(ip), proto);
}

Verdict Policy::classify(const Place& place, ProtoKey proto) noexcept {
  const auto& policy = *place.policy;
  if (policy.internet_ != kNone && !is_proxy(place.ip)) return policy.classify(place.ip, proto);
  return policy.verdict_in(place.network, proto);
}

Verdict Policy::verdict_in(std::uint32_t network, ProtoKey proto) const noexcept {
  for (auto n = network; n != kNone; n = networks_.data()[n].outer) {
    const auto resource = permitting(networks_.data()[n], proto);
    if (resource != kNone) return {Verdict::Kind::allowed, resource};
  }
  return {};
}

bool Policy::reaches(const IpAddress& ip) const noexcept {
  if (internet_ != kNone && !is_proxy(ip)) return !is_special(ip);
  return network_of(ip) != kNone;
}

}  // namespace fg::filter
