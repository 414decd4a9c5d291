#include "packet/demux.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::packet {
namespace {

ByteVector with_prefix(std::initializer_list<std::uint8_t> prefix, std::size_t size) {
  ByteVector out(prefix);
  out.resize(size);
  return out;
}

TEST(Demux, TellsWireguardByTypeReservedBytesAndSize) {
  const std::pair<std::uint8_t, std::size_t> exact[] = {{1, 148}, {2, 92}, {3, 64}};
  const DatagramKind kinds[] = {DatagramKind::wireguard_initiation,
                                DatagramKind::wireguard_response, DatagramKind::wireguard_cookie};
  for (std::size_t i = 0; i < 3; ++i) {
    const auto [type, size] = exact[i];
    for (std::size_t n = 0; n < 200; ++n) {
      EXPECT_EQ(classify(with_prefix({type, 0, 0, 0}, n)),
                n == size ? kinds[i] : DatagramKind::unknown)
          << n;
    }
    for (std::size_t at = 1; at < 4; ++at) {
      auto bytes = with_prefix({type, 0, 0, 0}, size);
      bytes[at] = 1;
      EXPECT_EQ(classify(bytes), DatagramKind::unknown);
    }
  }
  EXPECT_EQ(classify(with_prefix({4, 0, 0, 0}, 31)), DatagramKind::unknown);
  EXPECT_EQ(classify(with_prefix({4, 0, 0, 0}, 32)), DatagramKind::wireguard_data);
  EXPECT_EQ(classify(with_prefix({4, 0, 0, 0}, 1316)), DatagramKind::wireguard_data);
  EXPECT_EQ(classify(with_prefix({4, 0, 0, 1}, 64)), DatagramKind::unknown);
}

TEST(Demux, TellsStunByItsCookie) {
  const auto stun = with_prefix({0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}, 20);
  EXPECT_EQ(classify(stun), DatagramKind::stun);
  for (std::size_t n = 0; n < 20; ++n)
    EXPECT_EQ(classify(Bytes{stun}.first(n)), DatagramKind::unknown);
  for (std::size_t at = 4; at < 8; ++at) {
    auto wrong = stun;
    wrong[at] ^= 1;
    EXPECT_EQ(classify(wrong), DatagramKind::unknown);
  }
}

TEST(Demux, ASenderIndexThatEqualsTheCookieIsStillWireguard) {
  EXPECT_EQ(classify(with_prefix({1, 0, 0, 0, 0x21, 0x12, 0xA4, 0x42}, 148)),
            DatagramKind::wireguard_initiation);
  EXPECT_EQ(classify(with_prefix({2, 0, 0, 0, 0x21, 0x12, 0xA4, 0x42}, 92)),
            DatagramKind::wireguard_response);
  EXPECT_EQ(classify(with_prefix({3, 0, 0, 0, 0x21, 0x12, 0xA4, 0x42}, 64)),
            DatagramKind::wireguard_cookie);
  EXPECT_EQ(classify(with_prefix({4, 0, 0, 0, 0x21, 0x12, 0xA4, 0x42}, 32)),
            DatagramKind::wireguard_data);
  EXPECT_EQ(classify(with_prefix({1, 0, 0, 0, 0x21, 0x12, 0xA4, 0x42}, 20)), DatagramKind::stun);
}

TEST(Demux, TellsChannelDataByAnExactLength) {
  auto bytes = with_prefix({0x40, 0x01, 0, 32}, 36);
  EXPECT_EQ(classify(bytes), DatagramKind::channel_data);
  bytes[3] = 31;
  EXPECT_EQ(classify(bytes), DatagramKind::unknown);
  bytes[3] = 33;
  EXPECT_EQ(classify(bytes), DatagramKind::unknown);
  EXPECT_EQ(classify(with_prefix({0x4F, 0xFF, 0, 0}, 4)), DatagramKind::channel_data);
  EXPECT_EQ(classify(with_prefix({0x50, 0x00, 0, 0}, 4)), DatagramKind::unknown);
}

TEST(Demux, ShortDatagramsAreUnknown) {
  for (const std::size_t n : std::to_array<std::size_t>({0, 1, 3, 4, 19, 31})) {
    EXPECT_EQ(classify(ByteVector(n, 0x04)), DatagramKind::unknown);
    EXPECT_EQ(classify(with_prefix({4, 0, 0, 0}, n)), DatagramKind::unknown) << n;
  }
}

// Over every two-byte prefix: the rest is zero, a STUN body, a channel-data body or a WireGuard
// body.
TEST(Demux, EveryTwoBytePrefixHasTheKindTheSpecGivesIt) {
  for (unsigned prefix = 0; prefix < 65536; ++prefix) {
    const auto a = static_cast<std::uint8_t>(prefix >> 8);
    const auto b = static_cast<std::uint8_t>(prefix);

    ASSERT_EQ(classify(with_prefix({a, b, 0, 0, 0x21, 0x12, 0xA4, 0x42}, 20)),
              a < 0x40 ? DatagramKind::stun : DatagramKind::unknown);
    ASSERT_EQ(classify(with_prefix({a, b, 0, 60}, 64)),
              a >= 0x40 && a < 0x50 ? DatagramKind::channel_data : DatagramKind::unknown);
    const auto at_size = [&](std::size_t size) {
      return classify(with_prefix({a, b, 0, 0}, size));
    };
    ASSERT_EQ(at_size(148), prefix == 0x0100   ? DatagramKind::wireguard_initiation
                            : prefix == 0x0400 ? DatagramKind::wireguard_data
                                               : DatagramKind::unknown);
    ASSERT_EQ(at_size(92), prefix == 0x0200   ? DatagramKind::wireguard_response
                           : prefix == 0x0400 ? DatagramKind::wireguard_data
                                              : DatagramKind::unknown);
    ASSERT_EQ(at_size(64), prefix == 0x0300   ? DatagramKind::wireguard_cookie
                           : prefix == 0x0400 ? DatagramKind::wireguard_data
                                              : DatagramKind::unknown);
  }
}

TEST(DataMessage, ReadsLittleEndianFields) {
  ByteVector bytes = {4, 0, 0, 0, 0x78, 0x56, 0x34, 0x12, 8, 7, 6, 5, 4, 3, 2, 1};
  bytes.resize(32, 0xEE);
  const auto message = DataMessage::parse(bytes);
  ASSERT_TRUE(message);
  EXPECT_EQ(static_cast<std::uint32_t>(message->receiver), 0x12345678U);
  EXPECT_EQ(message->counter, 0x0102030405060708U);
  EXPECT_EQ(message->sealed.size(), 16U);
  ByteVector written(16);
  write_data_header(written.data(), 0x12345678, 0x0102030405060708);
  EXPECT_TRUE(equal(written, Bytes{bytes}.first(16)));
  EXPECT_FALSE(DataMessage::parse(Bytes{bytes}.first(31)));
  bytes[2] = 1;
  EXPECT_FALSE(DataMessage::parse(bytes));
}

}  // namespace
}  // namespace fg::packet
