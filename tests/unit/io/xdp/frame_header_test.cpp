#include "io/xdp/frame_header.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "io/xdp/frame.h"
#include "packet/checksum.h"
#include "tests/support/packets.h"

namespace fg::io::xdp {
namespace {

constexpr std::uint16_t kPort = 52625;

NextHop hop(const char* source) {
  return {.interface = 7,
          .source = test::ip(source),
          .source_mac = {2, 0, 0, 0, 0, 1},
          .destination_mac = {2, 0, 0, 0, 0, 2},
          .hop_limit = 64,
          .mtu = 1500};
}
ByteVector written(const FrameHeader& header, Bytes payload, std::uint8_t ecn = 0) {
  ByteVector out(FrameHeader::kSizeMax + payload.size(), 0xEE);
  out.resize(header.write(payload, ecn, out.data()));
  return out;
}

// Computed by hand with Python's struct, checksums by RFC 1071's plain loop.
TEST(FrameHeader, AnIpv4DatagramIsWrittenAsThePlainDefinitionHasIt) {
  const FrameHeader header{hop("198.51.100.10"), kPort, {test::ip("192.0.2.7"), 3478}};
  EXPECT_EQ(hex(written(header, as_bytes("firegate!"), 2)),
            "020000000002020000000001"
            "0800"
            "450200250000400040114e81c633640ac0000207"
            "cd910d96001162c9666972656761746521");
}

TEST(FrameHeader, AnIpv6DatagramInAVlanIsWrittenAsThePlainDefinitionHasIt) {
  auto to = hop("2001:db8::10");
  to.vlan = VlanTag{.id = 100};
  to.hop_limit = 255;
  const FrameHeader header{to, kPort, {test::ip("2001:db8::7"), 3478}};
  EXPECT_EQ(hex(written(header, as_bytes("firegate!"), 1)),
            "020000000002020000000001"
            "8100006486dd"
            "60100000001111ff20010db800000000000000000000001020010db8000000000000000000000007"
            "cd910d960011f385666972656761746521");
}

TEST(FrameHeader, EveryLengthAndMarkGivesWhatTheReceivingSideReadsWithTrueChecksums) {
  for (const auto* source : {"198.51.100.10", "2001:db8::10"}) {
    const bool is_v4 = test::ip(source).is_v4();
    const SocketAddress to{test::ip(is_v4 ? "192.0.2.7" : "2001:db8::7"), 4500};
    const FrameHeader header{hop(source), kPort, to};
    for (std::size_t size = 1; size <= header.payload_max(); ++size) {
      const auto payload = test::counting(size);
      const auto ecn = static_cast<std::uint8_t>(size % 4);
      auto frame = written(header, payload, ecn);
      const auto got = parse_frame(frame);
      ASSERT_TRUE(got) << size;
      ASSERT_EQ(copy_of(got->bytes), payload);
      ASSERT_EQ(got->from, (SocketAddress{test::ip(source), kPort}));
      ASSERT_EQ(got->local, to);
      ASSERT_EQ(got->ecn, ecn);
      const auto udp = Bytes{frame}.subspan(is_v4 ? 34 : 54);
      const auto sum =
          packet::add(packet::pseudo_header(got->from.ip.bytes(), to.ip.bytes(), 17, udp.size()),
                      packet::sum_of(udp));
      ASSERT_TRUE(packet::is_zero(sum)) << size;
      if (is_v4) {
        ASSERT_TRUE(packet::is_zero(packet::sum_of(Bytes{frame}.subspan(14, 20))));
      }
    }
  }
}

TEST(FrameHeader, ThePayloadFillsTheMtuAndNoMore) {
  const auto payload_max = [](const char* source, std::uint16_t mtu) {
    auto to = hop(source);
    to.mtu = mtu;
    to.vlan = VlanTag{};
    return FrameHeader{to, kPort, {test::ip(source), 1}}.payload_max();
  };
  EXPECT_EQ(payload_max("192.0.2.1", 1500), 1472U);
  EXPECT_EQ(payload_max("2001:db8::1", 1280), 1232U);
  EXPECT_EQ(payload_max("2001:db8::1", 20), 0U);
}

}  // namespace
}  // namespace fg::io::xdp
