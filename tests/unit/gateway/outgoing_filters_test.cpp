#include "gateway/outgoing_filters.h"

#include "gateway/firewall.h"
#include "tests/unit/gateway/own_namespace.h"

namespace fg::gateway {
namespace {

class OutgoingFilters : public OwnNamespace {
 protected:
  static std::string filter(const std::string& commands) {
    EXPECT_EQ(output_of("{ nft flush ruleset; " + commands + "\n}"), "") << commands;
    return Firewall{"tun-test"}.others().outgoing_filter.value_or("");
  }
  static std::string table(const std::string& base, const std::string& rules,
                           const std::string& family = "inet") {
    return "nft -f - <<'END'\ntable " + family + " mine { chain c { type " + base + "; " + rules +
           "\n}; }\nEND\n";
  }
};

TEST_F(OutgoingFilters, RulesForWhatComesInOrPassesAreNoneOfIt) {
  EXPECT_EQ(filter("true"), "");
  EXPECT_EQ(filter(table("filter hook input priority 0", "udp dport 7 drop;")), "");
  EXPECT_EQ(filter(table("filter hook forward priority 0; policy drop", "accept;")), "");
  EXPECT_EQ(filter(table("nat hook prerouting priority 0", "udp dport 7 accept;")), "");
}

TEST_F(OutgoingFilters, AnEmptyChainLetsEverythingPass) {
  EXPECT_EQ(filter(table("filter hook output priority 0; policy accept", "")), "");
  EXPECT_EQ(filter(table("nat hook postrouting priority 100", "")), "");
}

TEST_F(OutgoingFilters, WhateverIsDoneToWhatLeavesIsNamed) {
  EXPECT_EQ(filter(table("filter hook output priority 0", "udp dport 7 drop;")),
            "table inet mine, chain c has rules for what leaves");
  EXPECT_EQ(filter(table("nat hook postrouting priority 100", "oifname eth0 masquerade;", "ip")),
            "table ip mine, chain c has rules for what leaves");
  EXPECT_EQ(filter(table("route hook output priority -150", "meta mark set 1;", "ip6")),
            "table ip6 mine, chain c has rules for what leaves");
  EXPECT_EQ(filter(table("filter hook output priority 0; policy drop", "")),
            "table inet mine, chain c drops what leaves");
}

TEST_F(OutgoingFilters, OurOwnTablesAreNotSomebodyElses) {
  EXPECT_EQ(filter("true"), "");
  Firewall ours{"tun-test"};
  ASSERT_TRUE(ours.install());
  EXPECT_FALSE(ours.others().outgoing_filter);
}

TEST(OutgoingFiltersText, WhatCannotBeReadIsInTheWay) {
  for (const auto* text : {"", "{", "[]", "{\"nftables\": 7}", "{\"nftables\": [7]}"})
    EXPECT_TRUE(outgoing_filter(text)) << text;
  EXPECT_FALSE(outgoing_filter("{\"nftables\": []}"));
}

}  // namespace
}  // namespace fg::gateway
