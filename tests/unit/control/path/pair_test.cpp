#include "control/path/pair.h"

#include <gtest/gtest.h>

#include <vector>

namespace fg::path {
namespace {

constexpr Instant kStart{1000h};
constexpr End kHost{ice::CandidateKind::host, false};
constexpr End kMapped{ice::CandidateKind::srflx, false};
constexpr End kRelayed{ice::CandidateKind::relay, false};
constexpr End kCrossed{ice::CandidateKind::relay, true};

// Spec connectivity 5.6: every pair of neighbours in the order of preference.
TEST(Bucket, OrdersPairsAsTheSpecDoes) {
  const std::vector<Bucket> best_first{
      bucket_of(kHost, kHost, Family::v6),       bucket_of(kHost, kHost, Family::v4),
      bucket_of(kHost, kMapped, Family::v6),     bucket_of(kMapped, kHost, Family::v4),
      bucket_of(kMapped, kMapped, Family::v6),   bucket_of(kRelayed, kHost, Family::v6),
      bucket_of(kRelayed, kHost, Family::v4),    bucket_of(kCrossed, kHost, Family::v6),
      bucket_of(kCrossed, kHost, Family::v4),    bucket_of(kHost, kRelayed, Family::v6),
      bucket_of(kHost, kRelayed, Family::v4),    bucket_of(kRelayed, kMapped, Family::v4),
      bucket_of(kMapped, kRelayed, Family::v6),  bucket_of(kRelayed, kRelayed, Family::v6),
      bucket_of(kRelayed, kRelayed, Family::v4), bucket_of(kCrossed, kRelayed, Family::v4)};
  for (std::size_t i = 1; i < best_first.size(); ++i)
    EXPECT_LT(best_first[i - 1], best_first[i]) << i;
}

TEST(Bucket, DoesNotAskWhichEndIsTheWorseWithoutARelay) {
  EXPECT_EQ(bucket_of(kHost, kMapped, Family::v4), bucket_of(kMapped, kHost, Family::v4));
}

class PairTest : public testing::Test {
 protected:
  Pair pair{PairId{7}, {}, kHost, kHost};

  // When probes went out, from the start on.
  std::vector<Duration> probe_for(Duration how_long, Pair::Standing standing) {
    std::vector<Duration> out;
    for (auto now = kStart; now < kStart + how_long;) {
      const auto due = pair.due(standing);
      if (!due || *due >= kStart + how_long) break;
      now = std::max(now, *due);
      (void)pair.probe(now);
      out.push_back(now - kStart);
    }
    return out;
  }
};

TEST_F(PairTest, SendsTwelveProbesAndIsSilentWhileAnotherIsPrimary) {
  EXPECT_EQ(probe_for(10min, {.is_primary = false, .has_primary = true}),
            (std::vector<Duration>{0s, 200ms, 500ms, 1s, 2s, 3s, 4s, 5s, 6s, 7s, 8s, 9s}));
}

TEST_F(PairTest, GoesOnEverySecondWhileThereIsNoPrimary) {
  EXPECT_EQ(probe_for(60s, {.is_primary = false, .has_primary = false}).size(), 3U + 59);
}

TEST_F(PairTest, OfThePrimaryGoesOnEveryTwentyFiveSeconds) {
  const auto sent = probe_for(61s, {.is_primary = true, .has_primary = true});
  ASSERT_EQ(sent.size(), 14U);
  EXPECT_EQ(sent[12], 9s + 25s);
  EXPECT_EQ(sent[13], 9s + 50s);
}

TEST_F(PairTest, TakesTheFirstRoundTripAsItIsAndHalvesTowardsLaterOnes) {
  EXPECT_TRUE(pair.on_reply(pair.probe(kStart), kStart + 80ms));
  EXPECT_EQ(pair.rtt(), 80ms);
  EXPECT_TRUE(pair.on_reply(pair.probe(kStart), kStart + 40ms));
  EXPECT_EQ(pair.rtt(), 60ms);
}

TEST_F(PairTest, CountsItsProbesFromZero) {
  for (std::uint16_t n = 0; n < 5; ++n) EXPECT_EQ(pair.probe(kStart), n);
}

TEST_F(PairTest, IgnoresAnswersToNothing) {
  const auto sequence = pair.probe(kStart);
  EXPECT_FALSE(pair.on_reply(static_cast<std::uint16_t>(sequence + 1), kStart));
  EXPECT_TRUE(pair.on_reply(sequence, kStart));
  EXPECT_FALSE(pair.on_reply(sequence, kStart));
}

TEST_F(PairTest, ForgetsTheOldestOfThirteenProbes) {
  for (int i = 0; i < 13; ++i) (void)pair.probe(kStart);
  EXPECT_FALSE(pair.on_reply(0, kStart));
  EXPECT_TRUE(pair.on_reply(1, kStart));
  EXPECT_TRUE(pair.on_reply(12, kStart));
}

TEST_F(PairTest, RestartedForgetsWhatWasMeasuredButNotItsNumbers) {
  (void)pair.on_reply(pair.probe(kStart), kStart + 1ms);
  const auto unanswered = pair.probe(kStart);
  pair.restart();
  EXPECT_FALSE(pair.rtt());
  EXPECT_FALSE(pair.on_reply(unanswered, kStart));
  EXPECT_EQ(pair.probe(kStart), unanswered + 1);
}

TEST_F(PairTest, UnderVerificationIsAskedEveryHalfSecondUntilItAnswers) {
  (void)probe_for(20s, {.is_primary = true, .has_primary = true});
  const Pair::Standing primary{.is_primary = true, .has_primary = true};
  const auto now = kStart + 20s;
  pair.verify(now);
  EXPECT_EQ(pair.verify_until(), now + 2s);
  EXPECT_EQ(pair.due(primary), now);
  (void)pair.probe(now);
  EXPECT_EQ(pair.due(primary), now + 500ms);
  const auto sequence = pair.probe(now + 500ms);
  EXPECT_EQ(pair.due(primary), now + 1s);
  EXPECT_TRUE(pair.on_reply(sequence, now + 600ms));
  EXPECT_FALSE(pair.is_verifying());
  EXPECT_EQ(pair.due(primary), now + 500ms + 25s);
}

}  // namespace
}  // namespace fg::path
