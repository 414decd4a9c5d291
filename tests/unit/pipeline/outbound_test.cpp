// pipeline/outbound.cpp: resource to client.
#include "tests/unit/pipeline/world.h"

namespace fg::pipeline::testing {
namespace {

class Outbound : public World {};

TEST_F(Outbound, AReplyReachesItsClientFromTheNominatedAddress) {
  auto client = establish(1);
  from_tun(reply(1));
  ASSERT_EQ(out_.sent.size(), 1U);
  EXPECT_EQ(out_.sent[0].to, remote(1));
  EXPECT_EQ(out_.sent[0].from, ip("198.51.100.1"));
  EXPECT_EQ(out_.sent[0].bytes.size(), reply(1).size() + 32) << "no padding, spec connectivity 1.7";
  EXPECT_EQ(client.open(out_.sent[0], now_), reply(1));
}

TEST_F(Outbound, ARelayedClientIsReachedByItsChannel) {
  auto client = establish(1);
  apply(SetPath{ClientSlot{1},
                {Path::Kind::relayed, {}, at("192.0.2.50:3478"), ChannelNumber{0x4007}}});
  from_tun(reply(1));
  ASSERT_EQ(out_.sent.size(), 1U);
  auto& sent = out_.sent[0];
  EXPECT_EQ(sent.to, at("192.0.2.50:3478"));
  EXPECT_FALSE(sent.from) << "routing decides";
  const auto framed = packet::ChannelData::parse(sent.bytes);
  ASSERT_TRUE(framed);
  EXPECT_EQ(framed->channel, ChannelNumber{0x4007});
  sent.bytes.erase(sent.bytes.begin(), sent.bytes.begin() + 4);
  EXPECT_EQ(client.open(sent, now_), reply(1));
}

TEST_F(Outbound, TheLargestInnerPacketFitsThroughARelay) {
  auto client = establish(1);
  apply(SetPath{ClientSlot{1},
                {Path::Kind::relayed, {}, at("192.0.2.50:3478"), ChannelNumber{0x4007}}});
  const auto largest = udp()
                           .from("10.1.2.3", 80)
                           .to(tunnel_v4(1), 5000)
                           .payload(std::string(kInnerPacketMax - 28, 'x'))
                           .build();
  ASSERT_EQ(largest.size(), 1280U);
  from_tun(largest);
  ASSERT_EQ(out_.sent.size(), 1U);
  auto& sent = out_.sent[0];
  EXPECT_EQ(sent.bytes.size(), 1316U) << "spec connectivity 9.4, 17";
  sent.bytes.erase(sent.bytes.begin(), sent.bytes.begin() + 4);
  EXPECT_EQ(client.open(sent, now_), largest);
}

TEST_F(Outbound, TheOuterCongestionBitsAreTheInnerOnes) {
  auto client = establish(1);
  for (std::uint8_t ecn = 0; ecn < 4; ++ecn) {
    from_tun(udp().from("10.1.2.3", 80).to(tunnel_v4(1), 5000).ecn(ecn).build());
    EXPECT_EQ(out_.sent.back().ecn, ecn);
  }
}

TEST_F(Outbound, WhatIsNotForAClientIsDropped) {
  auto client = establish(1);
  from_tun(udp().from("10.1.2.3", 80).to("224.0.0.251", 5353).build());
  from_tun(udp().from("fe80::1", 80).to("ff02::16", 5353).build());
  from_tun(udp().from("10.1.2.3", 80).to("100.96.0.1", 1).build());
  from_tun(udp().from("10.1.2.3", 80).to("100.63.255.255", 1).build());
  EXPECT_EQ(dropped(DropReason::not_a_peer), 4U);
  from_tun(udp().from("10.1.2.3", 80).to("100.64.0.200", 1).build());
  EXPECT_EQ(dropped(DropReason::no_peer_state), 1U);
  from_tun(ByteVector(30, 0x45));
  EXPECT_EQ(dropped(DropReason::malformed_packet), 1U);
  EXPECT_TRUE(out_.sent.empty());
}

TEST_F(Outbound, TheSourceAndItsPortMustBeAllowed) {
  const auto policy = policy_of(
      rules_for("10.0.0.0/8", {.everything = false, .tcp = {}, .udp = {{80, 80}}, .icmp = false}));
  auto client = establish(1, policy.get());
  from_tun(reply(1, "10.1.2.3", 80));
  EXPECT_EQ(out_.sent.size(), 1U);
  from_tun(reply(1, "10.1.2.3", 81));
  from_tun(reply(1, "11.1.2.3", 80));
  from_tun(echo(1).from("10.1.2.3").to(tunnel_v4(1)).build());
  EXPECT_EQ(dropped(DropReason::inbound_not_allowed), 3U);
  EXPECT_EQ(out_.sent.size(), 1U);
}

TEST_F(Outbound, TunnelAddressesAreNoResourcesButTheGatewaysOwnPasses) {
  auto client = establish(1);
  from_tun(reply(1, "100.64.0.77"));
  EXPECT_EQ(dropped(DropReason::tunnel_range), 1U);
  const auto nothing = policy_of({});
  apply(SetPolicy{ClientSlot{1}, nothing.get()});
  from_tun(reply(1, "100.64.0.1", 53535));
  from_tun(udp().from("fd00:2021:1111::1", 53535).to(tunnel_v6(1), 9).build());
  EXPECT_EQ(out_.sent.size(), 2U);
}

TEST_F(Outbound, AnIcmpErrorPassesWithoutRuleWhenItQuotesTheClientsOwnTraffic) {
  const auto policy = policy_of(rules_for(
      "10.0.0.0/8", {.everything = false, .tcp = {{443, 443}}, .udp = {}, .icmp = false}));
  auto client = establish(1, policy.get());
  const auto error = [&](const ByteVector& quoted) {
    from_tun(icmp(3, 1).from("192.0.2.1").to(tunnel_v4(1)).payload(quoted).build());
  };
  error(tcp().from(tunnel_v4(1), 1000).to("10.1.2.3", 443).build());
  EXPECT_EQ(out_.sent.size(), 1U);
  error(tcp().from(tunnel_v4(2), 1000).to("10.1.2.3", 443).build());
  error(tcp().from(tunnel_v4(1), 1000).to("11.1.2.3", 443).build());
  error(other_ip(47).from(tunnel_v4(1)).to("10.1.2.3").payload_size(20).build());
  EXPECT_EQ(out_.sent.size(), 1U);
  EXPECT_EQ(dropped(DropReason::inbound_not_allowed), 2U);
  EXPECT_EQ(dropped(DropReason::unusable_quote), 1U);
}

TEST_F(Outbound, WithoutPathOrSessionNothingIsSentOrQueued) {
  apply(AddClient{ClientSlot{1}, tunnel_v4(1), tunnel_v6(1), allow_all_.get()});
  from_tun(reply(1));
  auto client = install(1, 1);
  receive(client.keepalive(), 1);
  from_tun(reply(1));
  EXPECT_EQ(dropped(DropReason::not_connected), 2U);
  apply(SetPath{ClientSlot{1}, {Path::Kind::direct, ip("198.51.100.1"), remote(1), {}}});
  EXPECT_TRUE(out_.sent.empty());
  from_tun(reply(1));
  EXPECT_EQ(out_.sent.size(), 1U);
}

TEST_F(Outbound, AResponderSendsOnlyAfterTheClientsFirstPacket) {
  auto client = connect(1);
  from_tun(reply(1));
  EXPECT_EQ(dropped(DropReason::not_connected), 1U);
  receive(client.keepalive(), 1);
  from_tun(reply(1));
  EXPECT_EQ(out_.sent.size(), 1U);
}

TEST_F(Outbound, TheOldSessionGoesOnUntilTheNewOneIsUsed) {
  auto before = establish(1);
  auto after = install(1, 2);
  from_tun(reply(1));
  EXPECT_TRUE(before.open(out_.sent.at(0), now_));
  receive(after.keepalive(), 1);
  from_tun(reply(1));
  EXPECT_TRUE(after.open(out_.sent.at(1), now_));
  receive(before.seal(request(1)), 1);
  EXPECT_EQ(out_.tun.size(), 1U) << "late packets of the old one are still read";
}

TEST_F(Outbound, AResponderStopsAtItsHundredAndEightiethSecond) {
  auto client = establish(1);
  advance(180s - 1ns);
  from_tun(reply(1));
  EXPECT_EQ(out_.sent.size(), 1U);
  advance(1ns);
  from_tun(reply(1));
  EXPECT_EQ(dropped(DropReason::not_connected), 1U);
}

// ---- super-packets and batches ----

packet::VnetHeader tcp_super_packet(std::uint16_t gso_size) {
  return {.flags = packet::VnetHeader::kNeedsChecksum,
          .gso_type = packet::VnetHeader::kGsoTcpV4,
          .header_length = 40,
          .gso_size = gso_size,
          .checksum_start = 20,
          .checksum_offset = 16};
}

TEST_F(Outbound, ASuperPacketLeavesAsOneSegmentedSendInOrder) {
  auto client = establish(1);
  const auto whole = tcp()
                         .from("10.1.2.3", 80)
                         .to(tunnel_v4(1), 5000)
                         .sequence(1000)
                         .payload_size(1240 * 20 + 7)
                         .build();
  from_tun(whole, tcp_super_packet(1240));
  ASSERT_EQ(out_.sent.size(), 21U);
  EXPECT_EQ(out_.batches, 1U);
  std::uint32_t sequence = 1000;
  ByteVector payload;
  for (const auto& d : out_.sent) {
    const auto inner = client.open(d, now_);
    ASSERT_TRUE(inner);
    EXPECT_TRUE(test::has_right_checksums(*inner));
    EXPECT_EQ(load_be32(inner->data() + 24), sequence);
    sequence += static_cast<std::uint32_t>(inner->size() - 40);
    payload.insert(payload.end(), inner->begin() + 40, inner->end());
  }
  EXPECT_TRUE(payload == test::counting(1240 * 20 + 7));
}

TEST_F(Outbound, ARefusedSuperPacketCountsAllItsPackets) {
  const auto nothing = policy_of({});
  auto client = establish(1, nothing.get());
  from_tun(tcp().from("10.1.2.3", 80).to(tunnel_v4(1), 5000).payload_size(12400).build(),
           tcp_super_packet(1240));
  EXPECT_EQ(dropped(DropReason::inbound_not_allowed), 10U);
  from_tun(tcp().from("10.1.2.3", 80).to(tunnel_v4(1), 5000).payload_size(3000).build(),
           tcp_super_packet(1241));
  EXPECT_EQ(dropped(DropReason::oversized_packet), 1U) << "1281-byte segments";
  EXPECT_TRUE(out_.sent.empty());
}

TEST_F(Outbound, EachDestinationHasItsBatchAndOrderIsKeptWithinIt) {
  auto first = establish(1);
  auto second = establish(2);
  std::vector<ByteVector> packets;
  for (std::uint8_t i = 0; i < 30; ++i) {
    const auto n = 1U + i % 2U;
    packets.push_back(udp()
                          .from("10.1.2.3", 80)
                          .to(tunnel_v4(n), 5000)
                          .payload(ByteVector(i % 7 == 0 ? 50U : 100U, i))
                          .build());
  }
  from_tun_all(packets);
  ASSERT_EQ(out_.sent.size(), 30U);
  for (const auto n : {1U, 2U}) {
    std::vector<std::uint8_t> order;
    for (const auto& d : out_.sent) {
      if (d.to != remote(n)) continue;
      const auto inner = n == 1 ? first.open(d, now_) : second.open(d, now_);
      ASSERT_TRUE(inner);
      order.push_back(inner->back());
    }
    EXPECT_EQ(order.size(), 15U);
    EXPECT_TRUE(std::ranges::is_sorted(order));
  }
  EXPECT_LT(out_.batches, 15U);
}

TEST_F(Outbound, ABatchOfManyEqualsManyBatchesOfOne) {
  auto client = establish(1);
  std::vector<ByteVector> packets;
  SeededRandom random{5};
  for (int i = 0; i < 200; ++i) {
    packets.push_back(
        udp().from("10.1.2.3", 80).to(tunnel_v4(1), 5000).payload_size(random.below(1200)).build());
  }
  from_tun_all(packets);
  std::vector<ByteVector> together;
  for (const auto& d : out_.sent) together.push_back(client.open(d, now_).value());
  out_.sent.clear();
  for (const auto& p : packets) from_tun(p);
  std::vector<ByteVector> singly;
  for (const auto& d : out_.sent) singly.push_back(client.open(d, now_).value());
  EXPECT_TRUE(together == packets);
  EXPECT_TRUE(singly == packets);
}

TEST_F(Outbound, MoreThanTheBuffersHoldIsSentInSeveralTurns) {
  auto client = establish(1);
  std::vector<ByteVector> packets;
  for (int i = 0; i < 64; ++i) {
    packets.push_back(
        tcp().from("10.1.2.3", 80).to(tunnel_v4(1), 5000).payload_size(1240 * 50).build());
  }
  from_tun_all(packets, tcp_super_packet(1240));
  EXPECT_EQ(out_.sent.size(), 64U * 50U);
}

// ---- hand-over ----

TEST_F(Outbound, AnotherWorkersClientIsHandedOverInSegmentsAndSentThere) {
  Recorder first_out;
  Recorder second_out;
  Pipeline first{{.worker = WorkerIndex{0}, .workers = 2, .clients_max = 16}, engine_, first_out};
  Pipeline second{{.worker = WorkerIndex{1}, .workers = 2, .clients_max = 16}, engine_, second_out};
  RemoteClient client{engine_, ClientSlot{4}, make_receiver_index(WorkerIndex{1}, 99, 1), 5, now_};
  second.apply(AddClient{ClientSlot{4}, tunnel_v4(4), tunnel_v6(4), allow_all_.get()}, now_);
  second.apply(SetPath{ClientSlot{4}, {Path::Kind::direct, ip("198.51.100.1"), remote(4), {}}},
               now_);
  second.apply(client.install(), now_);
  for (auto* p : {&first, &second}) {
    p->apply(SetTunnelOwner{tunnel_v4(4), WorkerIndex{1}}, now_);
    p->flush(now_);
  }
  auto keepalive = client.keepalive();
  ReceivedDatagrams r{.bytes = keepalive, .segment = 32, .ecn = 0, .from = remote(4), .local = {}};
  second.on_datagrams({&r, 1}, now_);

  ByteVector read(kVnetHeaderSize);
  tcp_super_packet(1000).store(read.data());
  const auto whole = tcp().from("10.1.2.3", 80).to(tunnel_v4(4), 5000).payload_size(2500).build();
  read.insert(read.end(), whole.begin(), whole.end());
  TunRead batch{read};
  first.on_tun({&batch, 1}, now_);
  ASSERT_EQ(first_out.handoffs.size(), 3U);
  for (auto& [worker, handoff] : first_out.handoffs) {
    EXPECT_EQ(worker, WorkerIndex{1});
    second.on_handoff(handoff, now_);
  }
  second.flush(now_);
  ASSERT_EQ(second_out.sent.size(), 3U);
  EXPECT_EQ(second_out.batches, 1U);
  for (const auto& d : second_out.sent) EXPECT_TRUE(client.open(d, now_));
  expect_conserved(first);
  expect_conserved(second);

  first.apply(SetTunnelOwner{tunnel_v4(4), std::nullopt}, now_);
  tcp_super_packet(1000).store(read.data());
  first.on_tun({&batch, 1}, now_);
  EXPECT_EQ(first.counters().drops.of(DropReason::no_peer_state), 3U);
  first_out.handoffs_max = 0;
  first.apply(SetTunnelOwner{tunnel_v4(4), WorkerIndex{1}}, now_);
  first.on_tun({&batch, 1}, now_);
  EXPECT_EQ(first.counters().drops.of(DropReason::handoff_ring_full), 3U);
  expect_conserved(first);
}

}  // namespace
}  // namespace fg::pipeline::testing
