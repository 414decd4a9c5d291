// Translation of DNS resources' proxy addresses in the packet path: spec policy 5, 9.4, 9.6.
#include "tests/unit/pipeline/translation.h"

namespace fg::pipeline {
namespace {

using namespace testing;

// ---- commands and what they give back ----

TEST_F(TranslationTest, NewTranslationsReplaceTheOldOnesWhichAreGivenBack) {
  const auto first = nat::Translations::compile({}, false);
  const auto second = nat::Translations::compile({}, false);
  (void)establish(1);
  apply(SetTranslations{ClientSlot{1}, first.get()});
  EXPECT_TRUE(out_.take<TranslationsRetired>().empty());
  apply(SetTranslations{ClientSlot{1}, second.get()});
  auto retired = out_.take<TranslationsRetired>();
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].translations, first.get());
  apply(SetTranslations{ClientSlot{1}, nullptr});
  retired = out_.take<TranslationsRetired>();
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].translations, second.get());
  apply(SetTranslations{ClientSlot{1}, nullptr});
  EXPECT_TRUE(out_.take<TranslationsRetired>().empty());
}

TEST_F(TranslationTest, TranslationsForNobodyComeStraightBack) {
  const auto translations = nat::Translations::compile({}, false);
  apply(SetTranslations{ClientSlot{9}, translations.get()});
  const auto retired = out_.take<TranslationsRetired>();
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].translations, translations.get());
}

TEST_F(TranslationTest, ARemovedClientGivesItsTranslationsBack) {
  const auto translations = nat::Translations::compile({}, false);
  (void)establish(1);
  apply(SetTranslations{ClientSlot{1}, translations.get()});
  apply(RemoveClient{ClientSlot{1}});
  const auto retired = out_.take<TranslationsRetired>();
  ASSERT_EQ(retired.size(), 1U);
  EXPECT_EQ(retired[0].translations, translations.get());
}

// ---- there and back ----

TEST_F(TranslationTest, APacketToAProxyGoesToItsRealAddressAndTheAnswerComesFromTheProxy) {
  auto client = establish_with(1, {{kProxy, kReal}, {kProxy6, kReal6}});
  for (const auto& [proxy, real, own] :
       {std::tuple{kProxy, kReal, tunnel_v4(1)}, std::tuple{kProxy6, kReal6, tunnel_v6(1)}}) {
    receive(client.seal(udp().from(own, 5000).to(proxy, 53).payload("q").build()), 1);
    auto out = sent_to_tun();
    EXPECT_EQ(out.source(), own);
    EXPECT_EQ(out.destination(), ip(real));
    EXPECT_EQ(out.proto_class().source, 5000);
    EXPECT_EQ(out.proto_class().destination, 53);

    receive(client.seal(tcp().from(own, 5001).to(proxy, 80).flags(2).build()), 1);
    EXPECT_EQ(sent_to_tun().destination(), ip(real));

    receive(client.seal(echo(7).from(own).to(proxy).payload("ping").build()), 1);
    EXPECT_EQ(sent_to_tun().destination(), ip(real));

    from_tun(udp().from(real, 53).to(own, 5000).payload("a").build());
    auto back = sent_to_client(client);
    EXPECT_EQ(back.source(), ip(proxy));
    EXPECT_EQ(back.destination(), own);
    EXPECT_EQ(back.proto_class().destination, 5000);
    from_tun(tcp().from(real, 80).to(own, 5001).flags(0x12).build());
    EXPECT_EQ(sent_to_client(client).source(), ip(proxy));
  }
}

TEST_F(TranslationTest, TwoNamesOfOneRealAddressStayApartByTheirPorts) {
  auto client = establish_with(1, {{kProxy, kReal}, {"100.96.0.2", kReal}});
  const auto ask = [&](std::string_view proxy) {
    receive(client.seal(udp().from(tunnel_v4(1), 5000).to(proxy, 53).build()), 1);
    return sent_to_tun().proto_class().source;
  };
  EXPECT_EQ(ask(kProxy), 5000);
  EXPECT_EQ(ask("100.96.0.2"), 5001);
  for (const auto& [port, proxy] :
       {std::pair{std::uint16_t{5001}, "100.96.0.2"}, std::pair{std::uint16_t{5000}, kProxy}}) {
    from_tun(udp().from(kReal, 53).to(tunnel_v4(1), port).build());
    const auto back = sent_to_client(client);
    EXPECT_EQ(back.source(), ip(proxy));
    EXPECT_EQ(back.proto_class().destination, 5000);
  }
}

TEST_F(TranslationTest, OptionsAndExtensionHeadersAreKept) {
  auto client = establish_with(1, {{kProxy, kReal}, {kProxy6, kReal6}});
  receive(client.seal(udp()
                          .from(tunnel_v4(1), 5000)
                          .to(kProxy, 53)
                          .ip_options(ByteVector(40, 1))
                          .payload("q")
                          .build()),
          1);
  EXPECT_EQ(sent_to_tun().ip_header_length(), 60U);
  receive(client.seal(tcp()
                          .from(tunnel_v6(1), 5000)
                          .to(kProxy6, 53)
                          .extension(0)
                          .extension(43)
                          .extension(60)
                          .build()),
          1);
  const auto out = sent_to_tun();
  EXPECT_EQ(out.destination(), ip(kReal6));
  EXPECT_EQ(out.ip_header_length(), 64U);
}

TEST_F(TranslationTest, AUdpChecksumThatWasNotComputedStaysSoAndAWrongOneStaysWrong) {
  auto client = establish_with(1, {{kProxy, kReal}});
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).without_checksum().build()), 1);
  EXPECT_EQ(load_be16(sent_to_tun().transport().data() + 6), 0);
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).with_wrong_checksum().build()),
          1);
  ASSERT_EQ(out_.tun.size(), 1U);
  EXPECT_FALSE(packet::InnerPacket::parse(out_.tun[0])->has_valid_checksums());
}

TEST_F(TranslationTest, SuperPacketsAreTranslatedWithAllTheirPieces) {
  auto client = establish_with(1, {{kProxy, kReal}});
  receive(client.seal(tcp().from(tunnel_v4(1), 5000).to("100.96.0.1", 80).flags(2).build()), 1);
  receive(client.seal(tcp().from(tunnel_v4(1), 5000).to("100.96.0.1", 80).build()), 1);
  out_.tun.clear();
  const auto whole = tcp()
                         .from(kReal, 80)
                         .to(tunnel_v4(1), 5000)
                         .flags(0x18)
                         .sequence(1000)
                         .payload_size(3000)
                         .build();
  from_tun(whole, {.flags = packet::VnetHeader::kNeedsChecksum,
                   .gso_type = packet::VnetHeader::kGsoTcpV4,
                   .header_length = 40,
                   .gso_size = 1200,
                   .checksum_start = 20,
                   .checksum_offset = 16});
  ASSERT_EQ(out_.sent.size(), 3U);
  std::uint32_t sequence = 1000;
  for (const auto& datagram : out_.sent) {
    const auto bytes = client.open(datagram, now_).value();
    const auto piece = packet::InnerPacket::parse(bytes).value();
    EXPECT_EQ(piece.source(), ip(kProxy));
    EXPECT_TRUE(piece.has_valid_checksums());
    EXPECT_EQ(load_be32(piece.transport().data() + 4), sequence);
    sequence += 1200;
  }
}

TEST_F(TranslationTest, AnUnfinishedChecksumIsFinishedForTheProxyAddress) {
  auto client = establish_with(1, {{kProxy, kReal}});
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  auto answer = udp().from(kReal, 53).to(tunnel_v4(1), 5000).payload("answer").build();
  const auto partial = test::naive_pseudo_header(ip(kReal), tunnel_v4(1), 17, answer.size() - 20);
  store_be16(answer.data() + 26, static_cast<std::uint16_t>(partial));
  from_tun(answer, {.flags = packet::VnetHeader::kNeedsChecksum,
                    .gso_type = 0,
                    .header_length = 0,
                    .gso_size = 0,
                    .checksum_start = 20,
                    .checksum_offset = 6});
  EXPECT_EQ(sent_to_client(client).source(), ip(kProxy));
}

TEST_F(TranslationTest, AnswersReadOnAnotherWorkersQueueAreTranslatedToo) {
  auto client = establish_with(1, {{kProxy, kReal}});
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  out_.tun.clear();
  Handoff handoff;
  handoff.kind = Handoff::Kind::inner;
  const auto answer = udp().from(kReal, 53).to(tunnel_v4(1), 5000).payload("answer").build();
  handoff.length = static_cast<std::uint16_t>(answer.size());
  std::ranges::copy(answer, handoff.bytes.begin());
  pipeline_.on_handoff(handoff, now_);
  pipeline_.flush(now_);
  EXPECT_EQ(sent_to_client(client).source(), ip(kProxy));
}

// ---- which mapping counts ----

TEST_F(TranslationTest, AFlowKeepsItsRealAddressWhenTheNameGetsAnother) {
  auto client = establish_with(1, {{kProxy, kReal}});
  const auto send = [&](std::uint16_t port) {
    receive(client.seal(udp().from(tunnel_v4(1), port).to(kProxy, 53).build()), 1);
    return sent_to_tun().destination();
  };
  EXPECT_EQ(send(5000), ip(kReal));
  translate(1, {{kProxy, "192.0.2.2"}});
  EXPECT_EQ(send(5000), ip(kReal));
  EXPECT_EQ(send(5001), ip("192.0.2.2"));
  for (const auto& [real, port] :
       {std::pair{kReal, std::uint16_t{5000}}, std::pair{"192.0.2.2", std::uint16_t{5001}}}) {
    from_tun(udp().from(real, 53).to(tunnel_v4(1), port).build());
    EXPECT_EQ(sent_to_client(client).source(), ip(kProxy));
  }
}

// Spec policy 5.2 step 2: names whose silence is watched are those of generation A.
TEST_F(TranslationTest, AFlowOfGenerationAFollowsItsName) {
  auto client = establish(1);
  const auto send_when_it_leads_to = [&](const char* real) {
    translate(1, {{kProxy, real}}, false, true);
    receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
    return sent_to_tun().destination();
  };
  EXPECT_EQ(send_when_it_leads_to(kReal), ip(kReal));
  EXPECT_EQ(send_when_it_leads_to("192.0.2.2"), ip("192.0.2.2"));
}

TEST_F(TranslationTest, AFlowWhoseNameLostItsAddressIsAnsweredUnreachable) {
  auto client = establish_with(1, {{kProxy, kReal}});
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  out_.tun.clear();
  translate(1, {{kProxy, ""}});
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  EXPECT_EQ(dropped(DropReason::proxy_without_address), 1U);
  const auto answer = sent_to_client(client);
  EXPECT_EQ(answer.source(), ip(kProxy));
  EXPECT_EQ(answer.transport()[0], 3);
  EXPECT_EQ(answer.transport()[1], 0);
}

TEST_F(TranslationTest, ForgottenFlowsGoToTheNewNameAndTheirLateAnswersAreNotTranslated) {
  const auto proxies_only = policy_of(rules_for("100.96.0.0/11"));
  auto client = establish_with(1, {{kProxy, kReal}}, proxies_only.get());
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  out_.tun.clear();
  translate(1, {{kProxy, "192.0.2.2"}}, true);
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  EXPECT_EQ(sent_to_tun().destination(), ip("192.0.2.2"));
  from_tun(udp().from(kReal, 53).to(tunnel_v4(1), 5000).build());
  EXPECT_EQ(dropped(DropReason::inbound_not_allowed), 1U);
}

// ---- refusals ----

TEST_F(TranslationTest, RefusalsToProxiesAreAnsweredAsTheTableSays) {
  const auto policy = policy_of(
      {.rules = {{Cidr::parse("100.96.0.0/24", false).value(), {}, everything()},
                 {Cidr::parse("fd00:2021:1111:8000::/120", false).value(), {}, everything()}},
       .internet = {}});
  auto client =
      establish_with(1, {{kProxy, kReal}, {"100.96.0.2", ""}, {kProxy6, ""}}, policy.get());
  struct Row {
    std::string_view to;
    std::uint8_t type;
    std::uint8_t code;
    DropReason reason;
  };
  for (const auto& row : {Row{"100.96.1.1", 3, 13, DropReason::not_allowed},
                          Row{"100.96.0.3", 3, 0, DropReason::proxy_unknown},
                          Row{"100.96.0.2", 3, 0, DropReason::proxy_without_address},
                          Row{"fd00:2021:1111:8000::1:1", 1, 1, DropReason::not_allowed},
                          Row{"fd00:2021:1111:8000::3", 1, 3, DropReason::proxy_unknown},
                          Row{kProxy6, 1, 3, DropReason::proxy_without_address}}) {
    const auto to = ip(row.to);
    const auto packet =
        udp().from(to.is_v4() ? tunnel_v4(1) : tunnel_v6(1), 5000).to(to, 53).build();
    receive(client.seal(packet), 1);
    EXPECT_EQ(dropped(row.reason), to.is_v4() ? 1U : 2U) << row.to;
    const auto answer = sent_to_client(client);
    EXPECT_EQ(answer.source(), to);
    EXPECT_EQ(answer.transport()[0], row.type) << row.to;
    EXPECT_EQ(answer.transport()[1], row.code) << row.to;
    EXPECT_EQ(copy_of(answer.payload()), ByteVector(packet.begin(), packet.end())) << row.to;
  }
  EXPECT_TRUE(nothing_left());
}

TEST_F(TranslationTest, WhatHasNoPortToTranslateIsDroppedWithoutAnswer) {
  auto client = establish_with(1, {{kProxy, kReal}});
  receive(client.seal(other_ip(47).from(tunnel_v4(1)).to(kProxy).payload("gre").build()), 1);
  receive(client.seal(icmp(13).from(tunnel_v4(1)).to(kProxy).payload_size(12).build()), 1);
  EXPECT_EQ(dropped(DropReason::not_translatable), 2U);
  EXPECT_TRUE(nothing_left());
  // And no flow was made: an answer passes by the filter alone.
  from_tun(other_ip(47).from(kReal).to(tunnel_v4(1)).payload("gre").build());
  EXPECT_EQ(sent_to_client(client).source(), ip(kReal));
}

TEST_F(TranslationTest, AnswersAreFilteredByTheProxyAddressNotByTheRealOne) {
  filter::RuleFilter port_53;
  port_53.udp = {{53, 53}};
  const auto policy = policy_of(rules_for("100.96.0.1/32", port_53));
  auto client = establish_with(1, {{kProxy, kReal}}, policy.get());
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  EXPECT_EQ(sent_to_tun().destination(), ip(kReal));
  from_tun(udp().from(kReal, 53).to(tunnel_v4(1), 5000).build());
  EXPECT_EQ(sent_to_client(client).source(), ip(kProxy));
  from_tun(udp().from(kReal, 54).to(tunnel_v4(1), 5000).build());
  EXPECT_EQ(dropped(DropReason::inbound_not_allowed), 1U);
  // The real address itself is none of the client's.
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kReal, 53).build()), 1);
  EXPECT_EQ(dropped(DropReason::not_allowed), 1U);
}

// ---- time ----

TEST_F(TranslationTest, LateAnswersOfAnExpiredFlowAreDroppedUntilAPacketGoesThereDirectly) {
  auto client = establish_with(1, {{kProxy, kReal}});
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  run_for(62s);
  out_.sent.clear();
  out_.tun.clear();
  const auto answer = udp().from(kReal, 53).to(tunnel_v4(1), 5000).build();
  from_tun(answer);
  EXPECT_EQ(dropped(DropReason::nat_expired), 1U);
  EXPECT_TRUE(nothing_left());
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kReal, 53).build()), 1);
  EXPECT_EQ(sent_to_tun().destination(), ip(kReal));
  from_tun(answer);
  EXPECT_EQ(sent_to_client(client).source(), ip(kReal));
}

TEST_F(TranslationTest, WithoutFlowsNothingIsLeftToWakeUpFor) {
  auto client = establish_with(1, {{kProxy, kReal}});
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  run_for(1h);
  EXPECT_FALSE(pipeline_.wakeup());
}

// ---- families: spec policy 5.8 ----

TEST_F(TranslationTest, APacketToAProxyOfTheOtherFamilyChangesItsFamilyBothWays) {
  auto client = establish_with(1, {{kProxy, kReal6}, {kProxy6, kReal}});
  const auto answer = [&](std::string_view from, const IpAddress& to, std::uint16_t port) {
    from_tun(udp().from(from, 53).to(to, port).payload("answer").ecn(1).build());
    return sent_to_client(client);
  };
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).ecn(1).payload("q").build()), 1,
          3);
  auto out = sent_to_tun();
  EXPECT_EQ(out.source(), tunnel_v6(1));
  EXPECT_EQ(out.destination(), ip(kReal6));
  EXPECT_EQ(out.ecn(), 3);
  auto back = answer(kReal6, tunnel_v6(1), 5000);
  EXPECT_EQ(back.source(), ip(kProxy));
  EXPECT_EQ(back.destination(), tunnel_v4(1));
  EXPECT_EQ(back.ecn(), 1);

  receive(client.seal(udp().from(tunnel_v6(1), 5000).to(kProxy6, 53).payload("q").build()), 1);
  out = sent_to_tun();
  EXPECT_EQ(out.source(), tunnel_v4(1));
  EXPECT_EQ(out.destination(), ip(kReal));
  back = answer(kReal, tunnel_v4(1), 5000);
  EXPECT_EQ(back.source(), ip(kProxy6));
  EXPECT_EQ(back.destination(), tunnel_v6(1));

  receive(client.seal(other_ip(47).from(tunnel_v6(1)).to(kProxy6).build()), 1);
  receive(client.seal(udp().from(tunnel_v6(1), 1).to(kProxy6, 2).extension(60).build()), 1);
  EXPECT_EQ(dropped(DropReason::not_translatable), 2U);
}

TEST_F(TranslationTest, PacketsThatGrowBeyond1280BytesPassInBothDirections) {
  auto client = establish_with(1, {{kProxy, kReal6}, {kProxy6, kReal}});
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).payload_size(1252).build()), 1);
  EXPECT_EQ(sent_to_tun().size(), 1300U);
  receive(client.seal(udp().from(tunnel_v6(1), 5000).to(kProxy6, 53).build()), 1);
  (void)sent_to_tun();
  from_tun(udp().from(kReal, 53).to(tunnel_v4(1), 5000).payload_size(1252).build());
  EXPECT_EQ(sent_to_client(client).size(), 1300U);
}

TEST_F(TranslationTest, PiecesOfASuperPacketChangeTheirFamilyEach) {
  auto client = establish_with(1, {{kProxy6, kReal}});
  receive(client.seal(tcp().from(tunnel_v6(1), 5000).to(kProxy6, 80).flags(2).build()), 1);
  from_tun(tcp().from(kReal, 80).to(tunnel_v4(1), 5000).sequence(1).payload_size(2500).build(),
           {.flags = packet::VnetHeader::kNeedsChecksum,
            .gso_type = packet::VnetHeader::kGsoTcpV4,
            .header_length = 40,
            .gso_size = 1200,
            .checksum_start = 20,
            .checksum_offset = 16});
  ASSERT_EQ(out_.sent.size(), 3U);
  for (const auto& datagram : out_.sent) {
    const auto bytes = client.open(datagram, now_).value();
    const auto piece = packet::InnerPacket::parse(bytes).value();
    EXPECT_EQ(piece.source(), ip(kProxy6));
    EXPECT_TRUE(piece.has_valid_checksums());
  }
}

TEST_F(TranslationTest, AnErrorOfTheOtherFamilyQuotesWhatTheClientSent) {
  auto client = establish_with(1, {{kProxy6, kReal}});
  const auto original = udp().from(tunnel_v6(1), 5000).to(kProxy6, 53).payload("q").build();
  receive(client.seal(original), 1);
  (void)sent_to_tun();
  from_tun(icmp(3, 3).from(kReal).to(tunnel_v4(1)).payload(last_).build());
  const auto error = sent_to_client(client);
  EXPECT_EQ(error.source(), ip(kProxy6));
  EXPECT_EQ(error.transport()[0], 1);
  EXPECT_EQ(error.transport()[1], 4);
  EXPECT_EQ(copy_of(error.payload()), original);
}

// ---- silence: spec policy 4.4 ----

TEST_F(TranslationTest, ANameThatIsNotAnsweredIsReported) {
  auto client = establish(1);
  translate(1, {{kProxy, kReal}, {"100.96.0.2", kReal}}, false, true);
  const auto ask = [&] {
    receive(client.seal(udp().from(tunnel_v4(1), 5000).to("100.96.0.2", 53).build()), 1);
  };
  run_for(30s);
  ask();
  from_tun(udp().from(kReal, 53).to(tunnel_v4(1), 5000).build());
  run_for(119s);
  EXPECT_TRUE(out_.take<NameSilent>().empty());
  ask();
  run_for(3s);
  const auto silent = out_.take<NameSilent>();
  ASSERT_EQ(silent.size(), 1U);
  EXPECT_EQ(silent[0].slot, ClientSlot{1});
  EXPECT_EQ(silent[0].name, nat::NameId{1});
}

TEST_F(TranslationTest, SilenceIsNotWatchedUnlessAskedFor) {
  auto client = establish_with(1, {{kProxy, kReal}});
  run_for(120s);
  receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  run_for(60s);
  EXPECT_TRUE(out_.take<NameSilent>().empty());
}

// ---- a lost connection: spec policy 2.8 ----

class LostConnectionTest : public TranslationTest {
 protected:
  // Whether an answer to what was sent before the connection was lost is still translated.
  template <class... C>
  bool is_translated_after(const C&... commands) {
    auto client = establish_with(1, {{kProxy, kReal}, {"100.96.0.2", kReal}});
    receive(client.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
    receive(client.seal(udp().from(tunnel_v4(1), 5000).to("100.96.0.2", 53).build()), 1);
    (apply(commands), ...);
    auto again = establish_with(1, {{kProxy, kReal}, {"100.96.0.2", kReal}});
    from_tun(udp().from(kReal, 53).to(tunnel_v4(1), 5001).build());
    return sent_to_client(again).source() == ip("100.96.0.2");
  }
};

TEST_F(LostConnectionTest, FlowsGoOnInTheNextConnectionOfAClientThatKeepsItsAccess) {
  EXPECT_TRUE(is_translated_after(RemoveClient{ClientSlot{1}, true}));
}
TEST_F(LostConnectionTest, FlowsOfAClientWithoutAccessAreForgotten) {
  EXPECT_FALSE(is_translated_after(RemoveClient{ClientSlot{1}, false}));
}
TEST_F(LostConnectionTest, FlowsAreForgottenWhenTheAccessEndsLater) {
  EXPECT_FALSE(is_translated_after(RemoveClient{ClientSlot{1}, true}, ForgetFlows{tunnel_v4(1)}));
}
TEST_F(LostConnectionTest, AnotherClientsAddressesDoNotInheritThem) {
  EXPECT_FALSE(
      is_translated_after(RemoveClient{ClientSlot{1}, true},
                          AddClient{ClientSlot{2}, tunnel_v4(1), tunnel_v6(2), allow_all_.get()},
                          RemoveClient{ClientSlot{2}, true}));
}

}  // namespace
}  // namespace fg::pipeline
