#include "control/ice/path_watch.h"

#include "joined.h"

namespace fg::ice::testing {
namespace {

// Both families directly, and a relay of each side.
class WatchedWorld : public World {
 protected:
  WatchedWorld() {
    client_.add_local(LocalAddress::host(client_host6_), now_);
    gateway_.add_local(LocalAddress::host(gateway_host6_), now_);
    client_.add_local(LocalAddress::relayed(client_relayed_, Family::v4), now_);
    gateway_.add_local(LocalAddress::relayed(gateway_relayed_, Family::v4), now_);
    signal_both();
    run_for(10s);
    EXPECT_EQ(way(), "direct");
  }

  // Where both agree to send; empty: they do not.
  [[nodiscard]] std::string way() const {
    const auto& ours = gateway_.nominated();
    const auto& theirs = client_.nominated();
    if (!ours || !theirs || ours->local != theirs->remote || ours->remote != theirs->local)
      return "";
    return ours->local_relayed || ours->remote_relayed ? "relayed" : "direct";
  }
  [[nodiscard]] static bool is_relay(const SocketAddress& address) {
    return address.ip == at("203.0.113.7:1").ip || address.ip == at("203.0.113.8:1").ip;
  }
  static bool is_direct(const Packet& packet) {
    return !is_relay(packet.from) && !is_relay(packet.to);
  }
  [[nodiscard]] std::vector<std::string> addresses(std::size_t i) const {
    std::vector<std::string> out;
    for (const auto& candidate : reconsidered_.at(i).second.candidates)
      out.push_back(candidate.address.to_string());
    return out;
  }

  const SocketAddress client_host6_ = at("[2001:db8::20]:52625");
  const SocketAddress gateway_host6_ = at("[2001:db8::10]:52625");
  const SocketAddress client_relayed_ = at("203.0.113.7:50000");
  const SocketAddress gateway_relayed_ = at("203.0.113.8:50001");
};

TEST_F(WatchedWorld, DirectPathsThatDieAreLeftByBothAndNoneIsTriedAfterTheOther) {
  const auto cut = now_;
  lost_ = is_direct;
  while (way() != "relayed" && now_ - cut < 30s) run_for(50ms);
  EXPECT_LE(now_ - cut, 7s);
  ASSERT_EQ(reconsidered_.size(), 1U);
  EXPECT_TRUE(reconsidered_[0].second.is_withdrawn);
  EXPECT_EQ(addresses(0), (std::vector<std::string>{"[2001:db8::10]:52625", "192.0.2.10:52625"}));
  run_for(20s);
  EXPECT_EQ(way(), "relayed");
}

TEST_F(WatchedWorld, OneFamilyThatDiesLeavesTheOther) {
  const auto used = gateway_.nominated()->local;
  const auto cut = now_;
  lost_ = [&](const Packet& packet) {
    return is_direct(packet) && packet.from.family() == used.family();
  };
  while ((way() != "direct" || gateway_.nominated()->local == used) && now_ - cut < 30s)
    run_for(50ms);
  EXPECT_LE(now_ - cut, 7s);
  ASSERT_EQ(reconsidered_.size(), 1U);
  EXPECT_EQ(addresses(0), std::vector<std::string>{used.to_string()});
}

TEST_F(WatchedWorld, WhatWasWithdrawnIsTriedAgainAfterThirtySecondsAndEverMoreRarely) {
  lost_ = is_direct;
  run_for(10s);
  ASSERT_EQ(reconsidered_.size(), 1U);
  run_for(30s);
  ASSERT_EQ(reconsidered_.size(), 2U);
  EXPECT_FALSE(reconsidered_[1].second.is_withdrawn);
  EXPECT_EQ(addresses(1), addresses(0));
  EXPECT_EQ(reconsidered_[1].first - reconsidered_[0].first, kRestoreAfter);
  run_for(30s);
  EXPECT_EQ(way(), "relayed") << "still dead: nobody turns to it";
  lost_ = nullptr;
  run_for(20s);
  EXPECT_EQ(way(), "direct");
  EXPECT_EQ(reconsidered_.size(), 2U);
  lost_ = is_direct;
  run_for(80s);
  ASSERT_EQ(reconsidered_.size(), 4U);
  EXPECT_EQ(reconsidered_[3].first - reconsidered_[2].first, 2 * kRestoreAfter);
}

TEST_F(WatchedWorld, FamiliesThatDieOneAfterTheOtherAreBothTriedAgain) {
  const auto is_v6 = [](const Packet& packet) { return packet.from.family() == Family::v6; };
  lost_ = is_v6;
  run_for(10s);
  ASSERT_EQ(reconsidered_.size(), 1U);
  ASSERT_EQ(way(), "direct");
  lost_ = is_direct;
  run_for(10s);
  ASSERT_EQ(reconsidered_.size(), 2U);
  ASSERT_EQ(way(), "relayed");
  lost_ = nullptr;
  run_for(2min);
  std::vector<std::string> restored;
  for (const auto& [when, what] : reconsidered_) {
    if (what.is_withdrawn) continue;
    for (const auto& candidate : what.candidates) restored.push_back(candidate.address.to_string());
  }
  std::sort(restored.begin(), restored.end());
  EXPECT_EQ(restored, (std::vector<std::string>{"192.0.2.10:52625", "[2001:db8::10]:52625"}));
}

TEST_F(WatchedWorld, PeerThatGoesOnByAPathGivenUpIsBelieved) {
  lost_ = is_direct;
  run_for(10s);
  ASSERT_EQ(reconsidered_.size(), 1U);
  lost_ = nullptr;
  for (const auto& candidate : reconsidered_[0].second.candidates)
    client_.add_remote(gateway_.line_of(candidate), now_);
  run_for(2s);
  EXPECT_EQ(way(), "direct");
  ASSERT_EQ(reconsidered_.size(), 2U);
  EXPECT_FALSE(reconsidered_[1].second.is_withdrawn);
  run_for(60s);
  EXPECT_EQ(reconsidered_.size(), 2U) << "told once";
}

TEST_F(WatchedWorld, SecondsOfSilenceEverywhereChangeNothing) {
  const auto before = gateway_.nominated();
  for (const auto outage : {1s, 3s, 5s, 8s, 12s}) {
    lost_ = [](const Packet&) { return true; };
    run_for(outage);
    lost_ = nullptr;
    run_for(20s);
    EXPECT_EQ(way(), "direct");
  }
  EXPECT_EQ(gateway_.nominated(), before);
  EXPECT_TRUE(reconsidered_.empty());
}

TEST_F(WatchedWorld, SilenceOfOneDirectionChangesNothing) {
  for (const bool to_gateway : {true, false}) {
    lost_ = [&](const Packet& packet) { return packet.to_gateway == to_gateway; };
    run_for(8s);
    lost_ = nullptr;
    run_for(20s);
    EXPECT_EQ(way(), "direct");
  }
  EXPECT_TRUE(reconsidered_.empty());
}

TEST_F(WatchedWorld, DirectPathThatWorksInOneDirectionIsLeftToTheClient) {
  lost_ = [](const Packet& packet) { return is_direct(packet) && !packet.to_gateway; };
  run_for(12s);
  EXPECT_TRUE(reconsidered_.empty());
  run_for(10s);
  EXPECT_EQ(way(), "relayed");
}

TEST_F(WatchedWorld, LossOfOneInTwentyChangesNothingInHalfADay) {
  SeededRandom dice{7};
  lost_ = [&](const Packet&) { return dice.below(20) == 0; };
  for (int hour = 0; hour < 12; ++hour) {
    sent_.clear();
    run_for(1h);
  }
  EXPECT_EQ(way(), "direct");
  EXPECT_TRUE(reconsidered_.empty());
}

TEST_F(WatchedWorld, BusyPathThatLosesItsChecksIsBelievedByItsData) {
  lost_ = is_direct;
  for (int i = 0; i < 60 && gateway_.nominated(); ++i) {
    run_for(250ms);
    // The owner tells when asked.
    if (gateway_.is_doubting())
      gateway_.on_data(gateway_.nominated()->local, gateway_.nominated()->remote, now_);
  }
  EXPECT_TRUE(reconsidered_.empty());
}

TEST_F(WatchedWorld, NothingIsWatchedWhileIdle) {
  client_.set_profile(kClientIdle, now_);
  gateway_.set_profile(kServerIdle, now_);
  lost_ = is_direct;
  run_for(80s);
  EXPECT_TRUE(reconsidered_.empty());
  EXPECT_TRUE(unheard_.empty());
}

TEST_F(WatchedWorld, WakingUpRaisesNoDoubt) {
  client_.set_profile(kClientIdle, now_);
  gateway_.set_profile(kServerIdle, now_);
  run_for(100s);
  client_.set_profile(kClientDefault, now_);
  gateway_.set_profile(kServerDefault, now_);
  run_for(20s);
  EXPECT_TRUE(reconsidered_.empty());
  EXPECT_TRUE(unheard_.empty());
  EXPECT_EQ(way(), "direct");
}

TEST_F(WatchedWorld, PathInDoubtIsAskedFourTimesAndOthersHaveToAnswerToo) {
  lost_ = [](const Packet& packet) { return is_direct(packet) || !packet.to_gateway; };
  const auto used = gateway_.nominated()->remote;
  sent_.clear();
  run_for(10s);
  const auto asked = std::count_if(sent_.begin(), sent_.end(), [&](const Sent& sent) {
    return sent.by_gateway && sent.is_check && sent.remote == used;
  });
  EXPECT_GE(asked, 4);
  EXPECT_LE(asked, 6);
  EXPECT_TRUE(reconsidered_.empty()) << "nobody hears us: no path is better";
}

TEST_F(WatchedWorld, PeerThatIsNotHeardAtAllIsReportedAgainAndAgain) {
  const auto cut = now_;
  lost_ = [](const Packet&) { return true; };
  run_for(42s);
  ASSERT_EQ(unheard_.size(), kUnheardOften + 2);
  EXPECT_GE(unheard_[0] - cut, kUnheardAfter - 1500ms);
  EXPECT_LE(unheard_[0] - cut, kUnheardAfter);
  for (std::size_t i = 1; i < unheard_.size(); ++i) {
    EXPECT_EQ(unheard_[i] - unheard_[i - 1], i < kUnheardOften ? kUnheardAgain : kUnheardRarely);
  }
}

TEST_F(WatchedWorld, LostBaseThatIsReplacedIsNotAnnouncedAgain) {
  lost_ = is_direct;
  run_for(10s);
  ASSERT_EQ(reconsidered_.size(), 1U);
  (void)gateway_.remove_local(gateway_host_, now_);
  run_for(31s);
  ASSERT_EQ(reconsidered_.size(), 2U);
  EXPECT_EQ(addresses(1), std::vector<std::string>{gateway_host6_.to_string()});
}

}  // namespace
}  // namespace fg::ice::testing
