#include "control/portal/session.h"

#include <gtest/gtest.h>

#include "silent_log.h"

namespace fg::portal {
namespace {

constexpr WallTime kWall{std::chrono::seconds{1'790'000'000}};
const char* const kJoinOk =
    R"({"topic":"gateway","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":0})";

class SessionTest : public testing::Test {
 protected:
  static LoginOptions options() {
    LoginOptions options;
    options.url = *ApiUrl::parse("ws://portal.test:8081");
    options.token = SecretText{"t"};
    options.id = "gw";
    return options;
  }
  // The path of the dial that is due, if one is.
  std::optional<std::string> dialled() {
    std::optional<std::string> path;
    while (auto action = session.poll_action()) {
      if (const auto* dial = std::get_if<Session::Dial>(&*action)) {
        const auto& target = dial->request.target.expose();
        path = target.substr(0, target.find('?'));
      } else {
        ++drops;
      }
    }
    return path;
  }
  void drain() {
    while (auto event = session.poll_event()) {
      if (const auto* gone = std::get_if<Session::Disconnected>(&*event)) disconnected = *gone;
      if (const auto* end = std::get_if<Session::Fatal>(&*event)) fatal = end->reason;
      if (const auto* up = std::get_if<Session::Joined>(&*event)) joined = up->generation;
    }
  }
  void refuse(int status, std::string body = "",
              std::optional<std::string> retry_after = std::nullopt) {
    session.on_refused({status, "text/plain", std::move(retry_after), std::move(body)}, now, kWall);
    drain();
  }
  void wait_for_retry() {
    ASSERT_TRUE(session.wakeup());
    now = session.wakeup()->at;
    session.on_timeout(now);
    drain();
  }
  void join() {
    session.on_upgraded(now);
    while (session.poll_text(now)) {
    }
    session.on_text(kJoinOk, now);
    drain();
  }

  test::RememberingSink sink;
  SeededRandom random{7};
  Session session{options(), kPartitionTimeDefault, random, Log{sink, "portal"}};
  Instant now{1000s};
  int drops = 0;
  std::optional<Session::Disconnected> disconnected;
  std::optional<std::string> fatal;
  std::optional<Generation> joined;
};

TEST_F(SessionTest, DialsJoinsAndReportsTheGeneration) {
  session.start(now);
  EXPECT_EQ(dialled(), "/gateway/v2/websocket");
  join();
  EXPECT_EQ(joined, Generation::c);
  EXPECT_TRUE(session.is_joined());
}

TEST_F(SessionTest, MoreThanIsReadAtOnceIsCountedAndTheConnectionMadeAgain) {
  session.start(now);
  EXPECT_TRUE(dialled());
  join();
  session.on_oversized(now);
  drain();
  EXPECT_EQ(session.counters().oversized_messages, 1U);
  ASSERT_TRUE(disconnected);
  wait_for_retry();
  EXPECT_TRUE(dialled());
}

TEST_F(SessionTest, DiscoveryOfAnOldPortalTakesNoTime) {
  session.start(now);
  EXPECT_EQ(dialled(), "/gateway/v2/websocket");
  refuse(404);
  EXPECT_EQ(dialled(), "/gateway/websocket");
  refuse(401, "Missing token");
  EXPECT_EQ(dialled(), "/gateway/websocket");
  EXPECT_FALSE(disconnected);
  join();
  EXPECT_EQ(joined, Generation::a);
}

TEST_F(SessionTest, APortalUpgradedMeanwhileIsGreetedAsWhatItIs) {
  session.start(now);
  EXPECT_TRUE(dialled());
  refuse(404);
  EXPECT_TRUE(dialled());
  refuse(401, "Missing token");
  EXPECT_TRUE(dialled());
  join();
  EXPECT_EQ(joined, Generation::a);
  session.on_lost("reset", now);
  drain();
  wait_for_retry();
  EXPECT_EQ(dialled(), "/gateway/v2/websocket");
  join();
  EXPECT_EQ(joined, Generation::c);
}

TEST_F(SessionTest, ARefusedPortalIsRetriedFifteenTimesThenThatIsFatal) {
  session.start(now);
  int attempts = 0;
  while (dialled()) {
    ++attempts;
    session.on_lost("Connection refused", now);
    drain();
    if (fatal) break;
    EXPECT_EQ(disconnected->retry_in, Duration{1s});
    wait_for_retry();
  }
  EXPECT_EQ(attempts, 16);
  EXPECT_EQ(now, Instant{1015s});
  ASSERT_TRUE(fatal);
  EXPECT_EQ(*fatal,
            "Failed to login to portal: Got disconnected from portal and hit the max-retry limit. "
            "Last connection error: Connection refused");
  EXPECT_FALSE(session.wakeup());
}

TEST_F(SessionTest, RetryAfterNeverExhaustsTheFirstBudget) {
  session.start(now);
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(dialled());
    refuse(503, "", "1");
    ASSERT_FALSE(fatal);
    EXPECT_EQ(disconnected->retry_in, Duration{1s});
    wait_for_retry();
  }
  ASSERT_TRUE(dialled());
  join();
  EXPECT_TRUE(joined);
}

TEST_F(SessionTest, DiscoveryDoesNotConsumeTheFirstBudget) {
  session.start(now);
  int rounds = 0;
  while (!fatal) {
    ++rounds;
    ASSERT_EQ(dialled(), "/gateway/v2/websocket");
    refuse(404);
    ASSERT_EQ(dialled(), "/gateway/websocket");
    refuse(404);
    if (!fatal) wait_for_retry();
  }
  EXPECT_EQ(rounds, 16);
}

TEST_F(SessionTest, A401IsFatalAtOnce) {
  session.start(now);
  (void)dialled();
  refuse(401, "Invalid token");
  EXPECT_EQ(fatal,
            "Failed to login to portal: Failed to authenticate with portal: no reason provided");
  EXPECT_FALSE(dialled());
}

TEST_F(SessionTest, AnUnansweredJoinKeepsTheBackOffGrowing) {
  session.start(now);
  (void)dialled();
  join();
  session.on_lost("gone", now);
  drain();
  Duration last{};
  for (int i = 0; i < 8; ++i) {
    wait_for_retry();
    ASSERT_TRUE(dialled());
    session.on_upgraded(now);
    (void)session.poll_text(now);
    wait_for_retry();  // the join's timer
    EXPECT_EQ(drops, i);
    EXPECT_FALSE(dialled());
    EXPECT_EQ(drops, i + 1);
    last = disconnected->retry_in;
  }
  EXPECT_GT(last, Duration{8s});
}

TEST_F(SessionTest, TheFirstRetryAfterALossWaitsHalfASecondToASecond) {
  session.start(now);
  (void)dialled();
  join();
  session.on_lost("gone", now);
  drain();
  EXPECT_GE(disconnected->retry_in, Duration{500ms});
  EXPECT_LE(disconnected->retry_in, Duration{1s});
}

TEST_F(SessionTest, APortalThatStillHoldsOurBrokenConnectionIsAskedEveryTwoSecondsForAMinute) {
  session.start(now);
  (void)dialled();
  join();
  session.on_lost("own address changed", now);
  drain();
  const auto end = now + kConflictMax;
  wait_for_retry();
  (void)dialled();
  for (int attempts = 0; now < end && attempts < 31; ++attempts) {
    refuse(409);
    EXPECT_EQ(disconnected->retry_in, kConflictRetry);
    wait_for_retry();
    (void)dialled();
  }
  EXPECT_GE(now, end);
  refuse(409);
  EXPECT_LT(disconnected->retry_in, kConflictRetry) << "the usual back-off, from its start";
}

TEST_F(SessionTest, TokenExpiredOnARunningConnectionIsFatal) {
  session.start(now);
  (void)dialled();
  join();
  session.on_text(
      R"({"topic":"gateway","event":"disconnect","payload":{"reason":"token_expired"}})", now);
  drain();
  EXPECT_EQ(fatal, "Failed to login to portal: Authentication token invalid");
  (void)dialled();
  EXPECT_EQ(drops, 1);
}

TEST_F(SessionTest, WhatASocketSaysAfterItsEndIsIgnored) {
  session.start(now);
  (void)dialled();
  join();
  session.on_lost("gone", now);
  session.on_text(kJoinOk, now);
  session.on_lost("again", now);
  session.on_upgraded(now);
  drain();
  EXPECT_EQ(disconnected->reason, "gone");
  EXPECT_FALSE(session.is_joined());
}

}  // namespace
}  // namespace fg::portal
