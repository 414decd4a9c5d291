#include "control/ice/dispatch.h"

#include <gtest/gtest.h>

namespace fg::ice {
namespace {

const Instant kStart{1000s};

stun::TransactionId id(std::uint32_t n) {
  stun::TransactionId out{};
  store_be32(out.data() + 4, n);
  return out;
}

std::vector<int> keys(const Dispatch<int>& dispatch, std::string_view username) {
  const auto found = dispatch.find(username);
  return {found.begin(), found.end()};
}

TEST(Dispatch, RequestFindsItsConnectionByBothUfrags) {
  Dispatch<int> dispatch;
  EXPECT_TRUE(dispatch.add("qhpm", "mp5g", 1));
  EXPECT_TRUE(dispatch.add("qhpm", "zzzz", 2))
      << "the same local ufrag is another connection's, too";
  EXPECT_EQ(keys(dispatch, "qhpm:mp5g"), std::vector<int>{1});
  EXPECT_EQ(keys(dispatch, "qhpm:zzzz"), std::vector<int>{2});
  EXPECT_TRUE(dispatch.find("qhpm:xxxx").empty());
  EXPECT_TRUE(dispatch.find("mp5g:qhpm").empty());
  EXPECT_TRUE(dispatch.find("qhpm").empty());
  EXPECT_TRUE(dispatch.find("").empty());
}

TEST(Dispatch, FullCollisionYieldsAllThatMatch) {
  Dispatch<int> dispatch;
  dispatch.add("a", "b", 1);
  dispatch.add("a", "b", 2);
  EXPECT_EQ(keys(dispatch, "a:b"), (std::vector<int>{1, 2}));
  EXPECT_TRUE(dispatch.remove("a", "b", 1));
  EXPECT_EQ(keys(dispatch, "a:b"), std::vector<int>{2});
}

TEST(Dispatch, RemovedConnectionLeavesNothing) {
  Dispatch<int> dispatch;
  EXPECT_TRUE(dispatch.add("a", "b", 1));
  EXPECT_FALSE(dispatch.add("a", "b", 1));
  EXPECT_EQ(dispatch.connections(), 1U);
  EXPECT_FALSE(dispatch.remove("a", "b", 2));
  EXPECT_TRUE(dispatch.remove("a", "b", 1));
  EXPECT_FALSE(dispatch.remove("a", "b", 1));
  EXPECT_EQ(dispatch.connections(), 0U);
  EXPECT_TRUE(dispatch.find("a:b").empty());
}

TEST(Dispatch, TakesConnectionsUpToTheLimit) {
  Dispatch<int> dispatch{{.connections_max = 2, .transactions_max = 8}};
  EXPECT_TRUE(dispatch.add("a", "1", 1));
  EXPECT_TRUE(dispatch.add("a", "2", 2));
  EXPECT_FALSE(dispatch.add("a", "3", 3));
  EXPECT_TRUE(dispatch.find("a:3").empty());
  EXPECT_TRUE(dispatch.remove("a", "1", 1));
  EXPECT_TRUE(dispatch.add("a", "3", 3));
}

TEST(Dispatch, ResponseIsTakenOnce) {
  Dispatch<int> dispatch;
  dispatch.on_check_sent(id(1), 7, kStart);
  EXPECT_EQ(dispatch.take(id(1), kStart + 20ms), 7);
  EXPECT_EQ(dispatch.take(id(1), kStart + 20ms), std::nullopt);
  EXPECT_EQ(dispatch.take(id(2), kStart + 20ms), std::nullopt);
}

TEST(Dispatch, ResponseIsKnownForTenSeconds) {
  Dispatch<int> dispatch;
  dispatch.on_check_sent(id(1), 7, kStart);
  dispatch.on_check_sent(id(2), 7, kStart);
  EXPECT_EQ(dispatch.take(id(1), kStart + 9900ms), 7);
  EXPECT_EQ(dispatch.take(id(2), kStart + 10100ms), std::nullopt);
}

TEST(Dispatch, ExpiredTransactionsFreeTheirMemory) {
  Dispatch<int> dispatch;
  dispatch.on_check_sent(id(1), 7, kStart);
  dispatch.on_check_sent(id(2), 7, kStart + 5s);
  dispatch.on_timeout(kStart + 9999ms);
  EXPECT_EQ(dispatch.transactions(), 2U);
  dispatch.on_timeout(kStart + 10s);
  EXPECT_EQ(dispatch.transactions(), 1U);
  EXPECT_EQ(dispatch.take(id(2), kStart + 10s), 7);
}

TEST(Dispatch, OldestTransactionGivesWayAtTheLimit) {
  Dispatch<int> dispatch{{.connections_max = 2, .transactions_max = 3}};
  for (std::uint32_t i = 0; i < 3; ++i) dispatch.on_check_sent(id(i), 7, kStart);
  EXPECT_EQ(dispatch.overflows(), 0U);
  dispatch.on_check_sent(id(3), 7, kStart);
  EXPECT_EQ(dispatch.overflows(), 1U);
  EXPECT_EQ(dispatch.transactions(), 3U);
  EXPECT_EQ(dispatch.take(id(0), kStart), std::nullopt);
  EXPECT_EQ(dispatch.take(id(3), kStart), 7);
}

}  // namespace
}  // namespace fg::ice
