// Spec policy 5.8, 10.9.
#include "nat/family.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "tests/support/packets.h"

namespace fg::nat {
namespace {

using packet::InnerPacket;
using test::echo;
using test::icmp;
using test::ip;
using test::other_ip;
using test::tcp;
using test::udp;

const auto kClient4 = ip("100.64.0.101");
const auto kClient6 = ip("fd00:2021:1111::65");
const auto kProxy4 = ip("100.96.0.1");
const auto kProxy6 = ip("fd00:2021:1111:8000::1");
const auto kReal4 = ip("192.0.2.1");
const auto kReal6 = ip("2001:db8::1");

ByteVector changed(const ByteVector& packet, const FamilyChange& change) {
  ByteVector out(kCrossedMax);
  out.resize(change_family(InnerPacket::parse(packet).value(), change, out));
  return out;
}
FamilyChange to_real6() { return {kClient6, kReal6, {}, {}}; }
FamilyChange to_real4() { return {kClient4, kReal4, {}, {}}; }

TEST(FamilyTest, AnIpv4PacketBecomesAnIpv6Packet) {
  const auto out = changed(udp()
                               .from(kClient4, 5000)
                               .to(kProxy4, 53)
                               .traffic_class(0xB9)
                               .ttl(61)
                               .id(77)
                               .payload("question")
                               .build(),
                           {kClient6, kReal6, std::uint16_t{5001}, {}});
  EXPECT_EQ(out, udp()
                     .from(kClient6, 5001)
                     .to(kReal6, 53)
                     .traffic_class(0xB9)
                     .ttl(61)
                     .payload("question")
                     .build());
}

TEST(FamilyTest, AnIpv6PacketBecomesAnIpv4PacketThatMustNotBeFragmented) {
  const auto out = changed(tcp()
                               .from(kClient6, 5000)
                               .to(kProxy6, 80)
                               .traffic_class(0xB9)
                               .flow_label(0x12345)
                               .ttl(61)
                               .flags(2)
                               .build(),
                           to_real4());
  EXPECT_EQ(out, tcp()
                     .from(kClient4, 5000)
                     .to(kReal4, 80)
                     .traffic_class(0xB9)
                     .ttl(61)
                     .flags(2)
                     .id(0)
                     .dont_fragment()
                     .build());
}

TEST(FamilyTest, EchoesChangeTypeAndGetTheChecksumOfTheirFamily) {
  const auto out = changed(echo(7).from(kClient4).to(kProxy4).payload("ping").build(),
                           {kClient6, kReal6, std::uint16_t{9}, {}});
  EXPECT_EQ(out, echo(9).from(kClient6).to(kReal6).payload("ping").build());
  const auto back = changed(echo(9).type(129).from(kReal6).to(kClient6).payload("ping").build(),
                            {kProxy4, kClient4, {}, std::uint16_t{7}});
  EXPECT_EQ(
      back,
      echo(7).type(0).from(kProxy4).to(kClient4).payload("ping").id(0).dont_fragment().build());
}

TEST(FamilyTest, OptionsAreLeftOutAndTheRestIsKept) {
  for (std::size_t words = 0; words <= 10; ++words) {
    const auto out = changed(echo(7)
                                 .from(kClient4)
                                 .to(kProxy4)
                                 .ip_options(ByteVector(words * 4, 1))
                                 .payload("x")
                                 .build(),
                             to_real6());
    EXPECT_EQ(out, echo(7).from(kClient6).to(kReal6).payload("x").build()) << words;
  }
}

TEST(FamilyTest, ThePacketOfTheLargestSizeGrowsByTwentyBytes) {
  const auto out =
      changed(udp().from(kClient4, 1).to(kProxy4, 2).payload_size(1252).build(), to_real6());
  EXPECT_EQ(out.size(), 1300U);
  EXPECT_TRUE(InnerPacket::parse(out, kCrossedMax)->has_valid_checksums());
  ByteVector small(1299);
  const auto in = udp().from(kClient4, 1).to(kProxy4, 2).payload_size(1252).build();
  EXPECT_EQ(change_family(InnerPacket::parse(in).value(), to_real6(), small), 0U);
}

TEST(FamilyTest, AUdpChecksumThatWasNotComputedIsComputedForIpv6) {
  const auto out = changed(
      udp().from(kClient4, 1).to(kProxy4, 2).payload("abc").without_checksum().build(), to_real6());
  EXPECT_EQ(out, udp().from(kClient6, 1).to(kReal6, 2).payload("abc").build());
  EXPECT_TRUE(changed(udp().from(kClient6, 1).to(kProxy6, 2).without_checksum().build(), to_real4())
                  .empty());
}

TEST(FamilyTest, AWrongChecksumStaysWrong) {
  const auto out =
      changed(tcp().from(kClient4, 1).to(kProxy4, 2).with_wrong_checksum().build(), to_real6());
  EXPECT_FALSE(InnerPacket::parse(out)->has_valid_checksums());
}

TEST(FamilyTest, WhatHasNoCounterpartIsNotTranslated) {
  EXPECT_TRUE(
      changed(other_ip(47).from(kClient4).to(kProxy4).payload("gre").build(), to_real6()).empty());
  EXPECT_TRUE(changed(icmp(13).from(kClient4).to(kProxy4).build(), to_real6()).empty());
  for (const auto extension : {std::uint8_t{0}, std::uint8_t{43}, std::uint8_t{60}}) {
    EXPECT_TRUE(
        changed(udp().from(kClient6, 1).to(kProxy6, 2).extension(extension).build(), to_real4())
            .empty());
  }
  EXPECT_TRUE(
      changed(udp().from(kClient6, 1).to(kProxy6, 2).fragment_header(0, false).build(), to_real4())
          .empty());
  EXPECT_TRUE(changed(udp().from(kClient4, 1).to(kProxy4, 2).build(), to_real4()).empty());
}

RC_GTEST_PROP(FamilyProperty, ThereAndBackIsWhatItWas, ()) {
  const auto port =
      rc::gen::oneOf(rc::gen::just(std::uint16_t{0}), rc::gen::arbitrary<std::uint16_t>());
  const auto address = [] {
    const auto b = *rc::gen::container<std::vector<std::uint8_t>>(
        4, rc::gen::elementOf(std::vector<std::uint8_t>{0, 1, 10, 255}));
    return IpAddress::v4(b[0], b[1], b[2], b[3]);
  };
  auto builder = *rc::gen::elementOf(std::vector{tcp(), udp(), echo(*port)});
  const auto source = address();
  const auto destination = address();
  const auto in = builder.from(source, *port)
                      .to(destination, *port)
                      .traffic_class(*rc::gen::arbitrary<std::uint8_t>())
                      .ttl(*rc::gen::arbitrary<std::uint8_t>())
                      .id(0)
                      .dont_fragment()
                      .payload(*rc::gen::arbitrary<std::vector<std::uint8_t>>())
                      .build();
  const auto there = changed(in, to_real6());
  RC_ASSERT(InnerPacket::parse(there, kCrossedMax)->has_valid_checksums());
  const auto back = changed(there, {source, destination, {}, {}});
  RC_ASSERT(back == in);
}

// ---- errors ----

TEST(FamilyTest, TypesAndCodesAreThoseOfTheTable) {
  const auto all = [](auto map, const std::vector<std::pair<IcmpKind, IcmpKind>>& rows) {
    std::size_t mapped = 0;
    for (unsigned type = 0; type < 256; ++type) {
      for (unsigned code = 0; code < 256; ++code) {
        const IcmpKind from{static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(code)};
        const auto to = map(from);
        if (!to || type == 11 || (rows.size() < 10 && type == 3)) continue;
        ++mapped;
        EXPECT_NE(std::ranges::find(rows, std::pair{from, *to}), rows.end()) << type << '/' << code;
      }
    }
    EXPECT_EQ(mapped, rows.size());
  };
  all(v6_of, {{{8, 0}, {128, 0}},
              {{0, 0}, {129, 0}},
              {{3, 0}, {1, 0}},
              {{3, 1}, {1, 0}},
              {{3, 5}, {1, 0}},
              {{3, 6}, {1, 0}},
              {{3, 7}, {1, 0}},
              {{3, 8}, {1, 0}},
              {{3, 11}, {1, 0}},
              {{3, 12}, {1, 0}},
              {{3, 3}, {1, 4}},
              {{3, 9}, {1, 1}},
              {{3, 10}, {1, 1}},
              {{3, 13}, {1, 1}},
              {{3, 15}, {1, 1}},
              {{3, 4}, {2, 0}},
              {{3, 2}, {4, 1}}});
  all(v4_of, {{{128, 0}, {8, 0}},
              {{129, 0}, {0, 0}},
              {{1, 0}, {3, 1}},
              {{1, 2}, {3, 1}},
              {{1, 3}, {3, 1}},
              {{1, 1}, {3, 10}},
              {{1, 4}, {3, 3}},
              {{2, 0}, {3, 4}},
              {{4, 1}, {3, 2}}});
  EXPECT_EQ(v6_of({11, 1}), (IcmpKind{3, 1}));
  EXPECT_EQ(v4_of({3, 1}), (IcmpKind{11, 1}));
}

ByteVector error_about(const ByteVector& quoted, std::uint8_t type, std::uint8_t code,
                       std::uint32_t rest = 0) {
  const bool v4 = quoted[0] >> 4 == 4;
  return icmp(type, code)
      .from(v4 ? "198.51.100.9" : "2001:db8::9")
      .to(v4 ? kClient4 : kClient6)
      .rest_of_header(rest)
      .payload(quoted)
      .build();
}
ByteVector changed_error(const ByteVector& packet, const ErrorChange& change) {
  ByteVector out(packet::kPacketMax);
  const auto error = InnerPacket::parse(packet)->icmp_error();
  out.resize(error ? change_error_family(*error, change, out) : 0);
  return out;
}

TEST(FamilyTest, AnErrorQuotesWhatTheClientSent) {
  for (const auto& original :
       {udp().from(kClient6, 5000).to(kProxy6, 53).ttl(9).payload("question").build(),
        tcp().from(kClient6, 5000).to(kProxy6, 80).flags(2).build(),
        echo(5000).from(kClient6).to(kProxy6).payload("ping").build()}) {
    const auto sent = changed(original, {kClient4, kReal4, std::uint16_t{6000}, {}});
    const auto out = changed_error(error_about(sent, 3, 3), {kProxy6, kClient6, 5000});
    const auto error = InnerPacket::parse(out).value();
    EXPECT_TRUE(error.has_valid_checksums());
    EXPECT_EQ(error.source(), kProxy6);
    EXPECT_EQ(error.destination(), kClient6);
    EXPECT_EQ(error.ttl(), 20);
    EXPECT_EQ(error.transport()[0], 1);
    EXPECT_EQ(error.transport()[1], 4);
    EXPECT_EQ(copy_of(error.payload()), original);
  }
  const auto original = udp().from(kClient4, 5000).to(kProxy4, 53).id(0).dont_fragment().build();
  const auto sent = changed(original, to_real6());
  const auto out = changed_error(error_about(sent, 1, 0), {kProxy4, kClient4, 5000});
  EXPECT_EQ(copy_of(InnerPacket::parse(out)->payload()), original);
}

TEST(FamilyTest, MtusCountTheOtherHeader) {
  const auto v4 = udp().from(kClient4, 1).to(kReal4, 2).payload_size(1000).build();
  const auto v6 = udp().from(kClient6, 1).to(kReal6, 2).payload_size(1000).build();
  const auto rest = [](const ByteVector& out) {
    return load_be32(InnerPacket::parse(out)->transport().data() + 4);
  };
  EXPECT_EQ(rest(changed_error(error_about(v4, 3, 4, 1000), {kProxy6, kClient6, 1})), 1020U);
  EXPECT_EQ(rest(changed_error(error_about(v4, 3, 4, 0), {kProxy6, kClient6, 1})), 1006U + 20U);
  EXPECT_EQ(rest(changed_error(error_about(v6, 2, 0, 1280), {kProxy4, kClient4, 1})), 1260U);
  EXPECT_EQ(rest(changed_error(error_about(v6, 2, 0, 7), {kProxy4, kClient4, 1})), 0U);
  EXPECT_EQ(rest(changed_error(error_about(v6, 2, 0, 100'000), {kProxy4, kClient4, 1})), 65535U);
  EXPECT_EQ(rest(changed_error(error_about(v4, 3, 2), {kProxy6, kClient6, 1})), 6U);
}

TEST(FamilyTest, ErrorsAreCutAt1280BytesAndShortQuotesSuffice) {
  const auto large = udp().from(kClient4, 1).to(kReal4, 2).payload_size(1224).build();
  const auto out = changed_error(error_about(large, 3, 3), {kProxy6, kClient6, 1});
  EXPECT_EQ(out.size(), 1280U);
  EXPECT_TRUE(InnerPacket::parse(out)->has_valid_checksums());
  EXPECT_TRUE(InnerPacket::parse(out)->icmp_error());
  const ByteVector eight{large.begin(), large.begin() + 28};
  EXPECT_EQ(changed_error(error_about(eight, 3, 3), {kProxy6, kClient6, 1}).size(),
            40U + 8 + 40 + 8);
  EXPECT_TRUE(changed_error(error_about(large, 3, 14), {kProxy6, kClient6, 1}).empty());
}

}  // namespace
}  // namespace fg::nat
