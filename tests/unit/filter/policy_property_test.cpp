// The compiled policy against a linear scan that follows spec policy 9.8 word by word.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "filter/policy.h"
#include "filter/ranges.h"

namespace fg::filter {
namespace {

ResourceId id(int n) {
  std::array<std::uint8_t, 16> bytes{};
  bytes[15] = static_cast<std::uint8_t>(n);
  return ResourceId{bytes};
}

// Few distinct bits, so that networks nest and collide often.
IpAddress arbitrary_address() {
  const auto pick = [](std::vector<std::uint8_t> from) {
    return *rc::gen::elementOf(std::move(from));
  };
  if (*rc::gen::arbitrary<bool>()) {
    return IpAddress::v4(pick({0, 8, 10, 100, 255}), pick({0, 1, 96, 128, 255}), pick({0, 1, 255}),
                         pick({0, 1, 128, 255}));
  }
  std::array<std::uint8_t, 16> bytes{};
  bytes[0] = pick({0x00, 0x20, 0xFD, 0xFF});
  bytes[1] = pick({0, 1, 255});
  bytes[8] = pick({0, 128, 255});
  bytes[15] = pick({0, 1, 255});
  return IpAddress::v6(bytes);
}
std::uint16_t arbitrary_port() {
  return *rc::gen::oneOf(
      rc::gen::elementOf(std::vector<std::uint16_t>{0, 1, 79, 80, 81, 443, 65534, 65535}),
      rc::gen::arbitrary<std::uint16_t>());
}
std::vector<PortRange> arbitrary_ports() {
  std::vector<PortRange> ports(*rc::gen::inRange<std::size_t>(0, 4));
  for (auto& range : ports) range = {arbitrary_port(), arbitrary_port()};
  return ports;
}
Rule arbitrary_rule() {
  const auto address = arbitrary_address();
  Rule rule;
  rule.network = Cidr{address, *rc::gen::inRange(0, address.bits() + 1)};
  rule.resource = id(*rc::gen::inRange(0, 8));
  rule.filter.everything = *rc::gen::inRange(0, 4) == 0;
  rule.filter.tcp = arbitrary_ports();
  rule.filter.udp = arbitrary_ports();
  rule.filter.icmp = *rc::gen::arbitrary<bool>();
  return rule;
}
PolicyRules arbitrary_rules() {
  PolicyRules rules;
  rules.rules.resize(*rc::gen::inRange<std::size_t>(0, 40));
  for (auto& rule : rules.rules) rule = arbitrary_rule();
  if (*rc::gen::inRange(0, 4) == 0) rules.internet = id(*rc::gen::inRange(0, 9));
  return rules;
}
ProtoKey arbitrary_proto() {
  using enum ProtoKind;
  return {*rc::gen::element(tcp, udp, echo, icmp_other, other_ip), arbitrary_port()};
}

bool permits(const RuleFilter& filter, ProtoKey proto) {
  if (filter.everything) return true;
  const auto lists = [&](const std::vector<PortRange>& ports) {
    return std::ranges::any_of(
        ports, [&](PortRange r) { return r.first <= proto.port && proto.port <= r.last; });
  };
  switch (proto.kind) {
    case ProtoKind::tcp:
      return lists(filter.tcp);
    case ProtoKind::udp:
      return lists(filter.udp);
    case ProtoKind::echo:
    case ProtoKind::icmp_other:
      return filter.icmp;
    case ProtoKind::other_ip:
      return false;
  }
  return false;
}

struct Expected {
  Verdict::Kind kind = Verdict::Kind::prohibited;
  ResourceId resource;
};
Expected scan(const PolicyRules& rules, const IpAddress& ip, ProtoKey proto) {
  if (rules.internet && !is_proxy(ip)) {
    if (is_special(ip)) return {Verdict::Kind::unreachable, {}};
    return {Verdict::Kind::allowed, *rules.internet};
  }
  const Rule* best = nullptr;
  for (const auto& rule : rules.rules) {
    if (!rule.network.contains(ip) || !permits(rule.filter, proto)) continue;
    if (best == nullptr || std::pair{rule.network.prefix(), rule.resource} >
                               std::pair{best->network.prefix(), best->resource}) {
      best = &rule;
    }
  }
  if (best == nullptr) return {};
  return {Verdict::Kind::allowed, best->resource};
}

RC_GTEST_PROP(PolicyProperty, CompiledLookupEqualsALinearScan, ()) {
  const auto rules = arbitrary_rules();
  const auto policy = Policy::compile(rules);
  RC_ASSERT(policy != nullptr);
  for (int i = 0; i < 20; ++i) {
    const auto ip = arbitrary_address();
    const auto proto = arbitrary_proto();
    const auto want = scan(rules, ip, proto);
    const auto got = policy->classify(ip, proto);
    RC_ASSERT(got.kind == want.kind);
    if (got.is_allowed()) RC_ASSERT(policy->resource(got.resource) == want.resource);
    const bool covered =
        std::ranges::any_of(rules.rules, [&](const Rule& r) { return r.network.contains(ip); });
    RC_ASSERT(policy->reaches(ip) == (rules.internet && !is_proxy(ip) ? !is_special(ip) : covered));
  }
}

RC_GTEST_PROP(PolicyProperty, SearchesTogetherFindWhatTheyFindAlone, ()) {
  std::vector<std::unique_ptr<const Policy>> policies;
  for (int i = 0; i < 3; ++i) policies.push_back(Policy::compile(arbitrary_rules()));
  std::vector<Policy::Place> places(*rc::gen::inRange<std::size_t>(0, 40));
  for (auto& place : places)
    place = {policies[*rc::gen::inRange<std::size_t>(0, 3)].get(), arbitrary_address()};
  Policy::locate(places);
  for (const auto& place : places) {
    const auto proto = arbitrary_proto();
    RC_ASSERT(Policy::classify(place, proto) == place.policy->classify(place.ip, proto));
  }
}

RC_GTEST_PROP(PolicyProperty, OrderOfRulesDoesNotMatter, ()) {
  const auto rules = arbitrary_rules();
  auto shuffled = rules;
  for (std::size_t i = shuffled.rules.size(); i > 1; --i) {
    std::swap(shuffled.rules[i - 1], shuffled.rules[*rc::gen::inRange<std::size_t>(0, i)]);
  }
  const auto a = Policy::compile(rules);
  const auto b = Policy::compile(shuffled);
  for (int i = 0; i < 20; ++i) {
    const auto ip = arbitrary_address();
    const auto proto = arbitrary_proto();
    RC_ASSERT(a->classify(ip, proto) == b->classify(ip, proto));
  }
}

}  // namespace
}  // namespace fg::filter
