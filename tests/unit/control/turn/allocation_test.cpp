#include "control/turn/allocation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/turn/harness.h"

namespace fg::turn {
namespace {

using stun::Method;
using testing::ElementsAre;
using Attributes = std::vector<std::uint16_t>;

std::vector<Duration> times(const std::vector<Sent>& sent, const SocketAddress& to) {
  std::vector<Duration> out;
  for (const auto& s : sent) {
    if (s.to == to) out.push_back(s.at);
  }
  return out;
}

Attributes attributes_of(const Sent& sent) {
  Attributes out;
  const auto m = sent.message();
  for (auto a = m.first(); a; a = m.next(*a)) out.push_back(a->type);
  return out;
}

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
  EXPECT_EQ(c.allocation.stats().responses_ignored, 1U);
  c.succeed(c.last(Method::allocate), granted(600));
  EXPECT_TRUE(c.allocation.relayed(Family::v4));
}

// ---- authentication, spec connectivity 3.4 and 9.3 rows 4 to 7 ----

TEST(TurnAllocation, ChallengeIsAnsweredOnceWithItsNonce) {
  Client c;
  c.bind_v4();
  c.refuse(c.last(Method::allocate), challenge(401, "nonce-1"));
  ASSERT_EQ(c.count(Method::allocate), 2U);
  EXPECT_EQ(c.last(Method::allocate).message().nonce(), "nonce-1");
  c.refuse(c.last(Method::allocate), challenge(401, "nonce-2"));
  EXPECT_EQ(c.count(Method::allocate), 2U);
  EXPECT_EQ(c.freed(), FreedReason::authentication);
}

TEST(TurnAllocation, StaleNonceIsReplacedOnRefreshAndChannelBind) {
  Client c;
  c.allocate();
  c.ask(addr("192.0.2.1:1"));
  c.refuse(c.last(Method::channel_bind), challenge(438, "nonce-2"));
  const auto bind = c.all(Method::channel_bind);
  ASSERT_EQ(bind.size(), 2U);
  EXPECT_EQ(bind[1].message().nonce(), "nonce-2");
  EXPECT_EQ(bind[1].message().channel_number(), bind[0].message().channel_number());
  EXPECT_NE(bind[1].message().transaction(), bind[0].message().transaction());
  c.succeed(bind[1]);
  EXPECT_TRUE(c.allocation.peer_of(ChannelNumber{0x4000}, c.now));

  c.stay_until(300s);
  c.refuse(c.last(Method::refresh), challenge(438, "nonce-3"));
  ASSERT_EQ(c.count(Method::refresh), 2U);
  EXPECT_EQ(c.last(Method::refresh).message().nonce(), "nonce-3");
}

TEST(TurnAllocation, ForeignRealmIsNotRetriedAndSuspends) {
  Client c;
  c.bind_v4();
  c.refuse(c.last(Method::allocate), challenge(401, "nonce-1", "example.org"));
  c.run_until(60s);
  EXPECT_EQ(c.count(Method::allocate), 1U);
  EXPECT_TRUE(c.allocation.is_suspended());
  EXPECT_FALSE(c.freed());
}

TEST(TurnAllocation, NonceOfAForeignRealmIsUsedAfterARestart) {
  Client c{v4_relay()};
  c.bind_v4();
  c.refuse(c.last(Method::allocate), challenge(401, "nonce-1", "example.org"));
  c.allocation.refresh(c.now);
  c.drain();
  c.succeed(c.last(Method::binding), mapped(kMapped), Sign::none);
  EXPECT_EQ(c.last(Method::allocate).message().nonce(), "nonce-1");
}

TEST(TurnAllocation, ChallengeWithoutNonceIsNotRepeated) {
  for (const int code : {401, 438}) {
    Client c{v4_relay()};
    c.bind_v4();
    c.refuse(c.last(Method::allocate), challenge(code, ""));
    EXPECT_EQ(c.count(Method::allocate), 1U);
    EXPECT_TRUE(c.allocation.is_suspended());
  }
}

TEST(TurnAllocation, EndlessStaleNonceIsGivenUp) {
  Client c{v4_relay()};
  c.bind_v4();
  for (int i = 0; i < 20; ++i) {
    const auto before = c.count(Method::allocate);
    c.refuse(c.last(Method::allocate), challenge(438, "nonce-" + std::to_string(i)));
    if (c.count(Method::allocate) == before) break;
  }
  EXPECT_EQ(c.count(Method::allocate), 5U);
  EXPECT_TRUE(c.allocation.is_suspended());
}

TEST(TurnAllocation, WrongIntegrityNeverCounts) {
  for (const Fill& fill :
       {challenge(401, "n"), challenge(438, "n"), error(437), error(420), error(486)}) {
    Client c;
    c.bind_v4();
    c.events.clear();
    const auto request = c.last(Method::allocate);
    c.refuse(request, fill, Sign::wrong);
    EXPECT_TRUE(c.events.empty());
    EXPECT_EQ(c.count(Method::allocate), 1U);
    EXPECT_EQ(c.allocation.stats().integrity_failures, 1U);
    c.succeed(request, granted(600), Sign::wrong);
    EXPECT_FALSE(c.allocation.relayed(Family::v4));
    c.succeed(request, granted(600));  // still pending
    EXPECT_TRUE(c.allocation.relayed(Family::v4));
  }
}

TEST(TurnAllocation, MissingIntegrityCountsOnlyUntilTheRelayHasSigned) {
  Client c;
  c.allocate();  // signed
  c.stay_until(300s);
  const auto request = c.last(Method::refresh);
  for (const Fill& fill : {challenge(401, "n"), challenge(438, "n"), error(437), error(420)})
    c.refuse(request, fill, Sign::none);
  c.succeed(request, lifetime(0), Sign::none);
  EXPECT_EQ(c.allocation.stats().integrity_failures, 5U);
  EXPECT_EQ(c.count(Method::refresh), 1U);
  EXPECT_FALSE(c.freed());
  c.succeed(request, lifetime(600));
  EXPECT_TRUE(c.allocation.relayed(Family::v4));
}

TEST(TurnAllocation, RelayThatNeverSignsWorksLikeGenerationA) {
  Client c;
  c.allocate(600, Sign::none);
  EXPECT_EQ(c.allocation.relayed(Family::v4), kRelayedV4);
  c.ask(addr("192.0.2.1:1"));
  c.succeed(c.last(Method::channel_bind), {}, Sign::none);
  EXPECT_TRUE(c.allocation.peer_of(ChannelNumber{0x4000}, c.now));
  c.stay_until(300s);
  c.refuse(c.last(Method::refresh), challenge(438, "nonce-2"), Sign::none);
  c.succeed(c.last(Method::refresh), lifetime(600), Sign::none);
  c.stay_until(500s);
  EXPECT_TRUE(c.allocation.relayed(Family::v4));
}

TEST(TurnAllocation, RequiredIntegrityRefusesEveryUnsignedResponse) {
  Client c{dual_relay(), {.integrity = Options::Integrity::required}};
  c.bind_v4();
  const auto request = c.last(Method::allocate);
  c.refuse(request, challenge(401, "n"), Sign::none);
  c.succeed(request, granted(600), Sign::none);
  EXPECT_EQ(c.count(Method::allocate), 1U);
  EXPECT_FALSE(c.allocation.relayed(Family::v4));
  EXPECT_EQ(c.allocation.stats().integrity_failures, 2U);
}

TEST(TurnAllocation, ResponseFromTheOtherSocketIsIgnored) {
  Client c;
  c.bind_v4();
  const auto request = c.last(Method::allocate);
  c.receive(kServerV6, respond(request, stun::Class::success, Sign::right, granted(600)));
  EXPECT_FALSE(c.allocation.relayed(Family::v4));
  EXPECT_EQ(c.allocation.stats().responses_ignored, 1U);
}

TEST(TurnAllocation, RequestsIndicationsAndOtherMethodsAreIgnored) {
  Client c;
  const auto request = c.binding_to(kServerV4);
  for (const auto type_class : {stun::Class::request, stun::Class::indication}) {
    c.reply(request, type_class, mapped(kMapped), Sign::none);
  }
  std::array<std::uint8_t, 100> buffer{};
  stun::Builder b{buffer, Method::allocate, stun::Class::success, request.message().transaction()};
  c.receive(kServerV4, *b.finish());
  EXPECT_EQ(c.allocation.stats().responses_ignored, 3U);
  EXPECT_FALSE(c.allocation.active_server());
}

// ---- coturn, spec connectivity 7.5 ----

TEST(TurnAllocation, LeniencySendsABareFirstAllocateAndTakesUnsignedChallenges) {
  Client c{dual_relay(),
           {.integrity = Options::Integrity::required,
            .first_allocate_without_auth = true,
            .accept_unsigned_challenges = true}};
  c.bind_v4();
  EXPECT_EQ(attributes_of(c.last(Method::allocate)), (Attributes{0x0019, 0x8000, 0x8022}));
  c.refuse(c.last(Method::allocate), challenge(401, "nonce-1"), Sign::none);
  EXPECT_EQ(attributes_of(c.last(Method::allocate)),
            (Attributes{0x0019, 0x8000, 0x8022, 0x0006, 0x0014, 0x0015, 0x0008}));
  c.succeed(c.last(Method::allocate), granted(600));
  c.stay_until(300s);
  c.refuse(c.last(Method::refresh), challenge(438, "nonce-2"), Sign::none);
  EXPECT_EQ(c.last(Method::refresh).message().nonce(), "nonce-2");
  const auto refresh = c.last(Method::refresh);
  c.refuse(refresh, error(420), Sign::none);  // not one of the three
  EXPECT_FALSE(c.freed());
  c.refuse(refresh, error(437), Sign::none);
  EXPECT_FALSE(c.allocation.relayed(Family::v4));
}

// ---- errors, spec connectivity 3.4 and 9.3 rows 8 to 10 ----

TEST(TurnAllocation, MismatchOnAllocateDeletesAndAllocatesAgain) {
  Client c;
  c.bind_v4();
  c.refuse(c.last(Method::allocate), error(437));
  const auto remove = c.last(Method::refresh);
  EXPECT_EQ(remove.message().lifetime(), 0U);
  c.succeed(remove, lifetime(0));
  EXPECT_EQ(c.count(Method::allocate), 2U);
  c.succeed(c.last(Method::allocate), granted(600));
  EXPECT_TRUE(c.allocation.relayed(Family::v4));
}

TEST(TurnAllocation, MismatchOnRefreshInvalidatesAndAllocates) {
  Client c;
  c.allocate();
  const auto number = c.bind(addr("192.0.2.1:1"));
  c.stay_until(300s);
  c.events.clear();
  c.refuse(c.last(Method::refresh), error(437));
  EXPECT_EQ(c.events_of<CandidateInvalidated>().size(), 2U);
  const auto changed = c.events_of<ChannelChanged>();
  ASSERT_EQ(changed.size(), 1U);
  EXPECT_EQ(changed[0].number, number);
  EXPECT_EQ(changed[0].state, ChannelChanged::State::removed);
  EXPECT_EQ(c.count(Method::allocate), 3U);
  c.succeed(c.last(Method::allocate), granted(600, {addr("198.51.100.30:50001")}));
  EXPECT_EQ(c.allocation.relayed(Family::v4), addr("198.51.100.30:50001"));
}

TEST(TurnAllocation, MismatchOnChannelBindAllocatesAndBindsAgainWithANewNumber) {
  Client c;
  c.allocate();
  c.bind(addr("192.0.2.1:1"));
  c.ask(addr("192.0.2.1:2"));
  c.ask(addr("192.0.2.1:3"));
  c.refuse(c.all(Method::channel_bind)[1], error(437));
  EXPECT_FALSE(c.allocation.relayed(Family::v4));
  EXPECT_EQ(c.count(Method::channel_bind), 3U);
  c.succeed(c.last(Method::allocate), granted(600));
  const auto binds = c.all(Method::channel_bind);
  ASSERT_EQ(binds.size(), 5U);  // the refused one and the one that was in flight
  EXPECT_EQ(binds[3].message().xor_peer_address(), addr("192.0.2.1:2"));
  EXPECT_EQ(binds[3].message().channel_number(), 0x4003);
  EXPECT_EQ(binds[4].message().xor_peer_address(), addr("192.0.2.1:3"));
}

TEST(TurnAllocation, EndlessMismatchIsGivenUp) {
  Client c{v4_relay()};
  c.bind_v4();
  for (int i = 0; i < 100 && !c.allocation.is_suspended(); ++i) c.refuse(c.sent.back(), error(437));
  EXPECT_TRUE(c.allocation.is_suspended());
  EXPECT_LE(c.sent.size(), 12U);
}

TEST(TurnAllocation, UnknownAttributeErrorFreesAtOnce) {
  Client c;
  c.allocate();
  c.stay_until(300s);
  c.refuse(c.last(Method::refresh), error(420));
  EXPECT_EQ(c.freed(), FreedReason::protocol_failure);
  EXPECT_EQ(c.events_of<CandidateInvalidated>().size(), 2U);
}

TEST(TurnAllocation, OtherErrorsOnAllocateSuspendUntilRefreshed) {
  for (const int code : {300, 400, 403, 440, 441, 442, 443, 486, 500, 508}) {
    Client c{v4_relay()};
    c.ask(addr("192.0.2.1:1"));  // buffered
    c.bind_v4();
    c.refuse(c.last(Method::allocate), error(code));
    EXPECT_TRUE(c.allocation.is_suspended()) << code;
    EXPECT_FALSE(c.allocation.wakeup());
    c.ask(addr("192.0.2.1:2"));  // ignored
    const auto before = c.sent.size();
    c.allocation.refresh(c.now);
    c.drain();
    EXPECT_FALSE(c.allocation.active_server());
    ASSERT_EQ(c.sent.size(), before + 1);
    c.succeed(c.last(Method::binding), mapped(kMapped), Sign::none);
    c.succeed(c.last(Method::allocate), granted(600));
    EXPECT_TRUE(c.allocation.relayed(Family::v4));
    EXPECT_EQ(c.count(Method::channel_bind), 0U);
  }
}

TEST(TurnAllocation, OtherErrorOnRefreshKeepsTheAllocationAndAsksAgainLater) {
  Client c;
  c.allocate();
  c.stay_until(300s);
  c.refuse(c.last(Method::refresh), error(500));
  EXPECT_TRUE(c.allocation.relayed(Family::v4));
  c.stay_until(329s);
  EXPECT_EQ(c.count(Method::refresh), 1U);
  c.stay_until(330s);
  EXPECT_EQ(c.count(Method::refresh), 2U);
}

// 9.3 row 14
TEST(TurnAllocation, TakesEitherFamilyOrBoth) {
  for (const auto& relayed :
       {std::vector{kRelayedV4}, std::vector{kRelayedV6}, std::vector{kRelayedV4, kRelayedV6}}) {
    Client c;
    c.bind_v4();
    c.events.clear();
    c.succeed(c.last(Method::allocate), granted(600, relayed));
    EXPECT_EQ(c.events_of<CandidateLearnt>().size(), relayed.size());
    for (const auto& address : relayed) EXPECT_TRUE(c.allocation.owns(address));
    EXPECT_EQ(c.events_of<CandidateLearnt>()[0].candidate,
              (Candidate{Candidate::Kind::relayed, relayed[0], kLocalV4}));
  }
}

TEST(TurnAllocation, GrantWithoutAddressOrLifetimeIsNotTakenOver) {
  for (const Fill& fill : {granted(600, {}), granted(0),
                           Fill{[](stun::Builder& b) { b.xor_relayed_address(kRelayedV4); }}}) {
    Client c;
    c.bind_v4();
    c.succeed(c.last(Method::allocate), fill);
    c.run_until(60s);
    EXPECT_EQ(c.count(Method::allocate), 1U);
    EXPECT_TRUE(c.allocation.is_suspended());
  }
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
  c.data(ChannelNumber{0x4000});
  c.now = kStart + 299s;
  c.data(ChannelNumber{0x4000});  // holds off the keepalive
  c.run_until(308125ms - 1ns);
  EXPECT_FALSE(c.freed());
  c.run_until(308125ms);
  EXPECT_EQ(c.freed(), FreedReason::no_response);
  EXPECT_FALSE(c.allocation.active_server());
}

TEST(TurnAllocation, LifetimeExpiryWithRefreshUnansweredInvalidatesOnce) {
  Client c;
  c.allocate(10);
  c.run_until(60s);
  EXPECT_EQ(c.events_of<CandidateInvalidated>().size(), 2U);
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
  const auto number = c.bind(addr("192.0.2.1:1"));
  for (int i = 1; i <= 10; ++i) {
    c.run_until(i * 20s);
    c.data(number);
  }
  EXPECT_EQ(c.count(Method::binding), 1U);
  c.run_until(225s);
  EXPECT_EQ(c.count(Method::binding), 2U);
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
  c.data(ChannelNumber{0x4000});
  EXPECT_EQ(c.count(Method::refresh), 1U);
  c.now = kStart + 490s;
  c.data(ChannelNumber{0x4000});
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

// ---- channels, spec connectivity 3.8 and 9.3 rows 15 to 19, 21 ----

TEST(TurnAllocation, DataMaySendOnAPendingChannelButIsReceivedOnlyOnceConfirmed) {
  Client c;
  c.allocate();
  const auto peer = addr("192.0.2.1:1");
  EXPECT_FALSE(c.allocation.channel_for(peer, c.now));
  c.ask(peer);
  EXPECT_EQ(c.allocation.channel_for(peer, c.now), ChannelNumber{0x4000});
  EXPECT_FALSE(c.allocation.peer_of(ChannelNumber{0x4000}, c.now));
  c.succeed(c.last(Method::channel_bind));
  EXPECT_EQ(c.allocation.peer_of(ChannelNumber{0x4000}, c.now), peer);
  const auto changed = c.events_of<ChannelChanged>();
  ASSERT_EQ(changed.size(), 2U);
  EXPECT_EQ(changed[0].state, ChannelChanged::State::pending);
  EXPECT_EQ(changed[1].state, ChannelChanged::State::confirmed);
  EXPECT_EQ(changed[1].peer, peer);
}

TEST(TurnAllocation, BindIsSentOncePerPeer) {
  Client c;
  c.allocate();
  for (int i = 0; i < 3; ++i) c.ask(addr("192.0.2.1:1"));
  EXPECT_EQ(c.count(Method::channel_bind), 1U);
  c.succeed(c.last(Method::channel_bind));
  c.ask(addr("192.0.2.1:1"));
  EXPECT_EQ(c.count(Method::channel_bind), 1U);
}

TEST(TurnAllocation, BindOfAFamilyTheRelayDidNotGrantIsIgnored) {
  Client c;
  c.bind_v4();
  c.succeed(c.last(Method::allocate), granted(600, {kRelayedV4}));
  c.ask(addr("[2001:db8::1]:1"));
  EXPECT_EQ(c.count(Method::channel_bind), 0U);
}

TEST(TurnAllocation, RefusedChannelIsForgottenAndTheNextOneHasAnotherNumber) {
  Client c;
  c.allocate();
  for (const int code : {400, 403, 443, 508}) {
    c.ask(addr("192.0.2.1:1"));
    const auto request = c.last(Method::channel_bind);
    c.refuse(request, error(code));
    EXPECT_FALSE(c.allocation.channel_for(addr("192.0.2.1:1"), c.now));
    EXPECT_EQ(c.events_of<ChannelChanged>().back().state, ChannelChanged::State::removed);
  }
  const auto binds = c.all(Method::channel_bind);
  for (std::size_t i = 0; i < binds.size(); ++i)
    EXPECT_EQ(binds[i].message().channel_number(), 0x4000 + i);
}

TEST(TurnAllocation, BindsBeforeTheAllocationAreBufferedAndTheOldestOverHundredDropped) {
  Client c;
  for (std::uint16_t port = 1; port <= 100; ++port) c.ask({addr("192.0.2.1:1").ip, port});
  c.ask(addr("192.0.2.1:100"));  // known
  EXPECT_EQ(c.allocation.stats().binds_dropped, 0U);
  c.ask(addr("192.0.2.1:101"));
  EXPECT_EQ(c.allocation.stats().binds_dropped, 1U);
  EXPECT_EQ(c.count(Method::channel_bind), 0U);
  c.allocate();
  const auto binds = c.all(Method::channel_bind);
  ASSERT_EQ(binds.size(), 100U);
  EXPECT_EQ(binds.front().message().xor_peer_address(), addr("192.0.2.1:2"));
  EXPECT_EQ(binds.back().message().xor_peer_address(), addr("192.0.2.1:101"));
}

TEST(TurnAllocation, ChannelWithDataIsRenewedAfterFiveMinutesAndOneWithoutExpiresAfterTen) {
  Client c{v4_relay()};
  c.allocate(3600);
  const auto used = c.bind(addr("192.0.2.1:1"));
  const auto unused = c.bind(addr("192.0.2.1:2"));
  const auto hold_off_keepalive = [&](Duration until) {
    while (c.now < kStart + until) {
      c.run_until(std::min<Duration>(c.now - kStart + 20s, until));
      c.data(used);
    }
  };
  hold_off_keepalive(299s);
  EXPECT_EQ(c.count(Method::channel_bind), 2U);
  c.run_until(300s);
  ASSERT_EQ(c.count(Method::channel_bind), 3U);
  EXPECT_EQ(c.last(Method::channel_bind).message().channel_number(), number(used));
  EXPECT_EQ(c.last(Method::channel_bind).message().xor_peer_address(), addr("192.0.2.1:1"));
  c.events.clear();
  c.succeed(c.last(Method::channel_bind));
  EXPECT_TRUE(c.events.empty());  // nothing changed for anybody
  hold_off_keepalive(599s);
  EXPECT_TRUE(c.allocation.peer_of(unused, c.now));
  c.run_until(600s);
  EXPECT_FALSE(c.allocation.peer_of(unused, c.now));
  EXPECT_TRUE(c.allocation.peer_of(used, c.now));
  const auto changed = c.events_of<ChannelChanged>();
  ASSERT_EQ(changed.size(), 1U);
  EXPECT_EQ(changed[0].number, unused);
  EXPECT_EQ(changed[0].state, ChannelChanged::State::removed);
}

TEST(TurnAllocation, RefusedRenewalRemovesTheChannel) {
  Client c{v4_relay()};
  c.allocate(3600);
  const auto channel = c.bind(addr("192.0.2.1:1"));
  c.now = kStart + 300s;
  c.data(channel);
  c.timeout();
  ASSERT_EQ(c.count(Method::channel_bind), 2U);
  c.refuse(c.last(Method::channel_bind), error(400));
  EXPECT_FALSE(c.allocation.peer_of(channel, c.now));
}

TEST(TurnAllocation, AllNumbersTakenIsCountedAndNothingIsSent) {
  Client c;
  c.allocate();
  for (std::uint16_t port = 1; port <= 4096; ++port)
    c.allocation.bind_channel({addr("192.0.2.1:1").ip, port}, c.now);
  c.drain();
  EXPECT_EQ(c.count(Method::channel_bind), 4096U);
  c.ask(addr("192.0.2.2:1"));
  EXPECT_EQ(c.count(Method::channel_bind), 4096U);
  EXPECT_EQ(c.allocation.stats().channels_exhausted, 1U);
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

}  // namespace
}  // namespace fg::turn
