#include "packet/segment.h"

#include <gtest/gtest.h>

#include "packet/checksum.h"
#include "tests/support/packets.h"

namespace fg::packet {
namespace {

using test::tcp;
using test::udp;

constexpr std::uint8_t kTcpV4 = 1;
constexpr std::uint8_t kTcpV6 = 4;
constexpr std::uint8_t kUdpL4 = 5;

using Packets = std::vector<ByteVector>;

Packets split(const VnetHeader& header, const ByteVector& packet) {
  const auto parsed = InnerPacket::parse(packet, 65535);
  EXPECT_TRUE(parsed);
  const auto segments = Segments::of(header, *parsed);
  EXPECT_TRUE(segments);
  std::vector<ByteVector> out;
  for (std::size_t i = 0; segments && i < segments->count(); ++i) {
    ByteVector bytes(segments->size(i));
    EXPECT_EQ(segments->write(i, bytes.data()), bytes.size());
    out.push_back(std::move(bytes));
  }
  return out;
}
SegmentError refusal(const VnetHeader& header, const ByteVector& packet) {
  const auto parsed = InnerPacket::parse(packet, 65535);
  EXPECT_TRUE(parsed);
  const auto segments = Segments::of(header, *parsed);
  EXPECT_FALSE(segments);
  return segments.error();
}
VnetHeader gso(std::uint8_t type, std::uint16_t size, std::uint16_t start) {
  const std::uint16_t offset = type == kUdpL4 ? 6 : 16;
  return {.flags = 1,
          .gso_type = type,
          .header_length = 0,
          .gso_size = size,
          .checksum_start = start,
          .checksum_offset = offset};
}
ByteVector part(const ByteVector& whole, std::size_t at, std::size_t n) {
  return copy_of(Bytes{whole}.subspan(at, std::min(n, whole.size() - at)));
}

TEST(Segments, SplitsTcpOverIpv4) {
  const auto payload = test::counting(2500);
  const auto make = [] {
    return tcp().from("10.0.0.1", 80).to("100.64.0.1", 5000).tcp_options(ByteVector(12, 1)).ttl(9);
  };
  // CWR, PSH, FIN, ACK
  const auto pieces = split(gso(kTcpV4, 1000, 20), make()
                                                       .id(0xFFFF)
                                                       .sequence(0xFFFFFF00)
                                                       .flags(0x99)
                                                       .payload(payload)
                                                       .without_checksum()
                                                       .build());
  ASSERT_EQ(pieces.size(), 3U);
  EXPECT_EQ(
      pieces[0],
      make().id(0xFFFF).sequence(0xFFFFFF00).flags(0x90).payload(part(payload, 0, 1000)).build());
  EXPECT_EQ(pieces[1], make()
                           .id(0)
                           .sequence(0xFFFFFF00U + 1000)
                           .flags(0x10)
                           .payload(part(payload, 1000, 1000))
                           .build());
  EXPECT_EQ(pieces[2], make()
                           .id(1)
                           .sequence(0xFFFFFF00U + 2000)
                           .flags(0x19)
                           .payload(part(payload, 2000, 500))
                           .build());
}

TEST(Segments, SplitsTcpOverIpv6BehindExtensionHeaders) {
  const auto payload = test::counting(2000);
  const auto make = [] {
    return tcp().from("2001:db8::1", 80).to("fd00:2021:1111::1", 5000).extension(60);
  };
  const auto pieces =
      split(gso(kTcpV6 | 0x80, 1000, 48), make().flags(0x18).payload(payload).build());
  ASSERT_EQ(pieces.size(), 2U);
  EXPECT_EQ(pieces[0], make().payload(part(payload, 0, 1000)).build());
  EXPECT_EQ(pieces[1],
            make().flags(0x18).sequence(1001).payload(part(payload, 1000, 1000)).build());
}

TEST(Segments, SplitsUdpOfBothFamilies) {
  const auto payload = test::counting(64000);
  for (const bool v4 : {true, false}) {
    const auto make = [&](std::uint16_t id) {
      return udp()
          .from(v4 ? "10.0.0.1" : "2001:db8::1", 53)
          .to(v4 ? "100.64.0.1" : "fd00:2021:1111::1", 5000)
          .id(id);
    };
    const auto pieces = split(gso(kUdpL4, 1201, v4 ? 20 : 40), make(7).payload(payload).build());
    ASSERT_EQ(pieces.size(), 54U);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      ASSERT_EQ(
          pieces[i],
          make(static_cast<std::uint16_t>(7 + i)).payload(part(payload, i * 1201, 1201)).build())
          << i;
    }
  }
}

TEST(Segments, CompletesChecksumsThatWereNeverStarted) {
  auto header = gso(kUdpL4, 100, 20);
  header.flags = 0;
  header.checksum_start = header.checksum_offset = 0;
  const auto pieces = split(
      header,
      udp().from("10.0.0.1", 1).to("10.0.0.2", 2).payload_size(200).without_checksum().build());
  ASSERT_EQ(pieces.size(), 2U);
  for (const auto& piece : pieces) EXPECT_TRUE(test::has_right_checksums(piece));
}

TEST(Segments, APacketWithoutGsoIsCopied) {
  const auto packet =
      udp().from("10.0.0.1", 1).to("10.0.0.2", 2).payload("x").with_wrong_checksum().build();
  EXPECT_EQ(split({}, packet), (Packets{packet}));
}

TEST(Segments, FinishesThePartialChecksumOfASinglePacket) {
  for (const bool v4 : {true, false}) {
    const auto a = test::ip(v4 ? "10.0.0.1" : "2001:db8::1");
    const auto b = test::ip(v4 ? "10.0.0.2" : "2001:db8::2");
    const auto expected = udp().from(a, 1).to(b, 2).payload("odd").build();
    auto partial = expected;
    const std::size_t at = v4 ? 20 : 40;
    store_be16(partial.data() + at + 6,
               pseudo_header(a.bytes(), b.bytes(), 17, partial.size() - at));
    const VnetHeader header{
        .flags = 1, .checksum_start = static_cast<std::uint16_t>(at), .checksum_offset = 6};
    EXPECT_EQ(split(header, partial), (Packets{expected}));
  }
}

TEST(Segments, AUdpChecksumOfZeroIsSentAsAllOnes) {
  // The payload makes the sum come out as 0xFFFF.
  const auto a = test::ip("10.0.0.1");
  const auto b = test::ip("10.0.0.2");
  auto packet = udp().from(a, 0).to(b, 0).payload(ByteVector(2)).without_checksum().build();
  const auto rest = sum_of(Bytes{packet}.subspan(20));
  const auto pseudo = pseudo_header(a.bytes(), b.bytes(), 17, 10);
  store_be16(packet.data() + 28, static_cast<std::uint16_t>(~add(rest, pseudo)));
  const auto single = split(gso(kUdpL4, 100, 20), packet);
  ASSERT_EQ(single.size(), 1U);
  EXPECT_EQ(load_be16(single[0].data() + 26), 0xFFFF);
  store_be16(packet.data() + 26, pseudo);
  const auto finished = split({.flags = 1, .checksum_start = 20, .checksum_offset = 6}, packet);
  EXPECT_EQ(load_be16(finished[0].data() + 26), 0xFFFF);
}

TEST(Segments, RefusesWhatTheHeaderCannotMean) {
  const auto four = tcp().from("10.0.0.1").to("10.0.0.2").payload_size(1000).build();
  const auto six = tcp().from("::1").to("::2").payload_size(1000).build();
  const auto datagram = udp().from("10.0.0.1").to("10.0.0.2").payload_size(1000).build();
  EXPECT_EQ(refusal(gso(3, 100, 20), datagram), SegmentError::unknown_gso_type);
  EXPECT_EQ(refusal(gso(2, 100, 20), four), SegmentError::unknown_gso_type);
  EXPECT_EQ(refusal(gso(kTcpV4, 100, 20), datagram), SegmentError::wrong_protocol);
  EXPECT_EQ(refusal(gso(kTcpV4, 100, 40), six), SegmentError::wrong_protocol);
  EXPECT_EQ(refusal(gso(kTcpV6, 100, 20), four), SegmentError::wrong_protocol);
  EXPECT_EQ(refusal(gso(kUdpL4, 100, 20), four), SegmentError::wrong_protocol);
  EXPECT_EQ(refusal(gso(kTcpV4, 0, 20), four), SegmentError::no_gso_size);
  EXPECT_EQ(refusal(gso(kTcpV4, 100, 24), four), SegmentError::checksum_outside);
  EXPECT_EQ(refusal(gso(kTcpV4, 100, 20), tcp().from("10.0.0.1").to("10.0.0.2").build()),
            SegmentError::no_payload);
}

TEST(Segments, RefusesAChecksumOutsideTheTransportPart) {
  const auto packet = udp().from("10.0.0.1").to("10.0.0.2").build();  // 28 bytes
  const auto with = [](std::uint16_t start, std::uint16_t offset) {
    return VnetHeader{.flags = 1, .checksum_start = start, .checksum_offset = offset};
  };
  EXPECT_EQ(refusal(with(19, 6), packet), SegmentError::checksum_outside);
  EXPECT_EQ(refusal(with(0, 10), packet), SegmentError::checksum_outside);
  EXPECT_EQ(refusal(with(20, 7), packet), SegmentError::checksum_outside);
  EXPECT_EQ(refusal(with(20, 0xFFFF), packet), SegmentError::checksum_outside);
  EXPECT_EQ(refusal(with(0xFFFF, 0xFFFF), packet), SegmentError::checksum_outside);
  EXPECT_EQ(split(with(20, 6), packet).size(), 1U);
}

TEST(Segments, RefusesSegmentsLargerThanTwelveHundredEightyBytes) {
  const auto packet = tcp().from("10.0.0.1").to("10.0.0.2").payload_size(5000).build();
  EXPECT_EQ(split(gso(kTcpV4, 1240, 20), packet).size(), 5U);
  EXPECT_EQ(refusal(gso(kTcpV4, 1241, 20), packet), SegmentError::oversized);
  EXPECT_EQ(refusal({}, packet), SegmentError::oversized);
}

}  // namespace
}  // namespace fg::packet
