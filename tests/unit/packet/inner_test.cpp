#include "packet/inner.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::packet {
namespace {

using test::echo;
using test::icmp;
using test::other_ip;
using test::tcp;
using test::udp;
using Kind = ProtoClass::Kind;

constexpr auto kV4From = "100.64.0.1";
constexpr auto kV4To = "10.9.8.7";
constexpr auto kV6From = "fd00:2021:1111::1";
constexpr auto kV6To = "2001:db8::7";

test::PacketBuilder v4(test::PacketBuilder b) { return b.from(kV4From, 5000).to(kV4To, 53); }
test::PacketBuilder v6(test::PacketBuilder b) { return b.from(kV6From, 5000).to(kV6To, 53); }

DropReason refusal(Bytes packet) {
  const auto parsed = InnerPacket::parse(packet);
  EXPECT_FALSE(parsed) << test::describe(packet);
  return parsed ? DropReason::count_ : parsed.error();
}
InnerPacket accepted(Bytes packet) {
  auto parsed = InnerPacket::parse(packet);
  if (!parsed) ADD_FAILURE() << test::describe(packet);
  static const auto other = udp().build();
  return parsed ? *parsed : *InnerPacket::parse(other);
}
ProtoClass class_of(Bytes packet) { return accepted(packet).proto_class(); }

// One packet of every accepted shape.
std::vector<ByteVector> shapes() {
  return {v4(udp()).payload("hello").build(),
          v6(udp()).payload("hello").build(),
          v4(tcp()).payload("hello").build(),
          v6(tcp()).tcp_options(ByteVector(12, 1)).payload("hello").build(),
          v4(echo(7)).payload("ping").build(),
          v6(echo(7)).payload("ping").build(),
          v4(icmp(13)).payload_size(12).build(),
          v6(icmp(133)).build(),
          v4(tcp()).ip_options(ByteVector(40, 1)).payload("x").build(),
          v6(tcp()).extension(0).extension(43).extension(60, ByteVector(14)).payload("x").build()};
}

TEST(InnerPacket, ReadsUdpOfBothFamilies) {
  const auto bytes = v4(udp()).payload("abc").traffic_class(0xB9).ttl(17).build();
  const auto p = accepted(bytes);
  EXPECT_EQ(p.source(), test::ip(kV4From));
  EXPECT_EQ(p.destination(), test::ip(kV4To));
  EXPECT_EQ(p.proto_class(), (ProtoClass{Kind::udp, 5000, 53}));
  EXPECT_EQ(p.ip_header_length(), 20U);
  EXPECT_EQ(as_text(p.payload()), "abc");
  EXPECT_EQ(p.traffic_class(), 0xB9);
  EXPECT_EQ(p.ecn(), 1);
  EXPECT_EQ(p.ttl(), 17);

  const auto bytes6 =
      v6(udp()).payload("abc").traffic_class(0xB9).flow_label(0xFFFFF).ttl(17).build();
  const auto q = accepted(bytes6);
  EXPECT_EQ(q.source(), test::ip(kV6From));
  EXPECT_EQ(q.destination(), test::ip(kV6To));
  EXPECT_EQ(q.proto_class(), (ProtoClass{Kind::udp, 5000, 53}));
  EXPECT_EQ(q.ip_header_length(), 40U);
  EXPECT_EQ(as_text(q.payload()), "abc");
  EXPECT_EQ(q.traffic_class(), 0xB9);
  EXPECT_EQ(q.ttl(), 17);
}

TEST(InnerPacket, ClassifiesTheProtocolsOfTheSpec) {
  EXPECT_EQ(class_of(v4(tcp()).build()), (ProtoClass{Kind::tcp, 5000, 53}));
  EXPECT_EQ(class_of(v4(echo(0xABCD)).build()), (ProtoClass{Kind::echo, 0xABCD, 0xABCD}));
  EXPECT_EQ(class_of(v4(echo(0xABCD)).type(0).build()), (ProtoClass{Kind::echo, 0xABCD, 0xABCD}));
  EXPECT_EQ(class_of(v6(echo(0xABCD)).build()), (ProtoClass{Kind::echo, 0xABCD, 0xABCD}));
  EXPECT_EQ(class_of(v6(echo(0xABCD)).type(129).build()), (ProtoClass{Kind::echo, 0xABCD, 0xABCD}));
  EXPECT_EQ(class_of(v4(echo(1)).type(8, 1).build()), (ProtoClass{Kind::icmp_other, 8, 8}));
  EXPECT_EQ(class_of(v4(icmp(13)).build()), (ProtoClass{Kind::icmp_other, 13, 13}));
  for (const std::uint8_t protocol :
       std::to_array<std::uint8_t>({47, 50, 51, 132, 59})) {  // GRE, ESP, AH, SCTP, none
    EXPECT_EQ(class_of(v4(other_ip(protocol)).payload_size(8).build()),
              (ProtoClass{Kind::other_ip, protocol, protocol}));
    EXPECT_EQ(class_of(v6(other_ip(protocol)).build()),
              (ProtoClass{Kind::other_ip, protocol, protocol}));
  }
  // Extension headers are IPv6's alone.
  EXPECT_EQ(class_of(v4(other_ip(44)).payload_size(8).build()),
            (ProtoClass{Kind::other_ip, 44, 44}));
}

TEST(InnerPacket, RejectsEveryStrictPrefixAndTrailingByte) {
  for (const auto& bytes : shapes()) {
    ASSERT_TRUE(InnerPacket::parse(bytes)) << test::describe(bytes);
    for (std::size_t n = 0; n < bytes.size(); ++n) {
      EXPECT_EQ(refusal(Bytes{bytes}.first(n)), DropReason::malformed_packet);
    }
    auto longer = bytes;
    longer.push_back(0);
    EXPECT_EQ(refusal(longer), DropReason::malformed_packet);
  }
}

TEST(InnerPacket, RejectsHeadersTruncatedAtEveryByteWithHonestLengths) {
  for (const auto& whole : shapes()) {
    const auto p = accepted(whole);
    const auto needed = p.transport_offset() + p.transport_header_length();
    for (std::size_t n = 1; n < needed; ++n) {
      auto cut = ByteVector(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
      if (p.is_v4() && n >= 4) store_be16(cut.data() + 2, static_cast<std::uint16_t>(n));
      if (!p.is_v4() && n >= 40) store_be16(cut.data() + 4, static_cast<std::uint16_t>(n - 40));
      EXPECT_EQ(refusal(cut), DropReason::malformed_packet) << n;
    }
  }
}

TEST(InnerPacket, RejectsLyingLengths) {
  for (const int off : {-1, 1}) {
    auto a = v4(udp()).payload("abc").build();
    store_be16(a.data() + 2, static_cast<std::uint16_t>(load_be16(a.data() + 2) + off));
    EXPECT_EQ(refusal(a), DropReason::malformed_packet);
    auto b = v6(udp()).payload("abc").build();
    store_be16(b.data() + 4, static_cast<std::uint16_t>(load_be16(b.data() + 4) + off));
    EXPECT_EQ(refusal(b), DropReason::malformed_packet);
    auto c = v4(udp()).payload("abc").build();
    store_be16(c.data() + 24, static_cast<std::uint16_t>(load_be16(c.data() + 24) + off));
    EXPECT_EQ(refusal(c), DropReason::malformed_packet);
  }
  auto ihl = v4(tcp()).build();
  ihl[0] = 0x44;
  EXPECT_EQ(refusal(ihl), DropReason::malformed_packet);
  ihl[0] = 0x4F;
  EXPECT_EQ(refusal(ihl), DropReason::malformed_packet);
  auto offset = v4(tcp()).build();
  offset[32] = 0x40;
  EXPECT_EQ(refusal(offset), DropReason::malformed_packet);
  offset[32] = 0x60;
  EXPECT_EQ(refusal(offset), DropReason::malformed_packet);
}

TEST(InnerPacket, RejectsEmptyInputAndOtherVersions) {
  EXPECT_EQ(refusal({}), DropReason::malformed_packet);
  for (unsigned version = 0; version < 16; ++version) {
    if (version == 4 || version == 6) continue;
    for (auto bytes : {v4(udp()).build(), v6(udp()).build()}) {
      bytes[0] = static_cast<std::uint8_t>(version << 4 | (bytes[0] & 0xF));
      EXPECT_EQ(refusal(bytes), DropReason::malformed_packet);
    }
  }
}

TEST(InnerPacket, AcceptsTwelveHundredEightyBytesAndNotOneMore) {
  EXPECT_TRUE(InnerPacket::parse(v4(udp()).payload_size(1252).build()));
  EXPECT_EQ(refusal(v4(udp()).payload_size(1253).build()), DropReason::oversized_packet);
  EXPECT_TRUE(InnerPacket::parse(v6(udp()).payload_size(1232).build()));
  EXPECT_EQ(refusal(v6(udp()).payload_size(1233).build()), DropReason::oversized_packet);
  EXPECT_TRUE(InnerPacket::parse(v4(udp()).payload_size(65507).build(), 65535));
}

TEST(InnerPacket, RejectsFragmentsAndAcceptsAtomicOnes) {
  EXPECT_EQ(refusal(v4(udp()).more_fragments().build()), DropReason::fragmented);
  EXPECT_EQ(refusal(v4(udp()).fragment_offset(1).build()), DropReason::fragmented);
  EXPECT_EQ(refusal(v4(udp()).fragment_offset(0x1FFF).build()), DropReason::fragmented);
  EXPECT_EQ(refusal(v6(udp()).fragment_header(0, true).build()), DropReason::fragmented);
  EXPECT_EQ(refusal(v6(udp()).fragment_header(1, true).build()), DropReason::fragmented);
  EXPECT_EQ(refusal(v6(udp()).fragment_header(185, false).build()), DropReason::fragmented);
  const auto atomic = v6(udp()).fragment_header(0, false).payload("x").build();
  EXPECT_EQ(class_of(atomic), (ProtoClass{Kind::udp, 5000, 53}));
  EXPECT_EQ(accepted(atomic).transport_offset(), 48U);
  // A transport header cut by fragmentation is a fragment, not a malformed packet.
  auto middle = v6(other_ip(17)).fragment_header(9, true).payload("x").build();
  EXPECT_EQ(refusal(middle), DropReason::fragmented);
}

TEST(InnerPacket, WalksIpv4OptionsOfEveryLength) {
  for (std::size_t words = 0; words <= 10; ++words) {
    const auto bytes = v4(udp()).ip_options(ByteVector(words * 4, 1)).payload("x").build();
    const auto p = accepted(bytes);
    EXPECT_EQ(p.proto_class(), (ProtoClass{Kind::udp, 5000, 53}));
    EXPECT_EQ(p.transport_offset(), 20 + words * 4);
    EXPECT_EQ(p.has_options_or_extensions(), words != 0);
  }
}

TEST(InnerPacket, WalksExtensionHeadersInAnyOrder) {
  const auto bytes = v6(tcp())
                         .extension(60, ByteVector(22))
                         .extension(0)
                         .extension(140)
                         .extension(139)
                         .extension(135)
                         .extension(253)
                         .extension(254)
                         .extension(43)
                         .payload("x")
                         .build();
  const auto p = accepted(bytes);
  EXPECT_EQ(p.protocol(), 6);
  EXPECT_EQ(p.proto_class(), (ProtoClass{Kind::tcp, 5000, 53}));
  EXPECT_EQ(p.transport_offset(), 40U + 24 + 7 * 8);
  // AH is a protocol, whatever it carries.
  EXPECT_EQ(class_of(v6(tcp()).extension(51).build()), (ProtoClass{Kind::other_ip, 51, 51}));
}

TEST(InnerPacket, RejectsAnExtensionHeaderThatRunsOutOfThePacket) {
  auto bytes = v6(tcp()).extension(0).build();
  bytes[41] = 3;
  EXPECT_EQ(refusal(bytes), DropReason::malformed_packet);
}

TEST(InnerPacket, RejectsIcmpOfTheWrongFamily) {
  EXPECT_EQ(refusal(v4(echo(1)).type(128).protocol(58).build()), DropReason::malformed_packet);
  EXPECT_EQ(refusal(v6(echo(1)).type(8).protocol(1).build()), DropReason::malformed_packet);
}

TEST(InnerPacket, NeverReadsPastTheEndOfArbitraryBytes) {
  std::mt19937 random{7};
  for (int i = 0; i < 200000; ++i) {
    ByteVector bytes(random() % 90);
    for (auto& b : bytes) b = static_cast<std::uint8_t>(random());
    if (bytes.size() > 9) {
      bytes[0] = static_cast<std::uint8_t>(random() % 2 == 0 ? 0x45 : 0x60);
      if (bytes[0] == 0x45) store_be16(bytes.data() + 2, static_cast<std::uint16_t>(bytes.size()));
      if (bytes[0] == 0x45) bytes[6] = bytes[7] = 0;
      if (bytes[0] == 0x60)
        store_be16(bytes.data() + 4, static_cast<std::uint16_t>(bytes.size() - 40));
    }
    if (bytes.size() > 9 && random() % 2 == 0)
      bytes[bytes[0] == 0x45 ? 9 : 6] = static_cast<std::uint8_t>(random() % 2 == 0 ? 1 : 58);
    const ByteVector exact(bytes);  // no capacity behind it: the sanitizer sees a read too far
    if (const auto p = InnerPacket::parse(exact)) {
      (void)p->icmp_error();
      (void)p->has_valid_checksums();
      (void)p->is_control();
      (void)p->tcp_flags();
      EXPECT_LE(p->transport_offset() + p->transport_header_length(), exact.size());
    }
  }
}

TEST(InnerPacket, KnowsMulticastDestinations) {
  EXPECT_TRUE(accepted(udp().from(kV4From).to("224.0.0.251").build()).has_multicast_destination());
  EXPECT_TRUE(
      accepted(udp().from(kV4From).to("239.255.255.255").build()).has_multicast_destination());
  EXPECT_FALSE(accepted(udp().from(kV4From).to("240.0.0.1").build()).has_multicast_destination());
  EXPECT_TRUE(accepted(udp().from(kV6From).to("ff02::16").build()).has_multicast_destination());
  EXPECT_FALSE(accepted(udp().from(kV6From).to("fe80::1").build()).has_multicast_destination());
}

TEST(InnerPacket, KnowsTheIcmpTypesNoClientMaySend) {
  for (unsigned type = 0; type < 256; ++type) {
    const auto t = static_cast<std::uint8_t>(type);
    const bool v4_forbidden = (type >= 3 && type <= 5) || (type >= 9 && type <= 12);
    const bool v6_forbidden = (type >= 1 && type <= 4) || (type >= 130 && type <= 137);
    EXPECT_EQ(accepted(v4(icmp(t)).build()).is_forbidden_icmp(), v4_forbidden) << type;
    EXPECT_EQ(accepted(v6(icmp(t)).build()).is_forbidden_icmp(), v6_forbidden) << type;
  }
  EXPECT_FALSE(accepted(v4(udp()).build()).is_forbidden_icmp());
}

TEST(IcmpError, IsRecognisedByTypeAndCode) {
  const auto quote4 = v4(udp()).payload("x").build();
  const auto quote6 = v6(udp()).payload("x").build();
  for (unsigned type = 0; type < 256; ++type) {
    for (const std::uint8_t code : std::to_array<std::uint8_t>({0, 1, 4, 13})) {
      const auto t = static_cast<std::uint8_t>(type);
      EXPECT_EQ(accepted(v4(icmp(t, code)).payload(quote4).build()).icmp_error().has_value(),
                type == 3 || type == 11);
      EXPECT_EQ(accepted(v6(icmp(t, code)).payload(quote6).build()).icmp_error().has_value(),
                type == 1 || type == 3 || (type == 2 && code == 0))
          << type;
    }
  }
}

TEST(IcmpError, ReadsTheQuoteAndTheMtu) {
  const auto quote = v4(tcp()).ip_options(ByteVector(8, 1)).build();
  const auto bytes =
      icmp(3, 4).from("10.0.0.254").to(kV4From).rest_of_header(0xAAAA0514).payload(quote).build();
  const auto error = accepted(bytes).icmp_error();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->type, 3);
  EXPECT_EQ(error->code, 4);
  EXPECT_EQ(error->mtu, 1300U);
  EXPECT_EQ(error->quoted, (ProtoClass{Kind::tcp, 5000, 53}));
  EXPECT_EQ(error->quoted_source, test::ip(kV4From));
  EXPECT_EQ(error->quoted_destination, test::ip(kV4To));
  EXPECT_EQ(error->quoted_protocol, 6);
  EXPECT_EQ(error->quote_transport, 28);
  EXPECT_TRUE(equal(error->quote, quote));

  const auto big =
      v6(icmp(2)).rest_of_header(70000).payload(v6(echo(77)).extension(60).build()).build();
  const auto too_big = accepted(big).icmp_error();
  ASSERT_TRUE(too_big);
  EXPECT_EQ(too_big->mtu, 70000U);
  EXPECT_EQ(too_big->quoted, (ProtoClass{Kind::echo, 77, 77}));
  EXPECT_EQ(too_big->quote_transport, 48);
}

TEST(IcmpError, NeedsFourBytesOfPortsOrAWholeEchoHeader) {
  for (std::size_t n = 0; n <= 8; ++n) {
    for (const bool family4 : {true, false}) {
      const auto wrap = [&](test::PacketBuilder quoted) {
        auto quote = (family4 ? v4(quoted) : v6(quoted)).build();
        quote.resize((family4 ? 20U : 40U) + n);
        return accepted((family4 ? v4(icmp(3)) : v6(icmp(1))).payload(quote).build())
            .icmp_error()
            .has_value();
      };
      EXPECT_EQ(wrap(tcp()), n >= 4) << n;
      EXPECT_EQ(wrap(udp()), n >= 4) << n;
      EXPECT_EQ(wrap(echo(1)), n >= 8) << n;
    }
  }
}

TEST(IcmpError, RefusesQuotesItCannotAttribute) {
  const auto usable = [](test::PacketBuilder quoted) {
    return accepted(icmp(3).from("10.0.0.9").to(kV4From).payload(quoted.build()).build())
        .icmp_error()
        .has_value();
  };
  EXPECT_TRUE(usable(v4(udp())));
  EXPECT_TRUE(usable(v4(udp()).more_fragments()));
  EXPECT_FALSE(usable(v4(udp()).fragment_offset(3)));
  EXPECT_FALSE(usable(v4(other_ip(47)).payload_size(8)));
  EXPECT_FALSE(usable(v4(echo(1)).type(0)));
  EXPECT_FALSE(usable(v4(icmp(3)).payload_size(8)));
  EXPECT_FALSE(usable(v6(udp())));
}

TEST(InnerPacket, ValidatesChecksums) {
  for (const auto& bytes : shapes()) {
    EXPECT_TRUE(accepted(bytes).has_valid_checksums()) << test::describe(bytes);
    auto broken = bytes;
    broken.back() ^= 0x55;
    EXPECT_FALSE(accepted(broken).has_valid_checksums()) << test::describe(bytes);
  }
  auto header = v4(udp()).payload("x").build();
  header[8] ^= 1;
  EXPECT_FALSE(accepted(header).has_valid_checksums());
}

TEST(InnerPacket, UdpWithoutChecksumIsValidOverIpv4Only) {
  EXPECT_TRUE(accepted(v4(udp()).payload("x").without_checksum().build()).has_valid_checksums());
  EXPECT_FALSE(accepted(v6(udp()).payload("x").without_checksum().build()).has_valid_checksums());
}

TEST(InnerLength, CutsPaddingAndRefusesLies) {
  for (const auto& bytes : shapes()) {
    auto padded = bytes;
    for (std::size_t n = 0; n < 17; ++n, padded.push_back(0))
      EXPECT_EQ(inner_length(padded), bytes.size());
    for (std::size_t n = 0; n < bytes.size(); ++n)
      EXPECT_FALSE(inner_length(Bytes{bytes}.first(n)));
  }
  auto tiny = v4(udp()).build();
  store_be16(tiny.data() + 2, 19);
  EXPECT_FALSE(inner_length(tiny));
  EXPECT_FALSE(inner_length(ByteVector(32, 0)));
}

}  // namespace
}  // namespace fg::packet
