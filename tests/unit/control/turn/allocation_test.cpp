#include "control/turn/allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/turn/harness.h"

namespace fg::turn {
namespace {

using stun::Method;
using testing::ElementsAre;

// ---- start, spec connectivity 3.2 and 9.3 rows 1 to 3 ----

TEST(TurnAllocation, StartsWithBindingToBothSockets) {
  Client c;
  ASSERT_EQ(c.sent.size(), 2U);
  for (const auto& server : {kServerV4, kServerV6}) {
    const auto request = c.binding_to(server);
    EXPECT_EQ(attributes_of(request), (Attributes{0x8022}));
    EXPECT_EQ(request.message().software(), "snownet");
  }
}

TEST(TurnAllocation, NoAnswerAtAllIsSentFourTimesAndFreed) {
  Client c;
  c.run_until(60s);
  EXPECT_THAT(times(c.sent, kServerV4), ElementsAre(0s, 1s, 2500ms, 4750ms));
  EXPECT_THAT(times(c.sent, kServerV6), ElementsAre(0s, 1s, 2500ms, 4750ms));
  EXPECT_EQ(c.freed(), FreedReason::no_response);
  EXPECT_FALSE(c.allocation.wakeup());
}

TEST(TurnAllocation, IsGivenUpAtEightAndAnEighthSecondsNotBefore) {
  Client c;
  c.run_until(8124ms);
  EXPECT_FALSE(c.freed());
  c.run_until(8125ms);
  EXPECT_TRUE(c.freed());
}

TEST(TurnAllocation, BindingKeepsItsTransactionOverRetransmissions) {
  Client c{v4_relay()};
  c.run_until(5s);
  ASSERT_EQ(c.sent.size(), 4U);
  for (const auto& s : c.sent) EXPECT_EQ(s.bytes, c.sent[0].bytes);
}

TEST(TurnAllocation, FirstAnswerFixesTheActiveSocketAndTheOtherFamilyMayStaySilent) {
  Client c;
  c.succeed(c.binding_to(kServerV6), mapped(addr("[2001:db8::10]:52625")), Sign::none);
  EXPECT_EQ(c.allocation.active_server(), kServerV6);
  EXPECT_EQ(c.last(Method::allocate).to, kServerV6);
  c.succeed(c.last(Method::allocate), granted(600));
  c.run_until(20s);
  EXPECT_FALSE(c.freed());
  EXPECT_EQ(c.allocation.active_server(), kServerV6);
  EXPECT_EQ(c.allocation.relayed(Family::v4), kRelayedV4);
}

TEST(TurnAllocation, LaterAnswerOfTheOtherFamilyAddsCandidatesOnly) {
  Client c;
  c.succeed(c.binding_to(kServerV6), mapped(addr("[2001:db8::10]:52625")), Sign::none);
  c.run_until(1s);
  c.events.clear();
  c.bind_v4();
  EXPECT_EQ(c.allocation.active_server(), kServerV6);
  const auto learnt = c.events_of<CandidateLearnt>();
  ASSERT_EQ(learnt.size(), 2U);
  EXPECT_EQ(learnt[0].candidate, (Candidate{Candidate::Kind::host, kLocalV4, kLocalV4}));
  EXPECT_EQ(learnt[1].candidate, (Candidate{Candidate::Kind::server_reflexive, kMapped, kLocalV4}));
}

TEST(TurnAllocation, LateTimeoutCatchesUpOnce) {
  Client c{v4_relay()};
  c.now = kStart + 3s;  // sends at 1 and 2.5 s were missed
  c.timeout();
  EXPECT_EQ(c.sent.size(), 2U);
  EXPECT_EQ(c.allocation.wakeup()->at, kStart + 4750ms);
}

TEST(TurnAllocation, EarlyTimeoutDoesNothing) {
  Client c{v4_relay()};
  c.now = kStart + 999ms;
  c.timeout();
  EXPECT_EQ(c.sent.size(), 1U);
}

TEST(TurnAllocation, RelayWithoutAnySocketIsFreedAtOnce) {
  Client c{{.id = relay_id(1), .v4 = {}, .v6 = {}, .username = "u", .password = SecretText{"p"}}};
  EXPECT_EQ(c.freed(), FreedReason::no_response);
}

// ---- requests, spec connectivity 3.3 ----

TEST(TurnAllocation, FirstAllocateCarriesUserRealmAndIntegrityButNoNonce) {
  Client c;
  c.bind_v4();
  const auto request = c.last(Method::allocate);
  EXPECT_EQ(attributes_of(request), (Attributes{0x0019, 0x8000, 0x8022, 0x0006, 0x0014, 0x0008}));
  EXPECT_EQ(request.message().username(), "2145916800:salt");
  EXPECT_EQ(request.message().realm(), "firezone");
  EXPECT_TRUE(request.message().verify_integrity(
      stun::long_term_key("2145916800:salt", "firezone", SecretText{"pw"}).expose()));
}

TEST(TurnAllocation, RefreshCarriesNeitherTransportNorFamily) {
  Client c;
  c.allocate();
  c.stay_until(301s);
  EXPECT_EQ(attributes_of(c.last(Method::refresh)),
            (Attributes{0x8022, 0x0006, 0x0014, 0x0015, 0x0008}));
}

TEST(TurnAllocation, ChannelBindNamesPeerThenNumber) {
  Client c;
  c.allocate();
  c.ask(addr("192.0.2.1:52625"));
  const auto request = c.last(Method::channel_bind);
  EXPECT_EQ(attributes_of(request),
            (Attributes{0x0012, 0x000C, 0x8022, 0x0006, 0x0014, 0x0015, 0x0008}));
  EXPECT_EQ(request.message().channel_number(), 0x4000);
}

TEST(TurnAllocation, AuthenticatedRetransmissionsHaveNewTransactionsAndTheSameBudget) {
  Client c{v4_relay()};
  c.bind_v4();
  c.run_until(60s);
  const auto sent = c.all(Method::allocate);
  EXPECT_THAT(times(sent, kServerV4), ElementsAre(0s, 1s, 2500ms, 4750ms));
  for (std::size_t i = 1; i < sent.size(); ++i) EXPECT_NE(sent[i].bytes, sent[i - 1].bytes);
  EXPECT_EQ(c.freed(), FreedReason::no_response);
}

TEST(TurnAllocation, ResponseToAnAbandonedTransactionIsIgnored) {
  Client c;
  c.bind_v4();
  const auto first = c.last(Method::allocate);
  c.run_until(1s);
  c.succeed(first, granted(600));
  EXPECT_FALSE(c.allocation.relayed(Family::v4));
  EXPECT_EQ(c.dropped[DropReason::unknown_stun], 1U);
  c.succeed(c.last(Method::allocate), granted(600));
  EXPECT_TRUE(c.allocation.relayed(Family::v4));
}

TEST(TurnAllocation, CredentialsLongerThanAnyMessageAreGivenUpInTime) {
  Client c{{.id = relay_id(1),
            .v4 = kServerV4,
            .v6 = {},
            .username = std::string(2000, 'u'),
            .password = SecretText{"p"}}};
  c.bind_v4();
  EXPECT_EQ(c.count(Method::allocate), 0U);
  c.run_until(9s);
  EXPECT_EQ(c.freed(), FreedReason::no_response);
}

// ---- life cycle, spec connectivity 3.6, 3.7 and 9.3 rows 13, 20, 23 ----

TEST(TurnAllocation, IsRefreshedAtHalfItsLifetime) {
  Client c;
  c.allocate(600);
  c.stay_until(299s);
  EXPECT_EQ(c.count(Method::refresh), 0U);
  c.stay_until(300s);
  ASSERT_EQ(c.count(Method::refresh), 1U);
  c.stay_until(301s);
  c.succeed(c.last(Method::refresh), lifetime(100));
  c.stay_until(351s);
  EXPECT_EQ(c.count(Method::refresh), 3U);  // 300, retransmitted at 301 before the answer, and 351
}

TEST(TurnAllocation, RefreshAnsweredWithLifetimeZeroAllocatesAgain) {
  Client c;
  c.allocate();
  c.stay_until(300s);
  c.succeed(c.last(Method::refresh), lifetime(0));
  EXPECT_FALSE(c.allocation.relayed(Family::v4));
  EXPECT_EQ(c.count(Method::allocate), 3U);
}

TEST(TurnAllocation, UnansweredRefreshFreesTheRelay) {
  Client c{v4_relay()};
  c.allocate(600);
  c.stay_until(308125ms - 1ns);
  EXPECT_FALSE(c.freed());
  c.stay_until(308125ms);
  EXPECT_EQ(c.freed(), FreedReason::no_response);
  EXPECT_FALSE(c.allocation.active_server());
}

TEST(TurnAllocation, LifetimeExpiryWithRefreshUnansweredInvalidatesOnce) {
  Client c;
  c.allocate(10);
  c.run_until(60s);
  EXPECT_EQ(c.events_of<CandidateInvalidated>().size(), 2U);
  EXPECT_EQ(c.events_of<Suspended>().size(), 1U);
  EXPECT_FALSE(c.freed());
  EXPECT_TRUE(c.allocation.is_suspended());
  EXPECT_FALSE(c.allocation.wakeup());
}

TEST(TurnAllocation, KeepaliveAfterTwentyFiveSilentSeconds) {
  Client c{v4_relay()};
  c.allocate();
  c.run_until(24999ms);
  EXPECT_EQ(c.count(Method::binding), 1U);
  c.run_until(25s);
  ASSERT_EQ(c.count(Method::binding), 2U);
  EXPECT_EQ(c.last(Method::binding).to, kServerV4);
  c.succeed(c.last(Method::binding), mapped(kMapped), Sign::none);
  c.run_until(49s);
  EXPECT_EQ(c.count(Method::binding), 2U);
  c.run_until(50s);
  EXPECT_EQ(c.count(Method::binding), 3U);
}

TEST(TurnAllocation, OnlyWhatIsReceivedHoldsOffTheKeepalive) {
  Client c{v4_relay()};
  c.allocate();
  for (int i = 1; i <= 10; ++i) {
    c.run_until(i * 20s);
    c.ask({addr("192.0.2.1:1").ip, static_cast<std::uint16_t>(i)});
    c.succeed(c.last(Method::channel_bind));
  }
  EXPECT_EQ(c.count(Method::binding), 1U);
  c.run_until(225s);
  EXPECT_EQ(c.count(Method::binding), 2U);
}

// ---- data that ceases, spec connectivity 3.7 ----

TEST(TurnAllocation, DataThatCeasesIsFollowedByQuestionsEverLater) {
  Client c{v4_relay()};
  c.allocate();
  const auto number = c.bind(addr("192.0.2.1:1"));
  for (int i = 1; i <= 100; ++i) {
    c.run_until(i * 250ms);
    c.data(number);
  }
  EXPECT_EQ(c.count(Method::binding), 1U);
  c.stay_until(25500ms - 1ns);
  EXPECT_EQ(c.count(Method::binding), 1U);
  c.stay_until(10min);
  std::vector<Duration> gaps;
  const auto asked = times(c.all(Method::binding), kServerV4);
  for (std::size_t i = 1; i < 10; ++i) gaps.push_back(asked.at(i) - asked.at(i - 1));
  EXPECT_THAT(gaps, ElementsAre(25500ms, 1s, 2s, 4s, 8s, 16s, 25s, 25s, 25s));
}

TEST(TurnAllocation, HoweverDataComesARelayIsAskedTwiceASecondAtMost) {
  for (const auto gap : {Duration{501ms}, Duration{700ms}, Duration{2s}, Duration{24s}}) {
    Client c{v4_relay()};
    c.allocate(3600);
    const auto number = c.bind(addr("192.0.2.1:1"));
    const auto before = c.sent.size();
    while (c.now < kStart + 10min) {
      c.data(number);
      c.stay_until(c.now - kStart + gap);
    }
    EXPECT_LE(c.sent.size() - before, 1200U);
  }
}

TEST(TurnAllocation, SilenceIsCountedFromTheQuestionUntilAnythingIsHeard) {
  Client c{v4_relay()};
  c.allocate();
  const auto number = c.bind(addr("192.0.2.1:1"));
  c.data(number);
  EXPECT_FALSE(c.allocation.silent_since());
  c.run_until(500ms);
  EXPECT_EQ(c.allocation.silent_since(), kStart + 500ms);
  c.run_until(600ms);
  c.data(number);
  EXPECT_FALSE(c.allocation.silent_since());
  c.succeed(c.last(Method::binding), mapped(kMapped), Sign::none);
  c.run_until(1600ms);
  EXPECT_EQ(c.allocation.silent_since(), kStart + 1600ms) << "twice as long after an answer";
  c.succeed(c.last(Method::binding), mapped(kMapped), Sign::none);
  EXPECT_FALSE(c.allocation.silent_since());
}

TEST(TurnAllocation, TheOtherFamilyUnansweredDoesNotHoldOffTheQuestion) {
  Client c;
  c.allocate();  // the IPv6 socket has not answered
  c.data(c.bind(addr("192.0.2.1:1")));
  c.run_until(500ms);
  EXPECT_TRUE(c.allocation.silent_since());
}

TEST(TurnAllocation, NobodyIsAskedWhenThatIsOff) {
  Client c{v4_relay(), {.ask_when_silent = false}};
  c.allocate(600);
  c.data(c.bind(addr("192.0.2.1:1")));
  c.run_until(299s);
  EXPECT_EQ(c.count(Method::binding), 1U);
}

TEST(TurnAllocation, GivingUpWaitingFreesAtOnce) {
  Client c{v4_relay()};
  c.allocation.confirm(c.now);  // no allocation: nothing to ask
  c.drain();
  EXPECT_EQ(c.sent.size(), 1U);
  c.allocate();
  c.allocation.confirm(c.now);
  c.allocation.confirm(c.now);
  c.drain();
  EXPECT_EQ(c.count(Method::binding), 2U);
  c.run_for(100ms);
  c.allocation.confirm_again(c.now);
  c.drain();
  EXPECT_EQ(c.allocation.silent_since(), kStart + 100ms);
  c.allocation.give_up_waiting(c.now);
  c.drain();
  EXPECT_EQ(c.freed(), FreedReason::no_response);
  c.allocation.give_up_waiting(c.now);
  c.drain();
  EXPECT_EQ(c.events_of<Freed>().size(), 1U);
}

TEST(TurnAllocation, ARelayThatSeesUsElsewhereEachTimeTeachesOneAddressInTenSeconds) {
  Client c{v4_relay()};
  c.allocate(3600);
  const auto number = c.bind(addr("192.0.2.1:1"));
  c.events.clear();
  for (std::uint16_t port = 1; port <= 100; ++port) {
    c.data(number);
    c.run_for(500ms);
    c.succeed(c.last(Method::binding), mapped({kMapped.ip, port}), Sign::none);
    if (c.count(Method::refresh) > 0) c.succeed(c.last(Method::refresh), lifetime(3600));
  }
  EXPECT_LE(c.events_of<CandidateLearnt>().size(), 6U);
}

TEST(TurnAllocation, UnansweredKeepaliveFreesTheRelay) {
  Client c{v4_relay()};
  c.allocate();
  c.run_until(33124ms);
  EXPECT_FALSE(c.freed());
  c.run_until(33125ms);
  EXPECT_EQ(c.freed(), FreedReason::no_response);
}

TEST(TurnAllocation, NewMappedAddressIsLearntAndTheAllocationChecked) {
  Client c{v4_relay()};
  c.allocate();
  c.run_until(25s);
  c.events.clear();
  c.succeed(c.last(Method::binding), mapped(addr("203.0.113.1:40001")), Sign::none);
  EXPECT_EQ(c.events_of<CandidateLearnt>().size(), 1U);
  ASSERT_EQ(c.count(Method::refresh), 1U);
  c.refuse(c.last(Method::refresh), error(437));
  EXPECT_EQ(c.events_of<CandidateInvalidated>().size(), 2U);
}

TEST(TurnAllocation, AnotherOwnAddressReplacesWhatWasLearntFromTheOneBefore) {
  Client c{v4_relay()};
  c.allocate();
  c.events.clear();
  c.sent.clear();
  c.allocation.probe(c.now);
  c.allocation.probe(c.now);
  c.drain();
  ASSERT_EQ(c.count(Method::binding), 1U);
  const auto next = addr("198.51.100.12:52625");
  const auto answer = respond(c.sent[0], stun::Class::success, Sign::none, mapped(next));
  c.allocation.on_message(kServerV4, next, *stun::Message::parse(answer), c.now);
  c.drain();
  ASSERT_EQ(c.events_of<CandidateLearnt>().size(), 2U);
  const auto gone = c.events_of<CandidateInvalidated>();
  ASSERT_EQ(gone.size(), 2U) << "host and mapped address of the old one";
  EXPECT_EQ(gone[0].candidate.address, kLocalV4);
  EXPECT_EQ(gone[1].candidate.address, kMapped);
  EXPECT_EQ(c.count(Method::refresh), 1U) << "the allocation belongs to the old one";
}

TEST(TurnAllocation, UnansweredProbesMeanNothing) {
  Client c{v4_relay()};
  c.allocate();
  c.allocation.probe(c.now);
  c.drain();
  c.run_until(20s);
  EXPECT_FALSE(c.freed());
  EXPECT_EQ(c.count(Method::binding), 1U + 4U);
}

TEST(TurnAllocation, SameCandidatesAreNotRepeated) {
  Client c{v4_relay()};
  c.allocate();
  EXPECT_EQ(c.events_of<CandidateLearnt>().size(), 4U);
  EXPECT_EQ(c.allocation.candidates().size(), 4U);
  c.run_until(25s);
  c.succeed(c.last(Method::binding), mapped(kMapped), Sign::none);
  EXPECT_EQ(c.events_of<CandidateLearnt>().size(), 4U);
}

TEST(TurnAllocation, ResponseAfterGiveUpIsIgnored) {
  Client c{v4_relay()};
  c.run_until(9s);
  ASSERT_TRUE(c.freed());
  c.events.clear();
  c.sent.push_back(c.sent[0]);
  c.bind_v4();
  EXPECT_TRUE(c.events.empty());
  EXPECT_FALSE(c.allocation.active_server());
}

TEST(TurnAllocation, FreedIsTheLastEventAndComesWithoutActiveServer) {
  Client c{v4_relay()};
  c.allocate();
  c.bind(addr("192.0.2.1:1"));
  c.run_until(60s);
  ASSERT_TRUE(c.freed());
  EXPECT_TRUE(std::holds_alternative<Freed>(c.events.back()));
  const auto servers = c.events_of<ActiveServerChanged>();
  ASSERT_EQ(servers.size(), 2U);
  EXPECT_EQ(servers[0].server, kServerV4);
  EXPECT_EQ(servers[1].server, std::nullopt);
  c.ask(addr("192.0.2.1:2"));
  c.allocation.refresh(c.now);
  c.drain();
  EXPECT_TRUE(std::holds_alternative<Freed>(c.events.back()));
}

TEST(TurnAllocation, AbandonInvalidatesWithoutAWordToTheRelay) {
  Client c{v4_relay()};
  c.allocate();
  c.bind(addr("192.0.2.1:1"));
  c.events.clear();
  const auto before = c.sent.size();
  c.allocation.abandon(c.now);
  c.drain();
  EXPECT_EQ(c.sent.size(), before);
  EXPECT_EQ(c.events_of<CandidateInvalidated>().size(), 2U);
  EXPECT_FALSE(c.freed());
  EXPECT_FALSE(c.allocation.wakeup());
}

// ---- proactive refresh, spec connectivity 3.10 and 9.3 row 12 ----

TEST(TurnAllocation, ProactiveRefreshHasASingleAttemptOfOneSecond) {
  Client c;
  c.allocate();
  c.stay_until(10s);
  c.allocation.refresh(c.now);
  c.drain();
  EXPECT_EQ(c.count(Method::refresh), 1U);
  c.stay_until(10999ms);
  EXPECT_FALSE(c.freed());
  c.stay_until(11s);
  EXPECT_EQ(c.count(Method::refresh), 1U);
  EXPECT_EQ(c.freed(), FreedReason::no_response);
}

TEST(TurnAllocation, AnsweredProactiveRefreshRestartsTheLifetime) {
  Client c;
  c.allocate(600);
  c.stay_until(200s - 1ns);
  c.allocation.refresh(c.now);
  c.drain();
  c.succeed(c.last(Method::refresh), lifetime(600));
  c.stay_until(499s);
  EXPECT_EQ(c.count(Method::refresh), 1U);
  c.stay_until(500s);
  EXPECT_EQ(c.count(Method::refresh), 2U);
}

TEST(TurnAllocation, ProactiveRefreshWaitsForAnAllocateInFlight) {
  Client c;
  c.allocation.refresh(c.now);  // still probing
  c.drain();
  EXPECT_EQ(c.sent.size(), 2U);
  c.bind_v4();
  c.allocation.refresh(c.now);
  c.drain();
  EXPECT_EQ(c.count(Method::refresh), 0U);
}

// ---- round-trip time, spec connectivity 3.4 ----

TEST(TurnAllocation, RoundTripTimeIsSmoothedFromTheFirstSendOfEachRequest) {
  Client c{v4_relay()};
  EXPECT_FALSE(c.allocation.rtt());
  c.run_until(80ms);
  c.bind_v4();
  EXPECT_EQ(c.allocation.rtt(), 80ms);
  c.run_until(240ms);
  c.succeed(c.last(Method::allocate), granted(600));
  EXPECT_EQ(c.allocation.rtt(), 90ms);  // 80 * 7/8 + 160 / 8
  c.ask(addr("192.0.2.1:1"));
  c.run_until(240ms + 1090ms);  // answered after one retransmission
  c.succeed(c.last(Method::channel_bind));
  EXPECT_EQ(c.allocation.rtt(), 215ms);  // 90 * 7/8 + 1090 / 8
}

}  // namespace
}  // namespace fg::turn
