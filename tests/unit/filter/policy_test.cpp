#include "filter/policy.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace fg::filter {
namespace {

using Kind = Verdict::Kind;

ResourceId id(std::uint8_t n) {
  std::array<std::uint8_t, 16> bytes{};
  bytes[0] = n;
  return ResourceId{bytes};
}
IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }
Cidr net(std::string_view text) { return Cidr::parse(text, true).value(); }

constexpr ProtoKey tcp(unsigned port) { return {ProtoKind::tcp, static_cast<std::uint16_t>(port)}; }
constexpr ProtoKey udp(unsigned port) { return {ProtoKind::udp, static_cast<std::uint16_t>(port)}; }
constexpr ProtoKey kEcho{ProtoKind::echo, 7};
constexpr ProtoKey kIcmpOther{ProtoKind::icmp_other, 0};
constexpr ProtoKey kGre{ProtoKind::other_ip, 0};

RuleFilter all() { return {.everything = true, .tcp = {}, .udp = {}, .icmp = false}; }
RuleFilter tcp_only(std::vector<PortRange> ports) {
  return {.everything = false, .tcp = std::move(ports), .udp = {}, .icmp = false};
}
RuleFilter udp_only(std::vector<PortRange> ports) {
  return {.everything = false, .tcp = {}, .udp = std::move(ports), .icmp = false};
}
RuleFilter icmp_only() { return {.everything = false, .tcp = {}, .udp = {}, .icmp = true}; }

std::unique_ptr<const Policy> compile(std::vector<Rule> rules,
                                      std::optional<ResourceId> internet = std::nullopt) {
  auto policy = Policy::compile({std::move(rules), internet});
  EXPECT_NE(policy, nullptr);
  return policy;
}
// Who is charged; none when refused.
std::optional<ResourceId> who(const Policy& policy, std::string_view address, ProtoKey proto) {
  const auto verdict = policy.classify(ip(address), proto);
  if (!verdict.is_allowed()) return std::nullopt;
  return policy.resource(verdict.resource);
}
bool allows(const Policy& policy, std::string_view address, ProtoKey proto) {
  return policy.classify(ip(address), proto).is_allowed();
}

TEST(Policy, WithoutRulesProhibitsEverything) {
  const auto policy = compile({});
  for (const auto* address : {"0.0.0.0", "8.8.8.8", "255.255.255.255", "::", "2001:db8::1",
                              "100.96.0.1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}) {
    EXPECT_EQ(policy->classify(ip(address), tcp(80)).kind, Kind::prohibited) << address;
    EXPECT_FALSE(policy->reaches(ip(address)));
  }
}

// Spec policy 10.3 item 31.
TEST(Policy, EmptyFilterAcceptsEveryClass) {
  const auto policy = compile({{net("10.20.0.0/16"), id(1), all()}});
  for (const auto proto : {tcp(0), tcp(65535), udp(53), kEcho, kIcmpOther, kGre}) {
    EXPECT_EQ(who(*policy, "10.20.255.255", proto), id(1));
    EXPECT_FALSE(allows(*policy, "10.21.0.0", proto));
    EXPECT_FALSE(allows(*policy, "10.19.255.255", proto));
  }
}

// Spec policy 3.2: table of verdicts.
TEST(Policy, NonEmptyFilterDeniesWhatItDoesNotName) {
  const auto policy = compile({{net("10.0.0.0/8"), id(1), tcp_only({{80, 80}})}});
  EXPECT_TRUE(allows(*policy, "10.1.1.1", tcp(80)));
  for (const auto proto : {tcp(79), tcp(81), udp(80), kEcho, kIcmpOther, kGre}) {
    EXPECT_FALSE(allows(*policy, "10.1.1.1", proto));
  }
}

// Item 33.
TEST(Policy, PortRangesAreInclusiveAndMayTouchOrOverlap) {
  const auto policy =
      compile({{net("10.0.0.1/32"), id(1),
                tcp_only({{0, 0}, {65535, 65535}, {100, 199}, {200, 299}, {250, 400}})}});
  for (const auto in : {0U, 65535U, 100U, 199U, 200U, 250U, 299U, 300U, 400U}) {
    EXPECT_TRUE(allows(*policy, "10.0.0.1", tcp(in))) << in;
  }
  for (const auto out : {1U, 99U, 401U, 65534U})
    EXPECT_FALSE(allows(*policy, "10.0.0.1", tcp(out))) << out;
}

// Item 35.
TEST(Policy, StartBehindEndMatchesNothing) {
  const auto policy = compile({{net("10.0.0.1/32"), id(1), tcp_only({{443, 80}})}});
  for (const auto port : {0U, 79U, 80U, 81U, 443U, 444U, 65535U}) {
    EXPECT_FALSE(allows(*policy, "10.0.0.1", tcp(port))) << port;
  }
  EXPECT_TRUE(policy->reaches(ip("10.0.0.1")));
}

// Item 36.
TEST(Policy, IcmpCoversEchoAndTheOtherTypes) {
  const auto with = compile({{net("10.0.0.1/32"), id(1), icmp_only()}});
  EXPECT_TRUE(allows(*with, "10.0.0.1", kEcho));
  EXPECT_TRUE(allows(*with, "10.0.0.1", kIcmpOther));
  EXPECT_FALSE(allows(*with, "10.0.0.1", kGre));
  const auto without = compile({{net("10.0.0.1/32"), id(1), udp_only({{0, 65535}})}});
  EXPECT_FALSE(allows(*without, "10.0.0.1", kEcho));
  EXPECT_FALSE(allows(*without, "10.0.0.1", kIcmpOther));
}

// Item 37.
TEST(Policy, ResourcesOfOneNetworkAreUnited) {
  const auto policy = compile({{net("10.0.0.0/24"), id(1), tcp_only({{80, 80}})},
                               {net("10.0.0.0/24"), id(2), udp_only({{53, 53}})}});
  EXPECT_EQ(who(*policy, "10.0.0.9", tcp(80)), id(1));
  EXPECT_EQ(who(*policy, "10.0.0.9", udp(53)), id(2));
  EXPECT_FALSE(allows(*policy, "10.0.0.9", udp(80)));
}

// Item 38: up to a supernet /8.
TEST(Policy, NestedNetworksAreUnited) {
  std::vector<Rule> rules;
  for (std::uint8_t level = 0; level < 8; ++level) {
    const auto port = static_cast<std::uint16_t>(1000 + level);
    rules.push_back({Cidr{ip("10.1.2.3"), 8 + 3 * level}, id(level), tcp_only({{port, port}})});
  }
  const auto policy = compile(rules);
  for (std::uint8_t level = 0; level < 8; ++level) {
    EXPECT_EQ(who(*policy, "10.1.2.3", tcp(1000U + level)), id(level));
  }
  EXPECT_EQ(who(*policy, "10.255.0.1", tcp(1000)), id(0));
  EXPECT_FALSE(allows(*policy, "10.255.0.1", tcp(1001)));
}

// Item 39.
TEST(Policy, WithoutTheInnerNetworkOnlyTheOuterPermits) {
  const Rule outer{net("10.0.0.0/8"), id(1), tcp_only({{80, 80}})};
  const Rule inner{net("10.1.0.0/16"), id(2), tcp_only({{443, 443}})};
  const auto both = compile({outer, inner});
  EXPECT_TRUE(allows(*both, "10.1.0.1", tcp(80)));
  EXPECT_TRUE(allows(*both, "10.1.0.1", tcp(443)));
  const auto one = compile({outer});
  EXPECT_TRUE(allows(*one, "10.1.0.1", tcp(80)));
  EXPECT_FALSE(allows(*one, "10.1.0.1", tcp(443)));
}

// Item 40.
TEST(Policy, AttributionPrefersThePermittingThenTheLongerThenTheHigherId) {
  const auto policy = compile({{net("10.0.0.0/8"), id(9), all()},
                               {net("10.1.0.0/16"), id(1), tcp_only({{80, 80}})},
                               {net("10.1.0.0/16"), id(2), tcp_only({{80, 90}})},
                               {net("10.1.0.0/16"), id(0), all()}});
  EXPECT_EQ(who(*policy, "10.1.0.1", tcp(80)), id(2));
  EXPECT_EQ(who(*policy, "10.1.0.1", tcp(79)), id(0));
  EXPECT_EQ(who(*policy, "10.1.0.1", kGre), id(0));
  EXPECT_EQ(who(*policy, "10.2.0.1", tcp(80)), id(9));
}
TEST(Policy, PermittingOuterNetworkBeatsALongerPrefixThatDenies) {
  const auto policy = compile(
      {{net("10.0.0.0/8"), id(1), all()}, {net("10.1.0.0/16"), id(2), tcp_only({{80, 80}})}});
  EXPECT_EQ(who(*policy, "10.1.0.1", tcp(80)), id(2));
  EXPECT_EQ(who(*policy, "10.1.0.1", tcp(81)), id(1));
  EXPECT_EQ(who(*policy, "10.1.0.1", kIcmpOther), id(1));
}

// Item 42.
TEST(Policy, OtherProtocolsAndOtherIcmpAreDecidedApart) {
  const auto policy = compile(
      {{net("10.0.0.0/8"), id(1), icmp_only()}, {net("10.0.0.1/32"), id(2), tcp_only({{1, 1}})}});
  EXPECT_FALSE(allows(*policy, "10.0.0.1", kGre));
  EXPECT_TRUE(allows(*policy, "10.0.0.1", kIcmpOther));
  EXPECT_FALSE(allows(*policy, "10.0.0.1", kGre));
}

TEST(Policy, WholeAddressSpaceIsOneNetwork) {
  const auto policy = compile({{net("0.0.0.0/0"), id(1), all()}, {net("::/0"), id(2), all()}});
  EXPECT_EQ(who(*policy, "0.0.0.0", kGre), id(1));
  EXPECT_EQ(who(*policy, "255.255.255.255", kGre), id(1));
  EXPECT_EQ(who(*policy, "::", kGre), id(2));
  EXPECT_EQ(who(*policy, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", kGre), id(2));
}
TEST(Policy, FamiliesDoNotMix) {
  const auto policy = compile({{net("0.0.0.0/0"), id(1), all()}});
  EXPECT_FALSE(allows(*policy, "::", kGre));
  EXPECT_FALSE(allows(*policy, "::ffff:1.2.3.4", kGre));
}
TEST(Policy, LastNetworkOfTheFamilyEndsWithIt) {
  const auto policy =
      compile({{net("255.255.255.255/32"), id(1), all()}, {net("0.0.0.0/32"), id(2), all()}});
  EXPECT_EQ(who(*policy, "255.255.255.255", kGre), id(1));
  EXPECT_EQ(who(*policy, "0.0.0.0", kGre), id(2));
  EXPECT_FALSE(allows(*policy, "255.255.255.254", kGre));
  EXPECT_FALSE(allows(*policy, "0.0.0.1", kGre));
}
TEST(Policy, NeighbouringNetworksEndExactly) {
  const auto policy = compile({{net("2001:db8::/127"), id(1), all()},
                               {net("2001:db8::2/128"), id(2), all()},
                               {net("2001:db8:0:1::/64"), id(3), all()}});
  EXPECT_EQ(who(*policy, "2001:db8::1", kGre), id(1));
  EXPECT_EQ(who(*policy, "2001:db8::2", kGre), id(2));
  EXPECT_FALSE(allows(*policy, "2001:db8::3", kGre));
  EXPECT_FALSE(allows(*policy, "2001:db8::ffff:ffff:ffff:ffff", kGre));
  EXPECT_EQ(who(*policy, "2001:db8:0:1::", kGre), id(3));
  EXPECT_FALSE(allows(*policy, "2001:db8:0:2::", kGre));
}

// Item 48, spec policy 3.5: special addresses are refused even under a CIDR, everything else is the
// Internet's.
TEST(Policy, InternetResourceReachesAllButSpecialAddresses) {
  const auto policy = compile(
      {{net("10.0.0.0/8"), id(1), all()}, {net("8.8.8.8/32"), id(2), tcp_only({{1, 1}})}}, id(7));
  EXPECT_EQ(who(*policy, "8.8.8.8", udp(53)), id(7));
  EXPECT_EQ(who(*policy, "2001:db8::1", kGre), id(7));
  for (const auto* special :
       {"10.0.0.1", "192.168.1.1", "127.0.0.1", "224.0.0.1", "fe80::1", "::1", "0.1.2.3"}) {
    EXPECT_EQ(policy->classify(ip(special), tcp(80)).kind, Kind::unreachable) << special;
    EXPECT_FALSE(policy->reaches(ip(special)));
  }
}

// Item 46: proxy addresses stay with the table.
TEST(Policy, InternetResourceDoesNotCoverProxyAddresses) {
  const auto policy = compile({{net("100.96.0.1/32"), id(1), tcp_only({{443, 443}})}}, id(7));
  EXPECT_EQ(who(*policy, "100.96.0.1", tcp(443)), id(1));
  EXPECT_EQ(policy->classify(ip("100.96.0.1"), tcp(80)).kind, Kind::prohibited);
  EXPECT_EQ(policy->classify(ip("100.96.0.2"), tcp(443)).kind, Kind::prohibited);
  EXPECT_EQ(policy->classify(ip("fd00:2021:1111:8000::1"), tcp(443)).kind, Kind::prohibited);
}

TEST(Policy, HoldsTheLargestSetOfRulesAndRefusesOneMore) {
  std::vector<Rule> rules;
  for (std::uint32_t i = 0; i < 16'384; ++i) {
    std::array<std::uint8_t, 4> address{};
    store_be32(address.data(), 0x0A00'0000 + i * 256);
    rules.push_back(
        {Cidr{IpAddress::v4(address), 24}, id(static_cast<std::uint8_t>(i)), tcp_only({{80, 80}})});
  }
  const auto policy = Policy::compile({rules, std::nullopt});
  ASSERT_NE(policy, nullptr);
  EXPECT_TRUE(allows(*policy, "10.63.255.9", tcp(80)));
  EXPECT_FALSE(allows(*policy, "10.64.0.0", tcp(80)));
  rules.push_back(rules.front());
  EXPECT_EQ(Policy::compile({rules, std::nullopt}), nullptr);
}
TEST(Policy, HostsOfOneRuleShareItsFilterAndAreUnitedWithOtherRules) {
  PolicyRules rules;
  rules.hosts.push_back(
      {id(1), tcp_only({{80, 80}}), {ip("100.96.0.1"), ip("100.96.0.2"), ip("fd00::1")}});
  rules.hosts.push_back({id(2), tcp_only({{443, 443}}), {ip("100.96.0.2"), ip("100.96.0.2")}});
  rules.rules.push_back({net("100.96.0.0/24"), id(3), tcp_only({{22, 22}})});
  const auto policy = Policy::compile(rules);
  ASSERT_NE(policy, nullptr);
  EXPECT_TRUE(allows(*policy, "100.96.0.1", tcp(80)));
  EXPECT_FALSE(allows(*policy, "100.96.0.1", tcp(443)));
  EXPECT_TRUE(allows(*policy, "100.96.0.2", tcp(80)));
  EXPECT_TRUE(allows(*policy, "100.96.0.2", tcp(443)));
  EXPECT_TRUE(allows(*policy, "100.96.0.2", tcp(22)));
  EXPECT_TRUE(allows(*policy, "fd00::1", tcp(80)));
  EXPECT_FALSE(allows(*policy, "100.96.0.3", tcp(80)));
  EXPECT_FALSE(allows(*policy, "fd00::2", tcp(80)));
}
TEST(Policy, RefusesOneHostTooMany) {
  PolicyRules rules;
  rules.hosts.push_back(
      {id(1), tcp_only({{80, 80}}), std::vector<IpAddress>(kHostsMax, ip("100.96.0.1"))});
  EXPECT_NE(Policy::compile(rules), nullptr);
  rules.hosts.front().hosts.push_back(ip("100.96.0.1"));
  EXPECT_EQ(Policy::compile(rules), nullptr);
}
TEST(Policy, RefusesOnePortRangeTooMany) {
  std::vector<PortRange> ranges(262'144, PortRange{1, 2});
  EXPECT_NE(Policy::compile({{{net("10.0.0.0/8"), id(1), tcp_only(ranges)}}, std::nullopt}),
            nullptr);
  ranges.push_back({3, 4});
  EXPECT_EQ(Policy::compile({{{net("10.0.0.0/8"), id(1), tcp_only(ranges)}}, std::nullopt}),
            nullptr);
}

}  // namespace
}  // namespace fg::filter
