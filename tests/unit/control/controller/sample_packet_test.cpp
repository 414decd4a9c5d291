#include "control/controller/sample_packet.h"

#include <gtest/gtest.h>

namespace fg::controller {
namespace {

using Kind = filter::ProtoKind;
using In = packet::ProtoClass::Kind;

const IpAddress kFrom4 = IpAddress::v4(100, 64, 0, 1);
const IpAddress kTo4 = IpAddress::v4(10, 0, 0, 1);
const IpAddress kFrom6 = *IpAddress::parse("fd00:2021:1111::1");
const IpAddress kTo6 = *IpAddress::parse("fd20::1");

TEST(SamplePacket, IsWhatWasAskedForInBothFamilies) {
  struct Case {
    Kind kind;
    std::uint16_t port;
    In seen;
    std::uint16_t destination;
  };
  for (const auto& [from, to] : {std::pair{kFrom4, kTo4}, std::pair{kFrom6, kTo6}}) {
    for (const auto& one :
         {Case{Kind::tcp, 443, In::tcp, 443}, Case{Kind::udp, 53, In::udp, 53},
          Case{Kind::echo, 0, In::echo, 0}, Case{Kind::other_ip, 47, In::other_ip, 47}}) {
      const SamplePacket sample{from, to, one.kind, one.port};
      const auto packet = sample.parsed();
      ASSERT_TRUE(packet) << static_cast<int>(one.kind);
      EXPECT_EQ(packet->source(), from);
      EXPECT_EQ(packet->destination(), to);
      EXPECT_EQ(packet->proto_class().kind, one.seen);
      EXPECT_EQ(packet->proto_class().destination, one.destination);
    }
  }
}

TEST(SamplePacket, IcmpOfAnyTypeIsPossible) {
  const SamplePacket timestamp{kFrom4, kTo4, Kind::icmp_other, 13};
  EXPECT_EQ(timestamp.parsed()->proto_class().kind, In::icmp_other);
  const SamplePacket error{kFrom4, kTo4, Kind::icmp_other, 3};
  EXPECT_TRUE(error.parsed()->is_forbidden_icmp());
}

TEST(SamplePacket, BetweenFamiliesIsNone) {
  EXPECT_FALSE((SamplePacket{kFrom4, kTo6, Kind::tcp, 1}.parsed()));
}

}  // namespace
}  // namespace fg::controller
