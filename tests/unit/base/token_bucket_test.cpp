#include "base/token_bucket.h"

#include <gtest/gtest.h>

namespace fg {
namespace {

TEST(TokenBucket, GivesItsBurstThenOneEachInterval) {
  TokenBucket bucket{10ms, 3};
  auto now = Instant{1h};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(now));
  EXPECT_FALSE(bucket.take(now));
  now += 10ms - 1ns;
  EXPECT_FALSE(bucket.take(now));
  now += 1ns;
  EXPECT_TRUE(bucket.take(now));
  EXPECT_FALSE(bucket.take(now));
}

TEST(TokenBucket, SavesUpNoMoreThanItsBurst) {
  TokenBucket bucket{10ms, 3};
  auto now = Instant{1h};
  EXPECT_TRUE(bucket.take(now));
  now += 24h;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(now));
  EXPECT_FALSE(bucket.take(now));
}

TEST(TokenBucket, SaysHowMuchIsLeftWithoutTakingIt) {
  TokenBucket bucket{10ms, 3};
  const auto now = Instant{1h};
  EXPECT_TRUE(bucket.has(3, now));
  EXPECT_FALSE(bucket.has(4, now));
  EXPECT_TRUE(bucket.take(now));
  EXPECT_TRUE(bucket.has(2, now));
  EXPECT_FALSE(bucket.has(3, now));
  EXPECT_FALSE(bucket.has(3, now + 10ms - 1ns));
  EXPECT_TRUE(bucket.has(3, now + 10ms));
}

TEST(TokenBucket, IsFullAgainWhenAllOfItHasComeBack) {
  TokenBucket bucket{10ms, 3};
  const auto now = Instant{1h};
  EXPECT_TRUE(bucket.is_full(now));
  EXPECT_TRUE(bucket.take(now));
  EXPECT_TRUE(bucket.take(now));
  EXPECT_FALSE(bucket.is_full(now + 20ms - 1ns));
  EXPECT_TRUE(bucket.is_full(now + 20ms));
}

}  // namespace
}  // namespace fg
