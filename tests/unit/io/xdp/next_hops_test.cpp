#include "io/xdp/next_hops.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::io::xdp {
namespace {

class NextHopsTest : public ::testing::Test {
 protected:
  static OutgoingDatagrams to(unsigned number, const char* from = nullptr) {
    OutgoingDatagrams out;
    out.to = {
        IpAddress::v4(10, static_cast<std::uint8_t>(number >> 16),
                      static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)),
        4500};
    if (from != nullptr) out.from = test::ip(from);
    return out;
  }
  const NextHops::Way* find(const OutgoingDatagrams& datagrams) {
    hops_.refresh(52625, 52626);
    return hops_.find(datagrams);
  }
  void answer(const NextHopQuestion& question, unsigned interface = 3) {
    ASSERT_TRUE(
        hops_.answer({question.destination,
                      question.epoch,
                      {.interface = interface, .source = test::ip("192.0.2.1"), .mtu = 1500}}));
  }
  NextHops hops_;
};

TEST_F(NextHopsTest, AnUnknownDestinationIsAskedForOnceAndFoundWhenAnswered) {
  EXPECT_EQ(find(to(1)), nullptr);
  EXPECT_TRUE(hops_.has_asked());
  EXPECT_EQ(find(to(1)), nullptr);
  EXPECT_FALSE(hops_.has_asked());
  const auto question = hops_.next_question();
  ASSERT_TRUE(question);
  EXPECT_EQ(question->destination.to, to(1).to);
  EXPECT_FALSE(hops_.next_question());
  answer(*question);
  const auto* way = find(to(1));
  ASSERT_NE(way, nullptr);
  EXPECT_EQ(way->interface, 3U);
  EXPECT_EQ(way->header.payload_max(), 1472U);
  EXPECT_EQ(find(to(1, "192.0.2.9")), nullptr) << "another source is another destination";
}

TEST_F(NextHopsTest, InAnotherEpochNothingIsKnownAndAnswersOfTheFormerAreLate) {
  (void)find(to(1));
  const auto early = hops_.next_question();
  answer(*early);
  ASSERT_NE(find(to(1)), nullptr);
  hops_.begin_epoch();
  EXPECT_EQ(find(to(1)), nullptr);
  const auto again = hops_.next_question();
  ASSERT_TRUE(again);
  answer(*early);
  EXPECT_EQ(find(to(1)), nullptr) << "resolved before something changed";
  answer(*again, 4);
  ASSERT_NE(find(to(1)), nullptr);
  EXPECT_EQ(find(to(1))->interface, 4U);
}

TEST_F(NextHopsTest, MoreQuestionsThanMayWaitAreAskedLater) {
  for (unsigned i = 0; i < kNextHopQuestions + 10; ++i) (void)find(to(i));
  EXPECT_EQ(hops_.crowded(), 10U);
  while (const auto question = hops_.next_question()) answer(*question);
  for (unsigned i = 0; i < kNextHopQuestions; ++i) EXPECT_NE(find(to(i)), nullptr) << i;
  (void)find(to(kNextHopQuestions));
  EXPECT_TRUE(hops_.next_question());
}

TEST_F(NextHopsTest, AFullTableKeepsWhatItHasAndTheRestIsCounted) {
  unsigned known = 0;
  for (unsigned i = 0; i < 4 * kNextHopsMax; ++i) {
    (void)find(to(i));
    if (const auto question = hops_.next_question()) answer(*question), ++known;
  }
  EXPECT_LE(known, kNextHopsMax);
  EXPECT_GT(known, kNextHopsMax * 3 / 4);
  EXPECT_EQ(hops_.crowded(), 4 * kNextHopsMax - known);
  unsigned found = 0;
  for (unsigned i = 0; i < 4 * kNextHopsMax; ++i) found += find(to(i)) != nullptr ? 1U : 0U;
  EXPECT_EQ(found, known);
  EXPECT_FALSE(hops_.next_question());
  hops_.begin_epoch();
  (void)find(to(4 * kNextHopsMax - 1));
  EXPECT_TRUE(hops_.next_question()) << "an epoch that is over holds no place";
}

}  // namespace
}  // namespace fg::io::xdp
