#include "control/net/health_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <thread>
#include <vector>

namespace fg::net {
namespace {

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return fd;
}

std::string read_all(int fd) {
  std::string out;
  std::array<char, 512> buffer{};
  for (ssize_t n = 0; (n = ::read(fd, buffer.data(), buffer.size())) > 0;) {
    out.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return out;
}

class HealthServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(server.listen({IpAddress::v4(127, 0, 0, 1), 0}));
    loop.on_turn([](Instant) {});
  }
  // The head of the answer to one request, from another thread while the loop runs here.
  std::string ask(const std::string& request) {
    std::string answer;
    std::thread asker{[&, port = server.port()] {
      const int fd = connect_to(port);
      EXPECT_EQ(::write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
      answer = read_all(fd);
      ::close(fd);
      loop.stop();
    }};
    loop.run();
    asker.join();
    body = answer.substr(std::min(answer.find("\r\n\r\n"), answer.size()));
    length_told = answer.find("Content-Length: ") != std::string::npos &&
                  answer.find("Content-Length: 0\r\n") == std::string::npos;
    return answer.substr(0, answer.find("\r\n"));
  }
  std::vector<std::string> reasons{"no relay answers: let UDP out", "the portal is not joined"};
  std::string body;
  bool length_told = false;
  Loop loop;
  HealthServer server{loop, [this] { return reasons; }};
};

TEST_F(HealthServerTest, HealthzSaysTheProcessLives) {
  EXPECT_EQ(ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK");
}

TEST_F(HealthServerTest, ReadyzSaysEveryReasonWhyNot) {
  EXPECT_EQ(ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(body, "\r\n\r\nno relay answers: let UDP out\nthe portal is not joined\n");
}

TEST_F(HealthServerTest, HeadOfReadyzSaysTheStatusWithoutTheReasons) {
  EXPECT_EQ(ask("HEAD /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(body, "\r\n\r\n");
  EXPECT_TRUE(length_told);
}

TEST_F(HealthServerTest, ReadyzIsOkWhenReady) {
  reasons.clear();
  EXPECT_EQ(ask("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 OK");
}

TEST_F(HealthServerTest, OtherPathsAndMethodsAreRefused) {
  EXPECT_EQ(ask("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 404 Not Found");
}

TEST_F(HealthServerTest, PostIsNotAllowed) {
  EXPECT_EQ(ask("POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
            "HTTP/1.1 405 Method Not Allowed");
}

TEST_F(HealthServerTest, AHeadOverTheLimitIsCutOff) {
  EXPECT_EQ(
      ask("GET /healthz HTTP/1.1\r\nX: " + std::string(2 * kHealthRequestMax, 'a') + "\r\n\r\n"),
      "");
}

TEST_F(HealthServerTest, ConnectionsOverTheLimitAreClosedAndTheOthersServed) {
  std::string last;
  std::string first;
  std::thread asker{[&, port = server.port()] {
    std::vector<int> fds;
    for (std::size_t i = 0; i < kHealthConnectionsMax; ++i) fds.push_back(connect_to(port));
    const int extra = connect_to(port);
    last = read_all(extra);  // closed without a word
    ::close(extra);
    const std::string request = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    EXPECT_EQ(::write(fds[0], request.data(), request.size()),
              static_cast<ssize_t>(request.size()));
    first = read_all(fds[0]);
    for (const int fd : fds) ::close(fd);
    loop.stop();
  }};
  loop.run();
  asker.join();
  EXPECT_EQ(last, "");
  EXPECT_TRUE(first.starts_with("HTTP/1.1 200 OK"));
}

TEST(HealthServer, ATakenPortIsAnError) {
  Loop loop;
  HealthServer first{loop, [] { return std::vector<std::string>{}; }};
  ASSERT_TRUE(first.listen({IpAddress::v4(127, 0, 0, 1), 0}));
  HealthServer second{loop, [] { return std::vector<std::string>{}; }};
  const auto listening = second.listen({IpAddress::v4(127, 0, 0, 1), first.port()});
  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().error, EADDRINUSE);
}

}  // namespace
}  // namespace fg::net
