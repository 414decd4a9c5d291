#include "support.h"

namespace fg::ice::testing {
namespace {

using Outcome = RemoteAddition::Outcome;

TEST_F(AgentTest, LocalCandidatesGetPrioritiesFoundationsAndLines) {
  const auto host = agent_.add_local(LocalAddress::host(host_), now_);
  const auto mapped =
      agent_.add_local(LocalAddress::server_reflexive(at("198.51.100.1:4000"), host_), now_);
  const auto v4 = agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  const auto v6 =
      agent_.add_local(LocalAddress::relayed(at("[2001:db8::7]:50000"), Family::v4), now_);
  ASSERT_TRUE(host && mapped && v4 && v6);
  EXPECT_EQ(host->priority, 2130706175U);
  EXPECT_EQ(mapped->priority, 1686109951U);
  EXPECT_EQ(v4->priority, 37748479U);
  EXPECT_EQ(v6->priority, 37492735U);
  EXPECT_EQ(agent_.line_of(*v4),
            "candidate:" + v4->foundation +
                " 1 udp 37748479 203.0.113.7 50000 typ relay raddr 0.0.0.0 rport 0 ufrag qhpm");
}

TEST_F(AgentTest, LocalCandidatesAreListedBestFirst) {
  agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_local(LocalAddress::host(at("192.0.2.11:52625")), now_);
  const auto all = agent_.local_candidates();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].address, host_);
  EXPECT_EQ(all[1].priority, 2130706175U - 512) << "two less in the local preference";
  EXPECT_EQ(all[2].kind, CandidateKind::relay);
}

TEST_F(AgentTest, RedundantLocalCandidateIsNotSignalled) {
  EXPECT_TRUE(agent_.add_local(LocalAddress::host(host_), now_));
  EXPECT_FALSE(agent_.add_local(LocalAddress::host(host_), now_));
  EXPECT_FALSE(agent_.add_local(LocalAddress::server_reflexive(host_, host_), now_)) << "no NAT";
  EXPECT_EQ(agent_.local_candidates().size(), 1U);
}

TEST_F(AgentTest, BetterLocalCandidateReplacesARedundantOne) {
  EXPECT_TRUE(agent_.add_local(LocalAddress::server_reflexive(host_, host_), now_));
  EXPECT_TRUE(agent_.add_local(LocalAddress::host(host_), now_));
  ASSERT_EQ(agent_.local_candidates().size(), 1U);
  EXPECT_EQ(agent_.local_candidates()[0].kind, CandidateKind::host);
  EXPECT_FALSE(agent_.add_local(LocalAddress::server_reflexive(host_, host_), now_))
      << "it does not revive";
}

TEST_F(AgentTest, UnusableLocalAddressesAreRefused) {
  EXPECT_FALSE(agent_.add_local(LocalAddress::host(at("0.0.0.0:1")), now_));
  EXPECT_FALSE(agent_.add_local(LocalAddress::host(at("169.254.0.9:1")), now_));
  EXPECT_FALSE(
      agent_.add_local(LocalAddress::server_reflexive(at("[2001:db8::1]:1"), host_), now_));
  EXPECT_TRUE(agent_.add_local(LocalAddress::host(at("127.0.0.1:1")), now_));
}

TEST_F(AgentTest, ReflexiveCandidateCollapsesOntoItsBase) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_local(LocalAddress::server_reflexive(at("198.51.100.1:4000"), host_), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  EXPECT_EQ(agent_.pair_count(), 1U);
  EXPECT_TRUE(agent_.has_pair(host_, peer_));
}

// Spec connectivity 9.2, case 17.
TEST_F(AgentTest, ManyMappedAddressesMakeNoPairsAndStayWithinTheLimit) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  std::size_t signalled = 0;
  for (std::uint16_t i = 0; i < 200; ++i) {
    const SocketAddress mapped{IpAddress::v4(198, 51, 100, 1),
                               static_cast<std::uint16_t>(4000 + i)};
    if (agent_.add_local(LocalAddress::server_reflexive(mapped, host_), now_)) ++signalled;
  }
  EXPECT_EQ(signalled, kLocalCandidatesMax - 1);
  EXPECT_EQ(agent_.overflows(), 200 - signalled);
  EXPECT_EQ(agent_.local_candidates().size(), kLocalCandidatesMax) << "old ones are not given up";
  EXPECT_EQ(agent_.pair_count(), 1U);
}

TEST_F(AgentTest, PairsJoinEqualFamiliesOnly) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_local(LocalAddress::host(at("[2001:db8::10]:52625")), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  agent_.add_remote(host_line("[2001:db8::20]:52625"), now_);
  EXPECT_EQ(agent_.pair_count(), 2U);
}

TEST_F(AgentTest, LostRelayedAddressIsInvalidatedWithTheLineThatAnnouncedIt) {
  const auto announced = agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  EXPECT_EQ(agent_.pair_count(), 1U);
  const auto gone = agent_.remove_local(relayed_, now_);
  ASSERT_TRUE(announced && gone);
  EXPECT_EQ(agent_.line_of(*gone), agent_.line_of(*announced));
  EXPECT_EQ(agent_.pair_count(), 0U);
  EXPECT_TRUE(agent_.local_candidates().empty()) << "never signalled again";
  EXPECT_FALSE(agent_.remove_local(relayed_, now_));
}

TEST_F(AgentTest, RelayedAddressThatComesBackIsTheSameCandidate) {
  const auto first = agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  agent_.remove_local(relayed_, now_);
  const auto again = agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  EXPECT_EQ(first, again);
  EXPECT_EQ(agent_.pair_count(), 1U);
}

TEST_F(AgentTest, DiscardedOnesCountInThePreference) {
  agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  agent_.remove_local(relayed_, now_);
  const auto next =
      agent_.add_local(LocalAddress::relayed(at("203.0.113.8:50000"), Family::v4), now_);
  EXPECT_EQ(next->priority, 37748479U - 512);
}

TEST_F(AgentTest, OwnAddressThatWasReplacedIsInvalidatedWithItsPairsAndItsSuccessorOutranksIt) {
  agent_.add_local(LocalAddress::host(host_), now_);
  (void)agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  const auto before = agent_.local_candidates().at(0).priority;
  const auto next = at("192.0.2.11:52625");
  (void)agent_.add_local(LocalAddress::host(next), now_);
  const auto gone = agent_.remove_local(host_, now_);
  ASSERT_TRUE(gone);
  EXPECT_EQ(gone->address, host_);
  EXPECT_FALSE(agent_.has_pair(host_, peer_));
  EXPECT_FALSE(agent_.remove_local(host_, now_));
  const auto checks = run_for(0s);
  ASSERT_FALSE(checks.empty());
  for (const auto& check : checks) {
    EXPECT_EQ(check.local, next);
    EXPECT_GT(stun::Message::parse(check.bytes)->priority(), before);
  }
  // And that one is outranked in turn.
  (void)agent_.add_local(LocalAddress::host(at("192.0.2.12:52625")), now_);
  (void)agent_.remove_local(next, now_);
  EXPECT_GT(stun::Message::parse(run_for(0s).at(0).bytes)->priority(),
            stun::Message::parse(checks[0].bytes)->priority());
}

// Spec connectivity 9.2, cases 5 and 6.
TEST_F(AgentTest, EachBadRemoteLineIsIgnoredByItself) {
  agent_.add_local(LocalAddress::host(host_), now_);
  EXPECT_EQ(agent_.add_remote(line("host", "192.0.2.20:1", 5, " ufrag xxxx"), now_).outcome,
            Outcome::foreign_ufrag);
  EXPECT_EQ(agent_.add_remote("candidate:1 2 udp 5 192.0.2.20 1 typ host", now_).outcome,
            Outcome::unparsable);
  EXPECT_EQ(agent_.add_remote("candidate:1 1 tcp 5 192.0.2.20 1 typ host", now_).outcome,
            Outcome::unparsable);
  EXPECT_EQ(agent_.add_remote("candidate:1 1 udp 5 192.0.2.20 1 typ what", now_).outcome,
            Outcome::unparsable);
  EXPECT_EQ(agent_.add_remote("rubbish", now_).outcome, Outcome::unparsable);
  EXPECT_EQ(agent_.add_remote(host_line("224.0.0.1:1"), now_).outcome, Outcome::unusable_address);
  EXPECT_EQ(agent_.pair_count(), 0U);
  EXPECT_EQ(
      agent_.add_remote(line("host", "192.0.2.20:52625", 5, " generation 0 network-id 1"), now_)
          .outcome,
      Outcome::added);
  EXPECT_EQ(agent_.add_remote(line("host", "192.0.2.21:52625", 5, " ufrag mp5g"), now_).outcome,
            Outcome::added);
  EXPECT_EQ(agent_.pair_count(), 2U);
}

// Spec connectivity 9.2, case 7.
TEST_F(AgentTest, CandidateSignalledTwiceCausesNoNewCheck) {
  agent_.add_local(LocalAddress::host(host_), now_);
  EXPECT_EQ(agent_.add_remote(host_line("192.0.2.20:52625"), now_).outcome, Outcome::added);
  EXPECT_EQ(run_for(0s).size(), 1U);
  EXPECT_EQ(agent_.add_remote(host_line("192.0.2.20:52625"), now_).outcome, Outcome::known);
  EXPECT_TRUE(agent_.add_remote(host_line("192.0.2.20:52625"), now_).is_accepted());
  EXPECT_EQ(run_for(100ms).size(), 0U);
  EXPECT_EQ(agent_.pair_count(), 1U);
  EXPECT_EQ(agent_.remote_candidates().size(), 1U);
}

// Spec connectivity 9.2, case 8.
TEST_F(AgentTest, InvalidatedCandidateRevivesWhenItIsSignalledAgain) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(relay_line("192.0.2.20:52625"), now_);
  run_for(0s);
  EXPECT_TRUE(agent_.invalidate_remote(relay_line("192.0.2.20:52625"), now_));
  EXPECT_EQ(agent_.pair_count(), 0U);
  EXPECT_TRUE(agent_.remote_candidates().empty());
  EXPECT_FALSE(agent_.invalidate_remote(relay_line("192.0.2.20:52625"), now_));
  EXPECT_EQ(agent_.add_remote(relay_line("192.0.2.20:52625"), now_).outcome, Outcome::revived);
  EXPECT_EQ(agent_.pair_count(), 1U);
  EXPECT_EQ(run_for(0s).size(), 1U);
}

TEST_F(AgentTest, InvalidationMatchesKindAddressAndRelatedAddress) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(relay_line("192.0.2.20:52625"), now_);
  EXPECT_FALSE(agent_.invalidate_remote(line("relay", "192.0.2.20:52625", 37748479), now_))
      << "raddr differs";
  EXPECT_FALSE(agent_.invalidate_remote(srflx_line("192.0.2.20:52625"), now_));
  EXPECT_FALSE(agent_.invalidate_remote(relay_line("192.0.2.20:52626"), now_));
  EXPECT_FALSE(agent_.invalidate_remote(
      line("relay", "192.0.2.20:52625", 37748479, " raddr 0.0.0.0 rport 0 ufrag xxxx"), now_));
  EXPECT_FALSE(agent_.invalidate_remote("rubbish", now_));
  EXPECT_TRUE(agent_.invalidate_remote(
      line("relay", "192.0.2.20:52625", 1, " raddr 0.0.0.0 rport 0 ufrag mp5g"), now_))
      << "the priority does not matter";
}

TEST_F(AgentTest, InvalidatedCandidateLeavesAnotherOfTheSameAddress) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  agent_.add_remote(line("srflx", "192.0.2.20:52625", 1694498559), now_);
  EXPECT_EQ(agent_.pair_count(), 1U);
  agent_.invalidate_remote(host_line("192.0.2.20:52625"), now_);
  EXPECT_TRUE(agent_.has_pair(host_, peer_));
}

// Spec connectivity 9.2, case 18.
TEST_F(AgentTest, OptimisticCandidatesAreTwoForEachSignalledOneAndIpv4Only) {
  agent_.add_local(LocalAddress::host(host_), now_);
  for (const auto* host : {"10.0.0.1:52625", "10.0.0.2:1111", "10.0.0.3:2222"})
    agent_.add_remote(host_line(host), now_);
  agent_.add_remote(host_line("[2001:db8::20]:3333"), now_);
  EXPECT_EQ(agent_.remote_candidates().size(), 4U);
  agent_.add_remote(srflx_line("198.51.100.5:40000"), now_);
  EXPECT_EQ(agent_.remote_candidates().size(), 4U + 1 + 2);
  EXPECT_TRUE(agent_.has_pair(host_, at("198.51.100.5:52625")));
  EXPECT_TRUE(agent_.has_pair(host_, at("198.51.100.5:1111")));
  EXPECT_FALSE(agent_.has_pair(host_, at("198.51.100.5:2222")));
  agent_.add_remote(line("srflx", "[2001:db8::20]:4444", 1686110207), now_);
  EXPECT_TRUE(agent_.has_pair(host_, at("198.51.100.5:2222"))) << "the next call makes up for it";
  EXPECT_EQ(agent_.remote_candidates().size(), 4U + 1 + 2 + 2);
}

TEST_F(AgentTest, OptimisticCandidateOfAKnownAddressIsNotMade) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(host_line("198.51.100.5:52625"), now_);
  agent_.add_remote(srflx_line("198.51.100.5:52625"), now_);
  EXPECT_EQ(agent_.remote_candidates().size(), 2U);
}

TEST_F(AgentTest, SignalledCandidateTakesOverAnOptimisticOne) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(host_line("10.0.0.1:52625"), now_);
  agent_.add_remote(srflx_line("198.51.100.5:40000"), now_);
  EXPECT_EQ(agent_.pair_count(), 3U);
  EXPECT_EQ(agent_.add_remote(srflx_line("198.51.100.5:52625"), now_).outcome, Outcome::added);
  EXPECT_EQ(agent_.pair_count(), 3U);
  EXPECT_EQ(agent_.remote_candidates().size(), 3U);
}

TEST_F(AgentTest, HundredRemoteCandidatesFitAndDiscardedOnesMakeRoom) {
  agent_.add_local(LocalAddress::host(host_), now_);
  const auto nth = [](int i) { return relay_line("192.0.2.20:" + std::to_string(1000 + i)); };
  for (int i = 0; i < 100; ++i) EXPECT_EQ(agent_.add_remote(nth(i), now_).outcome, Outcome::added);
  EXPECT_EQ(agent_.add_remote(nth(100), now_).outcome, Outcome::full);
  EXPECT_EQ(agent_.overflows(), 1U);
  agent_.invalidate_remote(nth(5), now_);
  EXPECT_EQ(agent_.add_remote(nth(100), now_).outcome, Outcome::added);
}

// Spec connectivity 9.2, case 21.
TEST_F(AgentTest, MoreThanHundredPairsDropTheLowest) {
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_local(LocalAddress::relayed(relayed_, Family::v4), now_);
  for (int i = 0; i < 60; ++i)
    agent_.add_remote(host_line("192.0.2.20:" + std::to_string(1000 + i)), now_);
  EXPECT_EQ(agent_.pair_count(), 100U);
  EXPECT_TRUE(agent_.has_pair(host_, at("192.0.2.20:1059")));
  EXPECT_FALSE(agent_.has_pair(relayed_, at("192.0.2.20:1059")));
}

TEST_F(AgentTest, CandidateWhosePairsAreGoneIsTriedAgainWhenSignalledAgain) {
  agent_.set_profile({250ms, 1500ms, 3}, now_);
  agent_.add_local(LocalAddress::host(host_), now_);
  agent_.add_remote(host_line("192.0.2.20:52625"), now_);
  run_for(1700ms);
  EXPECT_EQ(agent_.pair_count(), 1U);
  run_for(100ms);
  EXPECT_EQ(agent_.pair_count(), 0U);
  EXPECT_EQ(agent_.add_remote(host_line("192.0.2.20:52625"), now_).outcome, Outcome::known);
  EXPECT_EQ(agent_.pair_count(), 1U);
}

}  // namespace
}  // namespace fg::ice::testing
