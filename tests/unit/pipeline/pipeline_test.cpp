// pipeline/pipeline.cpp: commands, events, timers.
#include "pipeline/pipeline.h"

#include "pipeline/traffic.h"

#include "tests/unit/pipeline/world.h"

namespace fg::pipeline::testing {
namespace {

class PipelineTest : public World {};

// ---- commands and what they give back ----

TEST_F(PipelineTest, ANewPolicyHoldsForTheNextPacketAndTheOldOneIsGivenBack) {
  const auto nothing = policy_of({});
  auto client = establish(1);
  receive(client.seal(request(1)), 1);
  EXPECT_EQ(out_.tun.size(), 1U);
  out_.events.clear();
  apply(SetPolicy{ClientSlot{1}, nothing.get()});
  receive(client.seal(request(1)), 1);
  from_tun(reply(1));
  EXPECT_EQ(out_.tun.size(), 1U);
  EXPECT_EQ(dropped(DropReason::not_allowed), 1U);
  EXPECT_EQ(dropped(DropReason::inbound_not_allowed), 1U);
  const auto retired = out_.take<PolicyRetired>();
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].policy, allow_all_.get());
}

TEST_F(PipelineTest, APolicyForNobodyComesStraightBack) {
  const auto nothing = policy_of({});
  apply(SetPolicy{ClientSlot{9}, nothing.get()});
  const auto retired = out_.take<PolicyRetired>();
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].policy, nothing.get());
}

TEST_F(PipelineTest, ARemovedClientIsGoneInBothDirectionsAndItsSlotIsFree) {
  auto client = establish(1);
  out_.events.clear();
  apply(RemoveClient{ClientSlot{1}});
  EXPECT_EQ(out_.take<PolicyRetired>().size(), 1U);
  EXPECT_EQ(out_.take<ClientRemoved>().size(), 1U);
  receive(client.seal(request(1)), 1);
  from_tun(reply(1));
  EXPECT_EQ(dropped(DropReason::unknown_receiver), 1U);
  EXPECT_EQ(dropped(DropReason::no_peer_state), 1U);
  EXPECT_EQ(pipeline_.clients(), 0U);
  EXPECT_FALSE(pipeline_.wakeup());
  auto again = establish(1);
  receive(again.seal(request(1)), 1);
  EXPECT_EQ(out_.tun.size(), 1U);
}

TEST_F(PipelineTest, TheLastSlotIsUsableAndTheOneBehindIsRefused) {
  auto last = establish(15);
  receive(last.seal(request(15)), 15);
  EXPECT_EQ(out_.tun.size(), 1U);
  out_.events.clear();
  apply(AddClient{ClientSlot{16}, tunnel_v4(16), tunnel_v6(16), allow_all_.get()});
  EXPECT_EQ(out_.take<PolicyRetired>().size(), 1U);
  EXPECT_EQ(out_.take<ClientRemoved>().size(), 1U);
  EXPECT_EQ(pipeline_.clients(), 1U);
}

TEST_F(PipelineTest, CommandsForNobodyAreIgnored) {
  apply(RemoveClient{ClientSlot{3}});
  apply(SetPath{ClientSlot{3}, {}});
  apply(RemoteClient{engine_, ClientSlot{3}, make_receiver_index(WorkerIndex{0}, 3, 1), 1, now_}
            .install());
  apply(SetChannel{RelaySlot{3}, ChannelNumber{0x4000}, true});
  EXPECT_TRUE(out_.events.empty());
}

TEST_F(PipelineTest, ATunnelAddressBelongsToWhoeverGotItLast) {
  auto first = establish(1);
  apply(AddClient{ClientSlot{2}, tunnel_v4(1), tunnel_v6(2), allow_all_.get()});
  apply(SetPath{ClientSlot{2}, {Path::Kind::direct, ip("198.51.100.1"), remote(2), {}}});
  auto second = install(2, 1);
  receive(second.keepalive(), 2);
  apply(RemoveClient{ClientSlot{1}});
  from_tun(reply(1));
  ASSERT_EQ(out_.sent.size(), 1U);
  EXPECT_TRUE(second.open(out_.sent[0], now_));
}

TEST_F(PipelineTest, AnotherConnectionOfTheClientEndsTheSessionsOfTheFirst) {
  auto before = establish(1);
  RemoteClient after{engine_, ClientSlot{1}, make_receiver_index(WorkerIndex{0}, 0x77777, 1), 8,
                     now_};
  apply(after.install());
  receive(before.seal(request(1)), 1);
  EXPECT_EQ(dropped(DropReason::unknown_receiver), 1U);
  receive(after.seal(request(1)), 1);
  EXPECT_EQ(out_.tun.size(), 1U);
}

TEST_F(PipelineTest, APathChangeTakesEffectWithoutLosingTheSession) {
  auto client = establish(1);
  from_tun(reply(1));
  apply(
      SetPath{ClientSlot{1}, {Path::Kind::direct, ip("2001:db8::1"), at("[2001:db8::99]:7"), {}}});
  from_tun(reply(1));
  ASSERT_EQ(out_.sent.size(), 2U);
  EXPECT_EQ(out_.sent[1].to, at("[2001:db8::99]:7"));
  EXPECT_TRUE(client.open(out_.sent[0], now_));
  EXPECT_TRUE(client.open(out_.sent[1], now_));
  apply(SetPath{ClientSlot{1}, {}});
  from_tun(reply(1));
  EXPECT_EQ(dropped(DropReason::not_connected), 1U);
}

TEST_F(PipelineTest, WhatATunnelCarriedIsToldOfTheClientsThatAreAskedFor) {
  auto client = establish(1);
  establish(2);
  const auto packet = request(1);
  receive(client.seal(packet), 1);
  receive(client.seal(packet), 1);
  receive(client.seal(request(2)), 1);  // refused: counts for nobody
  from_tun(reply(1));
  TrafficPage page;
  page.lines.resize(3);
  page.lines[0].slot = ClientSlot{1};
  page.lines[1].slot = ClientSlot{2};
  page.lines[2].slot = ClientSlot{9};
  apply(ReadTraffic{&page});
  const auto read = out_.take<TrafficRead>();
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read[0].page, &page);
  EXPECT_TRUE(page.lines[0].is_known);
  EXPECT_EQ(page.lines[0].traffic.packets_in, 2U);
  EXPECT_EQ(page.lines[0].traffic.bytes_in, 2 * packet.size());
  EXPECT_EQ(page.lines[0].traffic.packets_out, 1U);
  EXPECT_EQ(page.lines[0].traffic.bytes_out, reply(1).size());
  EXPECT_TRUE(page.lines[1].is_known);
  EXPECT_EQ(page.lines[1].traffic.packets_in, 0U);
  EXPECT_FALSE(page.lines[2].is_known);
}

TEST_F(PipelineTest, PacketsOfTheControlThreadGoThroughTheTunnel) {
  auto client = establish(1);
  SendInner command{.slot = ClientSlot{1}, .length = 48};
  command.bytes[0] = 0x60;
  apply(command);
  ASSERT_EQ(out_.sent.size(), 1U);
  EXPECT_EQ(client.open(out_.sent[0], now_)->size(), 48U);
  command.slot = ClientSlot{2};
  apply(command);
  EXPECT_EQ(dropped(DropReason::not_connected), 1U);
}

TEST_F(PipelineTest, WhatWasSentBeforeAPathChangeKeepsItsPath) {
  auto client = establish(1);
  pipeline_.apply(SendInner{.slot = ClientSlot{1}, .length = 40}, now_);
  pipeline_.apply(
      SetPath{ClientSlot{1}, {Path::Kind::direct, ip("198.51.100.1"), at("203.0.113.200:9"), {}}},
      now_);
  pipeline_.apply(SendInner{.slot = ClientSlot{1}, .length = 40}, now_);
  pipeline_.flush(now_);
  ASSERT_EQ(out_.sent.size(), 2U);
  EXPECT_EQ(out_.sent[0].to, remote(1));
  EXPECT_EQ(out_.sent[1].to, at("203.0.113.200:9"));
}

TEST_F(PipelineTest, AClientMayComeAndGoWithinOneTurn) {
  RemoteClient client{engine_, ClientSlot{1}, make_receiver_index(WorkerIndex{0}, 1, 1), 5, now_};
  for (int i = 0; i < 3; ++i) {
    pipeline_.apply(AddClient{ClientSlot{1}, tunnel_v4(1), tunnel_v6(1), allow_all_.get()}, now_);
    pipeline_.apply(client.install(), now_);
    pipeline_.apply(RemoveClient{ClientSlot{1}}, now_);
  }
  pipeline_.flush(now_);
  EXPECT_EQ(out_.take<ClientRemoved>().size(), 3U);
  EXPECT_FALSE(pipeline_.wakeup());
}

TEST_F(PipelineTest, QueuedOutputAsksForATurnAtOnce) {
  auto client = establish(1);
  pipeline_.apply(SendInner{.slot = ClientSlot{1}, .length = 40}, now_);
  const auto wake = pipeline_.wakeup();
  ASSERT_TRUE(wake);
  EXPECT_LE(wake->at, now_);
  pipeline_.flush(now_);
  EXPECT_GT(pipeline_.wakeup()->at, now_);
}

// ---- events ----

TEST_F(PipelineTest, TheFirstPacketUnderAnAnsweredSessionConfirmsItOnce) {
  auto client = connect(1);
  EXPECT_TRUE(out_.take<SessionConfirmed>().empty());
  receive(client.keepalive(), 1);
  receive(client.keepalive(), 1);
  const auto confirmed = out_.take<SessionConfirmed>();
  ASSERT_EQ(confirmed.size(), 1U);
  EXPECT_EQ(confirmed[0].slot, ClientSlot{1});
  EXPECT_EQ(confirmed[0].local_index, make_receiver_index(WorkerIndex{0}, kConnection + 1, 1));
}

TEST_F(PipelineTest, AnInitiatedSessionIsUsedAtOnceAndTheOtherSideIsTold) {
  (void)connect(1);
  auto client = install(1, 2, wireguard::Role::initiator);
  EXPECT_EQ(out_.take<SessionConfirmed>().size(), 1U);
  ASSERT_EQ(out_.sent.size(), 1U);
  EXPECT_EQ(client.open(out_.sent[0], now_), ByteVector{});
}

TEST_F(PipelineTest, ActivityOfAClientIsToldOnceInFiveSecondsInEitherDirection) {
  auto client = establish(1);
  EXPECT_TRUE(out_.take<ClientActivity>().empty()) << "keepalives are no activity";
  receive(client.seal(request(1)), 1);
  from_tun(reply(1));
  EXPECT_EQ(out_.take<ClientActivity>().size(), 1U);
  advance(5s);
  from_tun(reply(1));
  receive(client.seal(request(1)), 1);
  EXPECT_EQ(out_.take<ClientActivity>().size(), 1U);
}

TEST_F(PipelineTest, ActivityWaitsForOtherNewsUnlessTheClientMayBeThoughtIdle) {
  auto client = establish(1);
  receive(client.seal(request(1)), 1);
  ASSERT_EQ(out_.take<ClientActivity>().size(), 1U);
  EXPECT_EQ(out_.patient_events, 0U) << "the first";
  for (const auto pause : {5s, 14s}) {
    out_.patient_events = 0;
    advance(pause);
    from_tun(reply(1));
    EXPECT_EQ(out_.take<ClientActivity>().size(), 1U);
    EXPECT_EQ(out_.patient_events, 1U) << pause.count();
  }
  out_.patient_events = 0;
  advance(15s);
  from_tun(reply(1));
  EXPECT_EQ(out_.take<ClientActivity>().size(), 1U);
  EXPECT_EQ(out_.patient_events, 0U) << "no longer heard of";
}

TEST_F(PipelineTest, EventsThatMatterWaitForAFullRingAndOthersAreCounted) {
  auto client = connect(1);
  out_.events_max = 0;
  out_.events.clear();
  receive(client.seal(request(1)), 1);  // confirmation and activity
  EXPECT_EQ(pipeline_.counters().events_lost, 1U);
  ASSERT_TRUE(pipeline_.wakeup());
  EXPECT_EQ(pipeline_.wakeup()->at, now_ + 1ms);
  out_.events_max = 100;
  advance(1ms);
  pipeline_.on_timeout(now_);
  EXPECT_EQ(out_.take<SessionConfirmed>().size(), 1U);
}

// ---- timers: spec connectivity 4.6 ----

TEST_F(PipelineTest, DataReceivedAndNothingSentIsAnsweredByAnEmptyPacketAfterTenSeconds) {
  auto client = establish(1);
  receive(client.seal(request(1)), 1);
  ASSERT_TRUE(pipeline_.wakeup());
  EXPECT_EQ(pipeline_.wakeup()->at, now_ + 10s);
  pipeline_.on_timeout(now_ + 9s);
  EXPECT_TRUE(out_.sent.empty()) << "early does nothing";
  run_for(10s);
  ASSERT_EQ(out_.sent.size(), 1U);
  EXPECT_EQ(client.open(out_.sent[0], now_), ByteVector{});
  run_for(60s);
  EXPECT_EQ(out_.sent.size(), 1U) << "a keepalive is not answered by a keepalive";
}

TEST_F(PipelineTest, AnAnswerInTimeNeedsNoKeepalive) {
  auto client = establish(1);
  receive(client.seal(request(1)), 1);
  run_for(9s);
  from_tun(reply(1));
  receive(client.keepalive(), 1);
  run_for(9s);
  EXPECT_EQ(out_.sent.size(), 1U);
}

TEST_F(PipelineTest, DataSentAndNothingHeardForFifteenSecondsAsksForAHandshake) {
  auto client = establish(1);
  from_tun(reply(1));
  run_for(14s);
  from_tun(reply(1));
  EXPECT_TRUE(out_.take<HandshakeNeeded>().empty());
  run_for(1s);
  const auto needed = out_.take<HandshakeNeeded>();
  ASSERT_EQ(needed.size(), 1U);
  EXPECT_EQ(needed[0].slot, ClientSlot{1});
  EXPECT_EQ(needed[0].why, HandshakeNeeded::Why::nothing_heard);
}

TEST_F(PipelineTest, AnythingHeardTakesTheQuestionBack) {
  auto client = establish(1);
  from_tun(reply(1));
  run_for(14s);
  receive(client.keepalive(), 1);
  run_for(20s);
  EXPECT_TRUE(out_.take<HandshakeNeeded>().empty());
}

TEST_F(PipelineTest, AnInitiatedSessionIsRenewedAfterTwoMinutesOfSending) {
  (void)connect(1);
  auto client = install(1, 2, wireguard::Role::initiator);
  for (int i = 0; i < 11; ++i) {
    from_tun(reply(1));
    receive(client.keepalive(), 1);
    run_for(10s);
  }
  EXPECT_TRUE(out_.take<HandshakeNeeded>().empty());
  run_for(10s);
  const auto needed = out_.take<HandshakeNeeded>();
  ASSERT_EQ(needed.size(), 1U);
  EXPECT_EQ(needed[0].why, HandshakeNeeded::Why::rekey_due);
}

TEST_F(PipelineTest, ASessionOfTooManyMessagesIsRenewedWhateverItsAge) {
  (void)connect(1);
  auto client = install(1, 2, wireguard::Role::responder, wireguard::kRekeyAfterMessages - 1);
  receive(client.seal(request(1)), 1);
  run_for(10s);  // until its timers are looked at
  const auto needed = out_.take<HandshakeNeeded>();
  ASSERT_EQ(needed.size(), 1U);
  EXPECT_EQ(needed[0].why, HandshakeNeeded::Why::rekey_due);
}

TEST_F(PipelineTest, ALateTimeoutCatchesUpOnce) {
  auto client = establish(1);
  receive(client.seal(request(1)), 1);
  from_tun(reply(1));
  receive(client.seal(request(1)), 1);
  advance(100s);
  pipeline_.on_timeout(now_);
  pipeline_.on_timeout(now_);
  EXPECT_EQ(out_.sent.size(), 2U) << "the reply and one keepalive";
}

TEST_F(PipelineTest, AnIdleClientIsLookedAtOnlyWhenItsSessionEnds) {
  auto client = establish(1);
  const auto installed = now_;
  ASSERT_TRUE(pipeline_.wakeup());
  EXPECT_EQ(pipeline_.wakeup()->at, installed + 180s);
  run_for(180s);
  EXPECT_FALSE(pipeline_.wakeup()) << "keys are wiped, nothing is left to wait for";
  receive(client.seal(request(1)), 1);
  EXPECT_EQ(dropped(DropReason::unknown_receiver), 1U);
}

TEST_F(PipelineTest, TimersOfManyClientsFireEachAtItsTime) {
  std::vector<RemoteClient> clients;
  for (std::uint32_t n = 0; n < 16; ++n) clients.push_back(establish(n));
  for (std::uint32_t n = 0; n < 16; ++n) {
    receive(clients[n].seal(request(n)), n);
    advance(100ms);
  }
  for (std::size_t k = 1; k <= 16; ++k) {
    now_ = pipeline_.wakeup()->at;
    pipeline_.on_timeout(now_);
    EXPECT_EQ(out_.sent.size(), k);
  }
}

}  // namespace
}  // namespace fg::pipeline::testing
