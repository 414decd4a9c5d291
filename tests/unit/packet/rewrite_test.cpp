#include "packet/rewrite.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "packet/checksum.h"
#include "packet/segment.h"
#include "tests/support/packets.h"

namespace fg::packet {
namespace {

using test::echo;
using test::icmp;
using test::tcp;
using test::udp;

ByteVector rewritten(ByteVector packet, const Rewrite& change) {
  const auto parsed = InnerPacket::parse(packet);
  EXPECT_TRUE(parsed);
  rewrite(packet, *parsed, change);
  return packet;
}

IpAddress some_v4(std::uint32_t n) {
  std::array<std::uint8_t, 4> b{};
  store_be32(b.data(), n);
  return IpAddress::v4(b);
}
IpAddress some_v6(std::uint64_t high, std::uint64_t low) {
  std::array<std::uint8_t, 16> b{};
  store_be64(b.data(), high);
  store_be64(b.data() + 8, low);
  return IpAddress::v6(b);
}

TEST(Rewrite, ChangesAddressesAndPorts) {
  const auto packet =
      rewritten(udp().from("100.64.0.1", 5000).to("100.96.0.1", 53).payload("abc").build(),
                {.source = test::ip("100.64.0.2"),
                 .destination = test::ip("10.0.0.9"),
                 .source_port = 5001,
                 .destination_port = 54});
  EXPECT_EQ(packet, udp().from("100.64.0.2", 5001).to("10.0.0.9", 54).payload("abc").build());
}

TEST(Rewrite, ChangesTheIdentifierOfAnEchoUnderEitherName) {
  const auto original = echo(7).from("fd00:2021:1111::1").to("2001:db8::1").payload("ping").build();
  const auto expected = echo(8).from("fd00:2021:1111::1").to("2001:db8::1").payload("ping").build();
  EXPECT_EQ(rewritten(original,
                      {.source = {}, .destination = {}, .source_port = 8, .destination_port = {}}),
            expected);
  EXPECT_EQ(rewritten(original,
                      {.source = {}, .destination = {}, .source_port = {}, .destination_port = 8}),
            expected);
}

TEST(Rewrite, IgnoresAddressesOfTheOtherFamilyAndPortsOfOtherProtocols) {
  const auto original = test::other_ip(47).from("10.0.0.1").to("10.0.0.2").payload_size(8).build();
  EXPECT_EQ(rewritten(original, {.source = test::ip("::1"),
                                 .destination = test::ip("::2"),
                                 .source_port = 1,
                                 .destination_port = 2}),
            original);
}

TEST(Rewrite, LeavesAnAbsentUdpChecksumAbsent) {
  const auto packet =
      rewritten(udp().from("10.0.0.1", 1).to("10.0.0.2", 2).payload("x").without_checksum().build(),
                {.source = test::ip("10.0.0.3"),
                 .destination = {},
                 .source_port = 9,
                 .destination_port = {}});
  EXPECT_EQ(load_be16(packet.data() + 26), 0);
  EXPECT_EQ(packet,
            udp().from("10.0.0.3", 9).to("10.0.0.2", 2).payload("x").without_checksum().build());
}

TEST(Rewrite, KeepsAWrongChecksumWrong) {
  const auto packet = rewritten(
      tcp().from("10.0.0.1", 1).to("10.0.0.2", 2).payload("x").with_wrong_checksum().build(),
      {.source = test::ip("10.0.0.3"),
       .destination = {},
       .source_port = 9,
       .destination_port = {}});
  EXPECT_FALSE(test::has_right_checksums(packet));
}

TEST(Rewrite, FindsTheChecksumBehindExtensionHeaders) {
  const auto original = tcp()
                            .from("2001:db8::1", 1)
                            .to("2001:db8::2", 2)
                            .extension(0)
                            .extension(60, ByteVector(14))
                            .payload("x")
                            .build();
  const auto packet = rewritten(original, {.source = {},
                                           .destination = test::ip("2001:db8::ffff"),
                                           .source_port = {},
                                           .destination_port = 99});
  EXPECT_EQ(packet, tcp()
                        .from("2001:db8::1", 1)
                        .to("2001:db8::ffff", 99)
                        .extension(0)
                        .extension(60, ByteVector(14))
                        .payload("x")
                        .build());
}

RC_GTEST_PROP(Rewrite, EqualsAPacketBuiltAnew,
              (std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d)) {
  const auto p = static_cast<std::uint16_t>(c);
  const auto q = static_cast<std::uint16_t>(d);
  for (const auto kind : {test::PacketBuilder::Kind::tcp, test::PacketBuilder::Kind::udp,
                          test::PacketBuilder::Kind::echo}) {
    const test::PacketBuilder base = test::PacketBuilder{kind}.payload("payload").identifier(p);
    auto packet = test::PacketBuilder{base}.from(some_v4(a), p).to(some_v4(b), 7).build();
    const auto parsed = InnerPacket::parse(packet);
    rewrite(packet, *parsed,
            {.source = some_v4(c),
             .destination = some_v4(d),
             .source_port = q,
             .destination_port = {}});
    RC_ASSERT(test::has_right_checksums(packet));
    RC_ASSERT(InnerPacket::parse(packet)->proto_class().source == q);

    auto packet6 = test::PacketBuilder{base}.from(some_v6(a, b), p).to(some_v6(c, d), 7).build();
    const auto parsed6 = InnerPacket::parse(packet6);
    rewrite(packet6, *parsed6,
            {.source = some_v6(d, c),
             .destination = some_v6(b, a),
             .source_port = q,
             .destination_port = {}});
    RC_ASSERT(test::has_right_checksums(packet6));
  }
}

TEST(Rewrite, CarriesAPartialChecksumAlong) {
  for (const bool v4 : {true, false}) {
    const auto a = test::ip(v4 ? "10.0.0.1" : "2001:db8::1");
    const auto b = test::ip(v4 ? "100.64.0.1" : "fd00:2021:1111::1");
    const auto proxy = test::ip(v4 ? "100.96.0.1" : "fd00:2021:1111:8000::");
    auto packet = tcp().from(a, 80).to(b, 5000).payload("hello").build();
    const std::size_t at = v4 ? 20 : 40;
    store_be16(packet.data() + at + 16, pseudo_header(a.bytes(), b.bytes(), 6, packet.size() - at));
    const auto parsed = InnerPacket::parse(packet);
    rewrite(packet, *parsed,
            {.source = proxy, .destination = {}, .source_port = {}, .destination_port = 5001},
            ChecksumState::partial);
    const auto segments = Segments::of(
        {.flags = 1, .checksum_start = static_cast<std::uint16_t>(at), .checksum_offset = 16},
        *parsed);
    ASSERT_TRUE(segments);
    ByteVector out(packet.size());
    segments->write(0, out.data());
    EXPECT_EQ(out, tcp().from(proxy, 80).to(b, 5001).payload("hello").build());
  }
}

ByteVector translated(const ByteVector& packet, const IcmpErrorRewrite& change) {
  const auto parsed = InnerPacket::parse(packet);
  const auto error = parsed->icmp_error();
  EXPECT_TRUE(error);
  ByteVector out(1280);
  out.resize(write_translated_error(*error, change, out));
  return out;
}

TEST(TranslatedError, IsANewPacketFromTheProxyWithAConsistentQuote) {
  const auto client = test::ip("100.64.0.1");
  const auto proxy = test::ip("100.96.0.1");
  const auto left = udp().from(client, 6000).to("10.0.0.9", 53).payload("query").build();
  const auto meant = udp().from(client, 5000).to(proxy, 53).payload("query").build();
  const auto bytes = translated(icmp(3, 4)
                                    .from("10.0.0.254")
                                    .to(client)
                                    .ttl(3)
                                    .rest_of_header(0xFFFF0514)
                                    .payload(left)
                                    .build(),
                                {.proxy = proxy, .client = client, .port = 5000});
  EXPECT_EQ(bytes, icmp(3, 4)
                       .from(proxy)
                       .to(client)
                       .ttl(20)
                       .dont_fragment(false)
                       .rest_of_header(0x0514)
                       .payload(meant)
                       .build());
}

TEST(TranslatedError, DoesTheSameForIpv6Echo) {
  const auto client = test::ip("fd00:2021:1111::1");
  const auto proxy = test::ip("fd00:2021:1111:8000::");
  const auto left = echo(9).from(client).to("2001:db8::9").payload("ping").build();
  const auto meant = echo(7).from(client).to(proxy).payload("ping").build();
  const auto bytes = translated(
      icmp(2).from("2001:db8::fe").to(client).rest_of_header(70000).payload(left).build(),
      {.proxy = proxy, .client = client, .port = 7});
  EXPECT_EQ(bytes,
            icmp(2).from(proxy).to(client).ttl(20).rest_of_header(70000).payload(meant).build());
}

TEST(TranslatedError, AcceptsAQuoteOfEightTcpBytes) {
  const auto client = test::ip("100.64.0.1");
  auto left = tcp().from(client, 6000).to("10.0.0.9", 443).build();
  left.resize(28);
  const auto bytes = translated(icmp(11).from("10.0.0.254").to(client).payload(left).build(),
                                {.proxy = test::ip("100.96.0.1"), .client = client, .port = 5000});
  ASSERT_EQ(bytes.size(), 56U);
  EXPECT_TRUE(test::has_right_checksums(bytes));
  const auto error = InnerPacket::parse(bytes)->icmp_error();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->quoted, (ProtoClass{ProtoClass::Kind::tcp, 5000, 443}));
  EXPECT_EQ(error->quoted_destination, test::ip("100.96.0.1"));
}

TEST(TranslatedError, RefusesAnotherFamilyAndTooSmallABuffer) {
  const auto packet = icmp(3)
                          .from("10.0.0.254")
                          .to("100.64.0.1")
                          .payload(udp().from("100.64.0.1", 1).to("10.0.0.9", 2).build())
                          .build();
  const auto error = InnerPacket::parse(packet)->icmp_error();
  ASSERT_TRUE(error);
  ByteVector out(1280);
  EXPECT_EQ(
      write_translated_error(
          *error, {.proxy = test::ip("::1"), .client = test::ip("100.64.0.1"), .port = 1}, out),
      0U);
  EXPECT_EQ(
      write_translated_error(
          *error, {.proxy = test::ip("10.0.0.1"), .client = test::ip("100.64.0.1"), .port = 1},
          MutableBytes{out}.first(55)),
      0U);
}

TEST(Congestion, FollowsTheTableOfTheSpec) {
  for (std::uint8_t inner = 0; inner < 4; ++inner) {
    for (std::uint8_t outer = 0; outer < 4; ++outer) {
      const std::uint8_t expected = outer == 3 && inner != 0 ? 3 : inner;
      auto v4 =
          udp().from("10.0.0.1").to("10.0.0.2").traffic_class(0xB8).ecn(inner).payload("x").build();
      copy_congestion(v4, outer);
      EXPECT_EQ(v4, udp()
                        .from("10.0.0.1")
                        .to("10.0.0.2")
                        .traffic_class(0xB8)
                        .ecn(expected)
                        .payload("x")
                        .build());
      auto v6 = udp()
                    .from("::1")
                    .to("::2")
                    .traffic_class(0xB8)
                    .flow_label(0xABCDE)
                    .ecn(inner)
                    .payload("x")
                    .build();
      copy_congestion(v6, outer);
      EXPECT_EQ(v6, udp()
                        .from("::1")
                        .to("::2")
                        .traffic_class(0xB8)
                        .flow_label(0xABCDE)
                        .ecn(expected)
                        .payload("x")
                        .build());
    }
  }
}

}  // namespace
}  // namespace fg::packet
