#include "scripted_name_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "../dns/messages.h"

namespace fg::net::test {
namespace {

using namespace dns::test;

constexpr std::size_t kHeader = 12;

std::string name_in(const std::string& query) {
  const auto length = static_cast<std::size_t>(query[kHeader]);
  return query.substr(kHeader + 1, length);
}

std::string read_exactly(int fd, std::size_t size) {
  std::string out(size, '\0');
  return ::recv(fd, out.data(), size, MSG_WAITALL) == static_cast<ssize_t>(size) ? out : "";
}

}  // namespace

ScriptedNameServer::ScriptedNameServer() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* raw = reinterpret_cast<sockaddr*>(&address);
  tcp_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  udp_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::bind(tcp_, raw, size), 0);
  EXPECT_EQ(::getsockname(tcp_, raw, &size), 0);
  EXPECT_EQ(::bind(udp_, raw, size), 0);
  EXPECT_EQ(::listen(tcp_, 64), 0);
  port_ = ntohs(address.sin_port);
  end_ = ::eventfd(0, EFD_CLOEXEC);
  thread_ = std::thread([this] { serve(); });
}

ScriptedNameServer::~ScriptedNameServer() {
  const std::uint64_t one = 1;
  EXPECT_EQ(::write(end_, &one, sizeof one), static_cast<ssize_t>(sizeof one));
  thread_.join();
  for (const int fd : {udp_, tcp_, end_}) ::close(fd);
}

void ScriptedNameServer::serve() {
  for (;;) {
    std::array<pollfd, 3> ready{{{udp_, POLLIN, 0}, {tcp_, POLLIN, 0}, {end_, POLLIN, 0}}};
    if (::poll(ready.data(), ready.size(), -1) < 0 || ready[2].revents != 0) return;
    if (ready[0].revents != 0) serve_datagram();
    if (ready[1].revents != 0) serve_connection();
  }
}

void ScriptedNameServer::serve_datagram() {
  std::array<char, 4096> buffer{};
  sockaddr_in from{};
  socklen_t size = sizeof from;
  auto* raw = reinterpret_cast<sockaddr*>(&from);
  const auto got = ::recvfrom(udp_, buffer.data(), buffer.size(), 0, raw, &size);
  if (got < static_cast<ssize_t>(kHeader)) return;
  const std::string query{buffer.data(), static_cast<std::size_t>(got)};
  const auto say = [&](const std::string& text) {
    (void)::sendto(udp_, text.data(), text.size(), 0, raw, size);
  };
  if (name_in(query) == "lie")
    say(reply(query.substr(0, 2) + dns::test::query(0, "evil.test").substr(2)));
  if (const auto text = answer(query); !text.empty()) say(text);
}

void ScriptedNameServer::serve_connection() {
  const int fd = ::accept(tcp_, nullptr, nullptr);
  const auto length = read_exactly(fd, 2);
  const auto query = length.empty() ? "" : read_exactly(fd, load_be16(as_bytes(length).data()));
  if (!query.empty()) {
    const auto text = answer(query);
    const auto out = be16(static_cast<unsigned>(text.size())) + text;
    if (!text.empty()) (void)::send(fd, out.data(), out.size(), MSG_NOSIGNAL);
  }
  ::close(fd);
}

std::string ScriptedNameServer::answer(const std::string& query) {
  const auto name = name_in(query);
  if (name == "firezone") ++probes_;
  if (name == "mute" || name == "end") return "";
  if (name == "none") return reply(query, 0, 0x8183);
  return reply(query, name == "big" ? 3000 : 20);
}

}  // namespace fg::net::test
