// Rules from bytes: the compiled policy against a linear scan that follows spec policy 9.8 word by
// word.
#include "filter/policy.h"
#include "filter/ranges.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::filter;

ResourceId resource(std::uint8_t n) {
  std::array<std::uint8_t, 16> bytes{};
  bytes[n % 16] = n;
  return ResourceId{bytes};
}

IpAddress address(fuzz::Choices& choices) {
  if (choices.flag()) return IpAddress::v4(choices.u8(), choices.u8(), choices.u8(), choices.u8());
  std::array<std::uint8_t, 16> bytes{};
  // Few bytes differ, so that networks nest and addresses meet them.
  for (const auto i : {0U, 1U, 7U, 15U}) bytes[i] = choices.u8();
  return IpAddress::v6(bytes);
}

PortRange ports(fuzz::Choices& choices) {
  const auto first = choices.u16();
  const auto width = choices.u8();
  return {first, width == 255 ? std::uint16_t{0}
                              : static_cast<std::uint16_t>(std::min(65'535, first + width))};
}

PolicyRules rules(fuzz::Choices& choices) {
  PolicyRules out;
  for (auto n = choices.below(32); n > 0; --n) {
    Rule rule;
    const auto ip = address(choices);
    rule.network = Cidr{ip, static_cast<int>(choices.u8() % (ip.bits() + 1))};
    rule.resource = resource(choices.u8());
    const auto what = choices.u8();
    rule.filter.everything = (what & 3) == 0;
    rule.filter.icmp = (what & 4) != 0;
    for (auto i = what >> 3 & 3; i > 0; --i) rule.filter.tcp.push_back(ports(choices));
    for (auto i = what >> 5 & 3; i > 0; --i) rule.filter.udp.push_back(ports(choices));
    out.rules.push_back(std::move(rule));
  }
  if (choices.below(4) == 3) out.internet = resource(choices.u8());
  return out;
}

bool lists(const std::vector<PortRange>& ports, std::uint16_t port) {
  return std::ranges::any_of(ports, [&](PortRange r) { return r.first <= port && port <= r.last; });
}
bool permits(const RuleFilter& filter, ProtoKey proto) {
  if (filter.everything) return true;
  switch (proto.kind) {
    case ProtoKind::tcp:
      return lists(filter.tcp, proto.port);
    case ProtoKind::udp:
      return lists(filter.udp, proto.port);
    case ProtoKind::echo:
    case ProtoKind::icmp_other:
      return filter.icmp;
    case ProtoKind::other_ip:
      return false;
  }
  return false;
}

struct Answer {
  Verdict::Kind kind = Verdict::Kind::prohibited;
  std::optional<ResourceId> resource;
  friend bool operator==(const Answer&, const Answer&) = default;
};

Answer scan(const PolicyRules& rules, const IpAddress& ip, ProtoKey proto) {
  if (rules.internet && !is_proxy(ip)) {
    if (is_special(ip)) return {Verdict::Kind::unreachable, {}};
    return {Verdict::Kind::allowed, *rules.internet};
  }
  const Rule* best = nullptr;
  for (const auto& rule : rules.rules) {
    if (!rule.network.contains(ip) || !permits(rule.filter, proto)) continue;
    const std::pair rank{rule.network.prefix(), rule.resource};
    if (best == nullptr || rank > std::pair{best->network.prefix(), best->resource}) best = &rule;
  }
  if (best == nullptr) return {};
  return {Verdict::Kind::allowed, best->resource};
}

void ask(const Policy& policy, const PolicyRules& rules, const IpAddress& ip, ProtoKey proto) {
  const auto verdict = policy.classify(ip, proto);
  Answer answer{verdict.kind, {}};
  if (verdict.is_allowed()) {
    FG_LAW(verdict.resource < policy.resource_count());
    answer.resource = policy.resource(verdict.resource);
  }
  FG_LAW(answer == scan(rules, ip, proto));
}

void run(Bytes input) {
  fuzz::Choices choices{input};
  const auto written = rules(choices);
  const auto policy = Policy::compile(written);
  FG_LAW(policy != nullptr);
  const auto ask_all = [&](const IpAddress& ip, std::uint16_t port) {
    for (const auto kind : {ProtoKind::tcp, ProtoKind::udp, ProtoKind::echo, ProtoKind::other_ip}) {
      ask(*policy, written, ip, {kind, port});
    }
  };
  // At the edges of each network and range, and one past them.
  for (const auto& rule : written.rules) {
    auto last = copy_of(rule.network.address().bytes());
    for (int bit = rule.network.prefix(); bit < rule.network.address().bits(); ++bit) {
      auto& byte = last[static_cast<std::size_t>(bit / 8)];
      byte = static_cast<std::uint8_t>(byte | 0x80 >> bit % 8);
    }
    auto past = last;
    for (auto i = past.size(); i-- > 0 && ++past[i] == 0;) {
    }
    const auto port = rule.filter.tcp.empty() ? std::uint16_t{80} : rule.filter.tcp.front().last;
    for (const auto& ip :
         {rule.network.address(), IpAddress::from_bytes(last), IpAddress::from_bytes(past)}) {
      ask_all(ip, port);
      ask_all(ip, static_cast<std::uint16_t>(port + 1));
    }
  }
  for (int n = 0; n < 64 && !choices.empty(); ++n) ask_all(address(choices), choices.u16());
}

}  // namespace

FG_FUZZ_TARGET(run)
