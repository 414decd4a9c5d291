// Two agents joined by a wire: paths, NATs, loss, schedules.
#include "joined.h"

namespace fg::ice::testing {
namespace {

TEST_F(World, DirectPathComesUpWithinTwoRoundTrips) {
  signal_both();
  run_for(40ms);
  ASSERT_TRUE(client_.nominated() && gateway_.nominated());
  EXPECT_EQ(client_.nominated()->remote, gateway_host_);
  EXPECT_EQ(gateway_.nominated()->remote, client_host_);
  EXPECT_EQ(client_.state(), AgentState::completed);
  EXPECT_EQ(gateway_.state(), AgentState::completed);
}

TEST_F(World, SchedulesAreThoseOfTheProfiles) {
  signal_both();
  run_for(60s);
  auto client = gaps(false, gateway_host_);
  ASSERT_GE(client.size(), 10U);
  // The first gap is the nomination, which does not wait.
  EXPECT_EQ(client[0], 20ms);
  EXPECT_TRUE(
      std::all_of(client.begin() + 4, client.end(), [](Duration gap) { return gap == 1500ms; }));
  auto gateway = gaps(true, client_host_);
  ASSERT_EQ(gateway.size(), 8U) << "0.02, 0.25, 0.5, … and 15 s";
  EXPECT_EQ(gateway.back(), 15s);
  EXPECT_EQ(unknown_responses_, 0);
}

TEST_F(World, AllChecksOfANominatedPairCarryUseCandidate) {
  signal_both();
  run_for(10s);
  int without = 0;
  for (const auto& sent : sent_) {
    if (!sent.by_gateway && sent.is_check && !sent.use_candidate) ++without;
    if (sent.by_gateway) {
      EXPECT_FALSE(sent.use_candidate);
    }
  }
  EXPECT_EQ(without, 1) << "the first one";
}

TEST_F(World, RequestBeforeAnyRemoteCandidateMakesAPrflxPathThatTheCandidateReplaces) {
  signal(gateway_, client_);
  run_for(100ms);
  ASSERT_TRUE(gateway_.nominated());
  EXPECT_EQ(gateway_.remote_candidates()[0].kind, CandidateKind::prflx);
  signal(client_, gateway_);
  EXPECT_EQ(gateway_.remote_candidates().size(), 1U);
  EXPECT_EQ(gateway_.remote_candidates()[0].kind, CandidateKind::host);
  EXPECT_EQ(gateway_paths_.size(), 1U) << "the way stays the same";
}

TEST_F(World, ClientBehindANatIsReachedAtItsMappedAddress) {
  const auto mapped = at("198.51.100.1:40000");
  nat_ = [&](Packet& packet) {
    if (packet.to_gateway) packet.from = mapped;
    if (!packet.to_gateway && packet.to == client_host_) return false;
    if (!packet.to_gateway && packet.to == mapped) packet.to = client_host_;
    return true;
  };
  signal_both();
  run_for(1s);
  ASSERT_TRUE(client_.nominated() && gateway_.nominated());
  EXPECT_EQ(gateway_.nominated()->remote, mapped);
  EXPECT_EQ(client_.local_candidates().size(), 1U) << "the learnt address is not signalled";
}

TEST_F(World, NewNatMappingIsFollowedWithinTheClientsInterval) {
  auto mapped = at("198.51.100.1:40000");
  nat_ = [&](Packet& packet) {
    if (packet.to_gateway) packet.from = mapped;
    if (!packet.to_gateway && packet.to != mapped) return false;
    if (!packet.to_gateway) packet.to = client_host_;
    return true;
  };
  signal(gateway_, client_);
  run_for(20s);
  EXPECT_EQ(gateway_.nominated()->remote, mapped);
  mapped = at("198.51.100.1:50000");
  run_for(1520ms);
  EXPECT_EQ(gateway_.nominated()->remote, mapped);
}

TEST_F(World, LossOfHalfThePacketsOnlyDelays) {
  SeededRandom dice{9};
  lost_ = [&](const Packet&) { return dice.below(2) == 0; };
  signal_both();
  run_for(60s);
  EXPECT_TRUE(client_.is_connected());
  EXPECT_TRUE(gateway_.is_connected());
  EXPECT_FALSE(client_failed_at_);
  EXPECT_FALSE(gateway_failed_at_);
}

TEST_F(World, RelayedPathFirstThenTheDirectOneThatIsBetter) {
  const auto relayed = at("203.0.113.7:50000");
  client_.add_local(LocalAddress::relayed(relayed, Family::v4), now_);
  bool direct_works = false;
  lost_ = [&](const Packet& packet) {
    return !direct_works && packet.from != relayed && packet.to != relayed;
  };
  signal_both();
  run_for(2s);
  ASSERT_TRUE(gateway_.nominated());
  EXPECT_TRUE(gateway_.nominated()->remote_relayed);
  EXPECT_EQ(gateway_.state(), AgentState::connected);
  direct_works = true;
  run_for(2s);
  EXPECT_EQ(gateway_.nominated()->remote, client_host_);
  EXPECT_EQ(client_.nominated()->local, client_host_);
  EXPECT_EQ(gateway_paths_.size(), 2U);
}

TEST_F(World, DirectPathThatDiesIsGivenUpForTheRelay) {
  const auto relayed = at("203.0.113.7:50000");
  client_.add_local(LocalAddress::relayed(relayed, Family::v4), now_);
  bool direct_works = false;
  lost_ = [&](const Packet& packet) {
    return !direct_works && packet.from != relayed && packet.to != relayed;
  };
  signal_both();
  run_for(2s);
  direct_works = true;
  run_for(10s);
  EXPECT_EQ(gateway_.nominated()->remote, client_host_);
  const auto cut = now_;
  direct_works = false;
  while (gateway_.nominated() && gateway_.nominated()->remote != relayed && now_ - cut < 60s)
    run_for(100ms);
  EXPECT_LE(now_ - cut, 6 * 1500ms + 100ms) << "six checks of the client, not 615 s";
  while (client_.nominated() && client_.nominated()->local != relayed && now_ - cut < 60s)
    run_for(100ms);
  EXPECT_LE(now_ - cut, 18s) << "the client prunes its pair after 16.5 s";
  EXPECT_GE(now_ - cut, 16s);
}

TEST_F(World, CutWireIsNoticedByTheClientFirst) {
  signal_both();
  run_for(10s);
  const auto cut = now_;
  lost_ = [](const Packet&) { return true; };
  run_for(700s);
  ASSERT_TRUE(client_failed_at_);
  // Up to 1.5 s to the first lost check, 16.5 s to the pruning, 2 s of grace.
  EXPECT_GE(*client_failed_at_ - cut, 17s);
  EXPECT_LE(*client_failed_at_ - cut, 20s);
  ASSERT_TRUE(gateway_failed_at_);
  EXPECT_GE(*gateway_failed_at_ - cut, 600s);
  EXPECT_LE(*gateway_failed_at_ - cut, 635s);
}

TEST_F(World, InvalidatedRelayMovesTheGatewayAtOnce) {
  const auto relayed = at("203.0.113.7:50000");
  const auto direct_cut = [&](const Packet& packet) {
    return packet.from != relayed && packet.to != relayed;
  };
  client_.add_local(LocalAddress::relayed(relayed, Family::v4), now_);
  lost_ = direct_cut;
  signal_both();
  run_for(2s);
  ASSERT_TRUE(gateway_.nominated()->remote_relayed);
  lost_ = nullptr;
  run_for(3s);
  const auto gone = client_.remove_local(relayed, now_);
  ASSERT_TRUE(gone);
  EXPECT_TRUE(gateway_.invalidate_remote(client_.line_of(*gone), now_));
  EXPECT_EQ(gateway_.nominated()->remote, client_host_);
}

TEST_F(World, RoleConflictEndsWithOneOfEach) {
  auto options = client_options();
  options.role = Role::controlled;
  Agent both_controlled{std::move(options), random_, kStart};
  both_controlled.add_local(LocalAddress::host(client_host_), now_);
  const auto line_of_gateway = gateway_.line_of(gateway_.local_candidates()[0]);
  both_controlled.add_remote(line_of_gateway, now_);
  gateway_.add_remote(both_controlled.line_of(both_controlled.local_candidates()[0]), now_);
  // A 487 changes nothing, so the side with the lower tie-breaker switches when it hears the
  // other's claim.
  for (int i = 0; i < 20; ++i) {
    both_controlled.on_timeout(now_);
    gateway_.on_timeout(now_);
    while (auto transmit = both_controlled.poll_transmit()) {
      (void)gateway_.on_message(*stun::Message::parse(transmit->bytes), transmit->remote,
                                transmit->local, now_);
    }
    while (auto transmit = gateway_.poll_transmit()) {
      (void)both_controlled.on_message(*stun::Message::parse(transmit->bytes), transmit->remote,
                                       transmit->local, now_);
    }
    now_ += 250ms;
  }
  EXPECT_NE(both_controlled.role(), gateway_.role());
  EXPECT_TRUE(both_controlled.nominated());
  EXPECT_TRUE(gateway_.nominated());
}

TEST_F(World, IdleProfilesKeepBothAliveByTheChecksOfOneTwentyFiveSecondsApart) {
  signal_both();
  run_for(100s);
  client_.set_profile(kClientIdle, now_);
  gateway_.set_profile(kServerIdle, now_);
  run_for(25s);
  sent_.clear();
  run_for(1000s);
  EXPECT_EQ(gaps(true, client_host_), std::vector<Duration>{}) << "the peer's suffice";
  EXPECT_EQ(gaps(false, gateway_host_), std::vector<Duration>(39, 25s));
  EXPECT_TRUE(gateway_.is_connected());
  sent_.clear();
  run_for(20s);
  client_.set_profile(kClientDefault, now_);
  gateway_.set_profile(kServerDefault, now_);
  const auto woken = now_;
  run_for(1500ms);
  ASSERT_FALSE(sent_.empty());
  EXPECT_LE(sent_.back().at - woken, 1500ms);
}

// Spec connectivity 9.2, case 24.
TEST_F(World, ResponseAfterNinePointNineSecondsCounts) {
  latency_ = 4950ms;
  signal(gateway_, client_);
  run_for(9900ms);
  EXPECT_EQ(unknown_responses_, 0);
  EXPECT_TRUE(client_.nominated());
}

TEST_F(World, ResponseAfterTenPointOneSecondsIsUnknown) {
  latency_ = 5050ms;
  signal(gateway_, client_);
  run_for(10100ms);
  EXPECT_EQ(unknown_responses_, 1);
  EXPECT_FALSE(client_.nominated());
}

}  // namespace
}  // namespace fg::ice::testing
