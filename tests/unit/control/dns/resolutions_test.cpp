#include "control/dns/resolutions.h"

#include <gtest/gtest.h>

namespace fg::dns {
namespace {

constexpr Instant kNow{1000s};

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

TEST(Resolutions, AnswersComeWithIpv6First) {
  Resolutions resolutions;
  const auto id = resolutions.start("wiki.lab.test", kNow);
  ASSERT_TRUE(id);
  EXPECT_LE(resolutions.wakeup()->at, kNow);
  const auto query = resolutions.poll_query();
  ASSERT_TRUE(query);
  EXPECT_EQ(query->id, *id);
  EXPECT_EQ(query->name, "wiki.lab.test");
  EXPECT_EQ(resolutions.wakeup()->at, kNow + 10s);
  resolutions.on_answer(
      *id, {ip("10.20.1.81"), ip("2001:db8::81"), ip("10.20.1.80"), ip("2001:db8::80")}, kNow + 1s);
  EXPECT_LE(resolutions.wakeup()->at, kNow + 1s);
  const auto result = resolutions.poll_result();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->id, *id);
  EXPECT_EQ(result->addresses, (std::vector{ip("2001:db8::81"), ip("2001:db8::80"),
                                            ip("10.20.1.81"), ip("10.20.1.80")}));
  EXPECT_FALSE(resolutions.wakeup());
}

TEST(Resolutions, AnUnansweredNameIsEmptyAfterTenSeconds) {
  Resolutions resolutions;
  const auto id = resolutions.start("slow.test", kNow);
  resolutions.on_timeout(kNow + 10s - 1ns);
  EXPECT_FALSE(resolutions.poll_result());
  resolutions.on_timeout(kNow + 10s);
  const auto result = resolutions.poll_result();
  ASSERT_TRUE(result);
  EXPECT_TRUE(result->addresses.empty());
  resolutions.on_answer(*id, {ip("1.2.3.4")}, kNow + 11s);
  EXPECT_FALSE(resolutions.poll_result());
}

TEST(Resolutions, AHundredAreInFlightAndNotOneMore) {
  Resolutions resolutions;
  std::optional<ResolutionId> first;
  for (int i = 0; i < 100; ++i) {
    const auto id = resolutions.start("n.test", kNow);
    ASSERT_TRUE(id) << i;
    if (!first) first = id;
  }
  EXPECT_FALSE(resolutions.start("n.test", kNow));
  EXPECT_EQ(resolutions.in_flight(), 100U);
  resolutions.on_answer(*first, {}, kNow);
  EXPECT_TRUE(resolutions.start("n.test", kNow));
}

}  // namespace
}  // namespace fg::dns
