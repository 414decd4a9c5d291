#include "control/ice/agent.h"

#include "support.h"

namespace fg::ice::testing {
namespace {

class AgentStates : public AgentTest {
 protected:
  AgentStates() {
    agent_.add_local(LocalAddress::host(host_), now_);
    agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  }
  void nominate(const SocketAddress& local, const SocketAddress& remote) {
    EXPECT_EQ(receive(Request{.use_candidate = true}.bytes(), local, remote), std::nullopt);
    drain();
  }
  // Requests with USE-CANDIDATE on one pair, as a live client sends them.
  void use(const SocketAddress& local, const SocketAddress& remote, int times) {
    for (int i = 0; i < times; ++i) nominate(local, remote);
  }
};

TEST_F(AgentStates, FirstTimeoutStartsChecking) {
  EXPECT_EQ(agent_.state(), AgentState::initial);
  ASSERT_TRUE(agent_.wakeup());
  EXPECT_EQ(agent_.wakeup()->at, now_);
  run_for(0s);
  EXPECT_EQ(agent_.state(), AgentState::checking);
  EXPECT_TRUE(agent_.is_possible());
}

TEST_F(AgentStates, EarlyTimeoutDoesNothing) {
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(0s);
  const auto before = agent_.wakeup();
  ASSERT_TRUE(before);
  EXPECT_GT(before->at, now_);
  agent_.on_timeout(before->at - 1ms);
  EXPECT_TRUE(drain().empty());
  EXPECT_TRUE(events().empty());
  EXPECT_EQ(agent_.wakeup()->at, before->at);
}

TEST_F(AgentStates, LateTimeoutCatchesUpOnce) {
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(0s);
  now_ += 5s;
  for (int i = 0; i < 10; ++i) agent_.on_timeout(now_);
  EXPECT_EQ(drain().size(), 2U) << "one check for each of the two pairs";
}

TEST_F(AgentStates, OneCheckATimeoutAndWakeupAtOnceWhileMoreAreDue) {
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  agent_.on_timeout(now_);
  EXPECT_EQ(drain().size(), 1U);
  events();
  EXPECT_EQ(agent_.wakeup()->at, now_);
  agent_.on_timeout(now_);
  EXPECT_EQ(drain().size(), 1U);
  EXPECT_GT(agent_.wakeup()->at, now_);
}

TEST_F(AgentStates, QueuedOutputMeansNow) {
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  agent_.on_timeout(now_);
  EXPECT_EQ(agent_.wakeup()->at, now_);
  EXPECT_STREQ(agent_.wakeup()->why, "ICE output queued");
}

TEST_F(AgentStates, NominatedWithOthersPossibleIsConnectedWithoutIsCompleted) {
  run_for(0s);
  nominate(host_, peer_);
  EXPECT_EQ(agent_.state(), AgentState::completed);
  agent_.add_remote(relay_line("203.0.113.9:4000"), now_);
  EXPECT_EQ(agent_.state(), AgentState::connected);
  EXPECT_TRUE(agent_.is_connected());
  agent_.invalidate_remote(relay_line("203.0.113.9:4000"), now_);
  EXPECT_EQ(agent_.state(), AgentState::completed);
  EXPECT_TRUE(agent_.is_connected());
}

// Spec connectivity 9.2, case 10.
TEST_F(AgentStates, LosingTheNominatedPairSwitchesToTheOtherNominatedOne) {
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(0s);
  nominate(relayed_, peer_);
  nominate(host_, peer_);
  EXPECT_EQ(agent_.nominated()->local, host_);
  agent_.add_remote(relay_line("203.0.113.9:4000"), now_);
  nominate(host_, at("203.0.113.9:4000"));
  EXPECT_EQ(agent_.nominated()->remote, peer_);
  agent_.invalidate_remote(host_line("192.0.2.20:52625"), now_);
  ASSERT_TRUE(agent_.nominated());
  EXPECT_EQ(agent_.nominated()->remote, at("203.0.113.9:4000"));
  EXPECT_TRUE(agent_.is_connected());
}

TEST_F(AgentStates, LosingTheNominatedPairTurnsToOneThatAnswered) {
  answering_ = true;
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  agent_.add_remote(relay_line("203.0.113.9:4000"), now_);
  run_for(0s);
  EXPECT_FALSE(agent_.nominated()) << "the peer nominates";
  nominate(host_, peer_);
  agent_.invalidate_remote(host_line("192.0.2.20:52625"), now_);
  ASSERT_TRUE(agent_.nominated());
  EXPECT_EQ(agent_.nominated()->remote, at("203.0.113.9:4000"));
  EXPECT_EQ(agent_.state(), AgentState::checking) << "until the peer nominates another";
  nominate(relayed_, at("203.0.113.9:4000"));
  EXPECT_EQ(agent_.nominated()->local, relayed_);
  EXPECT_TRUE(agent_.is_connected());
}

TEST_F(AgentStates, LosingEverythingDisconnectsAndFailsAfterTwoSeconds) {
  agent_.add_remote(relay_line("192.0.2.20:52625"), now_);
  run_for(0s);
  nominate(host_, peer_);
  agent_.invalidate_remote(relay_line("192.0.2.20:52625"), now_);
  EXPECT_EQ(agent_.state(), AgentState::disconnected);
  EXPECT_FALSE(agent_.nominated());
  EXPECT_FALSE(agent_.is_possible());
  run_for(1999ms);
  EXPECT_FALSE(agent_.has_failed());
  run_for(1ms);
  EXPECT_TRUE(agent_.has_failed());
  run_for(1h);
  ASSERT_EQ(seen<Failed>().size(), 1U);
  EXPECT_EQ(seen<Failed>()[0].reason, Failed::Reason::disconnected);
  EXPECT_FALSE(agent_.wakeup());
}

TEST_F(AgentStates, LosingTheRelayWithoutAlternativeDisconnects) {
  Agent agent{gateway_options(), random_, now_};
  agent.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  agent.add_remote(host_line("192.0.2.20:52625"), now_);
  agent.on_timeout(now_);
  agent.remove_local(relayed_, now_);
  EXPECT_EQ(agent.state(), AgentState::disconnected);
}

// Spec connectivity 9.2, case 11: the reference forgets to stop the timer in the third case.
TEST_F(AgentStates, GraceEndsInCheckingConnectedOrCompleted) {
  const auto candidate = relay_line("192.0.2.20:52625");
  agent_.add_remote(candidate, now_);
  run_for(0s);
  const auto lose = [&] {
    agent_.invalidate_remote(candidate, now_);
    EXPECT_EQ(agent_.state(), AgentState::disconnected);
    run_for(1900ms);
  };

  lose();
  agent_.add_remote(candidate, now_);
  EXPECT_EQ(agent_.state(), AgentState::checking);
  run_for(10s);
  EXPECT_FALSE(agent_.has_failed());

  lose();
  agent_.add_remote(candidate, now_);
  nominate(host_, peer_);
  EXPECT_EQ(agent_.state(), AgentState::connected);
  run_for(10s);
  EXPECT_FALSE(agent_.has_failed());

  lose();
  nominate(host_, at("192.0.2.77:1"));
  EXPECT_EQ(agent_.state(), AgentState::completed);
  run_for(10s);
  EXPECT_FALSE(agent_.has_failed());
  EXPECT_TRUE(seen<Failed>().empty());
}

// Spec connectivity 9.2, case 12.
TEST_F(AgentStates, NoRemoteCandidateForTenSecondsFails) {
  run_for(9999ms);
  EXPECT_FALSE(agent_.has_failed());
  run_for(1ms);
  EXPECT_TRUE(agent_.has_failed());
  ASSERT_EQ(seen<Failed>().size(), 1U);
  EXPECT_EQ(seen<Failed>()[0].reason, Failed::Reason::no_remote_candidate);
  EXPECT_EQ(receive(Request{}.bytes(), host_, peer_), DropReason::unknown_stun);
  EXPECT_FALSE(agent_.add_remote(host_line("192.0.2.20:52625"), now_).is_accepted());
  EXPECT_FALSE(agent_.wakeup());
}

TEST_F(AgentStates, RemoteCandidateAfterNinePointNineSecondsSurvives) {
  run_for(9900ms);
  EXPECT_EQ(agent_.add_remote(line("host", "192.0.2.20:1", 5, " ufrag xxxx"), now_).outcome,
            RemoteAddition::Outcome::foreign_ufrag);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(60s);
  EXPECT_FALSE(agent_.has_failed());
}

TEST_F(AgentStates, AgentWithoutLocalCandidatesStaysPossible) {
  Agent agent{gateway_options(), random_, now_};
  agent.add_remote(host_line("192.0.2.20:52625"), now_);
  agent.on_timeout(now_);
  EXPECT_EQ(agent.state(), AgentState::checking);
  EXPECT_TRUE(agent.is_possible());
}

TEST_F(AgentTest, AnsweredPairIsCheckedOnTheServerSchedule) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  answering_ = true;
  run_for(65s);
  std::vector<Duration> gaps;
  for (std::size_t i = 1; i < sent_at_.size(); ++i) gaps.push_back(sent_at_[i] - sent_at_[i - 1]);
  EXPECT_EQ(gaps, (std::vector<Duration>{250ms, 500ms, 1s, 2s, 4s, 8s, 15s, 15s, 15s}));
}

TEST_F(AgentStates, UnansweredPairIsPrunedAfterTheLastPause) {
  agent_.set_profile(kClientDefault, now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  // Twelve checks: 0.25 + 0.5 + 1 + 8 * 1.5 = 13.75 s, and one more pause.
  run_for(15249ms);
  EXPECT_EQ(agent_.pair_count(), 2U);
  EXPECT_EQ(sent_at_.size(), 24U);
  run_for(1ms);
  EXPECT_EQ(agent_.pair_count(), 0U);
  EXPECT_EQ(agent_.state(), AgentState::disconnected);
}

TEST_F(AgentStates, RequestsOfTheLastFifteenSecondsKeepAPair) {
  agent_.set_profile(kClientDefault, now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(10s);
  receive(Request{}.bytes(), host_, peer_);
  run_for(14s);
  EXPECT_TRUE(agent_.has_pair(host_, peer_));
  EXPECT_FALSE(agent_.has_pair(relayed_, peer_));
  run_for(3s);
  EXPECT_FALSE(agent_.has_pair(host_, peer_));
}

TEST_F(AgentStates, PrunedPrflxLeavesNothingBehind) {
  agent_.set_profile(kClientDefault, now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  receive(Request{}.bytes(), host_, at("198.51.100.9:1000"));
  EXPECT_EQ(agent_.remote_candidates().size(), 2U);
  run_for(20s);
  EXPECT_EQ(agent_.remote_candidates().size(), 1U);
}

// Spec connectivity 9.2, case 13.
TEST_F(AgentStates, ClientThatStaysOnTheLowerPairIsFollowed) {
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(0s);
  nominate(relayed_, peer_);
  nominate(host_, peer_);
  EXPECT_EQ(agent_.nominated()->local, host_);
  use(relayed_, peer_, 5);
  EXPECT_EQ(agent_.nominated()->local, host_);
  use(relayed_, peer_, 1);
  EXPECT_EQ(agent_.nominated()->local, relayed_);
  use(host_, peer_, 1);
  EXPECT_EQ(agent_.nominated()->local, host_);
  run_for(0s);
  EXPECT_EQ(seen<Nominated>().size(), 4U);
}

TEST_F(AgentStates, NewMappingOfTheSamePriorityIsFollowedAtOnce) {
  run_for(0s);
  nominate(host_, at("198.51.100.9:1000"));
  nominate(host_, at("198.51.100.9:2000"));
  EXPECT_EQ(agent_.nominated()->remote, at("198.51.100.9:2000"));
}

TEST_F(AgentStates, SameWayToThePeerIsReportedOnce) {
  run_for(0s);
  use(host_, peer_, 10);
  run_for(100s);
  EXPECT_EQ(seen<Nominated>().size(), 1U);
}

// Spec connectivity 9.2, cases 15 and 16.
TEST_F(AgentStates, IdleProfileSlowsChecksAndWakingIsPrompt) {
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  answering_ = true;
  run_for(90s);
  agent_.set_profile(kServerIdle, now_);
  sent_at_.clear();
  run_for(100s);
  EXPECT_EQ(sent_at_.size(), 8U) << "two pairs, each every 25 s";
  nominate(host_, peer_);
  EXPECT_TRUE(agent_.nominated()) << "nomination does not wait for the profile";
  run_for(24s);
  sent_at_.clear();
  agent_.set_profile(kServerDefault, now_);
  EXPECT_EQ(agent_.wakeup()->at, now_) << "the last check is more than 15 s old";
  run_for(0s);
  EXPECT_GE(sent_at_.size(), 1U);
}

TEST_F(AgentStates, WhileIdleAPairIsCheckedOnlyWhenThePeerIsLate) {
  answering_ = true;
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(90s);
  agent_.remove_local(relayed_, now_);
  nominate(host_, peer_);
  agent_.set_profile(kServerIdle, now_);
  for (int i = 0; i < 10; ++i) {
    run_for(25s);
    nominate(host_, peer_);
  }
  sent_at_.clear();
  const auto last = now_;
  run_for(27s - 1ms);
  EXPECT_TRUE(sent_at_.empty());
  run_for(51s);
  EXPECT_EQ(sent_at_, (std::vector{last + 27s, last + 52s, last + 77s}));
}

// What is left to a worker: the agent hears of it late, and acts as if it had heard in time.
TEST_F(AgentStates, ARepeatedCheckCountsLikeTheCheck) {
  answering_ = true;
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(90s);
  agent_.remove_local(relayed_, now_);
  Request request;
  request.use_candidate = true;
  const auto bytes = request.bytes();
  const auto check = stun::Message::parse(bytes).value();
  ASSERT_EQ(receive(bytes, host_, peer_), std::nullopt);
  EXPECT_TRUE(agent_.repeatable(check, host_, peer_));
  agent_.set_profile(kServerIdle, now_);
  const auto repeatable = agent_.repeatable(check, host_, peer_);
  ASSERT_TRUE(repeatable);
  EXPECT_TRUE(repeatable->nominates);
  EXPECT_FALSE(agent_.repeatable(check, host_, at("192.0.2.21:52625"))) << "no such pair";

  auto asked = now_;
  for (int i = 0; i < 10; ++i) {
    asked += 25s;
    run_for(asked + 1s - now_);
    EXPECT_TRUE(agent_.on_repeated(*repeatable, asked));
    EXPECT_EQ(agent_.last_heard(), asked);
  }
  sent_at_.clear();
  run_for(asked + 27s - 1ms - now_);
  EXPECT_TRUE(sent_at_.empty());
  run_for(1ms);
  EXPECT_EQ(sent_at_, (std::vector{asked + 27s}));

  agent_.invalidate_remote(host_line("192.0.2.20:52625"), now_);
  EXPECT_FALSE(agent_.on_repeated(*repeatable, now_)) << "the pair is gone";
}

TEST_F(AgentStates, TheAnswerThatStandsIsTheOneThatWasSent) {
  Request request;
  request.transaction = {};
  (void)drain();
  ASSERT_EQ(receive(request.bytes(), host_, peer_), std::nullopt);
  const auto sent = drain();
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(agent_.standing_answer(peer_), sent[0].bytes);
}

TEST_F(AgentStates, WhileIdleAPairThatNeverWorkedIsLeftAlone) {
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(90s);
  nominate(host_, peer_);
  agent_.set_profile(kServerIdle, now_);
  sent_at_.clear();
  EXPECT_TRUE(agent_.has_pair(relayed_, peer_));
  for (const auto& check : run_for(100s)) EXPECT_EQ(check.local, host_);
  EXPECT_FALSE(sent_at_.empty());
  agent_.set_profile(kServerDefault, now_);
  bool is_tried = false;
  for (const auto& check : run_for(16s)) is_tried = is_tried || check.local == relayed_;
  EXPECT_TRUE(is_tried) << "awake it may still come to work";
}

TEST_F(AgentStates, WhileIdleACandidateThatIsNewIsTried) {
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(90s);
  nominate(host_, peer_);
  agent_.set_profile(kServerIdle, now_);
  agent_.add_remote(relay_line("203.0.113.9:4000"), now_);
  sent_at_.clear();
  bool is_tried = false;
  for (const auto& check : run_for(1s))
    is_tried = is_tried || check.remote == at("203.0.113.9:4000");
  EXPECT_TRUE(is_tried);
}

TEST_F(AgentStates, SameProfileAgainChangesNothing) {
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(0s);
  const auto before = agent_.wakeup()->at;
  agent_.set_profile(kServerDefault, now_ + 1ms);
  EXPECT_EQ(agent_.wakeup()->at, before);
}

TEST_F(AgentStates, UndrainedEventsAreBoundedAndTheNewestStay) {
  const auto candidate = relay_line("192.0.2.20:52625");
  agent_.on_timeout(now_);
  for (std::size_t i = 0; i < kEventsMax; ++i) {
    agent_.add_remote(candidate, now_);
    agent_.invalidate_remote(candidate, now_);
  }
  const auto all = events();
  EXPECT_EQ(all.size(), kEventsMax);
  ASSERT_TRUE(std::holds_alternative<StateChanged>(all.back()));
  EXPECT_EQ(std::get<StateChanged>(all.back()).to, AgentState::disconnected);
}

TEST(AgentState, HasAName) {
  EXPECT_EQ(name_of(AgentState::initial), "initial");
  EXPECT_EQ(name_of(AgentState::disconnected), "disconnected");
}

}  // namespace
}  // namespace fg::ice::testing
