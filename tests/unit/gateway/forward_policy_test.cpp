// The rule sets are those the tools install, cut down to what concerns forwarding.
#include "gateway/forward_policy.h"

#include "gateway/firewall.h"
#include "tests/unit/gateway/own_namespace.h"

namespace fg::gateway {
namespace {

constexpr const char* kDocker = R"(
table ip filter {
  chain DOCKER { }
  chain DOCKER-FORWARD { iifname "docker0" counter accept; }
  chain DOCKER-USER { counter return; }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump DOCKER-USER
    counter jump DOCKER-FORWARD
  }
})";

constexpr const char* kUfw = R"(
table ip filter {
  chain ufw-user-forward { }
  chain ufw-before-forward {
    ct state related,established counter accept
    counter jump ufw-user-forward
  }
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    counter jump ufw-before-forward
  }
})";

constexpr const char* kFirewalld = R"(
table inet firewalld {
  chain filter_FORWARD_POLICIES { iifname "eth0" reject with icmpx admin-prohibited; }
  chain filter_FORWARD {
    type filter hook forward priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    jump filter_FORWARD_POLICIES
    reject with icmpx admin-prohibited
  }
})";

class ForwardPolicyTest : public OwnNamespace {
 protected:
  static void load(const std::string& ruleset) {
    ASSERT_EQ(output_of("nft flush ruleset; nft -f - <<'END'\n" + ruleset + "\nEND\n"), "");
  }
  static std::vector<std::string> obstacles() { return Firewall{"tun-test"}.others().obstacles; }
};

TEST_F(ForwardPolicyTest, AHostWithoutAFirewallForwards) {
  EXPECT_TRUE(obstacles().empty());
  load(
      "table inet mine { chain forward { type filter hook forward priority 0; policy accept; "
      "iifname eth9 drop; }; chain input { type filter hook input priority 0; policy drop; }; }");
  EXPECT_TRUE(obstacles().empty());
}

struct Tool {
  const char* name;
  const char* ruleset;
  const char* mend;    // that is said
  const char* mended;  // as nft rules: what the tool's command does
};

TEST_F(ForwardPolicyTest, WhatToolsDropIsNamedWithTheirOwnCommandAndEndsWhenItWasRun) {
  for (const auto& tool : {
           Tool{"Docker", kDocker,
                "'iptables -I DOCKER-USER -i tun-test -j ACCEPT' and 'iptables -I DOCKER-USER -o "
                "tun-test -j ACCEPT'",
                "insert rule ip filter DOCKER-USER iifname tun-test counter accept"},
           Tool{"ufw", kUfw,
                "'ufw route allow in on tun-test' and 'ufw route allow out on tun-test'",
                "add rule ip filter ufw-user-forward iifname tun-test counter accept"},
           Tool{"firewalld", kFirewalld,
                "'firewall-cmd --permanent --zone=trusted --add-interface=tun-test' and "
                "'firewall-cmd --reload'",
                "insert rule inet firewalld filter_FORWARD_POLICIES iifname tun-test accept"},
           Tool{
               "by hand",
               "table inet mine { chain pass { type filter hook forward priority 0; policy drop; };"
               "}",
               "'nft insert rule inet mine pass iifname tun-test accept' and 'nft insert rule inet "
               "mine pass oifname tun-test accept'",
               "insert rule inet mine pass iifname { \"eth0\", \"tun-test\" } accept"},
           Tool{"with a wildcard",
                "table ip filter { chain FORWARD { type filter hook forward priority 0; policy "
                "drop; }; }",
                "'iptables -I FORWARD -i tun-test -j ACCEPT' and 'iptables -I FORWARD -o tun-test "
                "-j ACCEPT'",
                "insert rule ip filter FORWARD iifname \"tun*\" counter accept"},
       }) {
    load(tool.ruleset);
    const auto said = obstacles();
    ASSERT_EQ(said.size(), 1U) << tool.name;
    EXPECT_TRUE(said[0].ends_with(std::string{"run "} + tool.mend)) << said[0];
    ASSERT_EQ(output_of(std::string{"nft '"} + tool.mended + "'"), "");
    EXPECT_TRUE(obstacles().empty()) << tool.name;
  }
}

TEST_F(ForwardPolicyTest, ARuleThatOnlyDropsOurInterfaceDoesNotAllowIt) {
  load(
      "table inet mine { chain pass { type filter hook forward priority 0; policy drop; iifname "
      "tun-test drop; iifname != tun-test accept; }; }");
  EXPECT_EQ(obstacles().size(), 1U);
}

TEST(ForwardPolicy, TextThatIsNoRulesetSaysNothing) {
  for (const auto* text :
       {"", "x", "[]", R"({"nftables": 3})", R"({"nftables": [3, {"chain": 1}]})",
        R"({"nftables": [{"rule": {"expr": [1]}}, {"rule": {"expr": 1}}]})"})
    EXPECT_TRUE(forward_obstacles(text, "tun-test").empty()) << text;
}

}  // namespace
}  // namespace fg::gateway
