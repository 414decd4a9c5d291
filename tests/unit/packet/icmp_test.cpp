#include "packet/icmp.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::packet {
namespace {

using test::tcp;
using test::udp;

ByteVector answer(IcmpAnswer kind, const ByteVector& original) {
  ByteVector out(1280);
  const auto parsed = InnerPacket::parse(original);
  EXPECT_TRUE(parsed);
  out.resize(write_icmp_answer(kind, *parsed, out));
  return out;
}

TEST(IcmpAnswer, Ipv4QuotesHeaderOptionsAndEightBytes) {
  for (const std::size_t options : std::to_array<std::size_t>({0, 4, 40})) {
    const auto original = tcp()
                              .from("100.64.0.1", 40000)
                              .to("10.1.1.1", 443)
                              .ip_options(ByteVector(options, 1))
                              .payload_size(900)
                              .build();
    const auto bytes = answer(IcmpAnswer::prohibited, original);
    ASSERT_EQ(bytes.size(), 20 + 8 + 20 + options + 8);
    EXPECT_TRUE(test::has_right_checksums(bytes)) << test::describe(bytes);
    const auto p = InnerPacket::parse(bytes);
    ASSERT_TRUE(p);
    EXPECT_EQ(p->source(), test::ip("10.1.1.1"));
    EXPECT_EQ(p->destination(), test::ip("100.64.0.1"));
    EXPECT_EQ(p->ttl(), 20);
    EXPECT_EQ(bytes[0], 0x45);
    EXPECT_EQ(load_be32(bytes.data() + 4), 0U);
    EXPECT_EQ(bytes[20], 3);
    EXPECT_EQ(bytes[21], 13);
    EXPECT_EQ(load_be32(bytes.data() + 24), 0U);
    EXPECT_TRUE(equal(Bytes{bytes}.subspan(28), Bytes{original}.first(28 + options)));
    ASSERT_TRUE(p->icmp_error());
    EXPECT_EQ(p->icmp_error()->quoted, (ProtoClass{ProtoClass::Kind::tcp, 40000, 443}));
  }
}

TEST(IcmpAnswer, Ipv4QuotesLessOfAShorterPacket) {
  const auto original =
      test::other_ip(47).from("100.64.0.1").to("10.1.1.1").payload_size(3).build();
  EXPECT_EQ(answer(IcmpAnswer::prohibited, original).size(), 28U + 23);
}

TEST(IcmpAnswer, Ipv6QuotesUpToTwelveHundredThirtyTwoBytes) {
  for (const std::size_t size : std::to_array<std::size_t>({0, 100, 1184, 1185, 1232})) {
    const auto original =
        udp().from("fd00:2021:1111::1", 40000).to("2001:db8::1", 53).payload_size(size).build();
    const auto bytes = answer(IcmpAnswer::prohibited, original);
    ASSERT_EQ(bytes.size(), 48 + std::min<std::size_t>(original.size(), 1232));
    EXPECT_TRUE(test::has_right_checksums(bytes)) << test::describe(bytes);
    const auto p = InnerPacket::parse(bytes);
    ASSERT_TRUE(p);
    EXPECT_EQ(p->source(), test::ip("2001:db8::1"));
    EXPECT_EQ(p->destination(), test::ip("fd00:2021:1111::1"));
    EXPECT_EQ(p->ttl(), 20);
    EXPECT_EQ(load_be32(bytes.data()), 0x60000000U);
    EXPECT_EQ(bytes[40], 1);
    EXPECT_EQ(bytes[41], 1);
    EXPECT_EQ(load_be32(bytes.data() + 44), 0U);
    EXPECT_TRUE(equal(Bytes{bytes}.subspan(48), Bytes{original}.first(bytes.size() - 48)));
  }
}

TEST(IcmpAnswer, NetworkUnreachableHasItsOwnCodes) {
  const auto four =
      answer(IcmpAnswer::network_unreachable, udp().from("100.64.0.1").to("10.1.1.1").build());
  EXPECT_EQ(four[20], 3);
  EXPECT_EQ(four[21], 0);
  const auto six = answer(IcmpAnswer::network_unreachable,
                          udp().from("fd00:2021:1111::1").to("2001:db8::1").build());
  EXPECT_EQ(six[40], 1);
  EXPECT_EQ(six[41], 3);
}

TEST(IcmpAnswer, WritesNothingIntoTooSmallABuffer) {
  const auto original = udp().from("100.64.0.1").to("10.1.1.1").build();
  const auto parsed = InnerPacket::parse(original);
  ByteVector out(56);
  EXPECT_EQ(write_icmp_answer(IcmpAnswer::prohibited, *parsed, out), 56U);
  EXPECT_EQ(write_icmp_answer(IcmpAnswer::prohibited, *parsed, MutableBytes{out}.first(55)), 0U);
}

}  // namespace
}  // namespace fg::packet
