#include "io/xdp/delivery_watch.h"

#include <gtest/gtest.h>

namespace fg::io::xdp {
namespace {

constexpr std::uint64_t kRoom = 2048;

TEST(DeliveryWatch, TwoIntervalsInWhichNothingArrivesAreEnough) {
  DeliveryWatch watch;
  EXPECT_FALSE(watch.check({.redirected = 100}, kRoom));
  EXPECT_TRUE(watch.check({.redirected = 200}, kRoom));
}

TEST(DeliveryWatch, WhoReceivesOrIsOnlyTooSlowIsLeftAlone) {
  DeliveryWatch watch;
  std::uint64_t n = 0;
  for (int i = 0; i < 10; ++i) {
    n += 1000;
    EXPECT_FALSE(watch.check({.redirected = n, .arrived = n - 10}, kRoom));
  }
  const auto arrived = n - 10;
  for (int i = 0; i < 10; ++i) {
    n += 1000;
    EXPECT_FALSE(
        watch.check({.redirected = n, .arrived = arrived, .lost = n - arrived - 500}, kRoom))
        << "a worker that stands still fills its ring; no mode is better for that";
  }
}

// A ping, or the first packet of a connection that is tried again.
TEST(DeliveryWatch, WhoTriesOnceASecondWaitsNoLongerThanTwo) {
  for (int phase = 0; phase < 2; ++phase) {
    DeliveryWatch watch;
    std::uint64_t redirected = 0;
    int looks = 0;
    for (bool is_over = false; !is_over && looks < 10; ++looks) {
      if (looks % 2 == phase) ++redirected;
      is_over = watch.check({.redirected = redirected}, kRoom);
    }
    EXPECT_LE(looks - phase, 4) << phase;
  }
}

TEST(DeliveryWatch, OneLostFrameAndAnIdleTunnelSayNothing) {
  DeliveryWatch watch;
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(watch.check({.redirected = 1}, kRoom));
  EXPECT_FALSE(watch.check({.redirected = 2}, kRoom)) << "this one is on its way";
  EXPECT_FALSE(watch.check({.redirected = 2, .arrived = 1}, kRoom));
  for (int i = 0; i < 10; ++i)
    EXPECT_FALSE(watch.check({.redirected = 2, .arrived = 1}, kRoom)) << "and it counts no more";
}

TEST(DeliveryWatch, WhatWaitsForALateWorkerIsNotLost) {
  DeliveryWatch watch;
  for (std::uint64_t i = 0; i < 10; ++i)
    EXPECT_FALSE(watch.check({.redirected = 100 * i, .waiting = 100 * i}, kRoom)) << i;
}

TEST(DeliveryWatch, AFrameOnItsWayResetsTheCount) {
  DeliveryWatch watch;
  EXPECT_FALSE(watch.check({.redirected = 10, .arrived = 0}, kRoom));
  EXPECT_FALSE(watch.check({.redirected = 20, .arrived = 10}, kRoom));
  EXPECT_FALSE(watch.check({.redirected = 30, .arrived = 10}, kRoom));
}

TEST(DeliveryWatch, MoreMissingThanCouldWaitIsAVerdictEvenWhereSomeArrive) {
  DeliveryWatch watch;
  EXPECT_FALSE(watch.check({.redirected = 3000, .arrived = 1000, .lost = 0}, kRoom));
  EXPECT_TRUE(watch.check({.redirected = 6000, .arrived = 2000, .lost = 0}, kRoom));
}

}  // namespace
}  // namespace fg::io::xdp
