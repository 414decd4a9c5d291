#include "control/turn/selection.h"

#include <gtest/gtest.h>

#include <vector>

namespace fg::turn {
namespace {

Duration threshold(std::vector<Duration> samples) { return rtt_threshold(samples); }

// spec connectivity 3.11
TEST(TurnSelection, OneOrTwoRelaysAreMeasuredAgainstTheNearest) {
  EXPECT_EQ(threshold({10ms}), 15ms);
  EXPECT_EQ(threshold({100ms, 20ms}), 30ms);
}

TEST(TurnSelection, ThreeAndMoreAgainstTheMedianAndItsDeviation) {
  EXPECT_EQ(threshold({10ms, 20ms, 90ms}), 50ms);  // median 20, deviations 10 0 70: 20 + 3 * 10
  EXPECT_EQ(threshold({10ms, 20ms, 30ms, 100ms}),
            25ms + 30ms);  // median 25, deviations 15 5 5 75: 25 + 3 * 10
}

TEST(TurnSelection, DeviationCountsAsAtLeastTwoMilliseconds) {
  EXPECT_EQ(threshold({10ms, 10ms, 10ms}), 16ms);
  EXPECT_EQ(threshold({10ms, 11ms, 12ms}), 17ms);
}

TEST(TurnSelection, NothingMeasuredGivesZero) { EXPECT_EQ(threshold({}), Duration::zero()); }

}  // namespace
}  // namespace fg::turn
