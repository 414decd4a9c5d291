// What originals of all generations put on the wire (../shared/recordings), against our parser,
// priorities and schedule.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

#include "support.h"

namespace fg::ice::testing {
namespace {

std::filesystem::path recordings() {
  const char* shared = std::getenv("FG_SHARED");
  const auto root = shared != nullptr ? std::filesystem::path{shared}
                                      : std::filesystem::path{FG_SOURCE_DIR "/../shared"};
  return root / "recordings";
}

std::string read(const std::filesystem::path& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

std::set<std::string> candidate_lines(const std::string& transcript) {
  std::set<std::string> out;
  for (auto at = transcript.find("\"candidate:"); at != std::string::npos;
       at = transcript.find("\"candidate:", at + 1)) {
    out.insert(transcript.substr(at + 1, transcript.find('"', at + 1) - at - 1));
  }
  return out;
}

TEST(Recorded, EveryCandidateLineParsesAndThoseOfIceModeAreWrittenBackAlike) {
  std::size_t parsed = 0;
  std::size_t written = 0;
  for (const auto* generation : {"A", "B", "C"}) {
    for (const auto* situation : {"direct", "relayed", "iceless", "iceless-relayed"}) {
      const auto path = recordings() / generation / situation / "portal.jsonl";
      for (const auto& text : candidate_lines(read(path))) {
        const auto line = parse_line(text);
        ASSERT_TRUE(line) << text;
        ++parsed;
        EXPECT_TRUE(is_valid_address(line->candidate.address.ip));
        if (std::string_view{situation}.starts_with("iceless")) continue;
        const auto form = line->ufrag ? LineForm::standard : LineForm::legacy;
        EXPECT_EQ(to_line(line->candidate, line->ufrag.value_or(""), form), text);
        ++written;
      }
    }
  }
  EXPECT_GE(parsed, 60U);
  EXPECT_GE(written, 40U);
}

TEST(Recorded, FoundationsStartWithThePriorityAsOursDo) {
  for (const auto* generation : {"A", "B", "C"}) {
    for (const auto& text :
         candidate_lines(read(recordings() / generation / "direct" / "portal.jsonl"))) {
      const auto candidate = parse_line(text)->candidate;
      const auto ours = make_foundation(candidate.kind, candidate.base.ip, candidate.priority);
      EXPECT_EQ(ours.substr(0, 8), candidate.foundation.substr(0, 8)) << text;
      EXPECT_EQ(ours.size(), candidate.foundation.size());
    }
  }
}

struct Check {
  Duration at{};
  SocketAddress from;
  SocketAddress to;
  std::uint32_t priority = 0;
  bool controlled = false;
  bool use_candidate = false;
};

// UDP over Ethernet in the classic capture format with microseconds.
std::vector<Check> checks_in(const std::filesystem::path& path) {
  const auto file = read(path);
  ByteReader in{as_bytes(file)};
  std::vector<Check> out;
  EXPECT_EQ(in.le32(), 0xA1B2C3D4U) << path;
  in.skip(20);
  while (in.ok() && in.remaining() >= 16) {
    const auto seconds = in.le32();
    const auto micros = in.le32();
    const auto captured = in.le32();
    in.skip(4);
    ByteReader frame{in.bytes(captured)};
    frame.skip(12);
    const auto type = frame.be16();
    Check check;
    check.at = std::chrono::seconds{seconds} + std::chrono::microseconds{micros};
    if (type == 0x0800) {
      frame.skip(12);
      check.from.ip = IpAddress::from_bytes(frame.bytes(4));
      check.to.ip = IpAddress::from_bytes(frame.bytes(4));
    } else if (type == 0x86DD) {
      frame.skip(8);
      check.from.ip = IpAddress::from_bytes(frame.bytes(16));
      check.to.ip = IpAddress::from_bytes(frame.bytes(16));
    } else {
      continue;
    }
    check.from.port = frame.be16();
    check.to.port = frame.be16();
    frame.skip(4);
    const auto message = stun::Message::parse(frame.rest());
    if (!message || !message->is(stun::Method::binding, stun::Class::request) ||
        !message->priority())
      continue;
    check.priority = *message->priority();
    check.controlled = message->ice_controlled().has_value();
    check.use_candidate = message->use_candidate();
    out.push_back(check);
  }
  return out;
}

TEST(Recorded, PrioritiesOfChecksAreOurs) {
  const auto expected = [](CandidateKind kind, Family family, bool cross) {
    return check_priority(candidate_priority(
        kind, local_preference(kind, {.family = family, .earlier = 0, .cross_family = cross})));
  };
  for (const auto* generation : {"A", "B", "C"}) {
    const auto checks = checks_in(recordings() / generation / "direct" / "wan.pcap");
    ASSERT_GE(checks.size(), 20U);
    for (const auto& check : checks) {
      const auto family = check.from.family();
      const bool from_relay =
          check.from.ip == (family == Family::v4 ? *IpAddress::parse("198.51.100.30")
                                                 : *IpAddress::parse("2001:db8:51::30"));
      const auto kind = from_relay ? CandidateKind::relay : CandidateKind::host;
      // The relay was reached over IPv6; generation A knows no penalty for that.
      const bool cross = from_relay && family == Family::v4 && generation != std::string_view{"A"};
      EXPECT_EQ(check.priority, expected(kind, family, cross))
          << generation << ' ' << check.from.to_string();
    }
    EXPECT_EQ(expected(CandidateKind::host, Family::v4, false), 1862270719U);
  }
}

// A gateway's pair that the client never nominates keeps the plain schedule; so does each side of
// ours.
TEST(Recorded, GapsBetweenChecksAreOurs) {
  for (const auto* generation : {"B", "C"}) {
    std::map<std::pair<SocketAddress, SocketAddress>, std::vector<Duration>> sent;
    for (const auto& check : checks_in(recordings() / generation / "direct" / "wan.pcap")) {
      if (check.controlled) sent[{check.from, check.to}].push_back(check.at);
    }
    ASSERT_FALSE(sent.empty());
    for (const auto& [pair, times] : sent) {
      for (std::size_t i = 1; i < times.size() && i <= 6; ++i) {
        const auto difference = times[i] - times[i - 1] - kServerDefault.delay(i);
        EXPECT_LT(std::chrono::abs(difference), 30ms)
            << generation << ' ' << pair.first.to_string() << " -> " << pair.second.to_string()
            << " check " << i;
      }
    }
  }
}

}  // namespace
}  // namespace fg::ice::testing
