#include "control/ice/schedule.h"

#include <gtest/gtest.h>

#include <vector>

namespace fg::ice {
namespace {

const Instant kStart{1000s};

stun::TransactionId id(int n) {
  stun::TransactionId out{};
  store_be32(out.data(), static_cast<std::uint32_t>(n));
  return out;
}

// Gaps between n checks, each answered at once or never.
std::vector<Duration> gaps(const Profile& profile, int n, bool answered) {
  CheckSchedule schedule;
  std::vector<Duration> out;
  Instant now = kStart;
  Instant last = kStart;
  for (int i = 0; i < n; ++i) {
    now = schedule.next(profile, now);
    if (i > 0) out.push_back(now - last);
    last = now;
    schedule.on_sent(id(i), profile, now);
    (void)schedule.next(profile, now);
    if (answered) {
      EXPECT_TRUE(schedule.on_success(id(i)));
    }
  }
  return out;
}

TEST(Schedule, DelaysDoubleUpToTheMaximum) {
  EXPECT_EQ(kServerDefault.delay(0), 0s);
  EXPECT_EQ(kServerDefault.delay(1), 250ms);
  EXPECT_EQ(kServerDefault.delay(6), 8s);
  EXPECT_EQ(kServerDefault.delay(7), 15s);
  EXPECT_EQ(kServerDefault.delay(1000000), 15s);
  EXPECT_EQ(kServerIdle.delay(1), 25s);
  EXPECT_EQ(kClientDefault.delay(3), 1s);
  EXPECT_EQ(kClientDefault.delay(4), 1500ms);
}

TEST(Schedule, ServerGapsAreThoseSeenOnTheWire) {
  const std::vector<Duration> expected{250ms, 500ms, 1s, 2s, 4s, 8s, 15s, 15s, 15s};
  EXPECT_EQ(gaps(kServerDefault, 10, true), expected);
}

TEST(Schedule, ClientGapsAreThoseSeenOnTheWire) {
  const std::vector<Duration> expected{250ms, 500ms, 1s, 1500ms, 1500ms, 1500ms};
  EXPECT_EQ(gaps(kClientDefault, 7, true), expected);
  EXPECT_EQ(gaps(kClientDefault, 7, false), expected);
}

TEST(Schedule, IdleGapsAreTwentyFiveSeconds) {
  EXPECT_EQ(gaps(kServerIdle, 3, true), (std::vector<Duration>{25s, 25s}));
}

// When a pair that always answered falls silent: from the first lost check to the end.
Duration loss_time(const Profile& profile) {
  CheckSchedule schedule;
  Instant now = kStart;
  int n = 0;
  for (; n < 60; ++n) {
    now = schedule.next(profile, now);
    schedule.on_sent(id(n), profile, now);
    EXPECT_TRUE(schedule.on_success(id(n)));
  }
  const auto lost = schedule.next(profile, now);
  for (int i = 0; i < 1000; ++i) {
    now = schedule.next(profile, now);
    if (schedule.is_exhausted(profile, now)) return now - lost;
    schedule.on_sent(id(++n), profile, now);
  }
  return {};
}

TEST(Schedule, LossTimesAreThoseOfTheSpec) {
  EXPECT_EQ(loss_time(kGenerationA), 10500ms);
  EXPECT_EQ(loss_time(kClientDefault), 16500ms);
  EXPECT_EQ(loss_time(kClientIdle), 100s);
  EXPECT_EQ(loss_time(kServerDefault), 615500ms);
  EXPECT_EQ(loss_time(kServerIdle), 1000s);
}

TEST(Schedule, LastCheckOfAPairThatNeverAnsweredIsTheEighthAfterSevenPointSevenFive) {
  Duration sum{};
  for (const auto gap : gaps(kGenerationA, 8, false)) sum += gap;
  EXPECT_EQ(sum, 7750ms);
}

TEST(Schedule, ProbingSpeedsUpAfterALoss) {
  CheckSchedule schedule;
  Instant now = kStart;
  for (int i = 0; i < 20; ++i) {
    now = schedule.next(kServerDefault, now);
    schedule.on_sent(id(i), kServerDefault, now);
    EXPECT_TRUE(schedule.on_success(id(i)));
  }
  std::vector<Duration> seen;
  for (int i = 20; i < 25; ++i) {
    const auto next = schedule.next(kServerDefault, now);
    seen.push_back(next - now);
    now = next;
    schedule.on_sent(id(i), kServerDefault, now);
  }
  EXPECT_EQ(seen, (std::vector<Duration>{15s, 15s, 500ms, 1s, 2s}));
}

TEST(Schedule, SuccessCountsOnceAndOnlyWhileTheCheckIsKept) {
  CheckSchedule schedule;
  for (int i = 0; i < 13; ++i) schedule.on_sent(id(i), kClientDefault, kStart);
  EXPECT_FALSE(schedule.has(id(0)));
  EXPECT_FALSE(schedule.on_success(id(0)));
  EXPECT_TRUE(schedule.has(id(1)));
  EXPECT_TRUE(schedule.on_success(id(1)));
  EXPECT_FALSE(schedule.on_success(id(1)));
  EXPECT_FALSE(schedule.on_success(id(99)));
}

TEST(Schedule, HurryIsAtOnceAndEndsWithTheCheck) {
  CheckSchedule schedule;
  schedule.on_sent(id(0), kServerDefault, kStart);
  EXPECT_EQ(schedule.next(kServerDefault, kStart), kStart + 250ms);
  schedule.hurry();
  EXPECT_EQ(schedule.next(kServerDefault, kStart + 1ms), kStart + 1ms);
  schedule.on_sent(id(1), kServerDefault, kStart + 1ms);
  EXPECT_EQ(schedule.next(kServerDefault, kStart + 1ms), kStart + 501ms);
}

TEST(Schedule, AnotherProfileDropsWhatWasCached) {
  CheckSchedule schedule;
  schedule.on_sent(id(0), kServerIdle, kStart);
  EXPECT_EQ(schedule.next(kServerIdle, kStart), kStart + 25s);
  schedule.on_profile(kServerDefault);
  EXPECT_EQ(schedule.next(kServerDefault, kStart + 10s), kStart + 250ms);
}

TEST(Schedule, OneAnswerKeepsAPairFromExhaustion) {
  CheckSchedule schedule;
  for (int i = 0; i < 12; ++i) schedule.on_sent(id(i), kClientDefault, kStart);
  EXPECT_FALSE(schedule.is_exhausted(kClientDefault, kStart + 1499ms));
  EXPECT_TRUE(schedule.is_exhausted(kClientDefault, kStart + 1500ms));
  EXPECT_TRUE(schedule.on_success(id(11)));
  EXPECT_FALSE(schedule.is_exhausted(kClientDefault, kStart + 1h));
}

}  // namespace
}  // namespace fg::ice
