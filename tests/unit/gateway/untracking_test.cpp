#include "gateway/untracking.h"

#include <gmock/gmock.h>

#include "tests/unit/gateway/own_namespace.h"

namespace fg::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Lines final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel, std::string_view) const override { return true; }
  void write(LogLevel, std::string_view, std::string_view message,
             std::span<const LogField> fields) override {
    auto line = std::string{message};
    for (const auto& field : fields) line += " " + std::string{field.value};
    lines.push_back(line);
  }
  std::vector<std::string> lines;
};

class UntrackingTest : public OwnNamespace {
 protected:
  Untracking make(UntrackedChoice choice = UntrackedChoice::automatic) {
    return {choice, "firegate-tun-test", Log{sink, "host"}};
  }
  static std::string table() { return output_of("nft -s list ruleset"); }

  static constexpr UdpPorts kPorts{.v4 = 52625, .v6 = 52625};
  const std::optional<std::string> nobody;
  const std::optional<std::string> firewall{"table inet mine, chain c uses ct"};
  Lines sink;
  Instant now{1000s};
};

TEST_F(UntrackingTest, OnAHostOfItsOwnItBeginsAtOnceAndTakesEverythingBack) {
  {
    auto untracking = make();
    EXPECT_NE(untracking.reason(), "") << "before it was decided";
    EXPECT_FALSE(untracking.decide(nobody, kPorts, now));
    EXPECT_EQ(untracking.reason(), "");
    EXPECT_FALSE(untracking.due());
    EXPECT_THAT(table(), HasSubstr("udp dport 52625 fib daddr type local notrack"));
    EXPECT_THAT(table(), HasSubstr("udp sport 52625 notrack"));
    EXPECT_FALSE(untracking.decide(nobody, kPorts, now + 1s));
    untracking.remove();
    EXPECT_EQ(table(), "");
    untracking = make();
    (void)untracking.decide(nobody, kPorts, now);
    EXPECT_NE(table(), "");
  }
  EXPECT_EQ(table(), "") << "as when the process is killed";
}

TEST_F(UntrackingTest, NobodyElseCanTakeTheRulesAwayOrAddToThem) {
  auto untracking = make();
  (void)untracking.decide(nobody, kPorts, now);
  const auto before = table();
  EXPECT_EQ(output_of("nft flush ruleset"), "");
  EXPECT_THAT(refusal_of("nft delete table inet firegate-tun-test"), HasSubstr("not permitted"));
  EXPECT_THAT(refusal_of("nft add rule inet firegate-tun-test in accept"),
              HasSubstr("not permitted"));
  EXPECT_EQ(table(), before);
}

TEST_F(UntrackingTest, FamiliesHaveTheirOwnPortAndAMissingOneHasNone) {
  auto untracking = make();
  (void)untracking.decide(nobody, {.v4 = 52625, .v6 = 40000}, now);
  EXPECT_THAT(table(), HasSubstr("meta nfproto ipv4 udp dport 52625"));
  EXPECT_THAT(table(), HasSubstr("meta nfproto ipv6 udp sport 40000"));
  untracking = make();
  (void)untracking.decide(nobody, {.v4 = 0, .v6 = 40000}, now);
  EXPECT_THAT(table(), ::testing::Not(HasSubstr("ipv4")));
  EXPECT_THAT(table(), HasSubstr("meta nfproto ipv6 udp sport 40000"));
}

TEST_F(UntrackingTest, AFirewallThatComesEndsItAtOnceAndOneThatGoesIsWaitedForInCaseItIsBack) {
  auto untracking = make();
  (void)untracking.decide(nobody, kPorts, now);
  EXPECT_TRUE(untracking.decide(firewall, kPorts, now));
  EXPECT_EQ(table(), "");
  EXPECT_EQ(untracking.reason(), *firewall);
  EXPECT_FALSE(untracking.decide(firewall, kPorts, now)) << "tracked already";

  const auto settled = now + Untracking::kSettledAfter;
  EXPECT_FALSE(untracking.decide(nobody, kPorts, now));
  EXPECT_EQ(untracking.due(), settled);
  EXPECT_FALSE(untracking.decide(nobody, kPorts, settled - 1ns));
  EXPECT_EQ(table(), "");
  EXPECT_FALSE(untracking.decide(firewall, kPorts, settled)) << "it is back";
  EXPECT_FALSE(untracking.due());
  EXPECT_FALSE(untracking.decide(nobody, kPorts, settled + 1s));
  EXPECT_FALSE(untracking.decide(nobody, kPorts, settled + 1s + Untracking::kSettledAfter));
  EXPECT_NE(table(), "");
  EXPECT_THAT(sink.lines,
              ElementsAre("the host does not track the tunnel's datagrams inet firegate-tun-test",
                          "tracking of the tunnel's datagrams kept " + *firewall,
                          "the host does not track the tunnel's datagrams inet firegate-tun-test"));
}

TEST_F(UntrackingTest, AtTheStartAFirewallKeepsTracking) {
  auto untracking = make();
  EXPECT_FALSE(untracking.decide(firewall, kPorts, now));
  EXPECT_EQ(table(), "");
  EXPECT_THAT(sink.lines, ElementsAre(HasSubstr("kept table inet mine, chain c uses ct")));
}

TEST_F(UntrackingTest, TheOperatorsWordCountsWhateverTheHostNeeds) {
  auto off = make(UntrackedChoice::off);
  (void)off.decide(nobody, kPorts, now);
  EXPECT_EQ(table(), "");
  EXPECT_EQ(off.reason(), "FIREGATE_UNTRACKED is off");
  auto on = make(UntrackedChoice::on);
  (void)on.decide(firewall, kPorts, now);
  EXPECT_THAT(table(), HasSubstr("notrack"));
  EXPECT_EQ(on.reason(), "");
}

TEST_F(UntrackingTest, APortThatTranslationCannotAvoidIsTracked) {
  auto untracking = make(UntrackedChoice::on);
  (void)untracking.decide(nobody, {.v4 = 65535, .v6 = 0}, now);
  EXPECT_EQ(table(), "");
  EXPECT_THAT(untracking.reason(), HasSubstr("port 65535"));
}

TEST_F(UntrackingTest, WhatTheKernelRefusesIsSaidOnceAndTriedAgainAfterAMinute) {
  ASSERT_EQ(
      output_of(
          "nft add table inet firegate-tun-test; nft 'add chain inet firegate-tun-test in { type "
          "filter hook input priority 0; }'"),
      "");
  auto untracking = make();
  (void)untracking.decide(nobody, kPorts, now);
  EXPECT_THAT(untracking.reason(),
              HasSubstr("nft: the table 'inet firegate-tun-test' cannot be made"));
  EXPECT_EQ(untracking.due(), now + Untracking::kRetryAfter);
  EXPECT_THAT(table(), ::testing::Not(HasSubstr("notrack")));
  (void)untracking.decide(nobody, kPorts, now + 30s);
  EXPECT_EQ(sink.lines.size(), 1U);
  ASSERT_EQ(output_of("nft delete table inet firegate-tun-test"), "");
  (void)untracking.decide(nobody, kPorts, now + Untracking::kRetryAfter);
  EXPECT_THAT(table(), HasSubstr("notrack"));
}

}  // namespace
}  // namespace fg::gateway
