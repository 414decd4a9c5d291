#include "control/portal/retry_after.h"

#include <gtest/gtest.h>

namespace fg::portal {
namespace {

// 2026-09-21 13:33:20 UTC
constexpr WallTime kNow{std::chrono::seconds{1'789'997'600}};

TEST(RetryAfter, ReadsSecondsAndDates) {
  EXPECT_EQ(parse_retry_after("30", kNow), Duration{30s});
  EXPECT_EQ(parse_retry_after("0", kNow), Duration{0s});
  EXPECT_EQ(parse_retry_after("  +2 ", kNow), Duration{2s});
  EXPECT_EQ(parse_retry_after("Mon, 21 Sep 2026 13:33:50 GMT", kNow), Duration{30s});
  EXPECT_EQ(parse_retry_after("21 Sep 2026 15:33:50 +0200", kNow), Duration{30s});
  EXPECT_EQ(parse_retry_after("Mon, 21 Sep 2026 09:03:50 -0430", kNow), Duration{30s});
  EXPECT_EQ(parse_retry_after("Mon, 21 Sep 2026 13:34 GMT", kNow), Duration{40s});
}

TEST(RetryAfter, ADateInThePastMeansAtOnce) {
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", kNow), Duration{0s});
}

TEST(RetryAfter, WhatCannotBeReadIsIgnored) {
  for (const auto* text :
       {"-1", "12.5", "1e1", "2, 3", "", " ", "soon", "Mon, 31 Feb 2026 13:33:50 GMT",
        "Mon, 21 Sep 2026 25:00:00 GMT", "Mon, 21 Sep 2026 13:33:50",
        "Mon, 21 Okt 2026 13:33:50 GMT", "21 Sep 26 13:33:50 GMT"}) {
    EXPECT_EQ(parse_retry_after(text, kNow), std::nullopt) << text;
  }
}

TEST(RetryAfter, IsNeverLongerThanADay) {
  EXPECT_EQ(parse_retry_after("86400", kNow), Duration{24h});
  EXPECT_EQ(parse_retry_after("86401", kNow), Duration{24h});
  EXPECT_EQ(parse_retry_after("99999999999999999999999", kNow), Duration{24h});
  EXPECT_EQ(parse_retry_after("Mon, 21 Sep 2099 13:33:50 GMT", kNow), Duration{24h});
}

}  // namespace
}  // namespace fg::portal
