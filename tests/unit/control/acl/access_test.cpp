#include "tests/unit/control/acl/access_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fg::acl {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST_F(Access, UnknownClientHasNothing) {
  EXPECT_EQ(list_.rules_for(client(1)), filter::PolicyRules{});
  EXPECT_FALSE(list_.client_for(k4a));
  EXPECT_FALSE(list_.addresses_of(client(1)));
  EXPECT_FALSE(list_.next_expiry());
  EXPECT_TRUE(list_.reject(client(1), id(1)).empty());
  EXPECT_TRUE(list_.remove(client(1)).empty());
  EXPECT_TRUE(list_.expire(kNow).empty());
  EXPECT_TRUE(list_.update_filters(cidr(1, "10.0.0.0/8"), kNow).empty());
  EXPECT_FALSE(list_.set_expiry(client(1), id(1), kNowUnix, kNow));
}

// Spec policy 10.2 item 7 and portal 7 items 29 to 31: the order of the A messages does not matter,
// a repeated connection request keeps the grants.
TEST_F(Access, FirstGrantCreatesTheClientAndLaterOnesAdd) {
  const auto change = grant(old_style(cidr(1, "10.1.0.0/16")));
  EXPECT_THAT(change.recompile, ElementsAre(client(1)));
  EXPECT_THAT(change.addresses, UnorderedElementsAre(k4a, k6a));
  EXPECT_THAT(change.emptied, IsEmpty());
  EXPECT_EQ(list_.client_for(k4a), client(1));
  EXPECT_EQ(list_.client_for(k6a), client(1));
  const auto second = grant(old_style(cidr(2, "10.2.0.0/16")));
  EXPECT_THAT(second.addresses, IsEmpty());
  grant(old_style(cidr(2, "10.2.0.0/16")));
  EXPECT_EQ(list_.grant_count(client(1)), 2U);
  EXPECT_TRUE(allows_tcp("10.1.0.1", 80));
  EXPECT_TRUE(allows_tcp("10.2.0.1", 80));
}

// Item 8.
TEST_F(Access, OtherTunnelAddressesBeginAnew) {
  grant(newest(cidr(1, "10.1.0.0/16"), kNowUnix + 100));
  auto moved = newest(cidr(2, "10.2.0.0/16"));
  moved.v4 = k4b;
  const auto change = grant(moved);
  EXPECT_THAT(change.readdressed, ElementsAre(client(1)));
  EXPECT_THAT(change.recompile, ElementsAre(client(1)));
  EXPECT_THAT(change.addresses, UnorderedElementsAre(k4a, k4b, k6a));
  EXPECT_FALSE(list_.client_for(k4a));
  EXPECT_EQ(list_.client_for(k4b), client(1));
  EXPECT_EQ(list_.client_for(k6a), client(1));
  EXPECT_FALSE(allows_tcp("10.1.0.1", 80));
  EXPECT_TRUE(allows_tcp("10.2.0.1", 80));
  EXPECT_FALSE(list_.next_expiry());
}

// HARDEN of spec policy 2.2.
TEST_F(Access, DiscardingLeavesAnAddressWithTheClientThatTookItOver) {
  grant(newest(cidr(1, "10.1.0.0/16")));
  auto taker = newest(cidr(1, "10.1.0.0/16"));
  taker.client = client(2);
  taker.v6 = k6b;
  EXPECT_THAT(grant(taker).addresses, UnorderedElementsAre(k4a, k6b));
  EXPECT_EQ(list_.client_for(k4a), client(2));
  auto moved = newest(cidr(1, "10.1.0.0/16"));
  moved.v4 = k4b;
  moved.v6 = k6c;
  grant(moved);
  EXPECT_EQ(list_.client_for(k4a), client(2));
  EXPECT_FALSE(list_.client_for(k6a));
  EXPECT_THAT(list_.remove(client(1)).addresses, UnorderedElementsAre(k4b, k6c));
  EXPECT_EQ(list_.client_for(k4a), client(2));
}
TEST_F(Access, OwnerGrantedAgainTakesItsAddressBack) {
  grant(newest(cidr(1, "10.1.0.0/16")));
  auto taker = newest(cidr(1, "10.1.0.0/16"));
  taker.client = client(2);
  grant(taker);
  EXPECT_EQ(list_.client_for(k4a), client(2));
  EXPECT_THAT(grant(newest(cidr(1, "10.1.0.0/16"))).addresses, UnorderedElementsAre(k4a, k6a));
  EXPECT_EQ(list_.client_for(k4a), client(1));
}

// Item 9.
TEST_F(Access, TwoResourcesOnOneNetworkExpireOneByOne) {
  grant(newest(cidr(1, "10.0.0.0/24", {tcp(80, 80)}), kNowUnix + 100));
  grant(newest(cidr(2, "10.0.0.0/24", {udp(53, 53)}), kNowUnix + 200));
  EXPECT_TRUE(allows_tcp("10.0.0.1", 80));
  EXPECT_THAT(list_.expire(at(kNowUnix + 100)).recompile, ElementsAre(client(1)));
  EXPECT_FALSE(allows_tcp("10.0.0.1", 80));
  EXPECT_TRUE(allows("10.0.0.1", filter::ProtoKind::udp, 53));
  EXPECT_THAT(list_.expire(at(kNowUnix + 200)).emptied, ElementsAre(client(1)));
}

// Items 10 and 19.
TEST_F(Access, ExpiresAtTheDeadlineAndNotANanosecondEarlier) {
  grant(newest(cidr(1, "10.0.0.0/24"), kNowUnix + 100));
  const auto deadline = at(kNowUnix + 100);
  ASSERT_TRUE(list_.next_expiry());
  EXPECT_EQ(list_.next_expiry()->at, deadline);
  EXPECT_TRUE(list_.expire(deadline - 1ns).empty());
  const auto change = list_.expire(deadline);
  EXPECT_THAT(change.emptied, ElementsAre(client(1)));
  EXPECT_THAT(change.recompile, IsEmpty());
  EXPECT_THAT(change.addresses, UnorderedElementsAre(k4a, k6a));
  EXPECT_FALSE(list_.has(client(1)));
  EXPECT_FALSE(list_.next_expiry());
}

// Item 11 and portal 7 item 43.
TEST_F(Access, PastExpiryHoldsUntilTheNextSweep) {
  grant(newest(cidr(1, "10.0.0.0/24"), kNowUnix - 5));
  EXPECT_TRUE(allows_tcp("10.0.0.1", 80));
  ASSERT_TRUE(list_.next_expiry());
  EXPECT_LE(list_.next_expiry()->at, kNow);
  EXPECT_THAT(list_.expire(kNow).emptied, ElementsAre(client(1)));
}
TEST_F(Access, RegrantWithAPastExpiryHoldsUntilTheNextSweep) {
  grant(newest(cidr(1, "10.0.0.0/24")));
  grant(newest(cidr(1, "10.0.0.0/24"), kNowUnix - 5));
  EXPECT_TRUE(allows_tcp("10.0.0.1", 80));
  EXPECT_THAT(list_.expire(kNow).emptied, ElementsAre(client(1)));
}

// Item 12.
TEST_F(Access, NewestGrantMayShortenButAnOldStyleOneMayNot) {
  grant(newest(cidr(1, "10.0.0.0/24"), kNowUnix + 200));
  grant(newest(cidr(1, "10.0.0.0/24"), kNowUnix + 100));
  EXPECT_EQ(list_.next_expiry()->at, at(kNowUnix + 100));
  EXPECT_THAT(list_.expire(at(kNowUnix + 100)).emptied, ElementsAre(client(1)));

  grant(old_style(cidr(1, "10.0.0.0/24"), kNowUnix + 200));
  grant(old_style(cidr(1, "10.0.0.0/24"), kNowUnix + 100));
  EXPECT_TRUE(list_.expire(at(kNowUnix + 100)).emptied.empty());
  EXPECT_TRUE(allows_tcp("10.0.0.1", 80));
  EXPECT_THAT(list_.expire(at(kNowUnix + 200)).emptied, ElementsAre(client(1)));
}

// Item 13.
TEST_F(Access, LongerRegrantIsNotEndedByTheOldDeadline) {
  grant(newest(cidr(1, "10.0.0.0/24"), kNowUnix + 100));
  grant(newest(cidr(1, "10.0.0.0/24"), kNowUnix + 300));
  EXPECT_TRUE(list_.expire(at(kNowUnix + 299)).empty());
  EXPECT_TRUE(list_.has(client(1), id(1)));
  grant(newest(cidr(1, "10.0.0.0/24"), kNowUnix + 300));
  EXPECT_THAT(list_.expire(at(kNowUnix + 300)).emptied, ElementsAre(client(1)));
  EXPECT_FALSE(list_.next_expiry());
}
TEST_F(Access, RegrantWithoutExpiryNeverEnds) {
  grant(newest(cidr(1, "10.0.0.0/24"), kNowUnix + 100));
  grant(newest(cidr(1, "10.0.0.0/24")));
  EXPECT_FALSE(list_.next_expiry());
  EXPECT_TRUE(list_.expire(kNow + 87'600h).empty());
  EXPECT_TRUE(list_.has(client(1), id(1)));
}
TEST_F(Access, RemovalLeavesNoDeadline) {
  grant(newest(cidr(1, "10.0.0.0/24"), kNowUnix + 100));
  grant(newest(cidr(2, "10.0.0.0/24"), kNowUnix + 200));
  list_.reject(client(1), id(1));
  EXPECT_EQ(list_.next_expiry()->at, at(kNowUnix + 200));
  list_.remove(client(1));
  EXPECT_FALSE(list_.next_expiry());
}

// Item 14.
TEST_F(Access, EqualDeadlinesEndTogetherAndSiblingsOfARemovedOneStill) {
  for (std::uint8_t n = 1; n <= 3; ++n) grant(newest(cidr(n, "10.0.0.0/24"), kNowUnix + 100));
  grant(for_client(2, newest(cidr(1, "10.0.0.0/24"), kNowUnix + 100)));
  list_.reject(client(1), id(2));
  EXPECT_THAT(list_.expire(at(kNowUnix + 100)).emptied, ElementsAre(client(1), client(2)));
  EXPECT_EQ(list_.client_count(), 0U);
}

// Item 15 in its form for this model: one id, two domains, two expiries.
TEST_F(Access, OldStyleGrantsOfOneIdEndOneByOne) {
  grant(old_style(dns(1, "*.lab.test"), kNowUnix + 100, portal::Domain{"a.lab.test", {}}));
  grant(old_style(dns(1, "*.lab.test"), kNowUnix + 200, portal::Domain{"b.lab.test", {}}));
  EXPECT_EQ(list_.grant_count(client(1)), 2U);
  EXPECT_THAT(list_.expire(at(kNowUnix + 100)).recompile, ElementsAre(client(1)));
  EXPECT_EQ(list_.grant_count(client(1)), 1U);
  EXPECT_THAT(list_.expire(at(kNowUnix + 200)).emptied, ElementsAre(client(1)));
}
TEST_F(Access, OldStyleGrantsUniteTheirFiltersAndNetworks) {
  grant(old_style(cidr(1, "10.1.0.0/16", {tcp(80, 80)}), kNowUnix + 100));
  grant(old_style(cidr(1, "10.1.0.0/16", {tcp(443, 443)}), kNowUnix + 200));
  grant(old_style(cidr(1, "10.2.0.0/16", {tcp(22, 22)})));
  EXPECT_TRUE(allows_tcp("10.1.0.1", 80));
  EXPECT_TRUE(allows_tcp("10.1.0.1", 443));
  EXPECT_TRUE(allows_tcp("10.2.0.1", 22));
  EXPECT_FALSE(allows_tcp("10.2.0.1", 80));
  list_.expire(at(kNowUnix + 100));
  EXPECT_FALSE(allows_tcp("10.1.0.1", 80));
  EXPECT_TRUE(allows_tcp("10.1.0.1", 443));
}
TEST_F(Access, OldStyleGrantWithoutExpiryNeverEnds) {
  grant(old_style(cidr(1, "10.1.0.0/16")));
  grant(old_style(cidr(1, "10.1.0.0/16"), kNowUnix + 100));
  EXPECT_FALSE(list_.next_expiry());
}

// Portal 7 item 32.
TEST_F(Access, OldStyleDnsGrantNeedsADomainInsideThePattern) {
  grant(old_style(cidr(2, "10.1.0.0/16")));
  EXPECT_EQ(list_.grant(old_style(dns(1, "*.lab.test")), kNow).error(), Refusal::domain_missing);
  EXPECT_EQ(
      list_
          .grant(old_style(dns(1, "*.lab.test"), std::nullopt, portal::Domain{"evil.test", {}}),
                 kNow)
          .error(),
      Refusal::domain_mismatch);
  EXPECT_EQ(
      list_
          .grant(old_style(dns(1, "**lab.test"), std::nullopt, portal::Domain{"lab.test", {}}),
                 kNow)
          .error(),
      Refusal::domain_mismatch);
  EXPECT_EQ(list_.grant_count(client(1)), 1U);
  EXPECT_TRUE(list_.grant(
      old_style(dns(1, "*.lab.test"), std::nullopt, portal::Domain{"a.lab.test", {}}), kNow));
  EXPECT_TRUE(list_.grant(newest(dns(3, "*.lab.test")), kNow))
      << "B/C names domains inside the tunnel";
}
TEST_F(Access, DnsResourcesContributeNoRules) {
  grant(newest(dns(1, "*.lab.test")));
  EXPECT_TRUE(list_.has(client(1), id(1)));
  EXPECT_EQ(list_.rules_for(client(1)), filter::PolicyRules{});
}

// Items 17 and 18, portal 7 item 45.
TEST_F(Access, RejectEndsOneResourceAndTheLastOneTheClient) {
  grant(newest(cidr(1, "10.1.0.0/16")));
  grant(newest(cidr(2, "10.2.0.0/16")));
  const auto first = list_.reject(client(1), id(1));
  EXPECT_THAT(first.recompile, ElementsAre(client(1)));
  EXPECT_THAT(first.emptied, IsEmpty());
  EXPECT_FALSE(allows_tcp("10.1.0.1", 80));
  EXPECT_TRUE(allows_tcp("10.2.0.1", 80));
  EXPECT_TRUE(list_.reject(client(1), id(1)).empty());
  EXPECT_TRUE(list_.reject(client(2), id(2)).empty());
  const auto last = list_.reject(client(1), id(2));
  EXPECT_THAT(last.emptied, ElementsAre(client(1)));
  EXPECT_THAT(last.recompile, IsEmpty());
  EXPECT_FALSE(list_.client_for(k4a));
  const auto again = grant(newest(cidr(2, "10.2.0.0/16")));
  EXPECT_THAT(again.recompile, ElementsAre(client(1)));
  EXPECT_TRUE(allows_tcp("10.2.0.1", 80));
}
TEST_F(Access, RejectEndsAllOldStyleGrantsOfTheId) {
  grant(old_style(cidr(1, "10.1.0.0/16", {tcp(80, 80)})));
  grant(old_style(cidr(1, "10.2.0.0/16"), kNowUnix + 100));
  EXPECT_THAT(list_.reject(client(1), id(1)).emptied, ElementsAre(client(1)));
  EXPECT_FALSE(list_.next_expiry());
}

// Items 20 and 22, portal 7 item 39, with the meaning of C.
TEST_F(Access, RetainTrimsEveryClientAndSetsTheListedExpiry) {
  grant(newest(cidr(1, "10.1.0.0/16"), kNowUnix + 100));
  grant(newest(cidr(2, "10.2.0.0/16"), kNowUnix + 100));
  grant(for_client(2, newest(cidr(1, "10.1.0.0/16"))));
  grant(for_client(3, newest(cidr(1, "10.1.0.0/16"), kNowUnix + 500)));
  const std::vector<portal::AuthorizationEntry> listed = {{client(1), id(1), kNowUnix + 300},
                                                          {client(3), id(1), kNowUnix + 50},
                                                          {client(3), id(9), kNowUnix + 50},
                                                          {client(9), id(1), kNowUnix + 50}};
  const auto change = list_.retain(listed, kNow);
  EXPECT_THAT(change.recompile, ElementsAre(client(1)));
  EXPECT_THAT(change.emptied, ElementsAre(client(2)));
  EXPECT_TRUE(list_.has(client(1), id(1)));
  EXPECT_FALSE(list_.has(client(1), id(2)));
  EXPECT_FALSE(list_.has(client(3), id(9)));
  EXPECT_FALSE(list_.has(client(9)));
  EXPECT_TRUE(list_.retain(listed, kNow).empty()) << "twice is once";
  EXPECT_THAT(list_.expire(at(kNowUnix + 50)).emptied, ElementsAre(client(3)));
  EXPECT_TRUE(list_.expire(at(kNowUnix + 299)).empty());
  EXPECT_THAT(list_.expire(at(kNowUnix + 300)).emptied, ElementsAre(client(1)));
}
TEST_F(Access, RetainOfAnEmptyListEndsEverything) {
  grant(newest(cidr(1, "10.1.0.0/16")));
  grant(for_client(2, newest(cidr(1, "10.1.0.0/16"))));
  EXPECT_THAT(list_.retain({}, kNow).emptied, ElementsAre(client(1), client(2)));
}

// Item 27 and portal 7 items 43 and 44.
TEST_F(Access, ExpiryIsMappedByTheClocksOfProcessStart) {
  const auto deadline_for = [&](portal::UnixSeconds unix) {
    AccessList list{kStart};
    EXPECT_TRUE(list.grant(newest(cidr(1, "10.0.0.0/8"), unix), kNow));
    const auto wakeup = list.next_expiry();
    return wakeup ? std::optional{wakeup->at} : std::nullopt;
  };
  constexpr auto kMax = std::numeric_limits<portal::UnixSeconds>::max();
  EXPECT_EQ(deadline_for(0), kStart.instant);
  EXPECT_EQ(deadline_for(-1), kStart.instant);
  EXPECT_EQ(deadline_for(std::numeric_limits<portal::UnixSeconds>::min()), kStart.instant);
  EXPECT_EQ(deadline_for(kNowUnix), kStart.instant);
  EXPECT_EQ(deadline_for(kNowUnix + 1), kStart.instant + 750ms);
  EXPECT_EQ(deadline_for(kNowUnix + 3600), kStart.instant + 3'599'750ms);
  EXPECT_EQ(deadline_for(253'402'300'799), std::nullopt) << "end of the year 9999";
  EXPECT_EQ(deadline_for(253'402'300'800), kNow + 24h);
  EXPECT_EQ(deadline_for(kMax), kNow + 24h);
}

TEST_F(Access, SetExpiryMovesTheDeadlineBothWays) {
  grant(newest(cidr(1, "10.1.0.0/16"), kNowUnix + 100));
  EXPECT_FALSE(list_.set_expiry(client(1), id(2), kNowUnix + 300, kNow));
  EXPECT_FALSE(list_.set_expiry(client(2), id(1), kNowUnix + 300, kNow));
  EXPECT_TRUE(list_.set_expiry(client(1), id(1), kNowUnix + 300, kNow));
  EXPECT_EQ(list_.next_expiry()->at, at(kNowUnix + 300));
  EXPECT_TRUE(list_.set_expiry(client(1), id(1), kNowUnix + 50, kNow));
  EXPECT_THAT(list_.expire(at(kNowUnix + 50)).emptied, ElementsAre(client(1)));
}

// Item 28 and portal 7 item 46.
TEST_F(Access, UpdatedFiltersReachEveryHolderAndNothingElse) {
  grant(newest(cidr(1, "10.1.0.0/16", {tcp(80, 80)})));
  grant(for_client(2, newest(cidr(1, "10.1.0.0/16", {tcp(80, 80)}))));
  grant(for_client(3, newest(cidr(2, "10.1.0.0/16", {tcp(80, 80)}))));
  const auto change = list_.update_filters(cidr(1, "10.9.0.0/16", {tcp(443, 443)}), kNow);
  EXPECT_THAT(change.recompile, ElementsAre(client(1), client(2)));
  for (std::uint8_t n = 1; n <= 2; ++n) {
    EXPECT_TRUE(allows_tcp("10.1.0.1", 443, n));
    EXPECT_FALSE(allows_tcp("10.1.0.1", 80, n));
    EXPECT_FALSE(allows_tcp("10.9.0.1", 443, n)) << "addresses are never changed this way";
  }
  EXPECT_TRUE(allows_tcp("10.1.0.1", 80, 3));
  EXPECT_TRUE(list_.update_filters(cidr(1, "10.9.0.0/16", {tcp(443, 443)}), kNow).empty());
  EXPECT_TRUE(list_.update_filters(cidr(7, "10.9.0.0/16"), kNow).empty());
}
TEST_F(Access, UpdatedFiltersReachAllOldStyleGrantsOfTheId) {
  grant(old_style(cidr(1, "10.1.0.0/16", {tcp(80, 80)})));
  grant(old_style(cidr(1, "10.2.0.0/16", {tcp(80, 80)})));
  list_.update_filters(cidr(1, "10.1.0.0/16", {tcp(443, 443)}), kNow);
  EXPECT_TRUE(allows_tcp("10.1.0.1", 443));
  EXPECT_TRUE(allows_tcp("10.2.0.1", 443));
  EXPECT_FALSE(allows_tcp("10.2.0.1", 80));
}
TEST_F(Access, UpdateToAnInternetResourceDoesNotOpenAFilteredOne) {
  grant(newest(cidr(1, "10.1.0.0/16", {tcp(80, 80)})));
  EXPECT_TRUE(list_.update_filters(internet(1), kNow).empty());
  EXPECT_FALSE(allows_tcp("10.1.0.1", 81));
}

// Item 29 and the rules of spec policy 2.4, with its recommendation: the newest description
// replaces the old.
TEST_F(Access, NewestGrantReplacesFiltersNetworkAndType) {
  grant(newest(cidr(1, "10.1.0.0/16", {tcp(80, 80)})));
  EXPECT_THAT(grant(newest(cidr(1, "10.1.0.0/16", {tcp(443, 443)}))).recompile,
              ElementsAre(client(1)));
  EXPECT_FALSE(allows_tcp("10.1.0.1", 80));
  EXPECT_TRUE(allows_tcp("10.1.0.1", 443));
  EXPECT_THAT(grant(newest(cidr(1, "10.2.0.0/16"))).recompile, ElementsAre(client(1)));
  EXPECT_FALSE(allows_tcp("10.1.0.1", 443));
  EXPECT_TRUE(allows_tcp("10.2.0.1", 443));
  EXPECT_THAT(grant(newest(internet(1))).recompile, ElementsAre(client(1)));
  EXPECT_EQ(list_.rules_for(client(1)).internet, id(1));
  EXPECT_TRUE(list_.rules_for(client(1)).rules.empty());
  EXPECT_EQ(list_.grant_count(client(1)), 1U);
}
TEST_F(Access, EqualRegrantNeedsNoNewPolicy) {
  grant(newest(cidr(1, "10.1.0.0/16", {tcp(80, 80)})));
  EXPECT_TRUE(grant(newest(cidr(1, "10.1.0.0/16", {tcp(80, 80)}), kNowUnix + 100)).empty());
  EXPECT_EQ(list_.next_expiry()->at, at(kNowUnix + 100));
}
TEST_F(Access, NewestGrantReplacesAllOldStyleGrantsOfTheId) {
  grant(old_style(cidr(1, "10.1.0.0/16", {tcp(80, 80)}), kNowUnix + 50));
  grant(old_style(cidr(1, "10.2.0.0/16")));
  const auto change = grant(newest(cidr(1, "10.1.0.0/16", {tcp(80, 80)}), kNowUnix + 100));
  EXPECT_THAT(change.recompile, ElementsAre(client(1)));
  EXPECT_EQ(list_.grant_count(client(1)), 1U);
  EXPECT_FALSE(allows_tcp("10.2.0.1", 80));
  EXPECT_TRUE(list_.expire(at(kNowUnix + 99)).empty());
}

// Items 31 to 36 as far as the portal's filters are turned into rules.
TEST_F(Access, FiltersBecomeRulesOfTheirProtocol) {
  grant(newest(cidr(1, "10.1.0.0/16", {tcp(80, 81), udp(53, 53), icmp(), tcp(9, 8)})));
  const auto rules = list_.rules_for(client(1)).rules;
  ASSERT_EQ(rules.size(), 1U);
  EXPECT_FALSE(rules[0].filter.everything);
  EXPECT_THAT(rules[0].filter.tcp, ElementsAre(filter::PortRange{80, 81}, filter::PortRange{9, 8}));
  EXPECT_THAT(rules[0].filter.udp, ElementsAre(filter::PortRange{53, 53}));
  EXPECT_TRUE(rules[0].filter.icmp);
  EXPECT_FALSE(allows_tcp("10.1.0.1", 8));
  EXPECT_TRUE(allows("10.1.0.1", filter::ProtoKind::echo, 1));
  EXPECT_FALSE(allows("10.1.0.1", filter::ProtoKind::other_ip, 0));
  grant(newest(cidr(1, "10.1.0.0/16")));
  EXPECT_TRUE(allows("10.1.0.1", filter::ProtoKind::other_ip, 0));
}
TEST_F(Access, LowestOfSeveralInternetResourcesCounts) {
  grant(newest(internet(5)));
  grant(newest(internet(3)));
  grant(old_style(internet(4)));
  EXPECT_EQ(list_.rules_for(client(1)).internet, id(3));
  list_.reject(client(1), id(3));
  EXPECT_EQ(list_.rules_for(client(1)).internet, id(4));
}

TEST_F(Access, RemoveForgetsTheClientAtOnce) {
  grant(newest(cidr(1, "10.1.0.0/16"), kNowUnix + 100));
  const auto change = list_.remove(client(1));
  EXPECT_THAT(change.emptied, ElementsAre(client(1)));
  EXPECT_THAT(change.addresses, UnorderedElementsAre(k4a, k6a));
  EXPECT_FALSE(list_.has(client(1)));
  EXPECT_THAT(list_.clients(), IsEmpty());
}

}  // namespace
}  // namespace fg::acl
