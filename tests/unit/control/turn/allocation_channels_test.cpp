#include "control/turn/allocation.h"

#include <gtest/gtest.h>

#include "tests/unit/control/turn/harness.h"

namespace fg::turn {
namespace {

using stun::Method;

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
    c.now += kRefusalPause;
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

TEST(TurnAllocation, APeerRefusedTwiceInASecondIsLeftAloneForAnother) {
  Client c;
  c.allocate();
  const auto refused = addr("192.0.2.1:1");
  for (int i = 0; i < 2; ++i) {
    c.ask(refused);
    c.refuse(c.last(Method::channel_bind), error(403));
  }
  EXPECT_EQ(c.count(Method::channel_bind), 2U) << "the first time it is asked again at once";
  c.ask(refused);
  EXPECT_EQ(c.count(Method::channel_bind), 2U);
  c.ask(addr("192.0.2.2:1"));
  EXPECT_EQ(c.count(Method::channel_bind), 3U) << "others are not";
  c.now += kRefusalPause;
  c.ask(refused);
  EXPECT_EQ(c.count(Method::channel_bind), 4U);
}

TEST(TurnAllocation, OfPeersRefusedTheOldestIsForgotten) {
  Client c;
  c.allocate();
  const auto peer = [](std::size_t i) {
    return SocketAddress{IpAddress::v4(192, 0, 2, 1), static_cast<std::uint16_t>(i + 1)};
  };
  for (int times = 0; times < 2; ++times) {
    for (std::size_t i = 0; i < kRefusalsMax; ++i) {
      c.ask(peer(i));
      c.refuse(c.last(Method::channel_bind), error(403));
    }
  }
  c.ask(peer(kRefusalsMax));
  c.refuse(c.last(Method::channel_bind), error(403));
  const auto before = c.count(Method::channel_bind);
  c.ask(peer(1));
  EXPECT_EQ(c.count(Method::channel_bind), before);
  c.ask(peer(0));
  EXPECT_EQ(c.count(Method::channel_bind), before + 1);
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
      c.stay_until(std::min<Duration>(c.now - kStart + 20s, until));
      c.data(used);
    }
  };
  hold_off_keepalive(299s);
  EXPECT_EQ(c.count(Method::channel_bind), 2U);
  c.stay_until(300s);
  ASSERT_EQ(c.count(Method::channel_bind), 3U);
  EXPECT_EQ(c.last(Method::channel_bind).message().channel_number(), number(used));
  EXPECT_EQ(c.last(Method::channel_bind).message().xor_peer_address(), addr("192.0.2.1:1"));
  c.events.clear();
  c.succeed(c.last(Method::channel_bind));
  EXPECT_TRUE(c.events.empty());  // nothing changed for anybody
  hold_off_keepalive(599s);
  EXPECT_TRUE(c.allocation.peer_of(unused, c.now));
  c.stay_until(600s);
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

}  // namespace
}  // namespace fg::turn
