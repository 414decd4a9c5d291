#include "pipeline/token_bucket.h"

#include <gtest/gtest.h>

namespace fg::pipeline {
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

}  // namespace
}  // namespace fg::pipeline
