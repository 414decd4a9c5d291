#include "control/path/candidate.h"

#include <gtest/gtest.h>

namespace fg::path {
namespace {

SocketAddress at(std::string_view text) { return *SocketAddress::parse(text); }

struct Line {
  CandidateKind kind;
  std::string_view address;
  std::string_view base;
  std::string_view text;
};

// Spec connectivity 10.4, then lines of an original gateway and an original client
// (recordings C/iceless and C/iceless-relayed).
constexpr std::array kLines{
    Line{CandidateKind::host, "192.0.2.1:52625", "192.0.2.1:52625",
         "candidate:13636052848262059100 1 udp 2130706431 192.0.2.1 52625 typ host"},
    Line{CandidateKind::srflx, "198.51.100.7:40000", "192.0.2.1:52625",
         "candidate:11234011770719439645 1 udp 1694498815 198.51.100.7 40000 typ srflx raddr "
         "192.0.2.1 rport 52625"},
    Line{CandidateKind::relay, "203.0.113.9:50000", "192.0.2.1:52625",
         "candidate:1505173731554397364 1 udp 16777215 203.0.113.9 50000 typ relay raddr 192.0.2.1 "
         "rport 52625"},
    Line{CandidateKind::relay, "[2001:db8::9]:50000", "192.0.2.1:52625",
         "candidate:10726651070752945396 1 udp 16777215 2001:db8::9 50000 typ relay raddr "
         "192.0.2.1 rport 52625"},
    Line{CandidateKind::host, "[2001:db8:51::10]:52625", "[2001:db8:51::10]:52625",
         "candidate:10016063906784140760 1 udp 2130706431 2001:db8:51::10 52625 typ host"},
    Line{CandidateKind::relay, "[2001:db8:51::30]:65411", "198.51.100.10:52625",
         "candidate:3316046552021735781 1 udp 16777215 2001:db8:51::30 65411 typ relay raddr "
         "198.51.100.10 rport 52625"},
    Line{CandidateKind::srflx, "198.51.100.21:25488", "192.168.7.2:52625",
         "candidate:9547221187345714952 1 udp 1694498815 198.51.100.21 25488 typ srflx raddr "
         "192.168.7.2 rport 52625"},
};

TEST(IcelessCandidate, IsWrittenByteForByteAsTheSpecAndTheOriginalsWriteIt) {
  for (const auto& line : kLines)
    EXPECT_EQ(to_line(make_candidate(line.kind, at(line.address), at(line.base))), line.text);
}

TEST(IcelessCandidate, ComesBackFromItsLine) {
  for (const auto& line : kLines) {
    const auto candidate = parse_line(line.text);
    ASSERT_TRUE(candidate) << line.text;
    EXPECT_EQ(candidate->kind, line.kind);
    EXPECT_EQ(candidate->address, at(line.address));
    EXPECT_EQ(to_line(*candidate), line.text);
  }
}

TEST(IcelessCandidate, ReflexiveAndRelayedOnesNeedABase) {
  EXPECT_FALSE(parse_line("candidate:1 1 udp 1 192.0.2.1 1 typ srflx"));
  EXPECT_FALSE(parse_line("candidate:1 1 udp 1 192.0.2.1 1 typ relay raddr 192.0.2.2"));
  EXPECT_TRUE(parse_line("candidate:1 1 udp 1 192.0.2.1 1 typ host"));
}

// Spec connectivity 9.5, row 13.
TEST(IcelessCandidate, LineOfIceModeIsUnderstood) {
  const auto mapped = parse_line(
      "candidate:fffe7f64a1b2c3d4e5f60718 1 UDP 1686109951 198.51.100.20 40411 typ srflx raddr "
      "0.0.0.0 rport 0 ufrag 6pya");
  ASSERT_TRUE(mapped);
  EXPECT_EQ(mapped->address, at("198.51.100.20:40411"));
  EXPECT_TRUE(parse_line("candidate:fffeff7e 1 udp 2130706175 192.0.2.44 52625 typ host ufrag x"));
}

TEST(IcelessCandidate, OtherTypesAndTransportsAreRefused) {
  EXPECT_FALSE(parse_line("candidate:1 1 udp 1 192.0.2.1 1 typ prflx raddr 192.0.2.1 rport 1"));
  EXPECT_FALSE(parse_line("candidate:1 1 tcp 1 192.0.2.1 1 typ host"));
  EXPECT_FALSE(parse_line("candidate:1 1 udp 1 192.0.2.1 1 generation 0 typ host"));
}

}  // namespace
}  // namespace fg::path
