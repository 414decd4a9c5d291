#include "runtime/clock.h"

#include <gtest/gtest.h>

namespace fg::runtime {
namespace {

TEST(Clock, NeverRunsBackwards) {
  auto before = monotonic_now();
  for (int i = 0; i < 1000; ++i) {
    const auto now = monotonic_now();
    EXPECT_GE(now, before);
    before = now;
  }
}

TEST(Clock, WallTimeCountsFrom1970) {
  EXPECT_GT(wall_now().time_since_epoch(), std::chrono::hours{24 * 365 * 50});
}

}  // namespace
}  // namespace fg::runtime
