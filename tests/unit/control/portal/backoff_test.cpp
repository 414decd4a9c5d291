#include "control/portal/backoff.h"

#include <gtest/gtest.h>

namespace fg::portal {
namespace {

TEST(Backoff, BeforeTheFirstJoinFifteenRetriesOfASecond) {
  SeededRandom random{1};
  Backoff backoff{random};
  for (int i = 0; i < 15; ++i) EXPECT_EQ(backoff.next(), Duration{1s}) << i;
  EXPECT_EQ(backoff.next(), std::nullopt);
}

TEST(Backoff, WhatThePortalAsksForCostsNothing) {
  SeededRandom random{1};
  Backoff backoff{random};
  for (int i = 0; i < 100; ++i) EXPECT_EQ(backoff.next(Duration{2s}), Duration{2s});
  EXPECT_EQ(backoff.next(Duration{0s}), Duration{0s});
  for (int i = 0; i < 15; ++i) EXPECT_EQ(backoff.next(), Duration{1s}) << i;
  EXPECT_EQ(backoff.next(), std::nullopt);
  EXPECT_EQ(backoff.next(Duration{3s}), Duration{3s});
}

TEST(Backoff, AfterwardsItGrowsByHalfWithJitterUpToAMinute) {
  SeededRandom random{2};
  Backoff backoff{random};
  backoff.on_joined();
  double expected_s = 0.5;
  for (int i = 0; i < 20; ++i) {
    const auto delay = backoff.next();
    ASSERT_TRUE(delay);
    const double delay_s = std::chrono::duration<double>(*delay).count();
    EXPECT_GE(delay_s, expected_s - 1e-6) << i;
    EXPECT_LT(delay_s, 2 * expected_s + 1e-6) << i;
    expected_s = std::min(expected_s * 1.5, 60.0);
  }
  EXPECT_EQ(expected_s, 60.0);
}

TEST(Backoff, AJoinStartsItAnew) {
  SeededRandom random{3};
  Backoff backoff{random};
  backoff.on_joined();
  for (int i = 0; i < 30; ++i) (void)backoff.next();
  backoff.on_joined();
  EXPECT_LT(*backoff.next(), Duration{1s});
}

TEST(Backoff, GivesUpWhenTheSumOfDelaysWouldExceedThePartitionTime) {
  SeededRandom random{4};
  Backoff backoff{random, 10s};
  backoff.on_joined();
  Duration sum{};
  while (const auto delay = backoff.next()) sum += *delay;
  EXPECT_LE(sum, Duration{10s});
  EXPECT_GT(sum, Duration{2s});
}

TEST(Backoff, TheDefaultPartitionTimeIsADay) {
  SeededRandom random{5};
  Backoff backoff{random};
  backoff.on_joined();
  Duration sum{};
  while (const auto delay = backoff.next()) sum += *delay;
  EXPECT_LE(sum, Duration{24h});
  EXPECT_GT(sum, Duration{24h} - Duration{120s});
}

}  // namespace
}  // namespace fg::portal
