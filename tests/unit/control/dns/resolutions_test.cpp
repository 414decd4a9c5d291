#include "control/dns/resolutions.h"

#include <gtest/gtest.h>

namespace fg::dns {
namespace {

constexpr Instant kNow{1000s};

IpAddress ip(const char* text) { return *IpAddress::parse(text); }
ClientId client(std::size_t n) {
  return ClientId{std::array<std::uint8_t, 16>{static_cast<std::uint8_t>(n),
                                               static_cast<std::uint8_t>(n >> 8)}};
}

TEST(Resolutions, AnAnswerGoesToWhoAsked) {
  Resolutions resolutions;
  const auto id = resolutions.start("wiki.lab.test", Asker::request, client(1), kNow);
  ASSERT_TRUE(id);
  EXPECT_LE(resolutions.wakeup()->at, kNow);
  const auto query = resolutions.poll_query();
  ASSERT_TRUE(query);
  EXPECT_EQ(query->id, *id);
  EXPECT_EQ(query->name, "wiki.lab.test");
  EXPECT_EQ(resolutions.wakeup()->at, kNow + 10s);
  resolutions.on_answer(*id,
                        {std::vector{ip("10.20.1.81"), ip("10.20.1.80")},
                         std::vector{ip("2001:db8::81"), ip("2001:db8::80")}},
                        kNow + 1s);
  EXPECT_LE(resolutions.wakeup()->at, kNow + 1s);
  const auto outcome = resolutions.poll_outcome();
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->id, *id);
  EXPECT_EQ(outcome->resolved.all(), (std::vector{ip("2001:db8::81"), ip("2001:db8::80"),
                                                  ip("10.20.1.81"), ip("10.20.1.80")}))
      << "IPv6 first, each family in the order of the answer";
  EXPECT_FALSE(resolutions.wakeup());
}

TEST(Resolutions, AnUnansweredNameFailsAfterTenSeconds) {
  Resolutions resolutions;
  const auto id = resolutions.start("slow.test", Asker::announcement, client(1), kNow);
  resolutions.on_timeout(kNow + 10s - 1ns);
  EXPECT_FALSE(resolutions.poll_outcome());
  resolutions.on_timeout(kNow + 10s);
  const auto outcome = resolutions.poll_outcome();
  ASSERT_TRUE(outcome);
  EXPECT_TRUE(outcome->resolved.is_failed());
  resolutions.on_answer(*id, {std::vector{ip("1.2.3.4")}, {}}, kNow + 11s);
  EXPECT_FALSE(resolutions.poll_outcome());
  EXPECT_EQ(resolutions.in_flight(), 0U);
}

// Spec policy 10.5, item 70.
TEST(Resolutions, RequestsAndAnnouncementsHaveLimitsOfTheirOwn) {
  Resolutions resolutions;
  const auto fill = [&](Asker asker, std::size_t limit) {
    std::optional<ResolutionId> first;
    for (std::size_t i = 0; i < limit; ++i) {
      const auto id = resolutions.start("n.test", asker, client(i), kNow);
      ASSERT_TRUE(id) << i;
      if (!first) first = *id;
    }
    EXPECT_EQ(resolutions.start("n.test", asker, client(limit), kNow).error(),
              DropReason::resolutions_full);
    resolutions.on_answer(*first, {}, kNow);
    EXPECT_TRUE(resolutions.start("n.test", asker, client(limit), kNow));
  };
  fill(Asker::request, 100);
  fill(Asker::announcement, 1'000);
  EXPECT_EQ(resolutions.in_flight(), 1'100U);
}

TEST(Resolutions, OneClientHasSixtyFourInFlightAndLeavesTheRestToOthers) {
  Resolutions resolutions;
  for (std::size_t i = 0; i < kPerClientMax; ++i)
    ASSERT_TRUE(resolutions.start("n.test", Asker::announcement, client(1), kNow)) << i;
  EXPECT_EQ(resolutions.start("n.test", Asker::announcement, client(1), kNow).error(),
            DropReason::names_limited);
  EXPECT_TRUE(resolutions.start("n.test", Asker::announcement, client(2), kNow));
  resolutions.on_timeout(kNow + 10s);
  EXPECT_TRUE(resolutions.start("n.test", Asker::announcement, client(1), kNow + 10s));
}

}  // namespace
}  // namespace fg::dns
