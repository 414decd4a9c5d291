// pipeline/inbound.cpp: client to resource.
#include "tests/unit/pipeline/world.h"

namespace fg::pipeline::testing {
namespace {

class Inbound : public World {
 protected:
  // The one answer in the client's tunnel: type and code.
  std::pair<int, int> answer_to(RemoteClient& client) {
    EXPECT_EQ(out_.sent.size(), 1U);
    if (out_.sent.size() != 1) return {};
    const auto inner = client.open(out_.sent[0], now_);
    EXPECT_TRUE(inner);
    if (!inner) return {};
    EXPECT_TRUE(test::has_right_checksums(*inner)) << test::describe(*inner);
    const auto header = (*inner)[0] >> 4 == 4 ? 20U : 40U;
    return {(*inner)[header], (*inner)[header + 1]};
  }
  static constexpr std::pair kProhibitedV4{3, 13};  // spec policy 3.7
  static constexpr std::pair kProhibitedV6{1, 1};
  static constexpr std::pair kUnreachableV4{3, 0};
};

TEST_F(Inbound, AnAllowedPacketReachesTheResourceUnchanged) {
  auto client = connect(1);
  const auto packet = request(1);
  receive(client.seal(packet), 1);
  ASSERT_EQ(out_.tun.size(), 1U);
  EXPECT_EQ(out_.tun[0], packet);
  EXPECT_TRUE(out_.sent.empty());
}

TEST_F(Inbound, PaddingIsCutOff) {
  auto client = connect(1);
  const auto packet = request(1);
  auto padded = packet;
  padded.resize((packet.size() + 15) / 16 * 16 + 16, 0);
  receive(client.seal(padded), 1);
  ASSERT_EQ(out_.tun.size(), 1U);
  EXPECT_EQ(out_.tun[0], packet);
}

TEST_F(Inbound, WhoeverSendsItTheReceiverIndexDecides) {
  auto client = connect(1);
  receive(client.seal(request(1)), at("192.0.2.99:3478"));
  EXPECT_EQ(out_.tun.size(), 1U);
}

TEST_F(Inbound, AReplayIsDroppedWithinABatchAndAcrossBatches) {
  auto client = connect(1);
  const auto message = client.seal(request(1));
  receive_all({{message, 1}, {message, 1}});
  receive(message, 1);
  EXPECT_EQ(out_.tun.size(), 1U);
  EXPECT_EQ(dropped(DropReason::replayed), 2U);
}

TEST_F(Inbound, AForgedMessageIsDroppedAndCostsTheCounterNothing) {
  auto client = connect(1);
  const auto message = client.seal(request(1));
  auto forged = message;
  forged.back() ^= 1;
  receive(forged, 1);
  EXPECT_EQ(dropped(DropReason::bad_tag), 1U);
  receive(message, 1);
  EXPECT_EQ(out_.tun.size(), 1U);
}

TEST_F(Inbound, AnUnknownReceiverIsDropped) {
  auto client = connect(1);
  auto message = client.seal(request(1));
  for (const auto index :
       {make_receiver_index(WorkerIndex{0}, kConnection + 1, 2),  // handshake slot without session
        make_receiver_index(WorkerIndex{0}, kConnection + 2, 1)}) {  // no such connection
    store_le32(message.data() + 4, number(index));
    receive(message, 1);
  }
  EXPECT_EQ(dropped(DropReason::unknown_receiver), 2U);
}

TEST_F(Inbound, ASessionIsRefusedAtItsHundredAndEightiethSecond) {
  auto client = connect(1);
  advance(180s - 1ns);
  receive(client.seal(request(1)), 1);
  EXPECT_EQ(out_.tun.size(), 1U);
  advance(1ns);
  receive(client.seal(request(1)), 1);
  EXPECT_EQ(out_.tun.size(), 1U);
  EXPECT_EQ(dropped(DropReason::session_expired), 1U);
}

TEST_F(Inbound, ASpoofedSourceIsAnsweredProhibitedInThatClientsTunnel) {
  auto client = establish(1);
  auto other = establish(2);
  receive(client.seal(request(2)), 1);
  EXPECT_TRUE(out_.tun.empty());
  EXPECT_EQ(dropped(DropReason::spoofed_source), 1U);
  EXPECT_EQ(answer_to(client), kProhibitedV4);
  EXPECT_EQ(out_.sent[0].to, remote(1));
  EXPECT_FALSE(other.open(out_.sent[0], now_));
}

TEST_F(Inbound, WhatNoRuleAllowsIsAnsweredProhibited) {
  const auto policy = policy_of(
      rules_for("10.0.0.0/8", {.everything = false, .tcp = {}, .udp = {{80, 80}}, .icmp = false}));
  auto client = establish(1, policy.get());
  receive(client.seal(request(1, "10.1.2.3", 80)), 1);
  EXPECT_EQ(out_.tun.size(), 1U);
  receive(client.seal(request(1, "10.1.2.3", 81)), 1);
  EXPECT_EQ(out_.tun.size(), 1U);
  EXPECT_EQ(answer_to(client), kProhibitedV4);
  out_.sent.clear();
  receive(client.seal(udp().from(tunnel_v6(1), 1).to("2001:db8::1", 80).payload("x").build()), 1);
  EXPECT_EQ(answer_to(client), kProhibitedV6);
  EXPECT_EQ(dropped(DropReason::not_allowed), 2U);
}

TEST_F(Inbound, TheInternetResourceAnswersUnreachableForSpecialAddresses) {
  const auto policy = policy_of({.rules = {}, .internet = ResourceId{}});
  auto client = establish(1, policy.get());
  receive(client.seal(request(1, "8.8.8.8")), 1);
  EXPECT_EQ(out_.tun.size(), 1U);
  receive(client.seal(request(1, "10.0.0.1")), 1);
  EXPECT_EQ(answer_to(client), kUnreachableV4);
  EXPECT_EQ(dropped(DropReason::special_address), 1U);
}

TEST_F(Inbound, AClientWhoseGrantsMayLagIsAnsweredOnlyWhenItRepeatsItself) {
  const auto nothing = policy_of({});
  apply(AddClient{ClientSlot{3}, tunnel_v4(3), tunnel_v6(3), nothing.get(), true});
  apply(SetPath{ClientSlot{3}, {Path::Kind::direct, ip("198.51.100.1"), remote(3), {}}});
  auto client = install(3, 1);
  receive(client.keepalive(), 3);
  out_.sent.clear();
  const auto ask = [&](const char* to) {
    receive(client.seal(request(3, to)), 3);
    const auto answers = out_.sent.size();
    out_.sent.clear();
    return answers;
  };
  EXPECT_EQ(ask("10.1.2.3"), 0U) << "the grant may be under way";
  advance(500ms);
  EXPECT_EQ(ask("10.1.2.3"), 0U);
  advance(500ms);
  EXPECT_EQ(ask("10.1.2.3"), 1U) << "a retransmission is told";
  EXPECT_EQ(ask("10.1.2.4"), 0U) << "another destination waits for itself";
  for (std::uint8_t i = 10; i < 18; ++i)
    EXPECT_EQ(ask(("10.1.2." + std::to_string(i)).c_str()), 0U);
  EXPECT_EQ(ask("10.1.2.3"), 0U) << "eight are remembered";
  advance(11s);
  EXPECT_EQ(ask("10.1.2.17"), 0U) << "and for ten seconds";
  EXPECT_EQ(dropped(DropReason::not_allowed), 14U);
}

TEST_F(Inbound, OtherTunnelAddressesAreProhibitedWhateverTheRules) {
  auto client = establish(1);
  for (const auto* to :
       {"100.64.0.0", "100.64.0.102", "100.95.255.255", "fd00:2021:1111::1f:ffff"}) {
    out_.sent.clear();
    const auto v4 = ip(to).is_v4();
    receive(client.seal(udp().from(v4 ? tunnel_v4(1) : tunnel_v6(1), 1).to(to, 80).build()), 1);
    EXPECT_EQ(answer_to(client), v4 ? kProhibitedV4 : kProhibitedV6) << to;
  }
  EXPECT_EQ(dropped(DropReason::tunnel_range), 4U);
  receive(client.seal(request(1, "100.63.255.255")), 1);
  EXPECT_EQ(out_.tun.size(), 1U);
  receive(client.seal(request(1, "100.96.0.0")), 1);
  EXPECT_EQ(dropped(DropReason::proxy_unknown), 1U);
}

TEST_F(Inbound, TheGatewaysOwnAddressOffersDnsAndEchoOnly) {
  const auto nothing = policy_of({});
  auto client = establish(1, nothing.get());
  receive(client.seal(udp().from(tunnel_v4(1), 1).to("100.64.0.1", 53535).build()), 1);
  receive(client.seal(tcp().from(tunnel_v4(1), 1).to("100.64.0.1", 53535).build()), 1);
  receive(client.seal(echo(7).from(tunnel_v4(1)).to("100.64.0.1").build()), 1);
  receive(client.seal(udp().from(tunnel_v6(1), 1).to("fd00:2021:1111::1", 53535).build()), 1);
  EXPECT_EQ(out_.tun.size(), 4U);
  receive(client.seal(udp().from(tunnel_v4(1), 1).to("100.64.0.1", 53).build()), 1);
  EXPECT_EQ(answer_to(client), kProhibitedV4);
  receive(client.seal(tcp().from(tunnel_v4(1), 53535).to("100.64.0.1", 22).build()), 1);
  receive(client.seal(other_ip(47).from(tunnel_v4(1)).to("100.64.0.1").payload_size(8).build()), 1);
  EXPECT_EQ(dropped(DropReason::gateway_port_closed), 3U);
  EXPECT_EQ(out_.tun.size(), 4U);
}

TEST_F(Inbound, MulticastAndIcmpErrorsVanishWithoutAnswer) {
  auto client = establish(1);
  receive(client.seal(udp().from(tunnel_v4(1), 1).to("224.0.0.251", 5353).build()), 1);
  receive(client.seal(udp().from(tunnel_v6(1), 1).to("ff02::16", 1).build()), 1);
  EXPECT_EQ(dropped(DropReason::multicast), 2U);
  receive(client.seal(icmp(3, 3).from(tunnel_v4(1)).to("10.1.2.3").payload(reply(1)).build()), 1);
  receive(client.seal(icmp(5).from(tunnel_v4(1)).to("10.1.2.3").payload_size(28).build()), 1);
  receive(client.seal(icmp(134).from(tunnel_v6(1)).to("2001:db8::1").payload_size(8).build()), 1);
  EXPECT_EQ(dropped(DropReason::outbound_icmp_error), 3U);
  EXPECT_TRUE(out_.sent.empty());
  EXPECT_TRUE(out_.tun.empty());
}

TEST_F(Inbound, WhatDoesNotParseIsDroppedByReasonWithoutAnswer) {
  auto client = establish(1);
  receive(
      client.seal(
          udp().from(tunnel_v4(1), 1).to("10.1.2.3", 1).more_fragments().payload_size(8).build()),
      1);
  EXPECT_EQ(dropped(DropReason::fragmented), 1U);
  receive(client.seal(udp().from(tunnel_v4(1), 1).to("10.1.2.3", 1).payload_size(1253).build()), 1);
  EXPECT_EQ(dropped(DropReason::oversized_packet), 1U);
  receive(client.seal(ByteVector{0x55}), 1);
  receive(client.seal(ByteVector(40, 0)), 1);
  EXPECT_EQ(dropped(DropReason::malformed_packet), 2U);
  EXPECT_TRUE(out_.sent.empty());
  receive(client.seal(udp().from(tunnel_v4(1), 1).to("10.1.2.3", 1).payload_size(1252).build()), 1);
  EXPECT_EQ(out_.tun.size(), 1U);
}

TEST_F(Inbound, AnswersAreLimitedForAClientAndForEachOfItsFlows) {
  const auto nothing = policy_of({});
  auto client = establish(1, nothing.get());
  for (int i = 0; i < 250; ++i) receive(client.seal(request(1)), 1);
  EXPECT_EQ(out_.sent.size(), 101U);
  EXPECT_EQ(dropped(DropReason::icmp_rate_limited), 149U);
  receive(client.seal(request(1, "10.1.2.4")), 1);
  EXPECT_EQ(out_.sent.size(), 102U) << "another flow is told";
  EXPECT_EQ(dropped(DropReason::not_allowed), 251U);
  auto other = establish(2, nothing.get());
  receive(other.seal(request(2)), 2);
  EXPECT_EQ(out_.sent.size(), 103U) << "each client has a limit of its own";
}

TEST_F(Inbound, ControlPacketsArePuntedWithTheirClient) {
  auto client = establish(3);
  ByteVector goodbye(48, 0);  // spec policy 4.6, vector
  goodbye[0] = 0x60;
  goodbye[5] = 8;
  goodbye[6] = 0xFF;
  goodbye[40] = 2;
  receive(client.seal(goodbye), 3);
  ASSERT_EQ(out_.punts.size(), 1U);
  EXPECT_EQ(out_.punts[0].kind, Punt::Kind::inner);
  EXPECT_EQ(out_.punts[0].slot, ClientSlot{3});
  EXPECT_TRUE(equal(Bytes{out_.punts[0].bytes}.first(out_.punts[0].length), goodbye));
  goodbye.resize(47);
  goodbye[5] = 7;
  receive(client.seal(goodbye), 3);
  EXPECT_EQ(dropped(DropReason::control_malformed), 1U);
  EXPECT_EQ(out_.punts.size(), 1U);
  EXPECT_TRUE(out_.sent.empty());
}

TEST_F(Inbound, CongestionIsCopiedIntoCapablePacketsOnly) {
  auto client = connect(1);
  for (std::uint8_t inner = 0; inner < 4; ++inner) {
    for (std::uint8_t outer = 0; outer < 4; ++outer) {
      out_.tun.clear();
      receive(client.seal(udp().from(tunnel_v4(1), 1).to("10.1.2.3", 80).ecn(inner).build()), 1,
              outer);
      ASSERT_EQ(out_.tun.size(), 1U);
      const bool marked = outer == 3 && (inner == 1 || inner == 2);
      EXPECT_EQ(out_.tun[0][1] & 3, marked ? 3 : inner) << int{inner} << int{outer};
      EXPECT_TRUE(test::has_right_checksums(out_.tun[0]));
    }
  }
}

// ---- what is not data ----

TEST_F(Inbound, StunAndHandshakesArePuntedAsTheyCame) {
  ByteVector stun(20, 0);
  stun[1] = 1;
  store_be32(stun.data() + 4, 0x2112A442);
  ByteVector initiation(148, 0);
  initiation[0] = 1;
  ByteVector response(92, 0);
  response[0] = 2;
  ByteVector cookie(64, 0);
  cookie[0] = 3;
  for (const auto& d : {stun, initiation, response, cookie}) receive(d, 7, 2);
  ASSERT_EQ(out_.punts.size(), 4U);
  EXPECT_EQ(out_.punts[0].kind, Punt::Kind::datagram);
  EXPECT_EQ(out_.punts[0].from, remote(7));
  EXPECT_EQ(out_.punts[0].local, at("198.51.100.1:52625"));
  EXPECT_EQ(out_.punts[0].ecn, 2);
  EXPECT_TRUE(equal(Bytes{out_.punts[1].bytes}.first(out_.punts[1].length), initiation));
}

TEST_F(Inbound, ImplausibleDatagramsAreCountedAndForgotten) {
  for (const auto& d : {ByteVector{0}, ByteVector{4, 0, 0, 0}, ByteVector(31, 4),
                        ByteVector(149, 1), ByteVector(500, 0xAB), ByteVector{0x40, 0, 0, 9}}) {
    receive(d, 1);
  }
  EXPECT_EQ(dropped(DropReason::not_wireguard), 6U);
  EXPECT_TRUE(out_.punts.empty());
}

TEST_F(Inbound, AFullPuntRingAndAnOversizedDatagramAreCounted) {
  ByteVector stun(1601, 0);
  store_be32(stun.data() + 4, 0x2112A442);
  receive(stun, 1);
  EXPECT_EQ(dropped(DropReason::oversized_datagram), 1U);
  stun.resize(1600);
  out_.punts_max = 1;
  receive(stun, 1);
  receive(stun, 1);
  EXPECT_EQ(out_.punts.size(), 1U);
  EXPECT_EQ(dropped(DropReason::punt_ring_full), 1U);
}

// ---- strangers ----

class Strangers : public Inbound {
 protected:
  static ByteVector stun() {
    ByteVector out(20, 0);
    store_be32(out.data() + 4, 0x2112A442);
    return out;
  }
  static ByteVector initiation() {
    ByteVector out(148, 0);
    out[0] = 1;
    return out;
  }
  static SocketAddress nobody(int i) {
    return {IpAddress::v4(192, 0, 2, static_cast<std::uint8_t>(i)), 4242};
  }
  [[nodiscard]] std::size_t punted(PuntClass punt_class) const {
    return static_cast<std::size_t>(std::ranges::count(out_.punt_classes, punt_class));
  }
};

TEST_F(Strangers, AreLookedAtUpToARateEachKindForItself) {
  for (int i = 0; i < 250; ++i) {
    receive(stun(), nobody(i));
    receive(initiation(), nobody(i));
  }
  EXPECT_EQ(punted(PuntClass::stranger), 200U);
  EXPECT_EQ(dropped(DropReason::stranger_stun_limited), 150U);
  EXPECT_EQ(dropped(DropReason::stranger_handshake_limited), 150U);
  advance(10ms);
  for (int i = 0; i < 100; ++i) {
    receive(stun(), nobody(i));
    receive(initiation(), nobody(i));
  }
  EXPECT_EQ(punted(PuntClass::stranger), 200U + 50U + 10U);
}

TEST_F(Strangers, DoNotLimitThoseWhoAreExpected) {
  apply(ExpectSource{remote(1).ip});
  for (int i = 0; i < 300; ++i) receive(stun(), nobody(i));
  for (int i = 0; i < 300; ++i) receive(initiation(), 1);
  EXPECT_EQ(punted(PuntClass::expected), 300U);
  // A NAT gives the same client many ports.
  receive(stun(), {remote(1).ip, 60'000});
  EXPECT_EQ(punted(PuntClass::expected), 301U);
}

TEST_F(Strangers, DoNotLimitRelays) {
  const auto server = at("192.0.2.50:3478");
  apply(SetRelay{RelaySlot{2}, server});
  for (int i = 0; i < 300; ++i) receive(stun(), nobody(i));
  receive(stun(), server);
  EXPECT_EQ(punted(PuntClass::trusted), 1U);
}

// ---- channels ----

class Relayed : public Inbound {
 protected:
  const SocketAddress server_ = at("192.0.2.50:3478");
  const ChannelNumber channel_{0x4001};

  void SetUp() override {
    apply(SetRelay{RelaySlot{2}, server_});
    apply(SetChannel{RelaySlot{2}, channel_, true});
  }
  static ByteVector framed(Bytes inner, std::uint16_t channel = 0x4001) {
    ByteVector out(4);
    packet::write_channel_header(out.data(), ChannelNumber{channel},
                                 static_cast<std::uint16_t>(inner.size()));
    out.insert(out.end(), inner.begin(), inner.end());
    return out;
  }
};

TEST_F(Relayed, DataOnAUsableChannelPasses) {
  auto client = connect(1);
  receive(framed(client.seal(request(1))), server_);
  EXPECT_EQ(out_.tun.size(), 1U);
}

TEST_F(Relayed, OtherChannelsOtherSendersAndUnusableChannelsAreDropped) {
  auto client = connect(1);
  receive(framed(client.seal(request(1)), 0x4002), server_);
  receive(framed(client.seal(request(1))), at("192.0.2.50:3479"));
  receive(framed(client.seal(request(1))), at("192.0.2.51:3478"));
  apply(SetChannel{RelaySlot{2}, channel_, false});
  receive(framed(client.seal(request(1))), server_);
  apply(SetChannel{RelaySlot{2}, channel_, true});
  apply(SetRelay{RelaySlot{2}, std::nullopt});
  receive(framed(client.seal(request(1))), server_);
  apply(SetRelay{RelaySlot{2}, server_});
  receive(framed(client.seal(request(1))), server_);
  EXPECT_EQ(dropped(DropReason::unknown_channel), 6U)
      << "a relay that comes back has no channels yet";
  EXPECT_TRUE(out_.tun.empty());
}

TEST_F(Relayed, ALengthThatIsNotExactIsMalformed) {
  auto client = connect(1);
  auto longer = framed(client.seal(request(1)));
  longer.push_back(0);
  receive(longer, server_);
  receive({0x40, 1, 0, 1}, server_);
  EXPECT_EQ(dropped(DropReason::malformed_channel_data), 2U);
}

TEST_F(Relayed, WhatIsNotDataInsideIsPuntedWithItsFraming) {
  ByteVector stun(20, 0);
  store_be32(stun.data() + 4, 0x2112A442);
  receive(framed(stun), server_);
  ASSERT_EQ(out_.punts.size(), 1U);
  EXPECT_TRUE(equal(Bytes{out_.punts[0].bytes}.first(out_.punts[0].length), framed(stun)));
  receive(framed({}), server_);
  receive(framed(ByteVector{1, 2, 3}), server_);
  receive(framed(framed(stun)), server_);
  EXPECT_EQ(dropped(DropReason::not_wireguard), 3U);
}

TEST_F(Relayed, ActivityOfARelayIsToldFourTimesASecond) {
  auto client = connect(1);
  for (int i = 0; i < 3; ++i) receive(framed(client.seal(request(1))), server_);
  EXPECT_EQ(out_.take<ChannelActivity>().size(), 1U);
  advance(250ms - 1ns);
  receive(framed(client.seal(request(1))), server_);
  EXPECT_TRUE(out_.take<ChannelActivity>().empty());
  advance(1ns);
  receive(framed(client.seal(request(1))), server_);
  const auto events = out_.take<ChannelActivity>();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].relay, RelaySlot{2});
  EXPECT_EQ(events[0].channel, channel_);
}

// ---- batches ----

TEST_F(Inbound, ABatchOfManyEqualsManyBatchesOfOne) {
  const auto policy = policy_of(rules_for("10.0.0.0/8"));
  Recorder one_by_one_out;
  Pipeline one_by_one{options_, engine_, one_by_one_out};
  one_by_one.apply(SetGatewayAddresses{ip("100.64.0.1"), ip("fd00:2021:1111::1")}, now_);
  std::vector<RemoteClient> clients;
  for (std::uint32_t n = 0; n < 3; ++n) {
    clients.push_back(connect(n, policy.get()));
    one_by_one.apply(AddClient{ClientSlot{n}, tunnel_v4(n), tunnel_v6(n), policy.get()}, now_);
    one_by_one.apply(
        SetPath{ClientSlot{n}, {Path::Kind::direct, ip("198.51.100.1"), remote(n), {}}}, now_);
    one_by_one.apply(clients.back().install(), now_);
  }
  SeededRandom random{1};
  std::vector<std::pair<ByteVector, std::uint32_t>> datagrams;
  std::uint32_t sequence = 1;
  for (int i = 0; i < 300; ++i) {
    const auto n = random.below(3);
    auto packet = tcp()
                      .from(tunnel_v4(n), 1000)
                      .to("10.0.0.9", 80)
                      .sequence(sequence)
                      .payload_size(100)
                      .build();
    sequence += 100;
    switch (random.below(8)) {
      case 0:
        packet = request(n, "11.0.0.1");
        break;
      case 1:
        packet = request((n + 1) % 3);
        break;
      case 2:
        packet = udp().from(tunnel_v4(n), 7).to("10.0.0.9", 53).payload_size(50).build();
        break;
      default:
        break;
    }
    auto message = clients[n].seal(packet);
    if (random.below(10) == 0) message.back() ^= 1;
    datagrams.emplace_back(message, n);
    if (random.below(10) == 0) datagrams.emplace_back(message, n);
  }
  for (auto [bytes, n] : datagrams) {
    ReceivedDatagrams r{.bytes = bytes,
                        .segment = static_cast<std::uint16_t>(bytes.size()),
                        .ecn = 0,
                        .from = remote(n),
                        .local = {}};
    one_by_one.on_datagrams({&r, 1}, now_);
  }
  receive_all(datagrams);
  expect_conserved(one_by_one);
  for (std::size_t r = 0; r < kDropReasons; ++r) {
    const auto reason = static_cast<DropReason>(r);
    EXPECT_EQ(dropped(reason), one_by_one.counters().drops.of(reason)) << name_of(reason);
  }
  // Super-packets may pass packets of other flows, never of their own: compare flow by flow.
  for (const int protocol : {6, 17}) {
    for (std::uint32_t n = 0; n < 3; ++n) {
      const auto flow = [&](const std::vector<ByteVector>& all) {
        std::vector<ByteVector> mine;
        for (auto p : all) {
          if (p[9] != protocol || IpAddress::from_bytes(Bytes{p}.subspan(12, 4)) != tunnel_v4(n))
            continue;
          store_be16(p.data() + 4, 0);  // splitting numbers the packets anew
          store_be16(p.data() + 10, 0);
          mine.push_back(p);
        }
        return mine;
      };
      EXPECT_TRUE(flow(out_.tun) == flow(one_by_one_out.tun)) << protocol << ' ' << n;
    }
  }
  EXPECT_EQ(out_.sent.size(), one_by_one_out.sent.size());
  EXPECT_LT(out_.tun_writes, one_by_one_out.tun_writes);
}

TEST_F(Inbound, SegmentsOfOneReceiveBufferAreTakenApart) {
  auto client = connect(1);
  ByteVector buffer;
  for (int i = 0; i < 10; ++i) {
    const auto message = client.seal(request(1));
    buffer.insert(buffer.end(), message.begin(), message.end());
  }
  const auto segment = static_cast<std::uint16_t>(buffer.size() / 10);
  const auto keepalive = client.keepalive();
  buffer.insert(buffer.end(), keepalive.begin(), keepalive.end());
  ReceivedDatagrams r{
      .bytes = buffer, .segment = segment, .ecn = 0, .from = remote(1), .local = {}};
  pipeline_.on_datagrams({&r, 1}, now_);
  EXPECT_EQ(out_.tun.size(), 10U);
  EXPECT_EQ(pipeline_.counters().keepalives_in, 1U);
}

TEST_F(Inbound, MoreThanACoalescerHoldsIsWrittenInSeveralTurns) {
  auto client = connect(1);
  std::vector<std::pair<ByteVector, std::uint32_t>> datagrams;
  for (int i = 0; i < 2500; ++i) datagrams.emplace_back(client.seal(request(1)), 1);
  receive_all(datagrams);
  EXPECT_EQ(out_.tun.size(), 2500U);
}

}  // namespace
}  // namespace fg::pipeline::testing
