#include "control/dns/forwarder.h"

#include <gtest/gtest.h>

#include <set>

#include "messages.h"

namespace fg::dns {
namespace {

using namespace test;

constexpr Instant kNow{1000s};
const SocketAddress kServer{IpAddress::v4(192, 0, 2, 1), 53};
const SocketAddress kOther{IpAddress::v4(192, 0, 2, 2), 53};
const IpAddress kClient = IpAddress::v4(100, 64, 0, 7);
constexpr unsigned kId = 0x1234;

class ForwarderTest : public testing::Test {
 protected:
  void SetUp() override {
    forwarder.set_servers({kServer}, kNow);
    EXPECT_EQ(probes().size(), 2U);
  }
  std::vector<Forwarder::Exchange> probes() {
    std::vector<Forwarder::Exchange> out;
    while (auto exchange = forwarder.poll_exchange()) out.push_back(std::move(*exchange));
    return out;
  }
  ExchangeId ask(const std::string& text, Transport transport = Transport::udp,
                 const IpAddress& client = kClient, Instant now = kNow) {
    return *forwarder.on_query(transport, client, as_bytes(text), now);
  }
  // One query under way, taken from the queue.
  Forwarder::Exchange begin(Transport transport = Transport::udp) {
    (void)ask(query(kId), transport);
    return *forwarder.poll_exchange();
  }
  // Text of the one answer that waits; empty: none.
  std::string answer(ExchangeId id) {
    const auto out = forwarder.poll_answer();
    if (!out) return "";
    EXPECT_EQ(out->id, id);
    EXPECT_FALSE(forwarder.poll_answer());
    return text_of(out->message);
  }
  std::uint64_t drops_of(DropReason reason) const { return drops.of(reason); }

  SeededRandom random{1};
  DropCounters drops;
  Forwarder forwarder{random, drops};
};

const std::string kServfail = header(kId, 0x8182, 1, 0) + question("_ldap._tcp.lab.test");

TEST_F(ForwarderTest, AQueryGoesOutAsItIsButForItsId) {
  const auto id = ask(query(kId));
  EXPECT_LE(forwarder.wakeup()->at, kNow);
  const auto exchange = forwarder.poll_exchange();
  ASSERT_TRUE(exchange);
  EXPECT_EQ(exchange->id, id);
  EXPECT_EQ(exchange->server, kServer);
  EXPECT_EQ(exchange->transport, Transport::udp);
  EXPECT_EQ(text_of(exchange->message).substr(2), query(kId).substr(2));
  EXPECT_EQ(begin(Transport::tcp).transport, Transport::tcp);
}

TEST_F(ForwarderTest, IdsToTheNameServerAreRandom) {
  std::set<std::string> ids;
  for (int i = 0; i < 50; ++i) ids.insert(text_of(begin().message).substr(0, 2));
  EXPECT_GT(ids.size(), 45U);
}

TEST_F(ForwarderTest, AnAnswerComesBackAsItIsWithTheAskersId) {
  for (const unsigned flags : {0x8180U, 0x8183U, 0x8185U, 0x8380U}) {  // NXDOMAIN, REFUSED, TC
    const auto exchange = begin();
    forwarder.on_message(exchange.id, kServer,
                         as_bytes(reply(text_of(exchange.message), 33, flags)), kNow);
    EXPECT_EQ(answer(exchange.id), reply(query(kId), 33, flags));
    EXPECT_EQ(forwarder.poll_over(), exchange.id);
    EXPECT_EQ(forwarder.in_flight(), 0U);
  }
  EXPECT_EQ(drops.total(), 0U);
}

TEST_F(ForwarderTest, SilenceBecomesServerFailureAfterFiveSeconds) {
  const auto exchange = begin();
  EXPECT_EQ(forwarder.wakeup()->at, kNow + 2s);  // the probes
  forwarder.on_timeout(kNow + 5s - 1ns);
  EXPECT_EQ(answer(exchange.id), "");
  forwarder.on_timeout(kNow + 5s);
  EXPECT_EQ(answer(exchange.id), kServfail);
  EXPECT_EQ(drops_of(DropReason::dns_unanswered), 1U);
  forwarder.on_message(exchange.id, kServer, as_bytes(reply(text_of(exchange.message))), kNow + 6s);
  EXPECT_EQ(answer(exchange.id), "");
}

TEST_F(ForwarderTest, AFailureBecomesServerFailureAtOnce) {
  const auto exchange = begin(Transport::tcp);
  forwarder.on_failure(exchange.id, kNow);
  EXPECT_EQ(answer(exchange.id), kServfail);
  EXPECT_EQ(forwarder.poll_over(), exchange.id);
}

TEST_F(ForwarderTest, WithoutANameServerEveryQueryIsAServerFailure) {
  forwarder.set_servers({}, kNow);
  const auto id = ask(query(kId));
  EXPECT_FALSE(forwarder.poll_exchange());
  EXPECT_EQ(answer(id), kServfail);
}

TEST_F(ForwarderTest, ForeignAnswersAreNotBelieved) {
  const auto exchange = begin();
  const auto sent = text_of(exchange.message);
  auto other_id = reply(sent);
  other_id[0] = static_cast<char>(other_id[0] ^ 1);
  const auto true_one = reply(sent);
  const std::vector<std::pair<SocketAddress, std::string>> lies{
      {kOther, true_one},
      {{kServer.ip, 54}, true_one},
      {kServer, other_id},
      {kServer, reply(sent.substr(0, 2) + query(kId, "evil.test").substr(2))},
      {kServer, sent},
      {kServer, ""},
      {kServer, true_one.substr(0, 20)},
  };
  for (const auto& [from, text] : lies)
    forwarder.on_message(exchange.id, from, as_bytes(text), kNow);
  EXPECT_EQ(answer(exchange.id), "");
  EXPECT_EQ(drops_of(DropReason::dns_foreign_answer), lies.size());
  forwarder.on_message(exchange.id, kServer, as_bytes(true_one), kNow);
  EXPECT_EQ(answer(exchange.id), reply(query(kId)));
}

TEST_F(ForwarderTest, AStreamThatLiesOnceHasFailed) {
  const auto exchange = begin(Transport::tcp);
  forwarder.on_message(exchange.id, kServer, as_bytes("nonsense"), kNow);
  EXPECT_EQ(answer(exchange.id), kServfail);
}

TEST_F(ForwarderTest, LargeAnswersAreCutOverUdpOnly) {
  const auto overhead = reply(query(kId), 1).size() - 1;
  for (const std::size_t size : {kUdpReplyMax, kUdpReplyMax + 1}) {
    const auto udp = begin();
    const auto whole = reply(text_of(udp.message), size - overhead);
    ASSERT_EQ(whole.size(), size);
    forwarder.on_message(udp.id, kServer, as_bytes(whole), kNow);
    const auto got = answer(udp.id);
    if (size <= kUdpReplyMax)
      EXPECT_EQ(got, reply(query(kId), size - overhead));
    else
      EXPECT_EQ(got, header(kId, 0x8380, 1, 0) + question("_ldap._tcp.lab.test"));
  }
  const auto tcp = begin(Transport::tcp);
  forwarder.on_message(tcp.id, kServer, as_bytes(reply(text_of(tcp.message), 60000)), kNow);
  EXPECT_EQ(answer(tcp.id), reply(query(kId), 60000));
}

TEST_F(ForwarderTest, WhatIsNoQueryIsCountedAndNotAnswered) {
  EXPECT_FALSE(forwarder.on_query(Transport::udp, kClient, as_bytes(reply(query(kId))), kNow));
  EXPECT_FALSE(forwarder.on_query(Transport::tcp, kClient, as_bytes("x"), kNow));
  EXPECT_FALSE(forwarder.poll_answer());
  EXPECT_EQ(drops_of(DropReason::dns_malformed_query), 2U);
}

TEST_F(ForwarderTest, AThousandAreInFlightAndTheNextIsAServerFailure) {
  for (std::size_t i = 0; i < kForwardsMax; ++i) {
    const auto client =
        IpAddress::v4(100, 64, 1, static_cast<std::uint8_t>(i / kForwardsClientMax));
    (void)ask(query(kId), Transport::udp, client);
  }
  EXPECT_EQ(forwarder.in_flight(), kForwardsMax);
  EXPECT_EQ(drops.total(), 0U);
  const auto id = ask(query(kId));
  EXPECT_EQ(answer(id), kServfail);
  EXPECT_EQ(drops_of(DropReason::dns_queries_full), 1U);
  forwarder.on_timeout(kNow + 5s);
  EXPECT_EQ(forwarder.in_flight(), 0U);
}

TEST_F(ForwarderTest, OneClientDoesNotTakeTheOthersPlaces) {
  std::vector<ExchangeId> ids;
  for (std::size_t i = 0; i < kForwardsClientMax; ++i) ids.push_back(ask(query(kId)));
  EXPECT_EQ(drops.total(), 0U);
  EXPECT_EQ(answer(ask(query(kId))), kServfail);
  EXPECT_EQ(drops_of(DropReason::dns_queries_full), 1U);
  (void)ask(query(kId), Transport::udp, IpAddress::v4(100, 64, 0, 8));
  forwarder.abandon(ids.front());
  (void)ask(query(kId));
  EXPECT_EQ(drops_of(DropReason::dns_queries_full), 1U);
}

TEST_F(ForwarderTest, WhatWasAbandonedIsNeitherAskedNorAnswered) {
  forwarder.abandon(ask(query(kId)));
  EXPECT_FALSE(forwarder.poll_exchange());
  EXPECT_FALSE(forwarder.poll_over());
  const auto exchange = begin();
  forwarder.on_failure(exchange.id, kNow);
  forwarder.abandon(exchange.id);
  EXPECT_FALSE(forwarder.poll_answer());
  EXPECT_EQ(forwarder.in_flight(), 0U);
}

TEST_F(ForwarderTest, AClientThatAsksTooOftenIsNotHeardUntilItsRateAllowsIt) {
  const auto text = query(kId);
  const auto asked = [&](const IpAddress& client, Instant now) {
    const auto id = forwarder.on_query(Transport::udp, client, as_bytes(text), now);
    if (id) forwarder.abandon(*id);
    return id.has_value();
  };
  int heard = 0;
  for (int i = 0; i < 300; ++i) heard += asked(kClient, kNow) ? 1 : 0;
  EXPECT_EQ(heard, 200);
  EXPECT_EQ(drops_of(DropReason::dns_queries_limited), 100U);
  EXPECT_TRUE(asked(IpAddress::v4(100, 64, 0, 8), kNow));
  EXPECT_FALSE(asked(kClient, kNow + 10ms - 1ns));
  EXPECT_TRUE(asked(kClient, kNow + 10ms));
  EXPECT_FALSE(asked(kClient, kNow + 10ms));
}

TEST_F(ForwarderTest, RatesAreRememberedOfSoManyAddresses) {
  const auto address = [](unsigned i) {
    return IpAddress::v4(100, 64, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i));
  };
  const auto malformed = as_bytes(std::string_view{"?"});
  const auto limited = [&] { return drops_of(DropReason::dns_queries_limited); };
  for (unsigned i = 0; i < 32'768; ++i)
    (void)forwarder.on_query(Transport::udp, address(i), malformed, kNow);
  EXPECT_EQ(limited(), 0U);
  (void)forwarder.on_query(Transport::udp, kServer.ip, malformed, kNow);
  EXPECT_EQ(limited(), 1U);
  (void)forwarder.on_query(Transport::udp, kServer.ip, malformed, kNow + 10ms);
  EXPECT_EQ(limited(), 1U);
}

class ChoiceTest : public ForwarderTest {
 protected:
  void SetUp() override {
    forwarder.set_servers({kServer, kOther}, kNow);
    round = probes();
    ASSERT_EQ(round.size(), 4U);
  }
  void end(const Forwarder::Exchange& probe, unsigned flags) {
    forwarder.on_message(probe.id, probe.server, as_bytes(reply(text_of(probe.message), 0, flags)),
                         kNow);
  }
  std::vector<Forwarder::Exchange> round;
};

TEST_F(ChoiceTest, ProbesAskForAnAddressOfFirezoneDev) {
  EXPECT_EQ(text_of(round[0].message).substr(2), query(0, "firezone.dev", 1).substr(2));
  std::set<std::string> ids;
  for (const auto& probe : round) ids.insert(text_of(probe.message).substr(0, 2));
  EXPECT_EQ(ids.size(), 4U);
}

TEST_F(ChoiceTest, OtherServersEndTheProbesOfTheFormerOnes) {
  forwarder.set_servers({kOther}, kNow);
  for (const auto& probe : round) EXPECT_EQ(forwarder.poll_over(), probe.id);
  round = probes();
  ASSERT_EQ(round.size(), 2U);
  EXPECT_EQ(begin().server, kOther);
}

TEST_F(ChoiceTest, OnlyNoErrorCounts) {
  end(round[0], 0x8185);
  end(round[1], 0x8183);
  end(round[2], 0x8180);
  end(round[3], 0x8180);
  EXPECT_EQ(begin().server, kOther);
}

TEST_F(ChoiceTest, AProbeWithoutAnAnswerInTwoSecondsIsLost) {
  end(round[2], 0x8180);
  EXPECT_EQ(begin().server, kServer);  // the round is not over
  while (forwarder.poll_over()) {
  }
  EXPECT_EQ(forwarder.wakeup()->at, kNow + 2s);
  forwarder.on_timeout(kNow + 2s);
  EXPECT_EQ(begin().server, kOther);
  EXPECT_EQ(forwarder.in_flight(), 2U);
}

TEST_F(ChoiceTest, NobodyAnswersAndTheFirstIsAskedAllTheSame) {
  for (const auto& probe : round) forwarder.on_failure(probe.id, kNow);
  EXPECT_EQ(begin().server, kServer);
}

TEST_F(ChoiceTest, ADeadNameServerIsLeftSoonAfterTheFirstFailure) {
  for (const auto& probe : {round[0], round[1], round[2], round[3]}) end(probe, 0x8180);
  EXPECT_EQ(begin().server, kServer);
  forwarder.on_timeout(kNow + 5s);
  round = probes();
  ASSERT_EQ(round.size(), 4U);
  end(round[2], 0x8180);
  end(round[3], 0x8180);
  forwarder.on_timeout(kNow + 7s);
  EXPECT_EQ(begin().server, kOther);
}

}  // namespace
}  // namespace fg::dns
