// What the controller does about relays that fail: others, again, and never too often.
#include <gtest/gtest.h>

#include "control/controller/controller.h"
#include "tests/unit/control/controller/world.h"

namespace fg {
namespace {

using test::at;
using test::ip;
using test::kClient;
using test::World;

const RelayId kSecondRelay = *RelayId::parse("b6d8e2f1-7093-4c5a-9e14-2f80a5d7c361");
constexpr const char* kSrflx =
    "candidate:1 1 udp 1686109951 192.0.2.44 40000 typ srflx raddr 0.0.0.0 rport 0";

void init_with_both(World& world) {
  portal::Init message{ip("100.71.20.9"),
                       ip("fd00:2021:1111::9:14"),
                       {world.relay.entry(world.relay_id), world.second.entry(kSecondRelay)},
                       std::nullopt,
                       std::nullopt};
  message.authorizations.emplace();
  world.portal_says(std::move(message));
}

void connect(World& world) {
  world.portal_says(test::authorization());
  world.portal_says(portal::IceCandidates{kClient, {kSrflx}, false});
}

// The candidates the client was told, additions and withdrawals of relayed ones at that relay.
bool was_told(const World& world, const test::FakeRelay& relay, bool invalidated) {
  const auto text = " " + relay.v4.ip.to_string() + " 50000 typ relay";
  for (const auto* message : world.all_said<portal::BroadcastCandidates>()) {
    for (const auto& line : message->candidates) {
      if (message->invalidated == invalidated && line.find(text) != std::string::npos) return true;
    }
  }
  return false;
}

TEST(ControllerRelays, GivenUpOnesAreTriedAgainByThemselvesEverLessOften) {
  for (const auto generation :
       {portal::Generation::a, portal::Generation::b, portal::Generation::c}) {
    World world;
    world.controller.on_portal_joined(generation);
    world.relay.is_silent = true;
    world.init();
    world.advance(1h);
    EXPECT_EQ(world.controller.summary().relays, 0U);
    EXPECT_GT(world.relay.asked, 8U * 10) << "two sockets, four sends, every four minutes";
    EXPECT_LT(world.relay.asked, 8U * 26);
    EXPECT_LT(world.all_said<portal::NoRelays>().size(), 26U);
    world.relay.is_silent = false;
    world.advance(4min);
    EXPECT_EQ(world.controller.summary().relays_answering, 1U);
  }
}

TEST(ControllerRelays, TheFirstNewAttemptComesAfterASecondAlsoLongAfterAnEarlierOutage) {
  World world;
  world.init();
  for (int outage = 0; outage < 5; ++outage) {
    world.relay.is_silent = true;
    world.advance(40s);
    world.relay.is_silent = false;
    world.advance(10min);
    world.relay.is_silent = true;
    while (world.controller.summary().relays != 0) world.advance(100ms);
    world.relay.is_silent = false;
    world.advance(1500ms);
    EXPECT_EQ(world.controller.summary().relays_answering, 1U) << outage;
    world.advance(10min);
  }
}

// A portal that is told so names the same relay again at once.
TEST(ControllerRelays, ThatNoneIsLeftIsSaidOnceASecondAtMost) {
  World world;
  world.relay.refuses_credentials = true;
  world.init();
  std::size_t answered = 0;
  const auto answer = [&] {
    while (answered < world.all_said<portal::NoRelays>().size() && answered < 1000) {
      ++answered;
      world.portal_says(portal::RelaysPresence{{}, {world.relay.entry(world.relay_id)}});
    }
  };
  answer();
  EXPECT_EQ(answered, 1U) << "the first time without delay";
  for (int i = 0; i < 600; ++i) {
    world.advance(100ms);
    answer();
  }
  EXPECT_LE(answered, 61U);
  EXPECT_LE(world.relay.asked, 61U * 8);
  world.relay.refuses_credentials = false;
  world.advance(2s);
  EXPECT_EQ(world.controller.summary().relays_answering, 1U);
}

TEST(ControllerRelays, OneThatThePortalTookBackIsNotTriedAgain) {
  World world;
  world.init();
  world.portal_says(portal::RelaysPresence{{world.relay_id}, {}});
  world.advance(1s);
  const auto asked = world.relay.asked;
  world.advance(1h);
  EXPECT_EQ(world.relay.asked, asked);
}

// While the portal was away, so that it never took the old one back.
TEST(ControllerRelays, OneThatRestartedUnderAnotherIdIsNotAskedByItsOldNameAgain) {
  World world;
  world.relay.is_silent = true;
  world.init();
  world.advance(9s);
  EXPECT_EQ(world.controller.summary().relays, 0U);
  world.relay.is_silent = false;
  portal::RelaysPresence presence;
  presence.connected = {world.relay.entry(kSecondRelay)};
  world.portal_says(std::move(presence));
  world.advance(5min);
  EXPECT_EQ(world.controller.summary().relays, 1U);
}

TEST(ControllerRelays, OneThatInitNoLongerNamesIsNotTriedAgain) {
  World world;
  world.relay.is_silent = true;
  world.init();
  world.advance(9s);
  portal::Init message{ip("100.71.20.9"),
                       ip("fd00:2021:1111::9:14"),
                       {world.second.entry(kSecondRelay)},
                       std::nullopt,
                       std::nullopt};
  world.portal_says(std::move(message));
  const auto asked = world.relay.asked;
  world.advance(10min);
  EXPECT_EQ(world.relay.asked, asked);
  EXPECT_EQ(world.controller.summary().relays_answering, 1U);
}

TEST(ControllerRelays, AConnectionDoesNotStayWithARelayThatAllocatesNothing) {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {  // whichever is drawn
    World world{seed};
    world.relay.is_full = true;
    init_with_both(world);
    connect(world);
    world.advance(1s);
    EXPECT_TRUE(was_told(world, world.second, false)) << seed;
    EXPECT_FALSE(world.second.channels.empty()) << "what the client signalled is bound there";
    EXPECT_TRUE(world.relay.channels.empty());
    world.advance(10min);
    EXPECT_LT(world.relay.asked, 80U);
  }
}

TEST(ControllerRelays, OneThatFallsSilentIsLeftAndTheClientTold) {
  World world;
  init_with_both(world);
  connect(world);
  world.advance(10s);
  const bool first = !world.relay.channels.empty();
  auto& own = first ? world.relay : world.second;
  auto& other = first ? world.second : world.relay;
  ASSERT_FALSE(own.channels.empty());
  const auto number = own.channels.begin()->first;
  for (std::uint8_t slot = 0; slot < 2; ++slot)
    world.controller.on_event(pipeline::ChannelActivity{RelaySlot{slot}, ChannelNumber{number}},
                              world.now, world.wall());
  world.settle();
  own.is_silent = true;
  world.said.clear();
  world.advance(1400ms);
  EXPECT_TRUE(was_told(world, own, true));
  EXPECT_TRUE(was_told(world, other, false));
  EXPECT_FALSE(other.channels.empty());
}

}  // namespace
}  // namespace fg
