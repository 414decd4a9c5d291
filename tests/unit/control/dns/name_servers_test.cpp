#include "control/dns/name_servers.h"

#include <gtest/gtest.h>

#include <string>

namespace fg::dns {
namespace {

constexpr Instant kNow{1000s};

IpAddress ip(const char* text) { return *IpAddress::parse(text); }
SocketAddress server(std::uint8_t n) { return {IpAddress::v4(192, 0, 2, n), 53}; }

// Probes of a round, in the order they are asked.
std::vector<NameServers::Probe> probes(NameServers& servers) {
  std::vector<NameServers::Probe> out;
  while (auto probe = servers.poll_probe()) out.push_back(*probe);
  return out;
}

TEST(ResolvConf, ItsServersInTheirOrder) {
  EXPECT_EQ(parse_resolv_conf("# nameserver 192.0.2.9\nsearch lab.test\nnameserver 192.0.2.1\n"
                              "nameserver\t2001:db8::1   # the other\r\noptions edns0\n"
                              "nameserver 192.0.2.3"),
            (std::vector{ip("192.0.2.1"), ip("2001:db8::1"), ip("192.0.2.3")}));
}

TEST(ResolvConf, WhatIsNoAddressIsPassedOver) {
  EXPECT_TRUE(parse_resolv_conf("").empty());
  EXPECT_TRUE(parse_resolv_conf("nameserver\nnameserver \nnameserver name.test\n"
                                "nameserver fe80::1%eth0\nnameserver192.0.2.1\n nameserver ::1")
                  .empty());
}

TEST(ResolvConf, TwiceTheSameIsOneAndTenAreTheMost) {
  std::string text = "nameserver 192.0.2.1\nnameserver 192.0.2.1\n";
  EXPECT_EQ(parse_resolv_conf(text).size(), 1U);
  for (int i = 2; i <= 11; ++i) text += "nameserver 192.0.2." + std::to_string(i) + "\n";
  EXPECT_EQ(parse_resolv_conf(text).size(), kServersMax);
}

TEST(NameServers, EachIsAskedOverBothTransportsAtOnceAndEveryMinute) {
  NameServers servers;
  servers.set({server(1), server(2)}, kNow);
  EXPECT_LE(servers.wakeup()->at, kNow);
  EXPECT_EQ(probes(servers).size(), 4U);
  EXPECT_EQ(servers.wakeup()->at, kNow + 60s);
  servers.on_timeout(kNow + 60s - 1ns);
  EXPECT_TRUE(probes(servers).empty());
  servers.on_timeout(kNow + 60s);
  const auto again = probes(servers);
  ASSERT_EQ(again.size(), 4U);
  EXPECT_EQ(again[0].server, server(1));
  EXPECT_NE(again[0].transport, again[1].transport);
}

TEST(NameServers, UntilARoundIsOverItIsTheFirst) {
  NameServers servers;
  servers.set({server(1), server(2)}, kNow);
  const auto round = probes(servers);
  EXPECT_EQ(servers.best(Transport::udp), server(1));
  servers.on_probed(round[2], true);
  servers.on_probed(round[0], true);
  servers.on_probed(round[1], false);
  EXPECT_EQ(servers.best(Transport::udp), server(1));
  servers.on_probed(round[3], false);
  EXPECT_EQ(servers.best(Transport::udp), server(2));
}

TEST(NameServers, TheFirstToAnswerOverATransportIsTakenForIt) {
  NameServers servers;
  servers.set({server(1), server(2), server(3)}, kNow);
  const auto round = probes(servers);
  servers.on_probed(round[4], true);  // 3, UDP
  servers.on_probed(round[0], true);  // 1, UDP
  servers.on_probed(round[3], true);  // 2, TCP
  servers.on_probed(round[1], true);  // 1, TCP
  servers.on_probed(round[2], false);
  servers.on_probed(round[5], false);
  EXPECT_EQ(servers.best(Transport::udp), server(3));
  EXPECT_EQ(servers.best(Transport::tcp), server(2));
}

TEST(NameServers, WhoeverAnsweredOverTheOtherTransportIsBetterThanTheFirst) {
  NameServers servers;
  servers.set({server(1), server(2)}, kNow);
  for (const auto& probe : probes(servers))
    servers.on_probed(probe, probe.server == server(2) && probe.transport == Transport::udp);
  EXPECT_EQ(servers.best(Transport::tcp), server(2));
}

TEST(NameServers, OnlyTheLastRoundCounts) {
  NameServers servers;
  servers.set({server(1), server(2)}, kNow);
  for (const auto& probe : probes(servers)) servers.on_probed(probe, probe.server == server(2));
  ASSERT_EQ(servers.best(Transport::udp), server(2));
  servers.on_timeout(kNow + 60s);
  for (const auto& probe : probes(servers)) {
    EXPECT_EQ(servers.best(Transport::udp), server(2));  // as long as nothing newer is known
    servers.on_probed(probe, false);
  }
  EXPECT_EQ(servers.best(Transport::udp), server(1));
}

TEST(NameServers, AResultOfAFormerRoundChangesNothing) {
  NameServers servers;
  servers.set({server(1), server(2)}, kNow);
  const auto former = probes(servers);
  servers.set({server(1), server(3)}, kNow + 1s);
  const auto round = probes(servers);
  for (const auto& probe : former) servers.on_probed(probe, true);
  EXPECT_EQ(servers.best(Transport::udp), server(1));
  for (const auto& probe : round) servers.on_probed(probe, probe.server == server(3));
  EXPECT_EQ(servers.best(Transport::udp), server(3));
}

TEST(NameServers, AQueryThatFailedBringsTheNextRoundForwardButNotMoreThanEveryFiveSeconds) {
  NameServers servers;
  servers.set({server(1)}, kNow);
  for (const auto& probe : probes(servers)) servers.on_probed(probe, true);
  servers.on_query_failed();
  EXPECT_EQ(servers.wakeup()->at, kNow + 5s);
  servers.on_timeout(kNow + 5s);
  EXPECT_EQ(probes(servers).size(), 2U);
  EXPECT_EQ(servers.wakeup()->at, kNow + 65s);
}

TEST(NameServers, WithoutServersThereIsNobodyToAsk) {
  NameServers servers;
  EXPECT_FALSE(servers.best(Transport::udp));
  EXPECT_FALSE(servers.wakeup());
  servers.set({}, kNow);
  EXPECT_FALSE(servers.best(Transport::udp));
  EXPECT_FALSE(servers.wakeup());
  servers.on_query_failed();
  EXPECT_FALSE(servers.wakeup());
}

}  // namespace
}  // namespace fg::dns
