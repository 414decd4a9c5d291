// ICMP errors about translated packets: spec policy 5.5.
#include "tests/unit/pipeline/translation.h"

namespace fg::pipeline {
namespace {

using namespace testing;

// ---- ICMP errors: spec policy 5.5 ----

class TranslatedErrorTest : public TranslationTest {
 protected:
  std::unique_ptr<const filter::Policy> policy_ = policy_of(
      {.rules = {{Cidr::parse("100.96.0.0/11", false).value(), {}, everything()},
                 {Cidr::parse("fd00:2021:1111:8000::/107", false).value(), {}, everything()}},
       .internet = {}});
  RemoteClient client_ =
      establish_with(1, {{kProxy, kReal}, {"100.96.0.2", kReal}, {kProxy6, kReal6}}, policy_.get());
};

TEST_F(TranslatedErrorTest, TheErrorComesFromTheProxyAndQuotesWhatTheClientSent) {
  receive(client_.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  out_.tun.clear();
  const auto original =
      udp().from(tunnel_v4(1), 5000).to("100.96.0.2", 53).payload("question").build();
  receive(client_.seal(original), 1);
  (void)sent_to_tun();
  const auto quoted = last_;
  // The router, and the gateway's own kernel.
  for (const auto* router : {"198.51.100.9", "100.64.0.1"}) {
    for (const auto& [type, code] : {std::pair{3, 1}, std::pair{3, 3}, std::pair{11, 0}}) {
      from_tun(icmp(static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(code))
                   .from(router)
                   .to(tunnel_v4(1))
                   .payload(quoted)
                   .build());
      const auto error = sent_to_client(client_);
      EXPECT_EQ(error.source(), ip("100.96.0.2"));
      EXPECT_EQ(error.ttl(), 20);
      EXPECT_EQ(error.transport()[0], type);
      EXPECT_EQ(error.transport()[1], code);
      EXPECT_EQ(copy_of(error.payload()), original);
    }
  }
}

TEST_F(TranslatedErrorTest, PathMtusAreKeptInBothFamilies) {
  receive(client_.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  (void)sent_to_tun();
  from_tun(
      icmp(3, 4).from("198.51.100.9").to(tunnel_v4(1)).rest_of_header(1000).payload(last_).build());
  EXPECT_EQ(load_be32(sent_to_client(client_).transport().data() + 4), 1000U);
  receive(client_.seal(udp().from(tunnel_v6(1), 5000).to(kProxy6, 53).build()), 1);
  (void)sent_to_tun();
  const auto quoted = last_;
  for (const std::uint32_t mtu : {0U, 1280U, 100'000U}) {
    from_tun(icmp(2, 0)
                 .from("2001:db8::9")
                 .to(tunnel_v6(1))
                 .rest_of_header(mtu)
                 .payload(quoted)
                 .build());
    const auto error = sent_to_client(client_);
    EXPECT_EQ(error.source(), ip(kProxy6));
    EXPECT_EQ(load_be32(error.transport().data() + 4), mtu);
  }
}

TEST_F(TranslatedErrorTest, AQuoteOfEightBytesOfTcpIsEnough) {
  receive(client_.seal(tcp().from(tunnel_v4(1), 5000).to(kProxy, 80).flags(2).build()), 1);
  (void)sent_to_tun();
  from_tun(icmp(3, 1)
               .from("198.51.100.9")
               .to(tunnel_v4(1))
               .payload(ByteVector(last_.begin(), last_.begin() + 28))
               .build());
  EXPECT_EQ(sent_to_client(client_).source(), ip(kProxy));
}

TEST_F(TranslatedErrorTest, AnErrorConfirmsItsFlow) {
  receive(client_.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  (void)sent_to_tun();
  from_tun(icmp(3, 1).from("198.51.100.9").to(tunnel_v4(1)).payload(last_).build());
  run_for(100s);
  out_.sent.clear();
  from_tun(udp().from(kReal, 53).to(tunnel_v4(1), 5000).build());
  EXPECT_EQ(sent_to_client(client_).source(), ip(kProxy));
}

TEST_F(TranslatedErrorTest, ErrorsAboutExpiredUnknownOrUnreadableFlowsAreDropped) {
  receive(client_.seal(udp().from(tunnel_v4(1), 5000).to(kProxy, 53).build()), 1);
  (void)sent_to_tun();
  const auto quoted = last_;
  const auto error = [&](const ByteVector& quote) {
    from_tun(icmp(3, 1).from("198.51.100.9").to(tunnel_v4(1)).payload(quote).build());
    EXPECT_TRUE(nothing_left());
  };
  error(udp().from(tunnel_v4(1), 5001).to(kReal, 53).build());  // no such flow
  error(udp().from(tunnel_v4(2), 5000).to(kReal, 53).build());  // somebody else's
  EXPECT_EQ(dropped(DropReason::inbound_not_allowed), 2U);
  error(ByteVector(quoted.begin(), quoted.begin() + 23));
  error(other_ip(47).from(tunnel_v4(1)).to(kReal).payload("gre").build());
  error(icmp(0).from(tunnel_v4(1)).to(kReal).build());  // an echo reply
  EXPECT_EQ(dropped(DropReason::unusable_quote), 3U);
  run_for(62s);
  out_.sent.clear();
  error(quoted);
  EXPECT_EQ(dropped(DropReason::nat_expired), 1U);
}

}  // namespace
}  // namespace fg::pipeline
