// How much an access list holds, and what it remembers of what has ended.
#include "tests/unit/control/acl/access_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fg::acl {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

TEST_F(Access, HoldsAsManyClientsAsAllowedAndNotOneMore) {
  AccessList list{kStart, {.clients = 2, .grants = 10}};
  EXPECT_TRUE(list.grant(for_client(1, newest(cidr(1, "10.0.0.0/8"))), kNow));
  EXPECT_TRUE(list.grant(for_client(2, newest(cidr(1, "10.0.0.0/8"))), kNow));
  const auto refused = list.grant(for_client(3, newest(cidr(1, "10.0.0.0/8"))), kNow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(drop_reason_of(refused.error()), DropReason::clients_full);
  EXPECT_FALSE(list.has(client(3)));
  EXPECT_TRUE(list.grant(for_client(2, newest(cidr(2, "10.0.0.0/8"))), kNow));
  list.remove(client(1));
  EXPECT_TRUE(list.grant(for_client(3, newest(cidr(1, "10.0.0.0/8"))), kNow));
}
TEST_F(Access, ClientHoldsAsManyGrantsAsAllowedAndNotOneMore) {
  AccessList list{kStart, {.clients = 2, .grants = 2}};
  EXPECT_TRUE(list.grant(newest(cidr(1, "10.0.0.0/8")), kNow));
  EXPECT_TRUE(list.grant(old_style(cidr(2, "10.0.0.0/8")), kNow));
  const auto refused = list.grant(newest(cidr(3, "10.0.0.0/8")), kNow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(drop_reason_of(refused.error()), DropReason::grants_full);
  EXPECT_EQ(list.grant(old_style(cidr(2, "11.0.0.0/8")), kNow).error(), Refusal::grants_full);
  EXPECT_TRUE(list.grant(newest(cidr(1, "10.0.0.0/8"), kNowUnix + 5), kNow))
      << "renewal of what is held";
  EXPECT_TRUE(list.grant(old_style(cidr(2, "10.0.0.0/8"), kNowUnix + 5), kNow))
      << "renewal of what is held";
  EXPECT_EQ(list.grant_count(client(1)), 2U);
}
TEST_F(Access, AllClientsTogetherHoldAsMuchAsAllowedAndNotOneFilterMore) {
  AccessList list{kStart, {.clients = 9, .grants = 9, .weight = 6}};
  const auto two = [](std::uint8_t n) { return cidr(n, "10.0.0.0/8", {tcp(1, 1), udp(1, 1)}); };
  EXPECT_TRUE(list.grant(for_client(1, newest(two(1))), kNow));
  EXPECT_TRUE(list.grant(for_client(2, newest(two(1), kNowUnix + 5)), kNow));
  EXPECT_EQ(list.weight(), 6U);
  const auto refused = list.grant(for_client(3, newest(cidr(1, "10.0.0.0/8"))), kNow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(drop_reason_of(refused.error()), DropReason::access_full);
  EXPECT_FALSE(list.has(client(3)));
  EXPECT_TRUE(list.grant(for_client(1, newest(two(1))), kNow)) << "renewal of what is held";
  EXPECT_TRUE(list.grant(for_client(1, newest(cidr(1, "10.0.0.0/8", {icmp()}))), kNow))
      << "less than what it replaces";
  EXPECT_EQ(list.weight(), 5U);
  list.expire(kNow + 1h);
  EXPECT_EQ(list.weight(), 2U);
  EXPECT_TRUE(list.grant(for_client(3, old_style(two(2))), kNow));
  list.reject(client(3), id(2));
  list.remove(client(1));
  EXPECT_EQ(list.weight(), 0U);
}
TEST_F(Access, FiltersThatDoNotFitEndTheGrantInsteadOfKeepingTheOldOnes) {
  AccessList list{kStart, {.clients = 9, .grants = 9, .weight = 5}};
  EXPECT_TRUE(list.grant(for_client(1, newest(cidr(1, "10.0.0.0/8", {icmp()}))), kNow));
  EXPECT_TRUE(list.grant(for_client(2, newest(cidr(1, "10.0.0.0/8", {icmp()}))), kNow));
  const auto change = list.update_filters(cidr(1, "10.0.0.0/8", {icmp(), tcp(1, 1)}), kNow);
  EXPECT_EQ(change.recompile, std::vector{client(1)});
  EXPECT_EQ(change.emptied, std::vector{client(2)});
  EXPECT_EQ(list.weight(), 3U);
}
TEST_F(Access, WhatEndedIsToldWithItsReasonAndWhatIsReplacedIsNot) {
  grant(newest(cidr(1, "10.1.0.0/16")));
  grant(newest(cidr(1, "10.1.0.0/16", {icmp()})));
  EXPECT_FALSE(list_.poll_ended());
  grant(newest(cidr(2, "10.2.0.0/16"), kNowUnix + 60));
  grant(newest(cidr(3, "10.3.0.0/16")));
  grant(newest(cidr(4, "10.4.0.0/16")));
  list_.expire(kNow + 2min);
  list_.reject(client(1), id(1));
  list_.retain({{client(1), id(4), kNowUnix + 600}}, kNow + 3min);
  list_.remove(client(1));
  std::vector<std::pair<ResourceId, EndedWhy>> ended;
  while (const auto one = list_.poll_ended()) {
    EXPECT_EQ(one->client, client(1));
    EXPECT_EQ(one->addresses.v4, k4a);
    EXPECT_EQ(one->since, kNow);
    ended.emplace_back(one->resource.id, one->why);
  }
  EXPECT_THAT(ended,
              ElementsAre(std::pair{id(2), EndedWhy::expired}, std::pair{id(1), EndedWhy::rejected},
                          std::pair{id(3), EndedWhy::unlisted}, std::pair{id(4), EndedWhy::left}));
}
TEST_F(Access, EndingsThatNobodyTakesAreForgottenOldestFirst) {
  for (std::size_t i = 0; i < kEndedMax + 1; ++i) {
    grant(newest(cidr(i == 0 ? 1 : 2, "10.1.0.0/16")));
    list_.reject(client(1), id(i == 0 ? 1 : 2));
  }
  std::size_t count = 0;
  while (const auto one = list_.poll_ended()) {
    EXPECT_EQ(one->resource.id, id(2));
    ++count;
  }
  EXPECT_EQ(count, kEndedMax);
}
TEST_F(Access, HoldingsRememberSinceWhenTheyAreHeldAndSinceWhenTheirFiltersAreAsTheyAre) {
  grant(newest(cidr(1, "10.1.0.0/16"), kNowUnix + 600));
  list_.update_filters(cidr(1, "10.1.0.0/16", {icmp()}), kNow + 1min);
  ASSERT_TRUE(list_.grant(newest(cidr(1, "10.1.0.0/16", {icmp()})), kNow + 2min));
  const auto held = list_.holdings_of(client(1));
  ASSERT_EQ(held.size(), 1U);
  EXPECT_EQ(held[0].resource.id, id(1));
  EXPECT_EQ(held[0].since, kNow);
  EXPECT_EQ(held[0].filters_since, kNow + 1min);
  EXPECT_FALSE(held[0].deadline);
  EXPECT_TRUE(list_.holdings_of(client(2)).empty());
}
TEST_F(Access, DefaultLimitsFitTheCompiledPolicy) {
  EXPECT_EQ(kClientsMax, 8'192U);
  for (std::uint32_t n = 0; n < 10'000; ++n) {
    auto g = newest(cidr(1, "10.0.0.0/8"));
    std::array<std::uint8_t, 16> bytes{};
    store_be32(bytes.data(), n);
    g.resource.id = ResourceId{bytes};
    ASSERT_TRUE(list_.grant(g, kNow));
  }
  EXPECT_EQ(list_.grant(newest(cidr(255, "10.0.0.0/8")), kNow).error(), Refusal::grants_full);
  EXPECT_NE(filter::Policy::compile(list_.rules_for(client(1))), nullptr);
}

}  // namespace
}  // namespace fg::acl
