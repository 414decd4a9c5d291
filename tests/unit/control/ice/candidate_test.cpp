#include "control/ice/candidate.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace fg::ice {
namespace {

SocketAddress at(std::string_view text) { return *SocketAddress::parse(text); }

constexpr std::string_view kRelayLine =
    "candidate:fffe3f020f1e2d3c4b5a6978 1 udp 37748479 203.0.113.7 51234 typ relay raddr 0.0.0.0 "
    "rport 0 ufrag 6pya";

TEST(Candidate, PrioritiesAreThoseOfTheSpec) {
  const auto first = [](CandidateKind kind, Family family, bool cross = false) {
    return candidate_priority(
        kind, local_preference(kind, {.family = family, .earlier = 0, .cross_family = cross}));
  };
  EXPECT_EQ(first(CandidateKind::host, Family::v4), 2130706175U);
  EXPECT_EQ(first(CandidateKind::host, Family::v6), 2130706431U);
  EXPECT_EQ(first(CandidateKind::srflx, Family::v4), 1686109951U);
  EXPECT_EQ(first(CandidateKind::srflx, Family::v6), 1686110207U);
  EXPECT_EQ(first(CandidateKind::relay, Family::v4), 37748479U);
  EXPECT_EQ(first(CandidateKind::relay, Family::v6), 37748735U);
  EXPECT_EQ(first(CandidateKind::relay, Family::v4, true), 37492479U);
  EXPECT_EQ(first(CandidateKind::relay, Family::v6, true), 37492735U);
}

TEST(Candidate, EachEarlierOneOfTheKindCostsTwo) {
  EXPECT_EQ(local_preference(CandidateKind::host,
                             {.family = Family::v4, .earlier = 3, .cross_family = false}),
            65528U);
  EXPECT_EQ(local_preference(CandidateKind::prflx,
                             {.family = Family::v6, .earlier = 1, .cross_family = false}),
            49149U);
}

TEST(Candidate, PreferenceNeverWraps) {
  EXPECT_EQ(local_preference(CandidateKind::relay,
                             {.family = Family::v4, .earlier = 9000, .cross_family = true}),
            0U);
  EXPECT_EQ(local_preference(CandidateKind::host,
                             {.family = Family::v4, .earlier = 0xFFFFFFFF, .cross_family = true}),
            0U);
}

TEST(Candidate, CheckOfTheFirstHostCarriesThePrflxPriority) {
  EXPECT_EQ(check_priority(2130706175U), 1862270719U);
  EXPECT_EQ(check_priority(37748479U), 1849687807U);
}

TEST(Candidate, PairPriorityIsThatOfTheRfc) {
  EXPECT_EQ(pair_priority(2, 1), (1ULL << 32) + 2 * 2 + 1);
  EXPECT_EQ(pair_priority(1, 2), (1ULL << 32) + 2 * 2);
  EXPECT_EQ(pair_priority(7, 7), (7ULL << 32) + 14);
  EXPECT_EQ(pair_priority(0xFFFFFFFF, 0xFFFFFFFF),
            0xFFFFFFFFULL * 0x100000000ULL + 2 * 0xFFFFFFFFULL);
}

TEST(Candidate, FoundationIsStableOpaqueAndShort) {
  const auto base = IpAddress::v4(192, 0, 2, 44);
  const auto foundation = make_foundation(CandidateKind::host, base, 2130706175);
  EXPECT_EQ(foundation, make_foundation(CandidateKind::host, base, 2130706175));
  EXPECT_EQ(foundation.substr(0, 8), "fffeff7e");
  EXPECT_EQ(foundation.size(), 24U);
  EXPECT_NE(foundation,
            make_foundation(CandidateKind::host, IpAddress::v4(192, 0, 2, 45), 2130706175));
  EXPECT_NE(foundation, make_foundation(CandidateKind::srflx, base, 2130706175));
}

TEST(Candidate, UnusableAddressesAreNamed) {
  for (const auto* bad :
       {"0.0.0.0", "224.0.0.1", "255.255.255.255", "169.254.1.1", "::", "ff02::1"}) {
    EXPECT_FALSE(is_valid_address(*IpAddress::parse(bad))) << bad;
  }
  for (const auto* good :
       {"127.0.0.1", "10.0.0.1", "203.0.113.9", "::1", "2001:db8::1", "fe80::1"}) {
    EXPECT_TRUE(is_valid_address(*IpAddress::parse(good))) << good;
  }
}

TEST(Candidate, HostLineHasNoRelatedAddress) {
  const Candidate host{.kind = CandidateKind::host,
                       .address = at("192.0.2.44:52625"),
                       .base = at("192.0.2.44:52625"),
                       .raddr = std::nullopt,
                       .priority = 2130706175,
                       .foundation = "f"};
  EXPECT_EQ(to_line(host, "6pya"),
            "candidate:f 1 udp 2130706175 192.0.2.44 52625 typ host ufrag 6pya");
  EXPECT_EQ(to_line(host, "6pya", LineForm::legacy),
            "candidate:f 1 udp 2130706175 192.0.2.44 52625 typ host");
}

TEST(Candidate, ReflexiveAndRelayedLinesHideTheBase) {
  Candidate mapped{.kind = CandidateKind::srflx,
                   .address = at("198.51.100.20:40411"),
                   .base = at("192.168.1.2:52625"),
                   .raddr = std::nullopt,
                   .priority = 1686109951,
                   .foundation = "abc"};
  EXPECT_EQ(to_line(mapped, "6pya"),
            "candidate:abc 1 udp 1686109951 198.51.100.20 40411 typ srflx raddr 0.0.0.0 rport 0 "
            "ufrag 6pya");
  EXPECT_EQ(to_line(mapped, "6pya", LineForm::legacy),
            "candidate:abc 1 udp 1686109951 198.51.100.20 40411 typ srflx");
  mapped.kind = CandidateKind::relay;
  mapped.address = at("[2001:db8:51::30]:51799");
  EXPECT_EQ(
      to_line(mapped, "d73k"),
      "candidate:abc 1 udp 1686109951 2001:db8:51::30 51799 typ relay raddr :: rport 0 ufrag d73k");
}

TEST(Candidate, LineParsesIntoItsFields) {
  const auto line = parse_line(kRelayLine);
  ASSERT_TRUE(line);
  EXPECT_EQ(line->candidate.kind, CandidateKind::relay);
  EXPECT_EQ(line->candidate.address, at("203.0.113.7:51234"));
  EXPECT_EQ(line->candidate.base, at("203.0.113.7:51234"));
  EXPECT_EQ(line->candidate.raddr, at("0.0.0.0:0"));
  EXPECT_EQ(line->candidate.priority, 37748479U);
  EXPECT_EQ(line->candidate.foundation, "fffe3f020f1e2d3c4b5a6978");
  EXPECT_EQ(line->ufrag, "6pya");
}

TEST(Candidate, LenientWhereTheSpecIs) {
  for (const auto* good : {
           "candidate:1 1 UDP 1 192.0.2.1 1 typ host",
           "candidate:1 1 udp 1 192.0.2.1 1 typ prflx",
           "candidate:1  1\tudp 1 192.0.2.1 1 typ host ",
           "candidate:1 1 udp 1 192.0.2.1 1 typ host generation 0 network-id 3 network-cost 10 "
           "tcptype passive",
           "candidate:1 1 udp 1 192.0.2.1 1 typ srflx ufrag abcd rport 0 raddr 0.0.0.0",
           "candidate:1 1 udp 1 192.0.2.1 1 typ host trailing",
           "candidate:1 1 udp 4294967295 2001:db8::1 65535 typ host",
       }) {
    EXPECT_TRUE(parse_line(good)) << good;
  }
}

TEST(Candidate, EverythingElseIsNoCandidate) {
  for (const auto* bad : {
           "",
           "candidate:",
           "candidate:1",
           "a=candidate:1 1 udp 1 192.0.2.1 1 typ host",
           "candidate: 1 udp 1 192.0.2.1 1 typ host",
           "candidate:1 2 udp 1 192.0.2.1 1 typ host",
           "candidate:1 1 tcp 1 192.0.2.1 1 typ host",
           "candidate:1 1 udpx 1 192.0.2.1 1 typ host",
           "candidate:1 1 udp -1 192.0.2.1 1 typ host",
           "candidate:1 1 udp 4294967296 192.0.2.1 1 typ host",
           "candidate:1 1 udp 1 192.0.2.256 1 typ host",
           "candidate:1 1 udp 1 [2001:db8::1] 1 typ host",
           "candidate:1 1 udp 1 example.org 1 typ host",
           "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
           "candidate:1 1 udp 1 192.0.2.1 1x typ host",
           "candidate:1 1 udp 1 192.0.2.1 1 host",
           "candidate:1 1 udp 1 192.0.2.1 1 typ",
           "candidate:1 1 udp 1 192.0.2.1 1 typ magic",
           "candidate:1 1 udp 1 192.0.2.1 1 typ srflx raddr nonsense rport 0",
           "candidate:1 1 udp 1 192.0.2.1 1 typ srflx raddr 0.0.0.0 rport x",
           "candidate:tmp_prflx 1 udp 1 192.0.2.1 1 typ host",
       }) {
    EXPECT_FALSE(parse_line(bad)) << bad;
  }
}

TEST(Candidate, FoundationHasAtMostThirtyTwoCharacters) {
  const std::string rest = " 1 udp 1 192.0.2.1 1 typ host";
  EXPECT_TRUE(parse_line("candidate:" + std::string(32, 'a') + rest));
  EXPECT_FALSE(parse_line("candidate:" + std::string(33, 'a') + rest));
}

TEST(Candidate, LineHasAtMostAThousandAndTwentyFourBytes) {
  std::string line = "candidate:1 1 udp 1 192.0.2.1 1 typ host x ";
  line += std::string(1024 - line.size(), 'y');
  EXPECT_TRUE(parse_line(line));
  EXPECT_FALSE(parse_line(line + "y"));
}

TEST(Candidate, DamagedLinesParseToSomethingThatCanBeWrittenOrNotAtAll) {
  SeededRandom random{3};
  int parsed = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string damaged{kRelayLine};
    for (std::uint32_t edits = random.below(3); edits > 0; --edits) {
      const auto where = random.below(static_cast<std::uint32_t>(damaged.size()));
      if (random.below(2) == 0) {
        damaged.erase(where, 1 + random.below(4));
      } else {
        damaged[where] = static_cast<char>(random.below(256));
      }
    }
    const auto line = parse_line(damaged);
    if (!line) continue;
    ++parsed;
    const auto again = parse_line(to_line(line->candidate, line->ufrag.value_or("x")));
    ASSERT_TRUE(again) << damaged;
    EXPECT_EQ(again->candidate.address, line->candidate.address);
    EXPECT_EQ(again->candidate.priority, line->candidate.priority);
    EXPECT_EQ(again->candidate.kind, line->candidate.kind);
  }
  EXPECT_GT(parsed, 5000);
}

TEST(Candidate, SameMeansKindAddressBaseAndRelatedAddress) {
  const auto a = parse_line(kRelayLine)->candidate;
  auto b = a;
  b.priority = 1;
  b.foundation = "other";
  EXPECT_TRUE(is_same(a, b));
  b.raddr.reset();
  EXPECT_FALSE(is_same(a, b));
}

TEST(Candidate, OnlyHostsGetTheirChannelOnDemand) {
  EXPECT_FALSE(wants_channel(CandidateKind::host));
  EXPECT_TRUE(wants_channel(CandidateKind::srflx));
  EXPECT_TRUE(wants_channel(CandidateKind::prflx));
  EXPECT_TRUE(wants_channel(CandidateKind::relay));
}

}  // namespace
}  // namespace fg::ice
