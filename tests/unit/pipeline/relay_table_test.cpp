#include "pipeline/relay_table.h"

#include <gtest/gtest.h>

namespace fg::pipeline {
namespace {

const SocketAddress kServer{IpAddress::v4(192, 0, 2, 1), 3478};
const SocketAddress kOther{IpAddress::v4(192, 0, 2, 2), 3478};

TEST(RelayTable, FindsARelayByItsWholeServerSocket) {
  RelayTable table;
  table.set_server(RelaySlot{1}, kServer);
  table.set_server(RelaySlot{2}, kOther);
  ASSERT_NE(table.find(kOther), nullptr);
  EXPECT_EQ(table.find(kOther)->slot(), RelaySlot{2});
  EXPECT_EQ(table.find({kServer.ip, 3479}), nullptr);
  table.set_server(RelaySlot{2}, std::nullopt);
  EXPECT_EQ(table.find(kOther), nullptr);
}

TEST(RelayTable, TheChannelRangeEndsWhereTheSpecificationSays) {
  RelayTable table;
  table.set_server(RelaySlot{1}, kServer);
  for (const auto channel : {0x3FFF, 0x4000, 0x4FFF, 0x5000}) {
    table.set_channel(RelaySlot{1}, ChannelNumber{static_cast<std::uint16_t>(channel)}, true);
  }
  auto* relay = table.find(kServer);
  EXPECT_TRUE(relay->is_usable(ChannelNumber{0x4000}));
  EXPECT_TRUE(relay->is_usable(ChannelNumber{0x4FFF}));
  EXPECT_FALSE(relay->is_usable(ChannelNumber{0x4001}));
  EXPECT_FALSE(relay->is_usable(ChannelNumber{0x3FFF}));
  EXPECT_FALSE(relay->is_usable(ChannelNumber{0x5000}));
}

TEST(RelayTable, AnotherServerSocketForgetsTheChannelsAndTheSameOneDoesNot) {
  RelayTable table;
  table.set_server(RelaySlot{1}, kServer);
  table.set_channel(RelaySlot{1}, ChannelNumber{0x4000}, true);
  table.set_server(RelaySlot{1}, kServer);
  EXPECT_TRUE(table.find(kServer)->is_usable(ChannelNumber{0x4000}));
  table.set_server(RelaySlot{1}, kOther);
  EXPECT_EQ(table.find(kServer), nullptr);
  EXPECT_FALSE(table.find(kOther)->is_usable(ChannelNumber{0x4000}));
}

TEST(RelayTable, ActivityIsReportedOnceInFiveSecondsAChannelAndFourTimesASecondARelay) {
  RelayTable table;
  table.set_server(RelaySlot{1}, kServer);
  const ChannelNumber channel{0x4000};
  table.set_channel(RelaySlot{1}, channel, true);
  auto* relay = table.find(kServer);
  const auto now = Instant{1h};
  const ChannelNumber other{0x4001};
  EXPECT_TRUE(relay->mark_active(channel, now));
  EXPECT_TRUE(relay->mark_active(other, now)) << "not named before";
  EXPECT_FALSE(relay->mark_active(channel, now + 250ms - 1ns));
  EXPECT_FALSE(relay->mark_active(other, now + 250ms - 1ns));
  EXPECT_TRUE(relay->mark_active(channel, now + 250ms));
  EXPECT_FALSE(relay->mark_active(other, now + 250ms));
  for (auto at = now + 500ms; at < now + 5s; at += 250ms)
    EXPECT_TRUE(relay->mark_active(channel, at));
  EXPECT_TRUE(relay->mark_active(other, now + 5s)) << "five seconds unnamed";
}

}  // namespace
}  // namespace fg::pipeline
