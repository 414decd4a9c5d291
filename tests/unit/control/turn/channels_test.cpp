#include "control/turn/channels.h"

#include <gtest/gtest.h>

namespace fg::turn {
namespace {

// Numbers and times are typed again from spec connectivity 3.8.
constexpr Instant kStart{Duration{5'000'000'000'000}};
constexpr std::size_t kNumbers = 4096;

SocketAddress peer(std::uint32_t n) {
  return {.ip = IpAddress::v4(192, 0, static_cast<std::uint8_t>(n >> 16),
                              static_cast<std::uint8_t>(n >> 8)),
          .port = static_cast<std::uint16_t>(n & 0xFF)};
}

ChannelNumber bound(Channels& channels, std::uint32_t n, Instant now) {
  const auto number = channels.bind(peer(n), now).value();
  channels.confirm(number, now);
  return number;
}

TEST(TurnChannels, NumbersStartAt4000AndGoUp) {
  Channels c;
  EXPECT_EQ(c.bind(peer(1), kStart), ChannelNumber{0x4000});
  EXPECT_EQ(c.bind(peer(2), kStart), ChannelNumber{0x4001});
}

TEST(TurnChannels, AllOf4000To4FFFAreUsedAndNoMore) {
  Channels c;
  for (std::uint32_t n = 0; n < kNumbers; ++n) {
    const auto number = c.bind(peer(n), kStart);
    ASSERT_TRUE(number);
    ASSERT_EQ(fg::number(*number), 0x4000 + n);
  }
  EXPECT_FALSE(c.bind(peer(kNumbers), kStart));
  c.remove(ChannelNumber{0x4123});
  EXPECT_EQ(c.bind(peer(kNumbers), kStart), ChannelNumber{0x4123});
}

TEST(TurnChannels, NumberingWrapsAround) {
  Channels c;
  for (std::uint32_t n = 0; n < kNumbers; ++n) c.remove(c.bind(peer(n), kStart).value());
  EXPECT_EQ(c.bind(peer(1), kStart), ChannelNumber{0x4000});
}

TEST(TurnChannels, ClearForgetsChannelsButNotTheNumbering) {
  Channels c;
  bound(c, 1, kStart);
  bound(c, 2, kStart);
  c.clear();
  EXPECT_FALSE(c.usable_for(peer(1), kStart));
  EXPECT_FALSE(c.next());
  EXPECT_EQ(c.bind(peer(1), kStart), ChannelNumber{0x4002});
}

TEST(TurnChannels, PendingSendsAndConfirmedAlsoReceives) {
  Channels c;
  const auto number = c.bind(peer(1), kStart).value();
  EXPECT_EQ(c.usable_for(peer(1), kStart), number);
  EXPECT_FALSE(c.peer_of(number, kStart));
  c.confirm(number, kStart);
  EXPECT_EQ(c.usable_for(peer(1), kStart), number);
  EXPECT_EQ(c.peer_of(number, kStart), peer(1));
  EXPECT_FALSE(c.peer_of(ChannelNumber{0x4001}, kStart));
}

TEST(TurnChannels, BothEndAfterTenMinutes) {
  Channels c;
  const auto pending = c.bind(peer(1), kStart).value();
  const auto confirmed = bound(c, 2, kStart);
  EXPECT_TRUE(c.usable_for(peer(1), kStart + 10min - 1ns));
  EXPECT_TRUE(c.peer_of(confirmed, kStart + 10min - 1ns));
  EXPECT_FALSE(c.usable_for(peer(1), kStart + 10min));
  EXPECT_FALSE(c.peer_of(confirmed, kStart + 10min));
  EXPECT_TRUE(c.advance(kStart + 10min - 1ns).expired.empty());
  const auto changes = c.advance(kStart + 10min);
  ASSERT_EQ(changes.expired.size(), 2U);
  EXPECT_EQ(changes.expired[0].number, pending);
  EXPECT_TRUE(c.advance(kStart + 11min).expired.empty());
  EXPECT_FALSE(c.next());
}

TEST(TurnChannels, ConfirmationStartsTheTenMinutes) {
  Channels c;
  const auto number = c.bind(peer(1), kStart).value();
  c.confirm(number, kStart + 8s);
  EXPECT_TRUE(c.peer_of(number, kStart + 10min + 7s));
  EXPECT_FALSE(c.peer_of(number, kStart + 10min + 8s));
}

// spec connectivity 9.3 row 16
TEST(TurnChannels, SamePeerGetsItsNumberBackWithinFifteenMinutes) {
  Channels c;
  const auto number = bound(c, 1, kStart);
  c.advance(kStart + 10min);
  EXPECT_EQ(c.bind(peer(1), kStart + 12min), number);
  EXPECT_FALSE(c.peer_of(number, kStart + 12min));
  c.confirm(number, kStart + 12min);
  EXPECT_TRUE(c.peer_of(number, kStart + 21min));
}

TEST(TurnChannels, SamePeerGetsAnotherNumberAfterFifteenMinutes) {
  Channels c;
  const auto number = bound(c, 1, kStart);
  c.advance(kStart + 10min);
  const auto next = c.bind(peer(1), kStart + 15min).value();
  EXPECT_NE(next, number);
  EXPECT_EQ(c.usable_for(peer(1), kStart + 15min), next);
}

// spec connectivity 9.3 row 17
TEST(TurnChannels, AnotherPeerGetsANumberOnlyAfterFifteenMinutes) {
  Channels c;
  for (std::uint32_t n = 0; n < kNumbers; ++n) bound(c, n, kStart);
  c.advance(kStart + 10min);
  EXPECT_FALSE(c.bind(peer(5000), kStart + 15min - 1ns));
  EXPECT_EQ(c.bind(peer(5000), kStart + 15min), ChannelNumber{0x4000});
  EXPECT_FALSE(c.find(peer(0)));
}

TEST(TurnChannels, NumberWithLateDataIsSkippedForAnotherPeer) {
  Channels c;
  for (std::uint32_t n = 0; n < kNumbers; ++n) bound(c, n, kStart);
  c.received(ChannelNumber{0x4000}, kStart + 9min);
  c.advance(kStart + 10min);
  EXPECT_EQ(c.bind(peer(5000), kStart + 15min), ChannelNumber{0x4001});
}

// spec connectivity 9.3 row 18
TEST(TurnChannels, RenewalIsDueAfterFiveMinutesWithDataOnly) {
  Channels c;
  const auto used = bound(c, 1, kStart);
  bound(c, 2, kStart);
  c.received(used, kStart + 1s);
  EXPECT_EQ(c.next(), kStart + 5min);
  EXPECT_TRUE(c.advance(kStart + 5min - 1ns).renew.empty());
  const auto changes = c.advance(kStart + 5min);
  ASSERT_EQ(changes.renew.size(), 1U);
  EXPECT_EQ(changes.renew[0].number, used);
  EXPECT_TRUE(c.advance(kStart + 6min).renew.empty()) << "one is in flight";
  c.confirm(used, kStart + 6min);
  EXPECT_TRUE(c.advance(kStart + 11min).renew.empty()) << "no data since";
  c.received(used, kStart + 12min);
  EXPECT_EQ(c.advance(kStart + 12min).renew.size(), 1U);
}

TEST(TurnChannels, DataAfterFiveMinutesMakesRenewalDueAtOnce) {
  Channels c;
  const auto used = bound(c, 1, kStart);
  EXPECT_EQ(c.next(), kStart + 10min);
  c.received(used, kStart + 7min);
  EXPECT_LE(*c.next(), kStart + 7min);
  EXPECT_EQ(c.advance(kStart + 7min).renew.size(), 1U);
  EXPECT_EQ(c.next(), kStart + 10min);
}

TEST(TurnChannels, DataOnPendingOrUnknownChannelsChangesNothing) {
  Channels c;
  const auto number = c.bind(peer(1), kStart).value();
  c.received(number, kStart + 1s);
  c.received(ChannelNumber{0x4FFF}, kStart + 1s);
  c.confirm(ChannelNumber{0x4FFF}, kStart + 1s);
  EXPECT_EQ(c.find(number)->last_received, kStart);
  EXPECT_EQ(c.live().size(), 1U);
}

TEST(TurnChannels, LiveListsPendingAndConfirmed) {
  Channels c;
  bound(c, 1, kStart);
  c.advance(kStart + 10min);
  bound(c, 2, kStart + 10min);
  (void)c.bind(peer(3), kStart + 10min);
  EXPECT_EQ(c.live().size(), 2U);
}

}  // namespace
}  // namespace fg::turn
