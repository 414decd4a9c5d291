// The rule sets are what the tools install, cut down; iptables is the one that writes to nftables.
#include "gateway/tracking_users.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "gateway/firewall.h"
#include "tests/unit/gateway/own_namespace.h"

namespace fg::gateway {
namespace {

using ::testing::HasSubstr;

std::string base(const std::string& hook, const std::string& rules, const char* type = "filter") {
  return "nft -f - <<'END'\ntable inet mine { chain c { type " + std::string(type) + " hook " +
         hook + "; policy accept; " + rules + "\n}; }\nEND\n";
}

class TrackingUsers : public OwnNamespace {
 protected:
  static std::string user(const std::string& commands) {
    EXPECT_EQ(output_of("{ nft flush ruleset; " + commands + "\n}"), "") << commands;
    return Firewall{"tun-test"}.others().tracking_user.value_or("");
  }
};

struct Case {
  const char* name;
  std::string commands;
  const char* user;
};

TEST_F(TrackingUsers, AHostWithoutRulesOrWithRulesThatLookAtPacketsAloneHasNone) {
  for (const auto& host : {
           Case{"no rules", "true", ""},
           Case{"no translation in a nat chain",
                base("postrouting priority 100", "oifname eth9 accept;", "nat"), ""},
           Case{"a stateless firewall, with its sets, maps and limits", R"(nft -f - <<'END'
table inet filter {
  set banned { type ipv4_addr; flags timeout; }
  map services { type inet_service : verdict; elements = { 22 : accept, 80 : jump web }; }
  chain web { tcp flags syn limit rate 100/second counter accept; counter log prefix "web" drop; }
  chain input {
    type filter hook input priority 0; policy drop;
    iifname lo accept
    ip saddr @banned drop
    udp dport { 52625, 53 } accept
    tcp dport vmap @services
    tcp dport 23 add @banned { ip saddr timeout 5m }
    icmp type echo-request limit rate 5/second accept
    meta l4proto tcp quota over 5000 mbytes reject with tcp reset
    ip6 nexthdr icmpv6 accept
  }
  chain marks { type filter hook prerouting priority mangle; fib saddr . iif oif missing drop; meta mark set 7; }
  chain routes { type route hook output priority mangle; ip dscp set cs1; }
  chain untracked { type filter hook prerouting priority raw; udp dport 53 notrack; }
}
END
)",
                ""},
           Case{"what a router allows",
                base("forward priority 0",
                     "ct state established,related accept; ct state invalid drop;"),
                ""},
           Case{"addresses of a link",
                "nft add table arp a; nft 'add chain arp a c { type filter hook input "
                "priority 0; }'; nft add rule arp a c counter drop",
                ""},
           Case{"plain iptables", "iptables-nft -A INPUT -s 192.0.2.1 -j DROP", ""},
       })
    EXPECT_EQ(user(host.commands), host.user) << host.name;
}

TEST_F(TrackingUsers, OurOwnTablesAreNone) {
  Firewall firewall{"tun-test"};
  firewall.set_ports({.v4 = 52625, .v6 = 52625});
  ASSERT_TRUE(firewall.install());
  EXPECT_FALSE(firewall.others().tracking_user);
  EXPECT_EQ(Firewall{"tun-other"}.others().tracking_user,
            "table ip firegate-tun-test, chain postrouting translates (masquerade)");
  firewall.remove();
}

TEST_F(TrackingUsers, FirewallsAndTranslationsOfOthersAreNamed) {
  for (const auto& host : {
           Case{"a stateful firewall",
                base("input priority 0", "ct state established,related accept; drop;"),
                "table inet mine, chain c uses ct"},
           Case{"in a map",
                base("input priority 0", "ct state vmap { established : accept, invalid : drop };"),
                "table inet mine, chain c uses ct"},
           Case{"as a mark", base("output priority 0", "meta mark set ct mark;"),
                "table inet mine, chain c uses ct"},
           Case{"as a limit", base("input priority 0", "tcp dport 22 ct count over 3 drop;"),
                "table inet mine, chain c uses ct"},
           Case{"inside a set's statement",
                "nft -f - <<'END'\ntable inet mine { set s { type ipv4_addr; flags dynamic; size "
                "5; }; chain c { "
                "type filter hook input priority 0; tcp dport 5 add @s { ip saddr ct count over 3 "
                "} drop;\n}; }\nEND\n",
                "table inet mine, chain c uses ct"},
           Case{"in a chain that forwarding, and perhaps others, jump to",
                "nft -f - <<'END'\ntable inet mine { chain own { ct state invalid drop; }; chain c "
                "{ type filter "
                "hook forward priority 0; jump own; }; }\nEND\n",
                "table inet mine, chain own uses ct"},
           Case{"a redirection",
                base("prerouting priority -100", "tcp dport 80 redirect to :8080;", "nat"),
                "table inet mine, chain c translates (redirect)"},
           Case{"a forwarded port",
                base("prerouting priority -100", "iifname eth0 udp dport 53 dnat ip to 10.0.0.2;",
                     "nat"),
                "table inet mine, chain c translates (dnat)"},
           Case{"Docker",
                "iptables-nft -t nat -N DOCKER; iptables-nft -t nat -A PREROUTING -m addrtype "
                "--dst-type LOCAL -j "
                "DOCKER; iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j "
                "MASQUERADE",
                "table ip nat, chain PREROUTING has rules of iptables"},
           Case{"ufw",
                "iptables-nft -P INPUT DROP; iptables-nft -N ufw-before-input; iptables-nft -A "
                "INPUT -j "
                "ufw-before-input; iptables-nft -A ufw-before-input -m conntrack --ctstate "
                "RELATED,ESTABLISHED -j "
                "ACCEPT",
                "table ip filter, chain ufw-before-input has rules of iptables"},
           Case{"firewalld", R"(nft -f - <<'END'
table inet firewalld {
  chain mangle_PREROUTING { type filter hook prerouting priority mangle + 10; policy accept; }
  chain nat_POST_public { }
  chain nat_POSTROUTING { type nat hook postrouting priority srcnat + 10; policy accept; oifname "eth0" goto nat_POST_public; }
  chain filter_INPUT {
    type filter hook input priority filter + 10; policy accept;
    ct state { established, related } accept
    ct status dnat accept
    iifname "lo" accept
    ct state invalid drop
    reject with icmpx admin-prohibited
  }
}
END
)",
                "table inet firewalld, chain filter_INPUT uses ct"},
           Case{"libvirt", R"(nft -f - <<'END'
table ip libvirt_network {
  chain forward { type filter hook forward priority filter; policy accept; counter jump guest_cross; }
  chain guest_cross { iifname "virbr0" oifname "virbr0" counter accept; }
  chain guest_nat {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 192.168.122.0/24 ip daddr != 192.168.122.0/24 counter masquerade
  }
}
END
)",
                "table ip libvirt_network, chain guest_nat translates (masquerade)"},
           Case{"the originals' script",
                "iptables-nft -t nat -A POSTROUTING -s 100.64.0.0/11 -o e+ -j MASQUERADE",
                "table ip nat, chain POSTROUTING has rules of iptables"},
       }) {
    EXPECT_EQ(user(host.commands), host.user) << host.name;
  }
}

std::string ruleset_with(const std::string& expressions) {
  return R"({"nftables": [{"metainfo": {}}, {"table": {"family": "ip", "name": "t"}},
             {"chain": {"family": "ip", "table": "t", "name": "c", "hook": "input"}},
             {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": )" +
         expressions + "}}]}";
}

TEST_F(TrackingUsers, ATableThatTheLibraryCannotShowIsNotAskedFor) {
  ASSERT_EQ(output_of("nft 'add table inet asleep { flags dormant; }'; nft 'add table ip empty'"),
            "");
  const auto others = Firewall{"tun-test"}.others();
  EXPECT_EQ(others.tracking_user, "table inet asleep is dormant or somebody's own");
  EXPECT_TRUE(others.is_complete);
}

TEST(TrackingUsersText, WhatIsNotUnderstoodMayBeOne) {
  EXPECT_FALSE(tracking_user(ruleset_with(R"([{"counter": null}, {"accept": null}])")));
  for (const auto& [expressions, said] : {
           std::pair{R"([{"tproxy": {"port": 5}}])", "uses tproxy"},
           {R"([{"queue": {"num": 5}}])", "uses queue"},
           {R"([{"flow": {"op": "add", "flowtable": "@f"}}])", "uses flow"},
           {R"([{"ct helper": "ftp"}])", "uses ct"},
           {R"([{"tomorrow": {}}])", "uses tomorrow"},
           {R"([{"xt": null}])", "has rules of iptables"},
           {R"([null])", "has a rule that cannot be read"},
           {R"([{"counter": null, "accept": null}])", "has a rule that cannot be read"},
           {R"([{}])", "has a rule that cannot be read"},
           {R"(7)", "has a rule that cannot be read"},
       })
    EXPECT_EQ(tracking_user(ruleset_with(expressions)), std::string{"table ip t, chain c "} + said)
        << expressions;
  EXPECT_EQ(
      tracking_user(
          R"({"nftables": [{"set": {"family": "ip", "table": "t", "name": "s", "stmt": [{"ct count": {}}]}}]})"),
      "table ip t, set s uses ct");
  for (const auto* text :
       {"", "x", "[]", R"({"nftables": 3})", R"({"nftables": [3]})", R"({"nftables": [{}]})"})
    EXPECT_EQ(tracking_user(text), "an nftables table cannot be read") << text;
}

TEST(TrackingUsersText, ABridgesChainMayRelyOnWhatTheHostTracked) {
  EXPECT_EQ(
      tracking_user(
          R"({"nftables": [{"rule": {"family": "bridge", "table": "t", "chain": "c", "expr": [{"match": {"left": {"ct": {"key": "state"}}}}]}}]})"),
      "table bridge t, chain c uses ct");
}

TEST(TrackingUsersText, NothingIsTakenForARuleThatIsNone) {
  for (const auto* text : {R"({"nftables": [{"rule": 7}]})", R"({"nftables": [{"rule": []}]})",
                           R"({"nftables": [{"chain": 7}, {"rule": {"family": 3, "expr": {}}}]})"})
    EXPECT_TRUE(tracking_user(text)) << text;
  EXPECT_FALSE(tracking_user(R"({"nftables": [{"chain": 7}, {"table": []}]})"));
}

// A directory in place of /proc.
class LegacyTrackingUser : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "proc-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    proc = name;
    std::filesystem::create_directory(proc + "/net");
  }
  void TearDown() override { std::filesystem::remove_all(proc); }
  void write(const char* file, const char* text) const {
    std::ofstream{proc + "/net/" + file} << text;
  }
  [[nodiscard]] std::string user() const { return legacy_tracking_user(proc).value_or(""); }

  std::string proc;
};

TEST_F(LegacyTrackingUser, TablesOfIptablesAndServicesOfIpvsAreNamed) {
  EXPECT_EQ(user(), "") << "a kernel with neither";
  write("ip_tables_names", "");
  write("ip6_tables_names", "");
  write(
      "ip_vs",
      "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port\n  -> RemoteAddress\n");
  EXPECT_EQ(user(), "");
  write("ip_vs",
        "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port\n  -> "
        "RemoteAddress\nUDP  0A000001:CD91 rr\n");
  EXPECT_EQ(user(), "IPVS has services");
  write("ip6_tables_names", "raw\n");
  EXPECT_EQ(user(), "ip6tables-legacy has a table 'raw'");
  write("ip_tables_names", "nat\nfilter\n");
  EXPECT_EQ(user(), "iptables-legacy has a table 'nat'");
}

TEST_F(LegacyTrackingUser, AListThatCannotBeReadMayNameSome) {
  std::filesystem::create_symlink("ip_tables_names", proc + "/net/ip_tables_names");
  EXPECT_THAT(user(), HasSubstr("/net/ip_tables_names cannot be read"));
}

TEST_F(TrackingUsers, ATableOfIptablesLegacyIsFound) {
  EXPECT_FALSE(legacy_tracking_user());
  ASSERT_EQ(output_of("iptables-legacy -t mangle -L >/dev/null"), "");
  EXPECT_EQ(legacy_tracking_user(), "iptables-legacy has a table 'mangle'");
}

}  // namespace
}  // namespace fg::gateway
