#include "gateway/host_network.h"

#include <gtest/gtest.h>

#include "gateway/firewall.h"
#include "tests/unit/gateway/own_namespace.h"

namespace fg::gateway {
namespace {

class QuietSink final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel, std::string_view) const override { return false; }
  void write(LogLevel, std::string_view, std::string_view, std::span<const LogField>) override {}
};

class HostNetworkTest : public OwnNamespace {
 protected:
  HostNetwork make() { return {std::move(*Netlink::open()), "tun-test", Log{sink, "host"}}; }

  QuietSink sink;
  IpAddress v4 = *IpAddress::parse("100.71.20.9");
  IpAddress v6 = *IpAddress::parse("fd00:2021:1111::9:14");
};

TEST_F(HostNetworkTest, AddressesRoutesAndRulesAreThoseOfTheOriginal) {
  auto network = make();
  const auto configured = network.configure(v4, v6);
  ASSERT_TRUE(configured) << configured.error();
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
  ASSERT_TRUE(network.configure(v4, v6));
  ASSERT_TRUE(network.configure(v4, v6));
  ASSERT_TRUE(network.configure(*IpAddress::parse("100.71.20.10"), v6));
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
  HostNetwork network{std::move(*Netlink::open()), "tun-gone", Log{sink, "host"}};
  const auto configured = network.configure(v4, v6);
  ASSERT_FALSE(configured);
  EXPECT_NE(configured.error().find("tun-gone"), std::string::npos);
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
