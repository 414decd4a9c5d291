#include "gateway/host_network.h"

#include <gtest/gtest.h>

#include "gateway/firewall.h"
#include "tests/unit/gateway/own_namespace.h"

namespace fg::gateway {
namespace {

class HostNetworkTest : public OwnNamespace {
 protected:
  HostNetwork make() { return {std::move(*Netlink::open()), "tun-test"}; }
  // Whether at least one family works.
  static ::testing::AssertionResult keep(HostNetwork& network, const IpAddress& v4,
                                         const IpAddress& v6) {
    network.set_addresses(v4, v6);
    const auto kept = network.keep();
    if (kept.problem) return ::testing::AssertionFailure() << *kept.problem;
    return ::testing::AssertionSuccess();
  }

  IpAddress v4 = *IpAddress::parse("100.71.20.9");
  IpAddress v6 = *IpAddress::parse("fd00:2021:1111::9:14");
};

TEST_F(HostNetworkTest, AddressesRoutesAndRulesAreThoseOfTheOriginal) {
  auto network = make();
  ASSERT_TRUE(keep(network, v4, v6));
  const auto link = output_of("ip -o link show tun-test");
  EXPECT_NE(link.find("mtu 1280"), std::string::npos) << link;
  EXPECT_NE(link.find("UP"), std::string::npos) << link;
  EXPECT_NE(output_of("ip -o addr show tun-test").find("100.71.20.9/32"), std::string::npos);
  EXPECT_NE(output_of("ip -o addr show tun-test").find("fd00:2021:1111::9:14/128"),
            std::string::npos);
  EXPECT_EQ(output_of("ip -o addr show tun-test").find("fe80"), std::string::npos);
  EXPECT_NE(output_of("ip route show table 539098368").find("100.64.0.0/11 dev tun-test"),
            std::string::npos);  // 0x2021fd00
  EXPECT_NE(output_of("ip -6 route show table 539098368").find("fd00:2021:1111::/107 dev tun-test"),
            std::string::npos);
  for (const auto* family : {"-4", "-6"}) {
    const auto rules = output_of(std::string("ip ") + family + " rule");
    EXPECT_NE(rules.find("100:\tnot from all fwmark 0xfd002021 lookup 539098368"),
              std::string::npos)
        << rules;
  }
}

TEST_F(HostNetworkTest, RepeatingAndMovingLeavesOneOfEach) {
  auto network = make();
  ASSERT_TRUE(keep(network, v4, v6));
  ASSERT_TRUE(keep(network, v4, v6));
  ASSERT_TRUE(keep(network, *IpAddress::parse("100.71.20.10"), v6));
  const auto addresses = output_of("ip -o -4 addr show tun-test");
  EXPECT_EQ(addresses.find("100.71.20.9/32"), std::string::npos) << addresses;
  EXPECT_NE(addresses.find("100.71.20.10/32"), std::string::npos) << addresses;
  const auto rules = output_of("ip rule");
  EXPECT_EQ(rules.find("fwmark"), rules.rfind("fwmark")) << rules;
  network.clean_up();
  EXPECT_EQ(output_of("ip rule").find("fwmark"), std::string::npos);
  EXPECT_EQ(output_of("ip -6 rule").find("fwmark"), std::string::npos);
}

TEST_F(HostNetworkTest, AnInterfaceThatIsGoneIsAnErrorThatNamesIt) {
  HostNetwork network{std::move(*Netlink::open()), "tun-gone"};
  network.set_addresses(v4, v6);
  const auto kept = network.keep();
  ASSERT_TRUE(kept.problem);
  EXPECT_NE(kept.problem->find("tun-gone"), std::string::npos);
}

TEST_F(HostNetworkTest, WhatSomebodyRemovedIsPutBackAndNamed) {
  auto network = make();
  ASSERT_TRUE(keep(network, v4, v6));
  EXPECT_TRUE(network.keep().made.empty());
  const std::array<std::pair<const char*, const char*>, 6> cases{{
      {"ip addr del 100.71.20.9/32 dev tun-test", "address 100.71.20.9"},
      {"ip -6 addr del fd00:2021:1111::9:14/128 dev tun-test", "address fd00:2021:1111::9:14"},
      {"ip route flush table 539098368", "route 100.64.0.0/11"},
      {"ip rule del priority 100", "rule 100 (IPv4)"},
      {"ip -6 rule del priority 100", "rule 100 (IPv6)"},
      {"ip link set tun-test mtu 1400", "MTU 1280"},
  }};
  for (const auto& [command, what] : cases) {
    EXPECT_EQ(output_of(command), "");
    const auto kept = network.keep();
    ASSERT_FALSE(kept.made.empty()) << command;  // the kernel takes the route with the address
    EXPECT_EQ(kept.made[0], what);
    EXPECT_TRUE(network.keep().made.empty()) << command;
  }
  EXPECT_EQ(output_of("ip link set tun-test down"), "");
  EXPECT_EQ(network.keep().made.at(0), "up state");
  EXPECT_TRUE(network.keep().made.empty());
}

TEST_F(HostNetworkTest, ADeviceThatWasRenamedGetsItsNameBack) {
  auto network = make();
  ASSERT_TRUE(keep(network, v4, v6));
  EXPECT_EQ(output_of("ip link set tun-test down && ip link set tun-test name other && "
                      "ip link set other up"),
            "");
  EXPECT_TRUE(network.keep().problem);
  const auto renamed = network.rename_back("other");
  ASSERT_TRUE(renamed) << renamed.error();
  EXPECT_FALSE(network.keep().problem);
  EXPECT_FALSE(network.rename_back("none"));
}

TEST_F(HostNetworkTest, RulesAndRoutesThatHideTheTunnelAreNamedWithTheCommandThatMends) {
  auto network = make();
  ASSERT_TRUE(keep(network, v4, v6));
  EXPECT_TRUE(network.obstacles().empty());
  ASSERT_EQ(
      output_of(
          "ip link add wg0 type veth peer name wg1 && ip link set wg1 up && ip link set wg0 up && "
          "ip route add 100.64.0.0/10 dev wg0 table 51820 && "
          "ip rule add priority 50 lookup 51820"),
      "");
  const auto hidden = network.obstacles();
  ASSERT_EQ(hidden.size(), 1U);
  EXPECT_NE(hidden[0].find("leave by 'wg0'"), std::string::npos) << hidden[0];
  EXPECT_NE(hidden[0].find("50 (table 51820)"), std::string::npos) << hidden[0];
  const auto at = hidden[0].find("run '") + 5;
  EXPECT_EQ(output_of(hidden[0].substr(at, hidden[0].find('\'', at) - at)), "") << hidden[0];
  EXPECT_TRUE(network.obstacles().empty()) << network.obstacles().at(0);
  EXPECT_EQ(output_of("ip link set tun-test down"), "");
  EXPECT_FALSE(network.keep().problem) << "changes and questions share a socket";
}

TEST_F(HostNetworkTest, AnotherGatewaysRouteIsAnObstacleAndIsLeftAlone) {
  ASSERT_EQ(output_of("ip link add other type veth peer name more && ip link set more up && ip "
                      "link set other up && "
                      "ip route add 100.64.0.0/11 dev other table 539098368"),
            "");
  auto network = make();
  ASSERT_TRUE(keep(network, v4, v6));
  const auto hidden = network.obstacles();
  ASSERT_EQ(hidden.size(), 1U);
  EXPECT_NE(hidden[0].find("another gateway"), std::string::npos) << hidden[0];
  EXPECT_NE(output_of("ip route show table 539098368").find("dev other"), std::string::npos);
}

TEST_F(HostNetworkTest, ATableThatWasFlushedIsNoticed) {
  for (const auto* command : {"nft flush ruleset", "nft delete table ip6 firegate-tun-test",
                              "nft flush chain ip firegate-tun-test postrouting"}) {
    Firewall firewall{"tun-test"};
    ASSERT_TRUE(firewall.install());
    EXPECT_TRUE(firewall.is_installed());
    EXPECT_EQ(output_of(command), "");
    EXPECT_FALSE(firewall.is_installed()) << command;
    firewall.remove();
  }
}

TEST_F(HostNetworkTest, AForeignRuleInOurTableIsNoticedAndReplaced) {
  Firewall firewall{"tun-test"};
  ASSERT_TRUE(firewall.install());
  for (const auto* command : {"nft insert rule ip firegate-tun-test postrouting accept",
                              "nft add rule ip6 firegate-tun-test postrouting counter drop",
                              "nft add chain ip firegate-tun-test other"}) {
    ASSERT_EQ(output_of(command), "");
    EXPECT_FALSE(firewall.is_installed()) << command;
    ASSERT_TRUE(firewall.install());
    EXPECT_TRUE(firewall.is_installed()) << command;
  }
  firewall.remove();
}

TEST_F(HostNetworkTest, SourcesArePreservedTowardsListedNetworksBeforeAnythingElseIsDecided) {
  Firewall firewall{"tun-test",
                    {*Cidr::parse("10.0.0.0/8", true), *Cidr::parse("10.1.0.0/16", true),
                     *Cidr::parse("fd20::/64", true)}};
  const auto installed = firewall.install();
  ASSERT_TRUE(installed) << installed.error();
  EXPECT_TRUE(firewall.is_installed()) << "also with networks that overlap";
  const auto rules = output_of("nft list ruleset");
  EXPECT_NE(rules.find("elements = { 10.0.0.0/8 }"), std::string::npos) << rules;
  EXPECT_NE(rules.find("snat ip prefix to ip saddr map { 100.64.0.0/11 : 100.64.0.0/11 }"),
            std::string::npos)
      << rules;
  EXPECT_NE(rules.find("ip6 daddr @preserved"), std::string::npos) << rules;
  ASSERT_EQ(output_of("nft delete element ip firegate-tun-test preserved { 10.0.0.0/8 }"), "");
  EXPECT_FALSE(firewall.is_installed());
  firewall.remove();
  EXPECT_EQ(output_of("nft list ruleset"), "");
}

TEST_F(HostNetworkTest, NoFlowIsTranslatedToAPortOfOurs) {
  Firewall firewall{"tun-test"};
  firewall.set_ports({.v4 = 52625, .v6 = 40000});
  ASSERT_TRUE(firewall.install());
  EXPECT_TRUE(firewall.is_installed());
  for (const auto& [family, rules] :
       {std::pair{"ip",
                  "udp sport 1024-52624 counter masquerade to :1024-52624|"
                  "udp sport 52625-65535 counter masquerade to :52626-65535|masquerade"},
        {"ip6",
         "udp sport 1024-39999 counter masquerade to :1024-39999|"
         "udp sport 40000-65535 counter masquerade to :40001-65535|masquerade"}}) {
    const auto listed =
        output_of(std::string{"nft -s list table "} + family + " firegate-tun-test");
    std::size_t from = 0;
    for (std::string_view rest = rules; !rest.empty();) {
      const auto rule = rest.substr(0, rest.find('|'));
      rest.remove_prefix(std::min(rule.size() + 1, rest.size()));
      from = listed.find(rule, from);
      ASSERT_NE(from, std::string::npos) << rule << "\n" << listed;
    }
  }
  for (const std::uint16_t port : {std::uint16_t{0}, std::uint16_t{1024}, std::uint16_t{65535}}) {
    EXPECT_FALSE(Firewall::is_avoidable(port));
    firewall.set_ports({.v4 = port, .v6 = port});
    ASSERT_TRUE(firewall.install()) << port;
  }
  firewall.remove();
}

TEST_F(HostNetworkTest, TheFirewallTableIsOursAloneAndLeavesNothingBehind) {
  Firewall firewall{"tun-test"};
  const auto installed = firewall.install();
  ASSERT_TRUE(installed) << installed.error();
  ASSERT_TRUE(firewall.install()) << "a second start replaces what is there";
  EXPECT_TRUE(firewall.is_installed());
  const auto rules = output_of("nft list ruleset");
  EXPECT_NE(rules.find("ip saddr 100.64.0.0/11 oifname != \"tun-test\""), std::string::npos)
      << rules;
  EXPECT_NE(rules.find("ip6 saddr fd00:2021:1111::/107"), std::string::npos) << rules;
  EXPECT_EQ(rules.find("masquerade"), rules.find("masquerade")) << rules;
  firewall.remove();
  EXPECT_FALSE(firewall.is_installed());
  EXPECT_EQ(output_of("nft list ruleset"), "");
}

}  // namespace
}  // namespace fg::gateway
