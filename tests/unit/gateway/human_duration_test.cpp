#include "gateway/human_duration.h"

#include <gtest/gtest.h>

namespace fg::gateway {
namespace {

TEST(HumanDuration, IsReadFromNumbersAndUnits) {
  EXPECT_EQ(parse_human_duration("90s"), 90s);
  EXPECT_EQ(parse_human_duration("30m"), 30min);
  EXPECT_EQ(parse_human_duration("24h"), 24h);
  EXPECT_EQ(parse_human_duration("7d"), 168h);
  EXPECT_EQ(parse_human_duration("1h 30m"), 90min);
  EXPECT_EQ(parse_human_duration("100M"), 24h * 3'044);
  EXPECT_EQ(parse_human_duration("2months"), parse_human_duration("2M"));
  EXPECT_EQ(parse_human_duration("4y"), 24h * 1'461);
  for (const auto* text : {"", "5", "h", "0s", "-1h", "1Y", "101y", "99999999999999999999s"})
    EXPECT_FALSE(parse_human_duration(text)) << text;
}

TEST(HumanDuration, EndsAtAHundredYearsTogetherToo) {
  EXPECT_EQ(parse_human_duration("36500d"), 24h * 36'500);
  EXPECT_FALSE(parse_human_duration("36501d"));
  EXPECT_FALSE(parse_human_duration("36500d 1s"));
  EXPECT_FALSE(parse_human_duration("36500d 36500d 36500d"));
}

}  // namespace
}  // namespace fg::gateway
