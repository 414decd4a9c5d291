// What befalls packets that are denied, row by row: spec policy 3.2, 3.5, 3.7, 3.8.
#include "tests/unit/pipeline/translation.h"

namespace fg::pipeline {
namespace {

using namespace testing;

class DeniedTest : public TranslationTest {
 protected:
  struct Said {
    std::uint8_t type = 0;
    std::uint8_t code = 0;
    friend bool operator==(const Said&, const Said&) = default;
  };
  static constexpr Said kProhibited4{3, 13};
  static constexpr Said kProhibited6{1, 1};
  static constexpr Said kUnreachable4{3, 0};
  static constexpr Said kUnreachable6{1, 3};

  // What the client is told of the packet; nothing: no answer.
  std::optional<Said> told(RemoteClient& client, const ByteVector& packet) {
    receive(client.seal(packet), 1);
    if (out_.sent.empty()) return std::nullopt;
    const auto answer = sent_to_client(client);
    EXPECT_TRUE(out_.tun.empty());
    return Said{answer.transport()[0], answer.transport()[1]};
  }
  // Whether it went on, as it was, to the TUN device.
  bool passes(RemoteClient& client, const ByteVector& packet) {
    receive(client.seal(packet), 1);
    const bool out = out_.tun.size() == 1 && out_.tun[0] == packet;
    out_.tun.clear();
    out_.sent.clear();
    return out;
  }
  // Whether it came to the client, as it was.
  bool comes(RemoteClient& client, const ByteVector& packet) {
    from_tun(packet);
    const bool out = out_.sent.size() == 1 && client.open(out_.sent[0], now_) == packet;
    out_.sent.clear();
    return out;
  }
  RemoteClient with(const filter::PolicyRules& rules) {
    policies_.push_back(policy_of(rules));
    auto client = establish(1, policies_.back().get());
    out_.sent.clear();
    return client;
  }
  static filter::PolicyRules both_families(filter::RuleFilter filter) {
    return {.rules = {{Cidr::parse("10.0.0.0/8", false).value(), {}, filter},
                      {Cidr::parse("2001:db8::/32", false).value(), {}, filter}},
            .internet = {}};
  }
  static filter::PolicyRules internet() { return {.rules = {}, .internet = ResourceId{{1}}}; }

  static constexpr auto kFour = "10.1.2.3";
  static constexpr auto kSix = "2001:db8::7";
  std::vector<std::unique_ptr<const filter::Policy>> policies_;
};

TEST_F(DeniedTest, EachClassIsDecidedByItsColumnOfTheTable) {
  const auto packets = [&](bool v4) {
    const auto from = v4 ? tunnel_v4(1) : tunnel_v6(1);
    const auto* to = v4 ? kFour : kSix;
    return std::vector{tcp().from(from, 1).to(to, 80).build(),
                       udp().from(from, 1).to(to, 53).build(), echo(7).from(from).to(to).build(),
                       icmp(v4 ? 13 : 200).from(from).to(to).payload_size(12).build(),
                       other_ip(47).from(from).to(to).payload_size(8).build()};
  };
  struct Row {
    filter::RuleFilter filter;
    std::vector<bool> passes;  // tcp 80, udp 53, echo, other ICMP, GRE
  };
  for (const auto& row : {Row{everything(), {true, true, true, true, true}},
                          Row{{.everything = false, .tcp = {{80, 80}}, .udp = {}, .icmp = false},
                              {true, false, false, false, false}},
                          Row{{.everything = false, .tcp = {}, .udp = {{53, 53}}, .icmp = false},
                              {false, true, false, false, false}},
                          Row{{.everything = false, .tcp = {}, .udp = {}, .icmp = true},
                              {false, false, true, true, false}},
                          Row{{.everything = false,
                               .tcp = {{0, 79}, {81, 65535}},
                               .udp = {{54, 65535}},
                               .icmp = false},
                              {false, false, false, false, false}}}) {
    auto client = with(both_families(row.filter));
    for (const bool v4 : {true, false}) {
      const auto all = packets(v4);
      for (std::size_t i = 0; i < all.size(); ++i) {
        if (row.passes[i]) {
          EXPECT_TRUE(passes(client, all[i])) << v4 << i;
        } else {
          EXPECT_EQ(told(client, all[i]), v4 ? kProhibited4 : kProhibited6) << v4 << i;
        }
      }
    }
    apply(RemoveClient{ClientSlot{1}});
  }
}

TEST_F(DeniedTest, TowardsTheClientTheSameTableHoldsAndNobodyIsAnswered) {
  auto pings = with(both_families({.everything = false, .tcp = {}, .udp = {}, .icmp = true}));
  EXPECT_TRUE(comes(pings, echo(7).from(kFour).to(tunnel_v4(1)).build()));
  EXPECT_TRUE(comes(pings, icmp(14).from(kFour).to(tunnel_v4(1)).payload_size(12).build()));
  EXPECT_FALSE(comes(pings, other_ip(47).from(kFour).to(tunnel_v4(1)).payload_size(8).build()));
  EXPECT_FALSE(comes(pings, tcp().from(kSix, 80).to(tunnel_v6(1), 1).build()));
  EXPECT_EQ(dropped(DropReason::inbound_not_allowed), 2U);
  apply(RemoveClient{ClientSlot{1}});
  auto all = with(both_families(everything()));
  EXPECT_TRUE(comes(all, other_ip(47).from(kFour).to(tunnel_v4(1)).payload_size(8).build()));
  EXPECT_TRUE(comes(all, other_ip(132).from(kSix).to(tunnel_v6(1)).payload_size(8).build()));
  EXPECT_TRUE(out_.tun.empty());
}

TEST_F(DeniedTest, AForeignSourceIsToldToTheClaimedAddressInBothFamilies) {
  auto client = with(both_families(everything()));
  for (const auto& [from, to] : {std::pair{"100.64.0.102", kFour},
                                 {"192.0.2.9", kFour},
                                 {"fd00:2021:1111::102", kSix},
                                 {"::1", kSix}}) {
    receive(client.seal(udp().from(from, 5).to(to, 53).build()), 1);
    const auto answer = sent_to_client(client);
    EXPECT_EQ(answer.destination(), ip(from));
    EXPECT_EQ(answer.source(), ip(to));
    EXPECT_EQ((Said{answer.transport()[0], answer.transport()[1]}),
              answer.is_v4() ? kProhibited4 : kProhibited6);
  }
  EXPECT_EQ(dropped(DropReason::spoofed_source), 4U);
  // One of the client's own addresses is never one of the other family.
  EXPECT_TRUE(out_.tun.empty());
}

TEST_F(DeniedTest, TheInternetResourceLeavesProxiesToTheirRulesAndSpecialAddressesToNobody) {
  auto rules = internet();
  rules.rules = {{Cidr::parse("192.168.1.0/24", false).value(), {}, everything()}};
  auto client = with(rules);
  EXPECT_EQ(told(client, request(1, kProxy)), kProhibited4);
  EXPECT_EQ(told(client, udp().from(tunnel_v6(1), 1).to(kProxy6, 53).build()), kProhibited6);
  EXPECT_EQ(told(client, request(1, "192.168.1.5")), kUnreachable4)
      << "though a resource covers it";
  EXPECT_EQ(told(client, udp().from(tunnel_v6(1), 1).to("fe80::1", 53).build()), kUnreachable6);
  EXPECT_EQ(told(client, request(1, "100.64.0.102")), kProhibited4) << "another client";
  EXPECT_TRUE(passes(client, request(1, "203.0.113.9")));
  EXPECT_FALSE(comes(client, reply(1, "192.168.1.5")));
  EXPECT_FALSE(comes(client, reply(1, "100.64.0.102")));
  EXPECT_EQ(dropped(DropReason::inbound_not_allowed), 1U);
  EXPECT_EQ(dropped(DropReason::tunnel_range), 2U);
}

TEST_F(DeniedTest, WithEveryPortOfARealAddressTakenThePacketVanishes) {
  auto client = establish_with(1, {{kProxy, kReal}, {"100.96.0.2", kReal}});
  for (std::uint32_t port = 1; port <= 65'535; ++port) {
    receive(client.seal(
                udp().from(tunnel_v4(1), static_cast<std::uint16_t>(port)).to(kProxy, 53).build()),
            1);
    out_.tun.clear();
    if (port % 64 == 0) run_for(2ms);  // room for more flows is made between the turns
  }
  EXPECT_EQ(dropped(DropReason::nat_exhausted), 0U);
  EXPECT_EQ(told(client, udp().from(tunnel_v4(1), 7).to("100.96.0.2", 53).build()), std::nullopt);
  EXPECT_EQ(dropped(DropReason::nat_exhausted), 1U);
  EXPECT_TRUE(nothing_left());
  receive(client.seal(tcp().from(tunnel_v4(1), 7).to("100.96.0.2", 53).build()), 1);
  EXPECT_EQ(sent_to_tun().destination(), ip(kReal)) << "another protocol has ports of its own";
}

TEST_F(DeniedTest, WhatOnlyLooksLikeAControlPacketIsOrdinary) {
  auto client = with(both_families(everything()));
  ByteVector goodbye(48, 0);
  goodbye[0] = 0x60;
  goodbye[5] = 8;
  goodbye[6] = 0xFF;
  goodbye[40] = 2;
  from_tun(goodbye);
  EXPECT_EQ(dropped(DropReason::not_a_peer), 1U);
  EXPECT_EQ(told(client, other_ip(255).from(tunnel_v6(1)).to("::").payload_size(8).build()),
            kProhibited6);
  EXPECT_TRUE(out_.punts.empty());
}

TEST_F(DeniedTest, ErrorsOfClientsNeverPassWhateverTheyQuoteAndWhateverIsAllowed) {
  auto client = with(both_families(everything()));
  for (const std::uint8_t type : std::to_array<std::uint8_t>({3, 4, 5, 9, 10, 11, 12})) {
    EXPECT_EQ(told(client, icmp(type).from(tunnel_v4(1)).to(kFour).payload_size(3).build()),
              std::nullopt);
  }
  for (const std::uint8_t type : std::to_array<std::uint8_t>({1, 2, 3, 4, 130, 133, 137})) {
    EXPECT_EQ(told(client, icmp(type).from(tunnel_v6(1)).to(kSix).payload_size(3).build()),
              std::nullopt);
  }
  EXPECT_EQ(dropped(DropReason::outbound_icmp_error), 14U);
  EXPECT_TRUE(passes(client, icmp(13).from(tunnel_v4(1)).to(kFour).payload_size(12).build()));
}

TEST_F(DeniedTest, LyingLengthsOfBothFamiliesVanishBothWays) {
  auto client = with(both_families(everything()));
  auto four = udp().from(tunnel_v4(1), 1).to(kFour, 53).payload("abc").build();
  auto six = udp().from(tunnel_v6(1), 1).to(kSix, 53).payload("abc").build();
  for (const std::uint16_t length : std::to_array<std::uint16_t>({0, 7, 10, 12, 65'535})) {
    store_be16(four.data() + 24, length);
    store_be16(six.data() + 44, length);
    EXPECT_EQ(told(client, four), std::nullopt) << length;
    EXPECT_EQ(told(client, six), std::nullopt) << length;
  }
  EXPECT_EQ(dropped(DropReason::malformed_packet), 10U);
  auto back = udp().from(kSix, 53).to(tunnel_v6(1), 1).payload("abc").build();
  store_be16(back.data() + 44, 10);
  EXPECT_FALSE(comes(client, back));
  EXPECT_EQ(dropped(DropReason::malformed_packet), 11U);
}

}  // namespace
}  // namespace fg::pipeline
