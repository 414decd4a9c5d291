#include "control/turn/allocation.h"

#include <gtest/gtest.h>

#include "tests/unit/control/turn/harness.h"

namespace fg::turn {
namespace {

using stun::Method;

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
    EXPECT_EQ(c.dropped[DropReason::bad_stun_integrity], 1U);
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
  EXPECT_EQ(c.dropped[DropReason::bad_stun_integrity], 5U);
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
  EXPECT_EQ(c.dropped[DropReason::bad_stun_integrity], 2U);
}

TEST(TurnAllocation, ResponseFromTheOtherSocketIsIgnored) {
  Client c;
  c.bind_v4();
  const auto request = c.last(Method::allocate);
  c.receive(kServerV6, respond(request, stun::Class::success, Sign::right, granted(600)));
  EXPECT_FALSE(c.allocation.relayed(Family::v4));
  EXPECT_EQ(c.dropped[DropReason::unknown_stun], 1U);
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
  EXPECT_EQ(c.dropped[DropReason::unknown_stun], 3U);
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

// Spec connectivity 3.4: what the relay still holds for our address is deleted, also then.
TEST(TurnAllocation, AfterARestartAMismatchIsFollowedAgain) {
  Client c{v4_relay()};
  c.bind_v4();
  for (int i = 0; i < 100 && !c.allocation.is_suspended(); ++i) c.refuse(c.sent.back(), error(437));
  ASSERT_TRUE(c.allocation.is_suspended());
  c.allocation.refresh(c.now);
  c.drain();
  c.succeed(c.last(Method::binding), mapped(kMapped), Sign::none);
  const auto before = c.count(Method::refresh);
  c.refuse(c.last(Method::allocate), error(437));
  ASSERT_EQ(c.count(Method::refresh), before + 1);
  EXPECT_EQ(c.last(Method::refresh).message().lifetime(), 0U);
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

TEST(TurnAllocation, RedirectsAreNotFollowed) {
  Client c{v4_relay()};
  c.bind_v4();
  c.refuse(c.last(Method::allocate), [](stun::Builder& b) {
    b.error_code(300, "Try Alternate").raw(0x8023, ByteVector{0, 1, 0x0D, 0x96, 192, 0, 2, 9});
  });
  c.run_until(60s);
  EXPECT_TRUE(c.allocation.is_suspended());
  for (const auto& s : c.sent) EXPECT_EQ(s.to, kServerV4);
}

TEST(TurnAllocation, SuspensionIsToldOnceEachTime) {
  Client c{v4_relay()};
  for (std::size_t i = 1; i <= 3; ++i) {
    c.bind_v4();
    c.refuse(c.last(Method::allocate), error(486));
    EXPECT_EQ(c.events_of<Suspended>().size(), i);
    c.ask(addr("192.0.2.1:1"));
    c.timeout();
    EXPECT_EQ(c.events_of<Suspended>().size(), i);
    c.allocation.refresh(c.now);
    c.drain();
    c.sent.erase(c.sent.begin(), c.sent.end() - 1);
  }
}

TEST(TurnAllocation, TransactionsThatAreNotOursChangeNothing) {
  Client c{v4_relay()};
  c.allocate();
  c.ask(addr("192.0.2.1:1"));
  c.events.clear();
  for (const auto& request : c.all(Method::allocate)) {  // answered before
    c.refuse(request, error(437));
    c.succeed(request, granted(600, {addr("192.0.2.66:1")}));
  }
  auto foreign = c.last(Method::channel_bind);
  foreign.bytes[19] ^= 1;
  for (const Fill& fill : {error(437), error(420), challenge(401, "n"), challenge(438, "n")})
    c.refuse(foreign, fill);
  c.succeed(foreign);
  EXPECT_TRUE(c.events.empty());
  EXPECT_EQ(c.allocation.relayed(Family::v4), kRelayedV4);
  EXPECT_EQ(c.dropped[DropReason::unknown_stun], 9U);
}

TEST(TurnAllocation, LifetimesOfAnyLengthAreTakenAsGiven) {
  for (const std::uint32_t seconds : {1U, 2U, 86'400U, 0xFFFFFFFFU}) {
    Client c{v4_relay()};
    c.allocate(seconds);
    const auto before = c.sent.size();
    c.stay_until(10s);
    // At most what refreshes at half the lifetime and their resends need.
    EXPECT_LE(c.sent.size() - before, 12U) << seconds;
    EXPECT_EQ(c.allocation.relayed(Family::v4).has_value(), seconds > 2) << seconds;
  }
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

}  // namespace
}  // namespace fg::turn
