#include "control/net/dns_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <thread>

#include "../dns/messages.h"
#include "scripted_name_server.h"

namespace fg::net {
namespace {

using namespace dns::test;

constexpr unsigned kId = 0x1234;
const IpAddress kServed = IpAddress::v4(127, 0, 0, 1);

std::uint16_t free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

// A socket of one asker, blocking, with a limit.
class Asker {
 public:
  Asker(int type, std::uint16_t port, const char* from = "127.0.0.2") {
    fd_ = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
    const timeval limit{8, 0};
    (void)::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    EXPECT_EQ(::inet_pton(AF_INET, from, &address.sin_addr), 1);
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    is_connected_ =
        ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  }
  ~Asker() { ::close(fd_); }
  Asker(const Asker&) = delete;
  Asker& operator=(const Asker&) = delete;

  [[nodiscard]] bool is_connected() const { return is_connected_; }
  void send(const std::string& text) const {
    (void)::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
  }
  void send_framed(const std::string& text) const {
    send(be16(static_cast<unsigned>(text.size())) + text);
  }
  // Empty: nothing came, or the connection is over.
  [[nodiscard]] std::string receive() const {
    std::array<char, 4096> buffer{};
    const auto got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
  }
  [[nodiscard]] std::string receive_framed() const {
    const auto length = exactly(2);
    return length.empty() ? "" : exactly(load_be16(as_bytes(length).data()));
  }

 private:
  [[nodiscard]] std::string exactly(std::size_t size) const {
    std::string out(size, '\0');
    return ::recv(fd_, out.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size) ? out : "";
  }
  int fd_ = -1;
  bool is_connected_ = false;
};

class DnsServerTest : public testing::Test {
 protected:
  void SetUp() override {
    write_resolv_conf("nameserver 127.0.0.1\n");
    server.emplace(loop, random, options());
    server->listen({kServed}, [this](const auto& outcome) { outcomes.push_back(bool{outcome}); });
    ASSERT_EQ(outcomes, std::vector{true});
    loop.on_turn([](Instant) {});
  }
  void TearDown() override {
    server.reset();
    std::remove(path.c_str());
  }
  DnsServerOptions options() {
    return {.device = "",
            .is_client = [](const IpAddress& ip) { return ip != IpAddress::v4(127, 0, 0, 9); },
            .resolv_conf = path,
            .port = port,
            .server_port = names.address().port};
  }
  void write_resolv_conf(const std::string& text) const { std::ofstream{path} << text; }
  // Asks on another thread while the loop runs here.
  template <class Work>
  void while_running(Work work) {
    std::thread other;
    loop.post([&] {  // a stop before the run would be lost
      other = std::thread{[&] {
        work();
        loop.stop();
      }};
    });
    loop.run();
    other.join();
  }
  void run_until(const std::function<bool()>& done) {
    loop.on_turn([this, done](Instant) {
      if (done()) loop.stop();
    });
    loop.run();
    loop.on_turn([](Instant) {});
  }

  const std::uint16_t port = free_port();
  const std::string path =
      testing::TempDir() + "/firegate-dns-" + std::to_string(::getpid()) + ".conf";
  test::ScriptedNameServer names;
  SeededRandom random{1};
  Loop loop;
  std::optional<DnsServer> server;
  std::vector<bool> outcomes;
};

TEST_F(DnsServerTest, AnswersOverUdp) {
  while_running([&] {
    const Asker asker{SOCK_DGRAM, port};
    for (const unsigned id : {kId, kId + 1}) {
      const auto text = query(id, "some.test", kTxt);
      asker.send(text);
      EXPECT_EQ(asker.receive(), reply(text));
    }
    const auto missing = query(kId, "none.test", kTxt);
    asker.send(missing);
    EXPECT_EQ(asker.receive(), reply(missing, 0, 0x8183));
  });
}

TEST_F(DnsServerTest, AnswersOverTcpOneAfterTheOtherOnOneConnection) {
  while_running([&] {
    const Asker asker{SOCK_STREAM, port};
    std::string pipelined;
    for (unsigned id = 1; id <= 5; ++id) {
      const auto text = query(id, id % 2 == 0 ? "big.test" : "some.test", kTxt);
      pipelined += be16(static_cast<unsigned>(text.size())) + text;
    }
    asker.send(pipelined.substr(0, 50));
    asker.send(pipelined.substr(50));
    for (unsigned id = 1; id <= 5; ++id) {
      const auto got = asker.receive_framed();
      ASSERT_FALSE(got.empty()) << id;
      EXPECT_EQ(got.substr(0, 2), be16(id));
      EXPECT_EQ(got.size() > 3000, id % 2 == 0);
    }
  });
}

TEST_F(DnsServerTest, LargeAnswersAreCutOverUdp) {
  while_running([&] {
    const Asker asker{SOCK_DGRAM, port};
    asker.send(query(kId, "big.test", kTxt));
    EXPECT_EQ(asker.receive(), header(kId, 0x8380, 1, 0) + question("big.test", kTxt));
  });
}

TEST_F(DnsServerTest, ASilentNameServerIsAServerFailure) {
  while_running([&] {
    const Asker asker{SOCK_DGRAM, port};
    asker.send(query(kId, "mute.test", kTxt));
    EXPECT_EQ(asker.receive(), header(kId, 0x8182, 1, 0) + question("mute.test", kTxt));
    const Asker stream{SOCK_STREAM, port};
    stream.send_framed(query(kId, "end.test", kTxt));
    EXPECT_EQ(stream.receive_framed(), header(kId, 0x8182, 1, 0) + question("end.test", kTxt));
  });
}

TEST_F(DnsServerTest, AnUnreachableNameServerIsAServerFailureAtOnce) {
  write_resolv_conf("nameserver 127.0.0.7\n");  // nobody listens there
  server.reset();
  server.emplace(loop, random, options());
  server->listen({kServed}, [](const auto& /*outcome*/) {});
  while_running([&] {
    const Asker asker{SOCK_DGRAM, port};
    asker.send(query(kId, "some.test", kTxt));
    EXPECT_EQ(asker.receive(), header(kId, 0x8182, 1, 0) + question("some.test", kTxt));
  });
}

TEST_F(DnsServerTest, WhatIsNoQueryIsIgnoredOverUdpAndEndsTheConnectionOverTcp) {
  while_running([&] {
    const Asker asker{SOCK_DGRAM, port};
    asker.send("");
    asker.send("x");
    asker.send(reply(query(kId)));
    asker.send(query(kId + 1, "some.test", kTxt));
    EXPECT_EQ(asker.receive().substr(0, 2), be16(kId + 1));
    const Asker stream{SOCK_STREAM, port};
    stream.send_framed("x");
    EXPECT_EQ(stream.receive_framed(), "");
  });
  EXPECT_EQ(server->drops().of(DropReason::dns_malformed_query), 4U);
}

TEST_F(DnsServerTest, StrangersGetNothing) {
  while_running([&] {
    for (const auto* from : {"127.0.0.9", "127.0.0.1"}) {  // no client's; the served one itself
      const Asker udp{SOCK_DGRAM, port, from};
      udp.send(query(kId, "some.test", kTxt));
      const Asker tcp{SOCK_STREAM, port, from};
      tcp.send_framed(query(kId, "some.test", kTxt));
      EXPECT_EQ(tcp.receive_framed(), "");
    }
    const Asker client{SOCK_DGRAM, port};
    client.send(query(kId, "some.test", kTxt));
    EXPECT_FALSE(client.receive().empty());
  });
  EXPECT_EQ(server->drops().of(DropReason::dns_stranger), 4U);
}

TEST_F(DnsServerTest, ConnectionsOfOneClientAreLimited) {
  while_running([&] {
    const auto text = query(kId, "some.test", kTxt);
    std::vector<std::unique_ptr<Asker>> askers;
    for (std::size_t i = 0; i < kDnsClientConnectionsMax; ++i) {
      askers.push_back(std::make_unique<Asker>(SOCK_STREAM, port));
      askers.back()->send_framed(text);
      EXPECT_FALSE(askers.back()->receive_framed().empty());
    }
    const Asker one_more{SOCK_STREAM, port};
    one_more.send_framed(text);
    EXPECT_EQ(one_more.receive_framed(), "");
    const Asker other{SOCK_STREAM, port, "127.0.0.8"};
    other.send_framed(text);
    EXPECT_FALSE(other.receive_framed().empty());
    askers.front()->send_framed(text);
    EXPECT_FALSE(askers.front()->receive_framed().empty());
    askers.clear();
    std::string got;
    for (int i = 0; i < 100 && got.empty(); ++i) {
      const Asker again{SOCK_STREAM, port};
      again.send_framed(text);
      got = again.receive_framed();
    }
    EXPECT_FALSE(got.empty());
  });
  EXPECT_GE(server->drops().of(DropReason::dns_connections_full), 1U);
}

TEST_F(DnsServerTest, ListeningAgainAtTheSameAddressesDisturbsNobody) {
  std::unique_ptr<Asker> asker;
  while_running([&] { asker = std::make_unique<Asker>(SOCK_STREAM, port); });
  server->listen({kServed}, [this](const auto& outcome) { outcomes.push_back(bool{outcome}); });
  EXPECT_EQ(outcomes, (std::vector{true, true}));
  while_running([&] {
    asker->send_framed(query(kId, "some.test", kTxt));
    EXPECT_FALSE(asker->receive_framed().empty());
  });
}

TEST_F(DnsServerTest, AtOtherAddressesTheFormerOnesAreLeft) {
  std::unique_ptr<Asker> asker;
  while_running([&] {
    asker = std::make_unique<Asker>(SOCK_STREAM, port);
    asker->send_framed(query(kId, "some.test", kTxt));
    EXPECT_FALSE(asker->receive_framed().empty());
  });
  server->listen({IpAddress::v4(127, 0, 0, 3)}, [](const auto& outcome) { EXPECT_TRUE(outcome); });
  while_running([&] {
    EXPECT_EQ(asker->receive_framed(), "");
    EXPECT_FALSE((Asker{SOCK_STREAM, port}.is_connected()));
  });
}

TEST_F(DnsServerTest, ATakenPortIsTriedThreeTimesAndThenTold) {
  const IpAddress taken = IpAddress::v4(127, 0, 0, 4);
  DnsServer first{loop, random, options()};
  first.listen({taken}, [](const auto& outcome) { EXPECT_TRUE(outcome); });
  const auto began = loop.now();
  std::optional<DnsServer::Outcome> outcome;
  server->listen({IpAddress::v4(127, 0, 0, 5), taken}, [&](const auto& told) { outcome = told; });
  EXPECT_FALSE(outcome);
  run_until([&] { return outcome.has_value(); });
  EXPECT_FALSE(*outcome);
  EXPECT_EQ(outcome->error().error, EADDRINUSE);
  EXPECT_GE(loop.now() - began, 2 * kDnsBindPause);
  // All or nothing: the free address was given back.
  DnsServer third{loop, random, options()};
  third.listen({IpAddress::v4(127, 0, 0, 5)}, [](const auto& told) { EXPECT_TRUE(told); });
}

TEST_F(DnsServerTest, APortThatBecomesFreeInTimeIsTaken) {
  const IpAddress taken = IpAddress::v4(127, 0, 0, 4);
  std::optional<DnsServer> first{std::in_place, loop, random, options()};
  first->listen({taken}, [](const auto& outcome) { EXPECT_TRUE(outcome); });
  std::optional<bool> is_listening;
  server->listen({taken}, [&](const auto& told) { is_listening = bool{told}; });
  first.reset();
  run_until([&] { return is_listening.has_value(); });
  EXPECT_TRUE(*is_listening);
}

TEST_F(DnsServerTest, ADeviceThatIsNotThereIsAnError) {
  auto elsewhere = options();
  elsewhere.device = "fg-no-such";
  DnsServer other{loop, random, elsewhere};
  std::optional<DnsServer::Outcome> outcome;
  other.listen({IpAddress::v4(127, 0, 0, 6)}, [&](const auto& told) { outcome = told; });
  run_until([&] { return outcome.has_value(); });
  ASSERT_FALSE(*outcome);
  EXPECT_EQ(outcome->error().error, ENODEV);
}

TEST_F(DnsServerTest, NameServersAreComparedAtTheStart) {
  run_until([&] { return names.probes() == 2; });
}

TEST_F(DnsServerTest, AGoneServerCallsNobodyAndAnswersNobody) {
  const Asker asker{SOCK_DGRAM, port};
  asker.send(query(kId, "mute.test", kTxt));
  const Asker stream{SOCK_STREAM, port};
  while_running([] {});
  server.reset();
  EXPECT_EQ(stream.receive_framed(), "");
  while_running([] {});
}

}  // namespace
}  // namespace fg::net
