#include "control/ice/checklist.h"

#include <gtest/gtest.h>

namespace fg::ice {
namespace {

PairEnd end(std::uint32_t id, std::uint16_t port, std::uint32_t priority,
            CandidateKind kind = CandidateKind::host) {
  return {CandidateId{id}, {IpAddress::v4(192, 0, 2, 1), port}, priority, kind};
}

TEST(Checklist, BestPairComesFirst) {
  Checklist list{Role::controlled};
  list.add(end(1, 1, 100), end(2, 2, 10));
  list.add(end(1, 1, 100), end(3, 3, 90));
  list.add(end(1, 1, 100), end(4, 4, 50));
  ASSERT_EQ(list.pairs().size(), 3U);
  EXPECT_EQ(list.pairs()[0].remote.id, CandidateId{3});
  EXPECT_EQ(list.pairs()[2].remote.id, CandidateId{2});
}

TEST(Checklist, RoleDecidesWhoseCandidateIsG) {
  Checklist list{Role::controlled};
  EXPECT_EQ(list.add(end(1, 1, 100), end(2, 2, 10))->priority, pair_priority(10, 100));
  list.set_role(Role::controlling);
  EXPECT_EQ(list.pairs()[0].priority, pair_priority(100, 10));
}

TEST(Checklist, TwoCandidatesWithTheSameAddressesShareAPairRepresentedByTheBetter) {
  Checklist list{Role::controlled};
  const auto id = list.add(end(1, 1, 100), end(2, 2, 10, CandidateKind::srflx))->id;
  list.nominate(*list.find(id), Instant{1s});
  list.add(end(1, 1, 100), end(3, 2, 90, CandidateKind::host));
  list.add(end(1, 1, 100), end(4, 2, 50, CandidateKind::relay));
  ASSERT_EQ(list.pairs().size(), 1U);
  EXPECT_EQ(list.pairs()[0].id, id);
  EXPECT_EQ(list.pairs()[0].remote.id, CandidateId{3});
  EXPECT_EQ(list.pairs()[0].priority, pair_priority(90, 100));
  EXPECT_NE(list.pairs()[0].nominated, 0U) << "the nomination is inherited";
}

TEST(Checklist, HundredPairsFitAndOneMoreDropsTheLowest) {
  Checklist list{Role::controlled};
  for (std::uint16_t i = 1; i <= 100; ++i)
    EXPECT_NE(list.add(end(1, 1, 9999), end(i, i, 1000U + i)), nullptr);
  EXPECT_EQ(list.pairs().size(), 100U);
  EXPECT_EQ(list.overflows(), 0U);
  EXPECT_NE(list.add(end(1, 1, 9999), end(101, 101, 5000)), nullptr);
  EXPECT_EQ(list.pairs().size(), 100U);
  EXPECT_EQ(list.overflows(), 1U);
  EXPECT_EQ(list.find(end(1, 1, 0).address, end(1, 1, 0).address), nullptr)
      << "priority 1001 was the lowest";
  EXPECT_EQ(list.add(end(1, 1, 9999), end(102, 102, 1)), nullptr) << "worse than all others";
}

TEST(Checklist, NominatedPairIsNotTheOneToDrop) {
  Checklist list{Role::controlled};
  list.nominate(*list.add(end(1, 1, 9999), end(1, 1, 1)), Instant{1s});
  for (std::uint16_t i = 2; i <= 101; ++i) (void)list.add(end(1, 1, 9999), end(i, i, 1000U + i));
  EXPECT_EQ(list.pairs().size(), 100U);
  ASSERT_NE(list.best_nominated(), nullptr);
  EXPECT_EQ(list.best_nominated()->remote.id, CandidateId{1});
}

class Nomination : public testing::Test {
 protected:
  Nomination() {
    high_ = list_.add(end(1, 1, 100), end(2, 2, 90))->id;
    low_ = list_.add(end(1, 1, 100), end(3, 3, 10))->id;
    list_.nominate(*list_.find(low_), Instant{1s});
    list_.nominate(*list_.find(high_), Instant{1s});
  }
  PairId best() { return list_.best_nominated()->id; }
  void request(PairId id) { list_.on_use_candidate(*list_.find(id)); }

  Checklist list_{Role::controlled};
  PairId high_{};
  PairId low_{};
};

TEST_F(Nomination, HigherPriorityWins) { EXPECT_EQ(best(), high_); }

TEST_F(Nomination, PairIsStaleAfterSixRequestsElsewhere) {
  request(high_);
  for (int i = 0; i < 5; ++i) request(low_);
  EXPECT_EQ(best(), high_);
  request(low_);
  EXPECT_EQ(best(), low_);
  EXPECT_TRUE(list_.is_stale(*list_.find(high_)));
}

TEST_F(Nomination, RequestOnAStalePairRevivesIt) {
  for (int i = 0; i < 6; ++i) request(low_);
  EXPECT_EQ(best(), low_);
  request(high_);
  EXPECT_EQ(best(), high_);
}

TEST_F(Nomination, BothStayFreshWhileBothAreRequested) {
  for (int i = 0; i < 100; ++i) {
    request(low_);
    request(high_);
  }
  EXPECT_EQ(best(), high_);
}

TEST_F(Nomination, SixRequestsSpreadOverSeveralPairsDoNotCount) {
  const auto third = list_.add(end(1, 1, 100), end(4, 4, 5))->id;
  list_.nominate(*list_.find(third), Instant{1s});
  for (int i = 0; i < 5; ++i) {
    request(low_);
    request(third);
  }
  EXPECT_EQ(best(), high_);
}

TEST_F(Nomination, RemovedPairTakesItsCountsAlong) {
  for (int i = 0; i < 6; ++i) request(low_);
  list_.remove_if([&](const Pair& p) { return p.id == low_; });
  EXPECT_FALSE(list_.is_stale(*list_.find(high_)));
  EXPECT_EQ(best(), high_);
}

class Departure : public testing::Test {
 protected:
  Departure() {
    high_ = list_.add(end(1, 1, 100), end(2, 2, 90))->id;
    low_ = list_.add(end(1, 1, 100), end(3, 3, 10))->id;
    heard(high_, 100s);
  }
  void heard(PairId id, Duration at) {
    auto& pair = *list_.find(id);
    pair.last_request = Instant{at};
    if (pair.nominated == 0) list_.nominate(pair, Instant{at});
    list_.on_use_candidate(pair);
  }
  PairId best() { return list_.best_nominated()->id; }

  Checklist list_{Role::controlled};
  PairId high_{};
  PairId low_{};
};

TEST_F(Departure, FirstNominationElsewhereAfterFourSilentSecondsIsFollowedAtOnce) {
  heard(low_, 104s);
  EXPECT_EQ(best(), low_);
}

TEST_F(Departure, NominationDuringAShorterSilenceCountsOnceTheSilenceIsFourSecondsOld) {
  heard(low_, 101s);
  heard(low_, 103999ms);
  EXPECT_EQ(best(), high_) << "its next request may be on the way";
  heard(low_, 104s);
  EXPECT_EQ(best(), low_);
}

TEST_F(Departure, PairIsTakenBackWhenItIsHeardAgain) {
  heard(low_, 104s);
  heard(high_, 105s);
  EXPECT_EQ(best(), high_);
  heard(low_, 110s);
  EXPECT_EQ(best(), high_) << "no new nomination: an idle peer asks every 25 s";
}

TEST_F(Departure, PlainRequestOnAPairNeverNominatedIsNoDeparture) {
  list_.find(low_)->last_request = Instant{200s};
  EXPECT_EQ(best(), high_);
}

TEST(Checklist, LatestNominationWinsAmongEqualPriorities) {
  Checklist list{Role::controlled};
  const auto first = list.add(end(1, 1, 100), end(2, 2, 50))->id;
  const auto second = list.add(end(1, 1, 100), end(3, 3, 50))->id;
  list.nominate(*list.find(second), Instant{1s});
  list.nominate(*list.find(first), Instant{1s});
  EXPECT_EQ(list.best_nominated()->id, first);
}

TEST(Checklist, PairIsFoundByTheTransactionOfItsCheck) {
  Checklist list{Role::controlled};
  const stun::TransactionId id{1, 2, 3};
  list.add(end(1, 1, 100), end(2, 2, 50))->checks.on_sent(id, kServerDefault, Instant{1s});
  ASSERT_NE(list.find(id), nullptr);
  EXPECT_EQ(list.find(id)->remote.id, CandidateId{2});
  EXPECT_EQ(list.find(stun::TransactionId{}), nullptr);
}

TEST(Checklist, RemoteThatLearnsItsKindMovesItsPairs) {
  Checklist list{Role::controlled};
  list.add(end(1, 1, 100), end(2, 2, 10, CandidateKind::prflx));
  list.add(end(1, 1, 100), end(3, 3, 50));
  list.update_remote(end(2, 2, 90, CandidateKind::host));
  EXPECT_EQ(list.pairs()[0].remote.id, CandidateId{2});
  EXPECT_EQ(list.pairs()[0].remote.kind, CandidateKind::host);
}

}  // namespace
}  // namespace fg::ice
