// IPv4 fragments towards clients: spec policy 0.4, 3.8.
#include "tests/unit/pipeline/world.h"

namespace fg::pipeline {
namespace {

using namespace testing;

class FragmentsTest : public World {
 protected:
  // The packet in two fragments, the first with this much payload.
  static std::vector<ByteVector> split(const ByteVector& packet, std::size_t first) {
    std::vector<ByteVector> out;
    for (const bool last : {false, true}) {
      ByteVector f(packet.begin(), packet.begin() + 20);
      const auto at = packet.begin() + 20 + static_cast<std::ptrdiff_t>(first);
      f.insert(f.end(), last ? at : packet.begin() + 20, last ? packet.end() : at);
      store_be16(f.data() + 2, static_cast<std::uint16_t>(f.size()));
      store_be16(f.data() + 6, static_cast<std::uint16_t>(last ? first / 8 : 0x2000));
      out.push_back(std::move(f));
    }
    return out;
  }
  static ByteVector answer(std::size_t payload = 600, std::uint16_t id = 7) {
    return udp()
        .from("10.1.2.3", 53)
        .to(tunnel_v4(1), 5000)
        .id(id)
        .dont_fragment(false)
        .payload_size(payload)
        .build();
  }
};

TEST_F(FragmentsTest, AFragmentedPacketReachesTheClientWholeWhateverTheFilterAsks) {
  filter::RuleFilter port_53;
  port_53.udp = {{53, 53}};
  const auto policy = policy_of(rules_for("10.0.0.0/8", port_53));
  auto client = establish(1, policy.get());
  out_.sent.clear();
  const auto parts = split(answer(), 304);
  from_tun(parts[1]);
  EXPECT_TRUE(out_.sent.empty());
  from_tun(parts[0]);
  ASSERT_EQ(out_.sent.size(), 1U);
  EXPECT_EQ(client.open(out_.sent[0], now_), answer());
  // A port that is not allowed is not, in fragments either.
  const auto other = udp().from("10.1.2.3", 54).to(tunnel_v4(1), 5000).payload_size(600).build();
  from_tun_all(split(other, 304));
  EXPECT_EQ(dropped(DropReason::inbound_not_allowed), 1U);
}

TEST_F(FragmentsTest, SeveralPacketsOfOneBatchBecomeWholeEach) {
  auto client = establish(1);
  out_.sent.clear();
  std::vector<ByteVector> all;
  for (std::uint16_t id = 0; id < 32; ++id) {
    for (auto& part : split(answer(600, id), 304)) all.push_back(std::move(part));
  }
  from_tun_all(all);
  ASSERT_EQ(out_.sent.size(), 32U);
  for (std::uint16_t id = 0; id < 32; ++id)
    EXPECT_EQ(client.open(out_.sent[id], now_), answer(600, id));
}

TEST_F(FragmentsTest, WhatCannotReachAClientIsDroppedByReason) {
  (void)establish(1);
  out_.sent.clear();
  from_tun_all(split(answer(1400), 1000));
  EXPECT_EQ(dropped(DropReason::oversized_packet), 1U);
  EXPECT_EQ(dropped(DropReason::fragments_lost), 1U);
  const auto parts = split(answer(), 304);
  from_tun_all({parts[0], parts[0]});
  EXPECT_EQ(dropped(DropReason::fragments_overlap), 1U);
  EXPECT_EQ(dropped(DropReason::fragments_lost), 2U);
  from_tun(parts[1]);
  advance(31s);
  from_tun(split(answer(600, 8), 304)[0]);
  EXPECT_EQ(dropped(DropReason::fragments_lost), 3U);
  const auto to_nobody =
      udp().from("10.1.2.3", 53).to(tunnel_v4(2), 5000).payload_size(600).build();
  from_tun(split(to_nobody, 304)[0]);
  EXPECT_EQ(dropped(DropReason::no_peer_state), 1U);
  const auto elsewhere = udp().from("10.1.2.3", 53).to("10.1.2.4", 5000).payload_size(600).build();
  from_tun(split(elsewhere, 304)[0]);
  EXPECT_EQ(dropped(DropReason::not_a_peer), 1U);
  const auto v6 = udp()
                      .from("2001:db8::1", 53)
                      .to(tunnel_v6(1), 5000)
                      .fragment_header(0, true)
                      .payload_size(600)
                      .build();
  from_tun(v6);
  EXPECT_EQ(dropped(DropReason::fragmented), 1U);
  EXPECT_TRUE(out_.sent.empty());
}

}  // namespace
}  // namespace fg::pipeline
