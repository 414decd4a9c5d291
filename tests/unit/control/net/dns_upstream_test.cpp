#include "control/net/dns_upstream.h"

#include <gtest/gtest.h>

#include "../dns/messages.h"
#include "scripted_name_server.h"

namespace fg::net {
namespace {

using namespace dns::test;
using dns::ExchangeId;
using dns::Transport;

class DnsUpstreamTest : public testing::TestWithParam<Transport> {
 protected:
  void begin(std::uint64_t id, const std::string& name, const SocketAddress& to) {
    upstream.begin({ExchangeId{id}, GetParam(), to, copy_of(as_bytes(query(7, name, kTxt)))});
    EXPECT_TRUE(heard.empty());  // never from within the call
  }
  void run_until(std::size_t count) {
    loop.on_turn([this, count](Instant) {
      if (heard.size() >= count) loop.stop();
    });
    loop.run();
  }
  struct Heard {
    ExchangeId id;
    std::string text;  // empty: a failure
  };
  std::vector<Heard> heard;
  test::ScriptedNameServer server;
  Loop loop;
  DnsUpstream upstream{loop, 0,
                       [this](ExchangeId id, const SocketAddress& from, Bytes message) {
                         EXPECT_EQ(from, server.address());
                         heard.push_back({id, text_of(message)});
                       },
                       [this](ExchangeId id) { heard.push_back({id, ""}); }};
};

TEST_P(DnsUpstreamTest, BringsTheAnswer) {
  begin(1, "some.test", server.address());
  run_until(1);
  EXPECT_EQ(heard[0].id, ExchangeId{1});
  EXPECT_EQ(heard[0].text, reply(query(7, "some.test", kTxt)));
}

TEST_P(DnsUpstreamTest, BringsAnAnswerOfAnySize) {
  begin(1, "big.test", server.address());
  run_until(1);
  EXPECT_EQ(heard[0].text, reply(query(7, "big.test", kTxt), 3000));
}

TEST_P(DnsUpstreamTest, SaysWhenNobodyListens) {
  begin(1, "some.test", {IpAddress::v4(127, 0, 0, 1), 1});
  run_until(1);
  EXPECT_EQ(heard[0].text, "");
}

TEST_P(DnsUpstreamTest, SaysWhenThereIsNoWay) {
  begin(1, "some.test", {IpAddress::v4(255, 255, 255, 255), 53});
  run_until(1);
  EXPECT_EQ(heard[0].text, "");
}

TEST_P(DnsUpstreamTest, WhatHasEndedIsHeardOfNoMore) {
  begin(1, "some.test", server.address());
  upstream.end(ExchangeId{1});
  begin(2, "some.test", server.address());
  run_until(1);
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].id, ExchangeId{2});
  upstream.end(ExchangeId{2});
  upstream.end(ExchangeId{2});
}

INSTANTIATE_TEST_SUITE_P(Both, DnsUpstreamTest, testing::Values(Transport::udp, Transport::tcp),
                         [](const auto& param) {
                           return param.param == Transport::udp ? "Udp" : "Tcp";
                         });

class DnsUpstreamTcpTest : public DnsUpstreamTest {};

TEST_P(DnsUpstreamTcpTest, SaysWhenTheConnectionEndsWithoutAnAnswer) {
  begin(1, "end.test", server.address());
  run_until(1);
  EXPECT_EQ(heard[0].text, "");
}
INSTANTIATE_TEST_SUITE_P(Tcp, DnsUpstreamTcpTest, testing::Values(Transport::tcp));

class DnsUpstreamUdpTest : public DnsUpstreamTest {};

TEST_P(DnsUpstreamUdpTest, BringsWhateverComesUntilItIsEnded) {
  begin(1, "lie.test", server.address());
  run_until(2);
  EXPECT_NE(heard[0].text, heard[1].text);
  EXPECT_EQ(heard[1].text, reply(query(7, "lie.test", kTxt)));
}
INSTANTIATE_TEST_SUITE_P(Udp, DnsUpstreamUdpTest, testing::Values(Transport::udp));

}  // namespace
}  // namespace fg::net
