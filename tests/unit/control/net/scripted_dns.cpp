#include "scripted_dns.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace fg::net::test {
namespace {

constexpr std::size_t kHeader = 12;  // RFC 1035 §4.1.1

std::string be16(unsigned value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

}  // namespace

ScriptedDns::ScriptedDns(Zone zone, unsigned ttl) : zone_(std::move(zone)), ttl_(ttl) {
  socket_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  address_ = {IpAddress::v4(127, 0, 0, 1), ntohs(address.sin_port)};
  thread_ = std::thread([this] { serve(); });
}

ScriptedDns::~ScriptedDns() {
  ::shutdown(socket_, SHUT_RDWR);  // wakes the thread with an empty read
  thread_.join();
  ::close(socket_);
}

void ScriptedDns::serve() {
  for (;;) {
    std::array<char, 512> buffer{};
    sockaddr_in from{};
    socklen_t size = sizeof from;
    const auto got = ::recvfrom(socket_, buffer.data(), buffer.size(), 0,
                                reinterpret_cast<sockaddr*>(&from), &size);
    if (got <= 0) return;
    ++queries_;
    const auto reply = answer({buffer.data(), static_cast<std::size_t>(got)});
    if (!reply.empty()) {
      (void)::sendto(socket_, reply.data(), reply.size(), 0,
                     reinterpret_cast<const sockaddr*>(&from), size);
    }
  }
}

std::string ScriptedDns::answer(const std::string& query) {
  std::string name;
  std::size_t at = kHeader;
  while (at < query.size() && query[at] != 0) {
    const auto length = static_cast<unsigned char>(query[at]);
    name += (name.empty() ? "" : ".") + query.substr(at + 1, length);
    at += length + 1U;
  }
  const auto question = query.substr(kHeader, at + 5 - kHeader);
  const bool wants_v6 = question[question.size() - 3] == 28;  // AAAA
  const auto known = zone_.find(name);
  if (known != zone_.end() && known->second.empty()) return "";
  if (wants_v6 && name.starts_with("mute6.")) return "";
  std::string records;
  unsigned count = 0;
  if (known != zone_.end()) {
    for (const auto& ip : known->second) {
      if (ip.is_v6() != wants_v6) continue;
      ++count;
      records += be16(0xc00c) + be16(wants_v6 ? 28 : 1) + be16(1) + be16(0) + be16(ttl_) +
                 be16(static_cast<unsigned>(ip.bytes().size()));
      records += as_text(ip.bytes());
    }
  }
  const unsigned flags = name.starts_with("broken.") ? 0x8182U  // SERVFAIL
                         : known == zone_.end()      ? 0x8183U  // NXDOMAIN
                                                     : 0x8180U;
  return query.substr(0, 2) + be16(flags) + be16(1) + be16(count) + be16(0) + be16(0) + question +
         records;
}

}  // namespace fg::net::test
