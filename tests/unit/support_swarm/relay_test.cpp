// What recorded gateways asked their relays, asked of the swarm's: the answers carry what those of
// the original relay did, in the same order.
#include "tests/support/swarm/relay.h"

#include <gtest/gtest.h>

#include <map>

#include "control/stun/key.h"
#include "control/stun/message.h"
#include "tests/support/pcap.h"
#include "tests/support/recordings.h"

namespace fg::swarm {
namespace {

constexpr std::size_t kHeader = 20;

bool is_stun(Bytes datagram) {
  return datagram.size() >= kHeader && load_be32(datagram.data() + 4) == 0x2112'A442;
}

// Types in order; a relay of two families names two relayed addresses.
std::vector<std::uint16_t> attributes_of(Bytes message) {
  std::vector<std::uint16_t> out;
  for (auto at = kHeader; at + 4 <= message.size();) {
    const auto type = load_be16(message.data() + at);
    if (out.empty() || out.back() != type) out.push_back(type);
    at += 4 + (std::size_t{load_be16(message.data() + at + 2)} + 3) / 4 * 4;
  }
  return out;
}

TEST(SwarmRelay, AnswersOriginalGatewaysAsTheirRelayDid) {
  for (const auto* generation : {"A", "B", "C"}) {
    const auto capture = test::read_pcap(test::recordings() / generation / "direct" / "wan.pcap");
    std::map<std::vector<std::uint8_t>, std::vector<std::uint16_t>> theirs;  // by transaction
    for (const auto& one : capture.datagrams) {
      if (!is_stun(one.payload) || one.from.port != Relay::kPort) continue;
      theirs[{one.payload.begin() + 8, one.payload.begin() + kHeader}] = attributes_of(one.payload);
    }
    Relay relay{*IpAddress::parse("198.51.100.20")};
    std::map<std::uint16_t, int> compared;  // by type of the request
    for (const auto& one : capture.datagrams) {
      if (!is_stun(one.payload) || one.to.port != Relay::kPort) continue;
      const auto known = theirs.find({one.payload.begin() + 8, one.payload.begin() + kHeader});
      if (known == theirs.end()) continue;
      const auto answer = relay.answer(one.payload, one.from);
      ASSERT_TRUE(answer) << generation;
      EXPECT_EQ(attributes_of(*answer), known->second) << generation;
      ++compared[load_be16(one.payload.data())];
    }
    EXPECT_GT(compared[0x0001], 0) << generation;
    EXPECT_GT(compared[0x0003], 1) << generation;  // without a nonce, and with one
    EXPECT_GT(compared[0x0009], 0) << generation;
    EXPECT_GT(relay.counts().allocations, 0U);
    EXPECT_GT(relay.counts().challenges, 0U);
  }
}

TEST(SwarmRelay, SignsWhatGatewaysOfBAndCIgnoreUnsigned) {
  const auto capture = test::read_pcap(test::recordings() / "B" / "direct" / "wan.pcap");
  const auto key = stun::long_term_key(Relay::kUsername, "firezone", SecretText{Relay::kPassword});
  Relay relay{*IpAddress::parse("198.51.100.20")};
  int checked = 0;
  for (const auto& one : capture.datagrams) {
    if (!is_stun(one.payload) || one.to.port != Relay::kPort) continue;
    const auto answer = relay.answer(one.payload, one.from);
    if (!answer || load_be16(one.payload.data()) == 0x0001) continue;
    const auto message = stun::Message::parse(*answer);
    ASSERT_TRUE(message);
    EXPECT_TRUE(message->verify_integrity(key.expose()));
    ++checked;
  }
  EXPECT_GT(checked, 2);
}

}  // namespace
}  // namespace fg::swarm
