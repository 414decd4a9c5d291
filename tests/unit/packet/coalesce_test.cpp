#include "packet/coalesce.h"

#include <algorithm>
#include <functional>
#include <map>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "packet/checksum.h"
#include "packet/segment.h"
#include "tests/support/packets.h"

namespace fg::packet {
namespace {

using test::PacketBuilder;
using test::tcp;
using test::udp;

struct Written {
  VnetHeader header;
  ByteVector bytes;
  std::size_t packets = 0;
  std::size_t parts = 0;
};

std::vector<Written> written(Coalescer& coalescer) {
  std::vector<Written> out;
  coalescer.flush([&](const Aggregate& a) {
    Written w{.header = a.header, .bytes = {}, .packets = a.packets, .parts = a.parts.size()};
    for (const auto part : a.parts) w.bytes.insert(w.bytes.end(), part.begin(), part.end());
    EXPECT_EQ(w.bytes.size(), a.size);
    out.push_back(std::move(w));
  });
  return out;
}
std::vector<Written> coalesce(std::vector<ByteVector> packets, Coalescer::Offloads offloads = {}) {
  Coalescer coalescer{offloads};
  for (auto& p : packets) EXPECT_TRUE(coalescer.add(p)) << test::describe(p);
  return written(coalescer);
}
std::vector<std::size_t> counts(const std::vector<Written>& writes) {
  std::vector<std::size_t> out;
  for (const auto& w : writes) out.push_back(w.packets);
  return out;
}
using Counts = std::vector<std::size_t>;

// Splits every write again, as the kernel would.
std::vector<ByteVector> split(const std::vector<Written>& writes) {
  std::vector<ByteVector> out;
  for (const auto& w : writes) {
    const auto parsed = InnerPacket::parse(w.bytes, 65535);
    EXPECT_TRUE(parsed) << test::describe(w.bytes);
    if (!parsed) continue;
    const auto segments = Segments::of(w.header, *parsed);
    EXPECT_TRUE(segments) << test::describe(w.bytes);
    for (std::size_t i = 0; segments && i < segments->count(); ++i) {
      ByteVector bytes(segments->size(i));
      segments->write(i, bytes.data());
      out.push_back(std::move(bytes));
    }
  }
  return out;
}

// The i-th packet of a stream, of 100 bytes of payload each.
PacketBuilder stream(std::uint32_t i) {
  return tcp()
      .from("100.64.0.1", 5000)
      .to("10.0.0.1", 80)
      .id(static_cast<std::uint16_t>(i))
      .sequence(1000 + 100 * i)
      .payload_size(100);
}
PacketBuilder datagram(std::uint32_t i) {
  return udp()
      .from("100.64.0.1", 5000)
      .to("10.0.0.1", 53)
      .id(static_cast<std::uint16_t>(i))
      .payload_size(100);
}
// What becomes of two packets of a stream when the second is changed.
Counts pair(PacketBuilder first, PacketBuilder second) {
  return counts(coalesce({first.build(), second.build()}));
}

TEST(Coalescer, JoinsTcpAndDescribesItToTheKernel) {
  const auto writes = coalesce(
      {stream(0).build(), stream(1).build(), stream(2).flags(0x18).payload_size(50).build()});
  ASSERT_EQ(counts(writes), Counts{3});
  const auto& w = writes[0];
  EXPECT_EQ(w.parts, 3U);
  EXPECT_EQ(w.bytes.size(), 40U + 250);
  EXPECT_EQ(w.header, (VnetHeader{.flags = 1,
                                  .gso_type = 1,
                                  .header_length = 40,
                                  .gso_size = 100,
                                  .checksum_start = 20,
                                  .checksum_offset = 16}));
  EXPECT_EQ(load_be16(w.bytes.data() + 2), 290);
  EXPECT_EQ(w.bytes[33], 0x18);  // PSH of the last
  EXPECT_EQ(test::naive_sum(Bytes{w.bytes}.first(20)), 0xFFFFU);
  // The checksum field holds the pseudo-header sum, not complemented.
  EXPECT_EQ(load_be16(w.bytes.data() + 36),
            test::naive_pseudo_header(test::ip("100.64.0.1"), test::ip("10.0.0.1"), 6, 270));
}

TEST(Coalescer, JoinsTcpOverIpv6) {
  const auto make = [](std::uint32_t i) {
    return tcp()
        .from("fd00:2021:1111::1", 5000)
        .to("2001:db8::1", 80)
        .sequence(100 * i)
        .tcp_options(ByteVector(12, 1))
        .payload_size(100)
        .build();
  };
  const auto writes = coalesce({make(0), make(1)});
  ASSERT_EQ(counts(writes), Counts{2});
  EXPECT_EQ(writes[0].header, (VnetHeader{.flags = 1,
                                          .gso_type = 4,
                                          .header_length = 72,
                                          .gso_size = 100,
                                          .checksum_start = 40,
                                          .checksum_offset = 16}));
  EXPECT_EQ(load_be16(writes[0].bytes.data() + 4), 232);
}

TEST(Coalescer, JoinsUdp) {
  const auto writes = coalesce({datagram(0).build(), datagram(1).build()});
  ASSERT_EQ(counts(writes), Counts{2});
  EXPECT_EQ(writes[0].header, (VnetHeader{.flags = 1,
                                          .gso_type = 5,
                                          .header_length = 28,
                                          .gso_size = 100,
                                          .checksum_start = 20,
                                          .checksum_offset = 6}));
  EXPECT_EQ(load_be16(writes[0].bytes.data() + 2), 228);
  EXPECT_EQ(load_be16(writes[0].bytes.data() + 24), 208);
}

TEST(Coalescer, ASinglePacketIsWrittenUntouchedWithAnEmptyHeader) {
  const auto packet = stream(0).build();
  const auto writes = coalesce({packet});
  ASSERT_EQ(writes.size(), 1U);
  EXPECT_EQ(writes[0].header, VnetHeader{});
  EXPECT_EQ(writes[0].bytes, packet);
}

TEST(Coalescer, RefusesEachDifferenceInTheTcpHeader) {
  ASSERT_EQ(pair(stream(0), stream(1)), (Counts{2}));
  EXPECT_EQ(pair(stream(0), stream(1).window(0x2001)), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(1).acknowledgement(2)), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(2)), (Counts{1, 1})) << "gap";
  EXPECT_EQ(pair(stream(1), stream(0)), (Counts{1, 1})) << "left neighbour";
  EXPECT_EQ(pair(stream(0), stream(0)), (Counts{1, 1})) << "duplicate";
  EXPECT_EQ(pair(stream(0), stream(1).tcp_options(ByteVector(4, 1))), (Counts{1, 1}));
  const ByteVector stamp = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2};
  const ByteVector later = {1, 1, 8, 10, 0, 0, 0, 2, 0, 0, 0, 2};
  EXPECT_EQ(pair(stream(0).tcp_options(stamp), stream(1).tcp_options(stamp)), (Counts{2}));
  EXPECT_EQ(pair(stream(0).tcp_options(stamp), stream(1).tcp_options(later)), (Counts{1, 1}));
  // FIN SYN RST URG ECE CWR none PSH
  for (const auto flags :
       std::to_array<std::uint8_t>({0x11, 0x12, 0x14, 0x30, 0x50, 0x90, 0x00, 0x08})) {
    EXPECT_EQ(pair(stream(0), stream(1).flags(flags)), (Counts{1, 1})) << int{flags};
    EXPECT_EQ(pair(stream(0).flags(flags), stream(1)), (Counts{1, 1})) << int{flags};
  }
}

TEST(Coalescer, RefusesEachDifferenceInTheIpHeader) {
  EXPECT_EQ(pair(stream(0), stream(1).ttl(63)), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(1).traffic_class(4)), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(1).ecn(3)), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(1).dont_fragment(false)), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(1).ip_options(ByteVector(4, 1))), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0).ip_options(ByteVector(4, 1)), stream(1).ip_options(ByteVector(4, 1))),
            (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(1).from("100.64.0.2", 5000)), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(1).to("10.0.0.2", 80)), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(1).from("100.64.0.1", 5001)), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(1).to("10.0.0.1", 81)), (Counts{1, 1}));

  const auto six = [](std::uint32_t i) {
    return stream(i).from("fd00:2021:1111::1", 5000).to("2001:db8::1", 80);
  };
  ASSERT_EQ(pair(six(0), six(1)), (Counts{2}));
  EXPECT_EQ(pair(six(0), six(1).flow_label(1)), (Counts{1, 1}));
  EXPECT_EQ(pair(six(0), six(1).traffic_class(1)), (Counts{1, 1}));
  EXPECT_EQ(pair(six(0), six(1).ttl(1)), (Counts{1, 1}));
  EXPECT_EQ(pair(six(0), six(1).to("2001:db8::2", 80)), (Counts{1, 1}));
  EXPECT_EQ(pair(six(0).extension(60), six(1).extension(60)), (Counts{1, 1}));
}

TEST(Coalescer, IdentificationsMustCountUpOnlyWhenFragmentationIsAllowed) {
  EXPECT_EQ(pair(stream(0).id(0), stream(1).id(0)), (Counts{2}));
  EXPECT_EQ(pair(stream(0).dont_fragment(false).id(9), stream(1).dont_fragment(false).id(10)),
            (Counts{2}));
  EXPECT_EQ(pair(stream(0).dont_fragment(false).id(0xFFFF), stream(1).dont_fragment(false).id(0)),
            (Counts{2}));
  EXPECT_EQ(pair(stream(0).dont_fragment(false).id(9), stream(1).dont_fragment(false).id(9)),
            (Counts{1, 1}));
}

TEST(Coalescer, AnEmptyPayloadNeverJoins) {
  EXPECT_EQ(pair(stream(0), stream(1).payload("")), (Counts{1, 1}));
  EXPECT_EQ(pair(datagram(0), datagram(1).payload("")), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0).payload(""), stream(0)), (Counts{1, 1}));
}

TEST(Coalescer, AShorterPayloadClosesAndALongerOneDoesNotFit) {
  EXPECT_EQ(counts(coalesce({datagram(0).build(), datagram(1).payload_size(99).build(),
                             datagram(2).payload_size(99).build()})),
            (Counts{2, 1}));
  EXPECT_EQ(pair(datagram(0), datagram(1).payload_size(101)), (Counts{1, 1}));
}

TEST(Coalescer, PushClosesWhereverItIs) {
  EXPECT_EQ(counts(coalesce({stream(0).build(), stream(1).flags(0x18).build(), stream(2).build(),
                             stream(3).build()})),
            (Counts{2, 2}));
  EXPECT_EQ(pair(stream(0).flags(0x18), stream(1)), (Counts{1, 1}));
}

TEST(Coalescer, NeverRepairsAChecksum) {
  EXPECT_EQ(pair(stream(0).with_wrong_checksum(), stream(1)), (Counts{1, 1}));
  EXPECT_EQ(pair(stream(0), stream(1).with_wrong_checksum()), (Counts{1, 1}));
  EXPECT_EQ(pair(datagram(0).without_checksum(), datagram(1).without_checksum()), (Counts{1, 1}));
  auto header = stream(1).build();
  header[10] ^= 1;
  EXPECT_EQ(counts(coalesce({stream(0).build(), header})), (Counts{1, 1}));
  EXPECT_EQ(counts(coalesce({header, stream(2).build()})), (Counts{1, 1}));
}

TEST(Coalescer, AnAbsentUdpChecksumIsNotInventedEvenWhereZeroWouldBeRight) {
  auto first = datagram(0).without_checksum().build();
  const auto sum = test::naive_sum(
      Bytes{first}.subspan(20),
      test::naive_pseudo_header(test::ip("100.64.0.1"), test::ip("10.0.0.1"), 17, 108));
  // The payload's first word is 0x0001; this makes the whole sum 0xFFFF.
  store_be16(first.data() + 28, static_cast<std::uint16_t>((0xFFFF - sum) % 0xFFFF + 1));
  ASSERT_EQ(test::naive_sum(
                Bytes{first}.subspan(20),
                test::naive_pseudo_header(test::ip("100.64.0.1"), test::ip("10.0.0.1"), 17, 108)),
            0xFFFFU);
  EXPECT_EQ(counts(coalesce({first, datagram(1).build()})), (Counts{1, 1}));
}

TEST(Coalescer, APacketThatDoesNotJoinIsNotOvertaken) {
  const auto ack = stream(2).payload("").build();
  const auto packets =
      std::vector{stream(0).build(), stream(1).build(), ack, stream(2).build(), stream(3).build()};
  const auto writes = coalesce(packets);
  EXPECT_EQ(counts(writes), (Counts{2, 1, 2}));
  EXPECT_EQ(split(writes), packets);
  // Behind IPv4 options or extension headers the flow is still known.
  EXPECT_EQ(counts(coalesce({stream(0).build(), stream(1).ip_options(ByteVector(4, 1)).build(),
                             stream(1).build()})),
            (Counts{1, 1, 1}));
  const auto six = [](std::uint32_t i) {
    return stream(i).from("fd00:2021:1111::1", 5000).to("2001:db8::1", 80);
  };
  EXPECT_EQ(counts(coalesce({six(0).build(), six(1).extension(60).build(), six(1).build()})),
            (Counts{1, 1, 1}));
}

TEST(Coalescer, BytesThatDoNotParseAreNotOvertakenByAnything) {
  EXPECT_EQ(counts(coalesce({stream(0).build(), ByteVector{1, 2, 3}, stream(1).build()})),
            (Counts{1, 1, 1}));
}

TEST(Coalescer, InterleavedFlowsAreJoinedAndOrderedByTheirFirstPackets) {
  const auto other = [](std::uint32_t i) { return stream(i).from("100.64.0.1", 5001); };
  const auto ping = test::echo(1).from("100.64.0.1").to("10.0.0.1").build();
  const auto writes = coalesce({stream(0).build(), other(0).build(), ping, stream(1).build(),
                                other(1).build(), datagram(0).build(), stream(2).build()});
  ASSERT_EQ(counts(writes), (Counts{3, 2, 1, 1}));
  EXPECT_EQ(load_be16(writes[1].bytes.data() + 20), 5001);
  EXPECT_EQ(writes[2].bytes, ping);
}

TEST(Coalescer, AnAggregateEndsAtTheLargestIpPacket) {
  std::vector<ByteVector> packets;
  for (std::uint32_t i = 0; i < 60; ++i)
    packets.push_back(stream(0)
                          .id(static_cast<std::uint16_t>(i))
                          .sequence(1 + 1240 * i)
                          .payload_size(1240)
                          .build());
  const auto writes = coalesce(packets);
  EXPECT_EQ(counts(writes), (Counts{52, 8}));  // 40 + 52 * 1240 = 64520
  EXPECT_EQ(split(writes), packets);
  // 40 + 52 * 1240 + 1015 = 65535
  packets.resize(52);
  packets.push_back(stream(0).id(52).sequence(1 + 1240 * 52).payload_size(1015).build());
  EXPECT_EQ(counts(coalesce(packets)), (Counts{53}));
  packets.back() = stream(0).id(52).sequence(1 + 1240 * 52).payload_size(1016).build();
  EXPECT_EQ(counts(coalesce(packets)), (Counts{52, 1}));
}

TEST(Coalescer, AUdpAggregateHasSixtyFourSegmentsAtMost) {
  std::vector<ByteVector> packets;
  for (std::uint32_t i = 0; i < 65; ++i) packets.push_back(datagram(i).build());
  EXPECT_EQ(counts(coalesce(packets)), (Counts{64, 1}));
}

TEST(Coalescer, ABurstHoldsOneThousandTwentyFourPacketsAndAWriteOneLess) {
  Coalescer coalescer{{}};
  std::vector<ByteVector> packets;
  for (std::uint32_t i = 0; i < 1025; ++i)
    packets.push_back(tcp()
                          .from("100.64.0.1", 5)
                          .to("10.0.0.1", 6)
                          .id(static_cast<std::uint16_t>(i))
                          .sequence(i)
                          .payload("x")
                          .build());
  for (std::size_t i = 0; i < 1024; ++i) ASSERT_TRUE(coalescer.add(packets[i]));
  EXPECT_FALSE(coalescer.add(packets[1024]));
  EXPECT_EQ(coalescer.packets(), 1024U);
  EXPECT_EQ(counts(written(coalescer)), (Counts{1023, 1}));
  EXPECT_EQ(coalescer.packets(), 0U);
  EXPECT_TRUE(coalescer.add(packets[1024]));
  EXPECT_EQ(counts(written(coalescer)), (Counts{1}));
}

TEST(Coalescer, NothingCarriesOverIntoTheNextBurst) {
  Coalescer coalescer{{}};
  auto a = stream(0).build();
  auto b = stream(1).build();
  ASSERT_TRUE(coalescer.add(a));
  EXPECT_EQ(counts(written(coalescer)), (Counts{1}));
  ASSERT_TRUE(coalescer.add(b));
  EXPECT_EQ(counts(written(coalescer)), (Counts{1}));
  EXPECT_TRUE(written(coalescer).empty());
}

TEST(Coalescer, EachOffloadCanBeMissing) {
  const auto packets =
      std::vector{stream(0).build(), stream(1).build(), datagram(0).build(), datagram(1).build()};
  EXPECT_EQ(counts(coalesce(packets)), (Counts{2, 2}));
  EXPECT_EQ(counts(coalesce(packets, {.tcp = false, .udp = true})), (Counts{1, 1, 2}));
  EXPECT_EQ(counts(coalesce(packets, {.tcp = true, .udp = false})), (Counts{2, 1, 1}));
}

// A burst of a few flows with everything that can differ between two packets of one.
std::vector<ByteVector> any_burst() {
  const auto size = *rc::gen::inRange<std::size_t>(0, 80);
  struct Flow {
    std::uint32_t sequence = 0;
    std::uint16_t id = 0;
  };
  std::map<unsigned, Flow> flows;
  std::vector<ByteVector> out;
  for (std::size_t i = 0; i < size; ++i) {
    const auto f = *rc::gen::inRange(0U, 6U);
    auto& flow = flows[f];
    const auto odd = *rc::gen::inRange(0U, 40U);
    const std::size_t payload = odd == 0 ? 0 : odd < 4 ? 37 : 100;
    auto b = f % 2 == 0 ? tcp() : udp();
    if (f < 3) {
      b.from("100.64.0.1", static_cast<std::uint16_t>(f)).to("10.0.0.1", 80);
    } else {
      b.from("fd00:2021:1111::1", static_cast<std::uint16_t>(f)).to("2001:db8::1", 80);
    }
    b.id(flow.id)
        .sequence(flow.sequence)
        .payload(test::counting(payload, static_cast<std::uint8_t>(i)));
    if (odd == 5) b.flags(0x18);
    if (odd == 6) b.flags(0x11);
    if (odd == 7) b.ttl(1);
    if (odd == 8) b.ecn(3);
    if (odd == 9) b.with_wrong_checksum();
    if (odd == 10) b.window(5);
    if (odd == 11) b.extension(60).ip_options(ByteVector(4, 1));
    if (odd == 12) b.sequence(flow.sequence + 1);
    if (odd == 13) b.dont_fragment(false);
    if (odd == 14) b.without_checksum();
    flow.sequence += static_cast<std::uint32_t>(payload);
    ++flow.id;
    out.push_back(b.build());
  }
  return out;
}
std::size_t flow_of(const ByteVector& p) {
  const auto parsed = InnerPacket::parse(p);
  return parsed->proto_class().source;
}

RC_GTEST_PROP(Coalescer, SplittingGivesTheSamePacketsInTheSameOrderPerFlow, ()) {
  const auto packets = any_burst();
  const auto writes = coalesce(packets);
  const auto again = split(writes);
  RC_ASSERT(again.size() == packets.size());
  std::map<std::size_t, std::vector<ByteVector>> before;
  std::map<std::size_t, std::vector<ByteVector>> after;
  for (const auto& p : packets) before[flow_of(p)].push_back(p);
  for (const auto& p : again) after[flow_of(p)].push_back(p);
  RC_ASSERT(before == after);
}

}  // namespace
}  // namespace fg::packet
