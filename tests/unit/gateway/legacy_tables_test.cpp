#include "gateway/legacy_tables.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/gateway/own_namespace.h"

namespace fg::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class LegacyTables : public OwnNamespace {
 protected:
  static void rules(const std::initializer_list<const char*> commands) {
    for (const auto* command : commands)
      ASSERT_EQ(output_of(std::string("iptables-legacy ") + command), "") << command;
  }
};

TEST_F(LegacyTables, WhereNoTableIsNoneIsMade) {
  EXPECT_THAT(legacy_obstacles("tun-test"), IsEmpty());
  EXPECT_EQ(output_of("cat /proc/net/ip_tables_names"), "");
}

TEST_F(LegacyTables, APolicyThatDropsIsNamedWithTheCommandsThatMendIt) {
  rules({"-P FORWARD DROP"});
  const auto found = legacy_obstacles("tun-test");
  ASSERT_THAT(found, ElementsAre(HasSubstr("chain 'FORWARD' of iptables-legacy has policy drop")));
  EXPECT_THAT(found[0], HasSubstr("'iptables-legacy -I FORWARD -i tun-test -j ACCEPT'"));
  rules({"-I FORWARD -i tun-test -j ACCEPT", "-I FORWARD -o tun-test -j ACCEPT"});
  EXPECT_THAT(legacy_obstacles("tun-test"), IsEmpty());
}

TEST_F(LegacyTables, ALastRuleThatTakesEverythingIsNamed) {
  rules({"-A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
         "-A FORWARD -s 10.0.0.0/8 -j DROP"});
  EXPECT_THAT(legacy_obstacles("tun-test"), IsEmpty()) << "refuses some, not all";
  rules({"-A FORWARD -j REJECT"});
  EXPECT_THAT(legacy_obstacles("tun-test"), ElementsAre(HasSubstr("a last rule REJECT")));
  rules({"-F FORWARD", "-A FORWARD -j DROP"});
  EXPECT_THAT(legacy_obstacles("tun-test"), ElementsAre(HasSubstr("a last rule drop")));
}

TEST_F(LegacyTables, RulesForOtherInterfacesAreNotForOurs) {
  rules({"-P FORWARD DROP", "-A FORWARD -i tun-tes -j ACCEPT", "-A FORWARD -i tun-test2 -j ACCEPT",
         "-A FORWARD ! -i tun-test -j ACCEPT", "-A FORWARD -i tun-test -j DROP"});
  EXPECT_THAT(legacy_obstacles("tun-test"), ElementsAre(HasSubstr("policy drop")));
  rules({"-A FORWARD -o tun-+ -j ACCEPT"});
  EXPECT_THAT(legacy_obstacles("tun-test"), IsEmpty());
}

TEST_F(LegacyTables, AChainOfSomebodysOwnThatIsEnteredForOurInterfaceCountsAsAccepting) {
  rules({"-P FORWARD DROP", "-N OWN", "-A OWN -j ACCEPT", "-A FORWARD -i tun-test -j OWN"});
  EXPECT_THAT(legacy_obstacles("tun-test"), IsEmpty());
}

TEST_F(LegacyTables, IPv6HasItsOwnTable) {
  ASSERT_EQ(output_of("ip6tables-legacy -P FORWARD DROP"), "");
  EXPECT_THAT(legacy_obstacles("tun-test"),
              ElementsAre(HasSubstr("of ip6tables-legacy has policy drop")));
}

TEST_F(LegacyTables, ATableThatLiesAboutItsLengthsIsReadNoFurther) {
  const ByteVector zeros(300, 0);
  const ByteVector ones(300, 0xFF);
  for (const auto family : {Family::v4, Family::v6}) {
    for (const auto* bytes : {&zeros, &ones}) {
      for (const std::size_t first : {std::size_t{0}, std::size_t{299}, std::size_t{1} << 40})
        EXPECT_FALSE(refusal_in({family, *bytes, first, first + 8}, "tun-test"));
    }
    EXPECT_FALSE(refusal_in({family, {}, 0, 0}, "tun-test"));
  }
}

}  // namespace
}  // namespace fg::gateway
