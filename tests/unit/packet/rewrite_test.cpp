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

// With the sums of what is there and what comes.
void rewrite_to(MutableBytes packet, Towards towards, const IpAddress& address, std::uint16_t port,
                ChecksumState state = ChecksumState::complete) {
  const auto parsed = InnerPacket::parse(packet);
  ASSERT_TRUE(parsed);
  const bool to_resource = towards == Towards::resource;
  const auto& was = to_resource ? parsed->destination() : parsed->source();
  const auto& proto = parsed->proto_class();
  const auto was_port = to_resource ? proto.source : proto.destination;
  rewrite(packet, *parsed,
          {.towards = towards,
           .address = address,
           .port = port,
           .address_change = change_of(was, address),
           .port_change = subtract(port, was_port)},
          state);
}
ByteVector rewritten(ByteVector packet, Towards towards, const IpAddress& address,
                     std::uint16_t port) {
  rewrite_to(packet, towards, address, port);
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

TEST(Rewrite, ChangesTheResourcesAddressAndTheClientsPort) {
  const auto from_client = udp().from("100.64.0.1", 5000).to("100.96.0.1", 53).payload("abc");
  EXPECT_EQ(rewritten(from_client.build(), Towards::resource, test::ip("10.0.0.9"), 5001),
            udp().from("100.64.0.1", 5001).to("10.0.0.9", 53).payload("abc").build());
  const auto from_resource = udp().from("10.0.0.9", 53).to("100.64.0.1", 5001).payload("abc");
  EXPECT_EQ(rewritten(from_resource.build(), Towards::client, test::ip("100.96.0.1"), 5000),
            udp().from("100.96.0.1", 53).to("100.64.0.1", 5000).payload("abc").build());
}

TEST(Rewrite, ChangesTheIdentifierOfAnEchoEitherWay) {
  const auto request = echo(7).from("fd00:2021:1111::1").to("2001:db8::1").payload("ping").build();
  EXPECT_EQ(rewritten(request, Towards::resource, test::ip("2001:db8::2"), 8),
            echo(8).from("fd00:2021:1111::1").to("2001:db8::2").payload("ping").build());
  EXPECT_EQ(rewritten(request, Towards::client, test::ip("2001:db8::2"), 8),
            echo(8).from("2001:db8::2").to("2001:db8::1").payload("ping").build());
}

TEST(Rewrite, LeavesAnAbsentUdpChecksumAbsent) {
  const auto packet =
      rewritten(udp().from("10.0.0.1", 1).to("10.0.0.2", 2).payload("x").without_checksum().build(),
                Towards::client, test::ip("10.0.0.3"), 9);
  EXPECT_EQ(load_be16(packet.data() + 26), 0);
  EXPECT_EQ(packet,
            udp().from("10.0.0.3", 1).to("10.0.0.2", 9).payload("x").without_checksum().build());
}

TEST(Rewrite, KeepsAWrongChecksumWrong) {
  const auto packet = rewritten(
      tcp().from("10.0.0.1", 1).to("10.0.0.2", 2).payload("x").with_wrong_checksum().build(),
      Towards::resource, test::ip("10.0.0.3"), 9);
  EXPECT_FALSE(test::has_right_checksums(packet));
}

TEST(Rewrite, FindsTheChecksumBehindExtensionHeaders) {
  const auto with_extensions = [](std::string_view to, std::uint16_t port) {
    return tcp()
        .from("2001:db8::1", port)
        .to(to, 2)
        .extension(0)
        .extension(60, ByteVector(14))
        .payload("x")
        .build();
  };
  EXPECT_EQ(rewritten(with_extensions("2001:db8::2", 1), Towards::resource,
                      test::ip("2001:db8::ffff"), 99),
            with_extensions("2001:db8::ffff", 99));
}

// Checksums computed over the whole packet are the reference for those that are carried along.
RC_GTEST_PROP(Rewrite, EqualsAPacketBuiltAnew,
              (std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d)) {
  using Builder = test::PacketBuilder;
  const auto was = static_cast<std::uint16_t>(c);
  const auto is = static_cast<std::uint16_t>(d);
  for (const bool v4 : {true, false}) {
    const auto client = v4 ? some_v4(a) : some_v6(a, b);
    const auto resource = v4 ? some_v4(b) : some_v6(c, d);
    const auto other = v4 ? some_v4(c) : some_v6(b, a);
    for (const auto kind : {Builder::Kind::tcp, Builder::Kind::udp, Builder::Kind::echo}) {
      const auto built = [&](Towards towards, const IpAddress& to, std::uint16_t port) {
        Builder builder{kind};
        builder.payload("payload").identifier(port);
        if (towards == Towards::resource) return builder.from(client, port).to(to, 7).build();
        return builder.from(to, 7).to(client, port).build();
      };
      for (const auto towards : {Towards::resource, Towards::client}) {
        const auto packet = rewritten(built(towards, resource, was), towards, other, is);
        RC_ASSERT(test::has_right_checksums(packet));
        RC_ASSERT(packet == built(towards, other, is));
      }
    }
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
    rewrite_to(packet, Towards::client, proxy, 5001, ChecksumState::partial);
    const auto parsed = InnerPacket::parse(packet);
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
