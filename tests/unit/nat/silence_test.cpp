// Spec policy 4.4, 10.10.
#include "nat/silence.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::nat {
namespace {

using test::ip;

class SilenceTest : public ::testing::Test {
 protected:
  static std::vector<Translation> entries() {
    return {{ip("100.96.0.1"), ip("192.0.2.1"), NameId{1}},
            {ip("100.96.0.2"), ip("192.0.2.2"), NameId{1}},
            {ip("100.96.0.3"), ip("192.0.2.1"), NameId{2}}};
  }
  const Translation& proxy(std::string_view address) { return *translations_->find(ip(address)); }
  void send(std::string_view to = "100.96.0.1") { watch_.on_outgoing(proxy(to), now_); }
  void hear(std::string_view from = "100.96.0.1") { watch_.on_incoming(proxy(from), now_); }
  std::vector<NameId> advance(Duration by) {
    std::vector<NameId> names;
    const auto end = now_ + by;
    while (const auto at = watch_.next_sweep()) {
      if (*at > end) break;
      now_ = std::max(now_, *at);
      watch_.sweep(now_, [&](NameId name) { names.push_back(name); });
    }
    now_ = end;
    return names;
  }

  using Names = std::vector<NameId>;
  Instant now_{1h};
  std::unique_ptr<const Translations> translations_ = Translations::compile(entries(), true);
  SilenceWatch watch_{*translations_, now_, nullptr};
};

TEST_F(SilenceTest, WithoutTrafficNothingIsReportedHoweverLong) {
  EXPECT_EQ(advance(1h), Names{});
  EXPECT_FALSE(watch_.next_sweep());
}

TEST_F(SilenceTest, AfterTwoMinutesWithoutAnswerAPacketThatStaysUnansweredForASecondReports) {
  EXPECT_EQ(advance(120s), Names{});
  send();
  EXPECT_EQ(advance(1s - 1ns), Names{});
  EXPECT_EQ(advance(1ns), Names{NameId{1}});
}

TEST_F(SilenceTest, APacketInTheLastTenSecondsBeforeCountsWhenTheTwoMinutesAreOver) {
  (void)advance(110s - 1ns);
  send();
  EXPECT_EQ(advance(100s), Names{});
  now_ += 1h;
  watch_ = SilenceWatch{*translations_, now_, nullptr};
  (void)advance(110s);
  send();
  EXPECT_EQ(advance(10s - 1ns), Names{});
  EXPECT_EQ(advance(1s), Names{NameId{1}});
}

TEST_F(SilenceTest, JustBeforeTheTwoMinutesTheGraceStillCounts) {
  (void)advance(119'990ms);
  send();
  EXPECT_EQ(advance(20ms), Names{});
  EXPECT_EQ(advance(1s), Names{NameId{1}});
}

TEST_F(SilenceTest, MorePacketsDoNotBeginTheGraceAgain) {
  (void)advance(120s);
  send();
  EXPECT_EQ(advance(900ms), Names{});
  send();
  EXPECT_EQ(advance(100ms), Names{NameId{1}});
}

TEST_F(SilenceTest, AnAnswerBeginsAnew) {
  (void)advance(120s);
  send();
  (void)advance(500ms);
  hear();
  EXPECT_EQ(advance(60s), Names{});
  send();
  EXPECT_EQ(advance(60s - 1ns), Names{});
  send();
  EXPECT_EQ(advance(10s), Names{NameId{1}});
}

TEST_F(SilenceTest, ANameOneOfWhoseProxiesWasAnsweredIsNotSilent) {
  (void)advance(100s);
  hear("100.96.0.2");
  (void)advance(20s);
  send();
  send("100.96.0.3");
  EXPECT_EQ(advance(2s), Names{NameId{2}});
  // Its state is as before: when the sibling has been silent for long enough, it is reported.
  EXPECT_EQ(advance(99s), Names{NameId{1}});
}

TEST_F(SilenceTest, AReportedNameIsLeftAloneForHalfAMinute) {
  (void)advance(120s);
  send();
  EXPECT_EQ(advance(1s), Names{NameId{1}});
  for (int i = 0; i < 29; ++i) {
    send();
    EXPECT_EQ(advance(1s), Names{}) << i;
  }
  (void)advance(1s);
  send();
  EXPECT_EQ(advance(1s), Names{NameId{1}});
}

TEST_F(SilenceTest, NewTranslationsKeepTheTimersOfWhatStaysTheSame) {
  (void)advance(120s);
  send();
  auto changed = entries();
  changed[2].real = ip("192.0.2.9");
  auto next = Translations::compile(changed, true);
  watch_ = SilenceWatch{*next, now_, &watch_};
  std::swap(translations_, next);
  send("100.96.0.3");
  EXPECT_EQ(advance(1s), Names{NameId{1}});
  EXPECT_EQ(advance(10s), Names{});
}

}  // namespace
}  // namespace fg::nat
