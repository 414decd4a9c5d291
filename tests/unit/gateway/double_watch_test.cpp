#include "gateway/double_watch.h"

#include <gtest/gtest.h>

namespace fg::gateway {
namespace {

constexpr std::string_view kRefused = "portal answered with status 409";

TEST(DoubleWatch, SaysItOnceWhenNothingButConflictsIsHeardForTenSeconds) {
  DoubleWatch watch;
  Instant now{};
  EXPECT_FALSE(watch.on_disconnected(kRefused, now));
  EXPECT_FALSE(watch.on_disconnected(kRefused, now += 9s));
  EXPECT_TRUE(watch.on_disconnected(kRefused, now += 1s));
  EXPECT_FALSE(watch.on_disconnected(kRefused, now += 60s));
}

TEST(DoubleWatch, AnotherReasonBeginsAnewAndAJoinMakesItNewsAgain) {
  DoubleWatch watch;
  Instant now{};
  EXPECT_FALSE(watch.on_disconnected(kRefused, now));
  EXPECT_FALSE(watch.on_disconnected("connection reset", now += 9s));
  EXPECT_FALSE(watch.on_disconnected(kRefused, now += 1s));
  EXPECT_TRUE(watch.on_disconnected(kRefused, now += 10s));
  watch.on_joined();
  EXPECT_FALSE(watch.on_disconnected(kRefused, now += 1s));
  EXPECT_TRUE(watch.on_disconnected(kRefused, now += 10s));
}

}  // namespace
}  // namespace fg::gateway
