#include "control/path/agent.h"

#include <gtest/gtest.h>

#include <set>

namespace fg::path {
namespace {

constexpr Instant kStart{1000h};

SocketAddress at(std::string_view text) { return *SocketAddress::parse(text); }

Candidate host(std::string_view address) {
  return make_candidate(CandidateKind::host, at(address), at(address));
}
Candidate mapped(std::string_view address, std::string_view base) {
  return make_candidate(CandidateKind::srflx, at(address), at(base));
}
Candidate relayed(std::string_view address, std::string_view base) {
  return make_candidate(CandidateKind::relay, at(address), at(base));
}

class Candidates : public testing::Test {
 protected:
  Agent agent{Role::controlled, kStart};

  void add_ours() {
    (void)agent.add_local(host("192.0.2.1:52625"), kStart);
    (void)agent.add_local(relayed("198.51.100.30:50000", "192.0.2.1:52625"), kStart);
    (void)agent.add_local(relayed("[2001:db8::30]:50000", "192.0.2.1:52625"), kStart);
  }
  RemoteAddition add(const Candidate& candidate) {
    return agent.add_remote(to_line(candidate), kStart);
  }
  [[nodiscard]] std::set<Path> paths() const {
    std::set<Path> out;
    for (const auto& pair : agent.pairs()) out.insert(pair.path());
    return out;
  }
  [[nodiscard]] const Pair& pair(std::string_view local, std::string_view remote) const {
    return *std::ranges::find(agent.pairs(), Path{at(local), at(remote)}, &Pair::path);
  }
};

TEST_F(Candidates, ArePairedWithEveryoneOfTheirFamily) {
  add_ours();
  add(host("203.0.113.5:52625"));
  add(relayed("[2001:db8::31]:50001", "203.0.113.5:52625"));
  EXPECT_EQ(paths(), (std::set<Path>{{at("192.0.2.1:52625"), at("203.0.113.5:52625")},
                                     {at("198.51.100.30:50000"), at("203.0.113.5:52625")},
                                     {at("[2001:db8::30]:50000"), at("[2001:db8::31]:50001")}}));
}

TEST_F(Candidates, SendFromTheBaseOfAReflexiveOneAndKeepTheBetterKind) {
  (void)agent.add_local(host("192.0.2.1:52625"), kStart);
  add(host("203.0.113.5:52625"));
  EXPECT_TRUE(agent.add_local(mapped("192.0.2.1:52625", "192.0.2.1:52625"), kStart));
  EXPECT_TRUE(agent.add_local(mapped("198.51.100.7:9", "192.0.2.1:52625"), kStart));
  add(mapped("203.0.113.5:52625", "203.0.113.5:52625"));
  ASSERT_EQ(agent.pairs().size(), 1U);
  EXPECT_EQ(agent.pairs().front().bucket(),
            bucket_of({CandidateKind::host, false}, {CandidateKind::host, false}, Family::v4));
}

TEST_F(Candidates, OfARelayReachedOverTheOtherFamilyRankBehind) {
  add_ours();
  add(host("203.0.113.5:52625"));
  add(host("[2001:db8::5]:52625"));
  EXPECT_EQ(pair("198.51.100.30:50000", "203.0.113.5:52625").bucket().is_cross_family, 0);
  EXPECT_EQ(pair("[2001:db8::30]:50000", "[2001:db8::5]:52625").bucket().is_cross_family, 1);
}

TEST_F(Candidates, AreSignalledOnceAndNotWhenUnusable) {
  EXPECT_EQ(agent.add_local(host("192.0.2.1:52625"), kStart), host("192.0.2.1:52625"));
  EXPECT_FALSE(agent.add_local(host("192.0.2.1:52625"), kStart));
  EXPECT_FALSE(agent.add_local(host("169.254.1.1:52625"), kStart));
  EXPECT_FALSE(agent.add_local(host("[::]:52625"), kStart));
}

TEST_F(Candidates, OfThePeerAreKnownTheSecondTime) {
  using Outcome = RemoteAddition::Outcome;
  EXPECT_EQ(add(host("203.0.113.5:52625")).outcome, Outcome::added);
  EXPECT_EQ(add(host("203.0.113.5:52625")).outcome, Outcome::known);
  EXPECT_EQ(add(host("0.0.0.0:52625")).outcome, Outcome::unusable_address);
  EXPECT_EQ(agent.add_remote("candidate:", kStart).outcome, Outcome::unparsable);
}

// Spec connectivity 9.5, row 8.
TEST_F(Candidates, OfThePeerAreKeptToSixOfAKindTheOldestFirst) {
  add_ours();
  for (int i = 0; i < 40; ++i) {
    add(host("203.0.113." + std::to_string(1 + i) + ":52625"));
    add(relayed("203.0.113." + std::to_string(1 + i) + ":50000", "10.0.0.1:1"));
  }
  const auto remotes = agent.remote_candidates();
  EXPECT_EQ(remotes.size(), 2 * kRemotesMaxPerKind);
  EXPECT_EQ(remotes.front().address, at("203.0.113.35:52625"));
  EXPECT_EQ(agent.pairs().size(), 2 * 2 * kRemotesMaxPerKind);
  EXPECT_EQ(agent.overflows(), 2 * 34U);
}

TEST_F(Candidates, ThatTurnOutToBeOfAnotherKindCountAsThatKind) {
  add_ours();
  for (int i = 0; i < 20; ++i) {
    const auto address = "203.0.113." + std::to_string(1 + i) + ":52625";
    agent.on_initiation({at("192.0.2.1:52625"), at(address)}, kStart);
    EXPECT_TRUE(add(host(address)).is_accepted());
  }
  EXPECT_EQ(agent.remote_candidates().size(), kRemotesMaxPerKind);
}

TEST_F(Candidates, AllOfTheAddressInUseGiveWayToOneAnother) {
  add_ours();
  const Path used{at("192.0.2.1:52625"), at("203.0.113.5:40000")};
  agent.on_initiation(used, kStart);
  ASSERT_EQ(agent.primary(), used);
  for (int i = 0; i < 10; ++i)
    EXPECT_TRUE(
        add(mapped("203.0.113.5:40000", "10.0.0." + std::to_string(1 + i) + ":1")).is_accepted());
  EXPECT_EQ(agent.remote_candidates().size(), kRemotesMaxPerKind);
  EXPECT_EQ(agent.primary(), used);
}

TEST_F(Candidates, OfOursAreBoundedToo) {
  for (int i = 0; i < 40; ++i)
    (void)agent.add_local(mapped("198.51.100.7:" + std::to_string(1000 + i), "192.0.2.1:52625"),
                          kStart);
  EXPECT_EQ(agent.local_candidates().size(), kLocalsMaxPerKind);
}

// Spec connectivity 2.10.
TEST_F(Candidates, AForwardedPortIsGuessedTwiceAtMost) {
  add(host("10.0.0.5:52625"));
  add(mapped("203.0.113.5:40000", "10.0.0.5:52625"));
  const auto remotes = agent.remote_candidates();
  ASSERT_EQ(remotes.size(), 3U);
  EXPECT_EQ(remotes[2].address, at("203.0.113.5:52625"));
  EXPECT_EQ(remotes[2].kind, CandidateKind::srflx);
}

TEST_F(Candidates, AForwardedPortIsNotGuessedForIPv6) {
  add(host("[2001:db8::5]:52625"));
  add(mapped("[2001:db8::6]:40000", "[2001:db8::5]:52625"));
  EXPECT_EQ(agent.remote_candidates().size(), 2U);
}

// Spec connectivity 9.5, row 3.
TEST_F(Candidates, AnAddressLearntFromAnInitiationIsReflexiveAndFourAreKept) {
  add_ours();
  const auto local = at("192.0.2.1:52625");
  for (int i = 0; i < 9; ++i)
    agent.on_initiation({local, at("203.0.113.9:" + std::to_string(1000 + i))}, kStart);
  const auto remotes = agent.remote_candidates();
  ASSERT_EQ(remotes.size(), kPeerReflexiveMax);
  // The one in use is not the one that goes.
  EXPECT_EQ(remotes[0].address, at("203.0.113.9:1000"));
  EXPECT_EQ(remotes[1].address, at("203.0.113.9:1006"));
  EXPECT_EQ(remotes[0].kind, CandidateKind::srflx);
}

TEST_F(Candidates, ALearntAddressSignalledLaterKeepsItsPairAndMeasurement) {
  add_ours();
  const Path path{at("192.0.2.1:52625"), at("203.0.113.9:1000")};
  agent.on_initiation(path, kStart);
  agent.on_usable(kStart);
  agent.on_timeout(kStart);
  while (const auto out = agent.poll_transmit()) {
    auto reply = std::get<packet::Probe>(out->what);
    reply.is_reply = true;
    if (out->path == path) agent.on_probe(path, reply, kStart + 20ms);
  }
  ASSERT_EQ(pair("192.0.2.1:52625", "203.0.113.9:1000").rtt(), 20ms);
  const auto id = pair("192.0.2.1:52625", "203.0.113.9:1000").id();
  add(relayed("203.0.113.9:1000", "10.0.0.1:1"));
  const auto& same = pair("192.0.2.1:52625", "203.0.113.9:1000");
  EXPECT_EQ(same.id(), id);
  EXPECT_EQ(same.rtt(), 20ms);
  EXPECT_EQ(same.bucket().worse_kind, 2);
  EXPECT_EQ(agent.remote_candidates().size(), 1U);
}

TEST_F(Candidates, RemovedTakeTheirPairsAndThePrimaryAlong) {
  add_ours();
  add(host("203.0.113.5:52625"));
  agent.on_initiation({at("198.51.100.30:50000"), at("203.0.113.5:52625")}, kStart);
  ASSERT_TRUE(agent.primary());
  EXPECT_TRUE(agent.remove_local(at("198.51.100.30:50000"), kStart));
  EXPECT_FALSE(agent.remove_local(at("198.51.100.30:50000"), kStart));
  EXPECT_FALSE(agent.primary());
  EXPECT_EQ(agent.pairs().size(), 1U);
  EXPECT_TRUE(agent.invalidate_remote(to_line(host("203.0.113.5:52625")), kStart));
  EXPECT_FALSE(agent.invalidate_remote(to_line(host("203.0.113.5:52625")), kStart));
  EXPECT_TRUE(agent.pairs().empty());
}

TEST_F(Candidates, WithoutOneOfThePeerTheAgentFailsAfterTenSeconds) {
  agent.on_timeout(kStart + 9999ms);
  EXPECT_FALSE(agent.poll_event());
  EXPECT_EQ(agent.wakeup()->at, kStart + 10s);
  agent.on_timeout(kStart + 10s);
  const auto event = agent.poll_event();
  ASSERT_TRUE(event);
  EXPECT_TRUE(std::holds_alternative<Failed>(*event));
  EXPECT_FALSE(agent.wakeup());
  EXPECT_EQ(add(host("203.0.113.5:52625")).outcome, RemoteAddition::Outcome::unusable_address);
}

TEST_F(Candidates, OneOfThePeerInTheLastInstantIsEnough) {
  agent.on_timeout(kStart + 9900ms);
  (void)agent.add_remote(to_line(host("203.0.113.5:52625")), kStart + 9900ms);
  agent.on_timeout(kStart + 20s);
  EXPECT_FALSE(agent.has_failed());
}

}  // namespace
}  // namespace fg::path
