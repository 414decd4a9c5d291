#include "base/timers.h"

#include <gtest/gtest.h>

namespace fg {
namespace {

enum class Timer : std::uint8_t { refresh, expiry, count_ };

TEST(TimerTable, NextIsTheEarliestAndAnExpiredTimerIsTakenOnce) {
  TimerTable<Timer> timers;
  const Instant start{};
  EXPECT_FALSE(timers.next());
  timers.set(Timer::expiry, start + 10s);
  timers.set(Timer::refresh, start + 5s);
  EXPECT_EQ(timers.next(), start + 5s);
  EXPECT_FALSE(timers.take_expired(Timer::refresh, start + 4s));
  EXPECT_TRUE(timers.take_expired(Timer::refresh, start + 5s));
  EXPECT_FALSE(timers.take_expired(Timer::refresh, start + 5s));
  EXPECT_EQ(timers.next(), start + 10s);
}

TEST(Wakeup, EarlierPrefersTheSoonerAndToleratesNone) {
  const Wakeup soon{Instant{} + 1s, "soon"};
  const Wakeup late{Instant{} + 2s, "late"};
  EXPECT_EQ(earlier(late, soon)->at, soon.at);
  EXPECT_EQ(earlier(std::nullopt, late)->at, late.at);
  EXPECT_FALSE(earlier(std::nullopt, std::nullopt));
}

}  // namespace
}  // namespace fg
