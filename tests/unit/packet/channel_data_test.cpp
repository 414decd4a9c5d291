#include "packet/channel_data.h"

#include <gtest/gtest.h>

namespace fg::packet {
namespace {

TEST(ChannelData, RoundTrips) {
  ByteVector bytes(4 + 3, 0xAB);
  write_channel_header(bytes.data(), ChannelNumber{0x4001}, 3);
  const auto parsed = ChannelData::parse(bytes);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->channel, ChannelNumber{0x4001});
  EXPECT_EQ(parsed->payload.size(), 3U);
  EXPECT_EQ(parsed->payload[0], 0xAB);
}

TEST(ChannelData, NeedsAnExactLength) {
  for (unsigned declared = 0; declared < 8; ++declared) {
    ByteVector bytes = {0x40, 0x00, 0, static_cast<std::uint8_t>(declared), 1, 2, 3};
    EXPECT_EQ(ChannelData::parse(bytes).has_value(), declared == 3);
  }
  EXPECT_TRUE(ChannelData::parse(ByteVector{0x40, 0x00, 0, 0}));
  EXPECT_FALSE(ChannelData::parse(ByteVector{0x40, 0x00, 0}));
  EXPECT_FALSE(ChannelData::parse({}));
}

TEST(ChannelData, AcceptsTheReceivableChannelNumbersOnly) {
  for (unsigned channel = 0; channel < 65536; ++channel) {
    const ByteVector bytes = {static_cast<std::uint8_t>(channel >> 8),
                              static_cast<std::uint8_t>(channel), 0, 0};
    ASSERT_EQ(ChannelData::parse(bytes).has_value(), channel >= 0x4000 && channel <= 0x7FFF)
        << channel;
  }
}

}  // namespace
}  // namespace fg::packet
