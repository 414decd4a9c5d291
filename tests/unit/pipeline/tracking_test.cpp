// What flow logs see of the packet path: spec policy 6.2.
#include "tests/unit/pipeline/world.h"

namespace fg::pipeline {
namespace {

using namespace testing;

constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kAck = 0x10;
constexpr ResourceId kResource{{7}};
constexpr ClientId kClient{{1}};

class TrackingTest : public World {
 protected:
  TrackingTest() {
    policy_ = policy_of(
        {.rules = {{Cidr::parse("10.1.0.0/16", false).value(), kResource, everything()},
                   {Cidr::parse("100.96.0.0/24", false).value(), kResource, everything()}},
         .internet = {}});
    apply(SetFlowTracking{true});
  }
  RemoteClient begin(std::uint32_t n = 1) {
    apply(AddClient{.slot = ClientSlot{n},
                    .tunnel_v4 = tunnel_v4(n),
                    .tunnel_v6 = tunnel_v6(n),
                    .policy = policy_.get(),
                    .grants_may_lag = false,
                    .is_iceless = false,
                    .id = kClient});
    apply(SetPath{ClientSlot{n}, {Path::Kind::direct, ip("198.51.100.1"), remote(n), {}}});
    auto client = install(n, 1);
    receive(client.keepalive(), n);
    return client;
  }
  std::vector<flow::Event> take() {
    std::vector<flow::Event> out{out_.flow_events.begin(), out_.flow_events.end()};
    out_.flow_events.clear();
    return out;
  }
  // Everything that is open ends.
  flow::Completed completed() {
    apply(SetFlowTracking{false});
    run_for(0s);
    const auto events = take();
    EXPECT_FALSE(events.empty());
    return events.empty() ? flow::Completed{} : std::get<flow::Completed>(events.back().what);
  }

  std::unique_ptr<const filter::Policy> policy_;
};

TEST_F(TrackingTest, AFlowIsOpenedWithItsClientResourceAndPath) {
  auto client = begin();
  receive(client.seal(tcp().from(tunnel_v4(1), 5000).to("10.1.2.3", 443).flags(kSyn).build()), 1);
  const auto events = take();
  ASSERT_EQ(events.size(), 1U);
  const auto& started = std::get<flow::Started>(events[0].what);
  EXPECT_EQ(started.key.client, kClient);
  EXPECT_EQ(started.key.resource, kResource);
  EXPECT_EQ(started.key.inner_client, tunnel_v4(1));
  EXPECT_EQ(started.key.remote, ip("10.1.2.3"));
  EXPECT_EQ(started.key.client_port, 5000);
  EXPECT_EQ(started.key.remote_port, 443);
  EXPECT_EQ(started.path.source, remote(1));
  EXPECT_EQ(started.path.destination, at("198.51.100.1:52625"));
  EXPECT_EQ(started.name, flow::kNoName);
}

TEST_F(TrackingTest, PayloadIsCountedBothWays) {
  auto client = begin();
  receive(client.seal(request(1)), 1);
  receive(client.seal(request(1)), 1);
  from_tun(reply(1));
  const auto counts = completed();
  EXPECT_EQ(counts.tx_packets, 2U);
  EXPECT_EQ(counts.tx_bytes, 14U);
  EXPECT_EQ(counts.rx_packets, 1U);
  EXPECT_EQ(counts.rx_bytes, 5U);
}

TEST_F(TrackingTest, SuperPacketsCountAsTheirSegments) {
  auto client = begin();
  receive(client.seal(tcp().from(tunnel_v4(1), 5000).to("10.1.2.3", 80).flags(kSyn).build()), 1);
  const auto packet =
      tcp().from("10.1.2.3", 80).to(tunnel_v4(1), 5000).flags(kAck).payload_size(3000).build();
  from_tun(packet, {.flags = packet::VnetHeader::kNeedsChecksum,
                    .gso_type = packet::VnetHeader::kGsoTcpV4,
                    .header_length = 40,
                    .gso_size = 1200,
                    .checksum_start = 20,
                    .checksum_offset = 16});
  const auto counts = completed();
  EXPECT_EQ(counts.rx_packets, 3U);
  EXPECT_EQ(counts.rx_bytes, 3000U);
}

TEST_F(TrackingTest, WhatIsRefusedOrIsNoTransportOpensNothing) {
  auto client = begin();
  receive(client.seal(request(1, "192.0.2.1")), 1);
  receive(client.seal(echo(1).from(tunnel_v4(1)).to("10.1.2.3").build()), 1);
  receive(client.seal(request(1, "100.64.0.1", kGatewayDnsPort)), 1);
  from_tun(reply(1));
  EXPECT_TRUE(take().empty());
  apply(SetPolicy{ClientSlot{1}, allow_all_.get()});
  receive(client.seal(request(1, "100.64.0.1", kGatewayDnsPort)), 1);
  EXPECT_TRUE(take().empty()) << "the gateway is no resource whatever a rule covers";
}

TEST_F(TrackingTest, APacketOfAnAuthorizedClientThatGoesNowhereOpensAFlowToItsProxy) {
  auto client = begin();
  receive(client.seal(request(1, "100.96.0.9")), 1);
  const auto events = take();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(std::get<flow::Started>(events[0].what).key.remote, ip("100.96.0.9"));
  EXPECT_EQ(dropped(DropReason::proxy_unknown), 1U);
}

TEST_F(TrackingTest, AFlowToANameIsToldWithItsRealAddressAndCountsItsAnswers) {
  auto client = begin();
  const auto translations =
      nat::Translations::compile({{ip("100.96.0.1"), ip("192.0.2.1"), nat::NameId{4}}}, false);
  apply(SetTranslations{ClientSlot{1}, translations.get(), false});
  receive(client.seal(request(1, "100.96.0.1")), 1);
  auto events = take();
  ASSERT_EQ(events.size(), 1U);
  const auto started = std::get<flow::Started>(events[0].what);
  EXPECT_EQ(started.key.remote, ip("192.0.2.1"));
  EXPECT_EQ(started.name, flow_name_of(nat::NameId{4}));
  from_tun(udp()
               .from("192.0.2.1", 80)
               .to(tunnel_v4(1), started.key.client_port)
               .payload("reply")
               .build());
  const auto counts = completed();
  EXPECT_EQ(counts.rx_packets, 1U);
  EXPECT_EQ(counts.rx_bytes, 5U);
}

// NAT46 takes it over the largest inner packet there is.
TEST_F(TrackingTest, APacketThatGrowsWithItsFamilyCountsForTheFlowItBelongsTo) {
  auto client = begin();
  const auto translations =
      nat::Translations::compile({{ip("100.96.0.1"), ip("2001:db8::1"), nat::NameId{4}}}, false);
  apply(SetTranslations{ClientSlot{1}, translations.get(), false});
  for (const std::size_t size : {10U, 1252U}) {
    receive(
        client.seal(udp().from(tunnel_v4(1), 5000).to("100.96.0.1", 53).payload_size(size).build()),
        1);
  }
  const auto events = take();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(std::get<flow::Started>(events[0].what).key.remote, ip("2001:db8::1"));
  EXPECT_EQ(completed().tx_bytes, 1262U);
}

TEST_F(TrackingTest, AnswersThatCannotBeSentAreNotCounted) {
  auto client = begin();
  receive(client.seal(request(1)), 1);
  apply(SetPath{ClientSlot{1}, {}});
  from_tun(reply(1));
  EXPECT_EQ(completed().rx_packets, 0U);
}

TEST_F(TrackingTest, FlowsOutliveTheConnection) {
  auto client = begin();
  receive(client.seal(request(1)), 1);
  apply(RemoveClient{ClientSlot{1}});
  auto again = begin(2);
  receive(again.seal(udp().from(tunnel_v4(2), 5000).to("10.1.2.3", 80).payload("x").build()), 2);
  EXPECT_EQ(pipeline_.flow_counters().open, 2U) << "another tunnel address is another flow";
  EXPECT_TRUE(pipeline_.wakeup());
}

TEST_F(TrackingTest, SwitchedOffNothingIsSeen) {
  apply(SetFlowTracking{false});
  auto client = begin();
  receive(client.seal(request(1)), 1);
  EXPECT_TRUE(take().empty());
}

}  // namespace
}  // namespace fg::pipeline
