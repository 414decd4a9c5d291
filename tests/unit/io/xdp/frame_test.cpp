#include "io/xdp/frame.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::io::xdp {
namespace {

using test::counting;

ByteVector framed(const ByteVector& packet, const std::vector<std::uint16_t>& tags = {}) {
  ByteVector out(12, 0x02);
  const auto put = [&out](std::uint16_t v) {
    out.push_back(static_cast<std::uint8_t>(v >> 8));
    out.push_back(static_cast<std::uint8_t>(v));
  };
  for (const auto tag : tags) {
    put(tag);
    put(100);
  }
  put(packet[0] >> 4 == 4 ? 0x0800 : 0x86DD);
  out.insert(out.end(), packet.begin(), packet.end());
  return out;
}

test::PacketBuilder v4() {
  return test::udp().from("192.0.2.7", 4500).to("198.51.100.10", 52625).payload_size(100);
}
test::PacketBuilder v6() {
  return test::udp().from("2001:db8::7", 4500).to("2001:db8::10", 52625).payload_size(100);
}

TEST(Frame, ADatagramOfEitherFamilyIsFoundWithItsAddresses) {
  auto frame = framed(v4().ecn(3).build());
  auto got = parse_frame(frame);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->from, (SocketAddress{test::ip("192.0.2.7"), 4500}));
  EXPECT_EQ(got->local, (SocketAddress{test::ip("198.51.100.10"), 52625}));
  EXPECT_EQ(got->ecn, 3);
  EXPECT_EQ(got->segment, 100);
  EXPECT_EQ(copy_of(got->bytes), counting(100));
  EXPECT_EQ(got->bytes.data(), frame.data() + 14 + 20 + 8) << "not in place";

  frame = framed(v6().ecn(1).build());
  got = parse_frame(frame);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->from, (SocketAddress{test::ip("2001:db8::7"), 4500}));
  EXPECT_EQ(got->local, (SocketAddress{test::ip("2001:db8::10"), 52625}));
  EXPECT_EQ(got->ecn, 1);
  EXPECT_EQ(copy_of(got->bytes), counting(100));
}

TEST(Frame, TwoVlanTagsAreSkippedAndAThirdIsNot) {
  for (const auto& packet : {v4().build(), v6().build()}) {
    auto one = framed(packet, {0x8100});
    auto two = framed(packet, {0x88A8, 0x8100});
    auto three = framed(packet, {0x88A8, 0x8100, 0x8100});
    EXPECT_TRUE(parse_frame(one));
    EXPECT_TRUE(parse_frame(two));
    EXPECT_FALSE(parse_frame(three));
  }
}

TEST(Frame, PaddingBehindAShortDatagramIsNoPartOfIt) {
  auto frame = framed(v4().payload_size(4).build());
  frame.resize(60);
  const auto got = parse_frame(frame);
  ASSERT_TRUE(got);
  EXPECT_EQ(copy_of(got->bytes), counting(4));
}

TEST(Frame, WhatTheProgramLeavesToTheKernelIsRefused) {
  const std::vector<ByteVector> packets = {
      v4().payload(ByteVector{}).build(),
      v4().ip_options(ByteVector(4, 1)).build(),
      v4().more_fragments().build(),
      v4().fragment_offset(7).build(),
      v6().extension(0).build(),
      v6().fragment_header(0, false).build(),
      test::tcp().from("192.0.2.7", 1).to("198.51.100.10", 52625).build(),
  };
  for (const auto& packet : packets) {
    auto frame = framed(packet);
    EXPECT_FALSE(parse_frame(frame)) << test::describe(packet);
  }
}

TEST(Frame, NoLengthLeadsOutOfTheFrame) {
  for (const auto& packet : {v4().build(), v6().build()}) {
    const auto whole = framed(packet);
    for (std::size_t n = 0; n < whole.size(); ++n) {
      auto cut = ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
      EXPECT_FALSE(parse_frame(cut)) << n;
    }
  }
  // The UDP header claims more, or less than itself.
  for (const auto length : std::to_array<std::uint8_t>({0, 7, 8, 109, 255})) {
    auto frame = framed(v4().build());
    frame[14 + 20 + 5] = length;
    EXPECT_FALSE(parse_frame(frame)) << static_cast<int>(length);
  }
}

}  // namespace
}  // namespace fg::io::xdp
