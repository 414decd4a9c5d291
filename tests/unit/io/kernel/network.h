// A network namespace for each test with loopback up, and sockets in it. Needs root.
#pragma once

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "base/datagram.h"
#include "io/kernel/udp_socket.h"
#include "tests/support/own_network.h"

namespace fg::io::kernel {

inline ifreq interface_request(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

inline bool set_up(const std::string& name) {
  const FileDescriptor control{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  auto request = interface_request(name);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  return ::ioctl(control.get(), SIOCSIFFLAGS, &request) == 0;
}

// A TUN device into which only the test speaks. The host would send router solicitations and group
// reports, at times of its own choice.
inline bool set_up_quietly(const std::string& name) {
  std::ofstream{"/proc/sys/net/ipv6/conf/" + name + "/disable_ipv6"} << 1;
  return set_up(name);
}

// The prefix is the whole class-A network, so that everything in it is routed to the device.
inline bool set_address(const std::string& name, const char* address, const char* mask) {
  const FileDescriptor control{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  auto request = interface_request(name);
  auto& in = reinterpret_cast<sockaddr_in&>(request.ifr_addr);
  in.sin_family = AF_INET;
  if (::inet_pton(AF_INET, address, &in.sin_addr) != 1 ||
      ::ioctl(control.get(), SIOCSIFADDR, &request) != 0)
    return false;
  return ::inet_pton(AF_INET, mask, &in.sin_addr) == 1 &&
         ::ioctl(control.get(), SIOCSIFNETMASK, &request) == 0;
}

class NetworkTest : public test::OwnNetwork {
 protected:
  void SetUp() override {
    OwnNetwork::SetUp();
    ASSERT_TRUE(set_up("lo"));
  }
};

inline bool wait_readable(int fd, int milliseconds = 5000) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, milliseconds) == 1;
}

struct Arrived {
  ByteVector bytes;
  SocketAddress from;
  SocketAddress local;
  std::uint8_t ecn = 0;
  std::size_t segments_beside = 0;  // of the receive buffer it came in
};

// Collects single datagrams until there are `wanted` of them.
inline std::vector<Arrived> collect(UdpSocket& socket, std::size_t wanted) {
  std::vector<Arrived> out;
  while (out.size() < wanted && wait_readable(socket.fd())) {
    std::array<ReceivedDatagrams, UdpSocket::kReceiveBatch> batch{};
    int error = 0;
    const auto n = socket.receive(batch, error);
    EXPECT_EQ(error, 0);
    for (const auto& r : std::span{batch}.first(n)) {
      for (std::size_t at = 0; at < r.bytes.size(); at += r.segment) {
        const auto one = r.bytes.subspan(at, std::min<std::size_t>(r.segment, r.bytes.size() - at));
        out.push_back({copy_of(one), r.from, r.local, r.ecn, r.count()});
      }
    }
  }
  return out;
}

inline UdpSocket open_or_die(Family family, std::uint16_t port = 0) {
  auto socket = UdpSocket::open({.family = family, .port = port});
  if (!socket) ADD_FAILURE() << socket.error().to_string();
  return std::move(*socket);
}

inline IpAddress ip(std::string_view text) { return IpAddress::parse(text).value(); }

// n datagrams of `size` bytes, the last of `last`; each filled with its number.
inline ByteVector datagrams(std::size_t n, std::size_t size, std::size_t last) {
  ByteVector out;
  for (std::size_t i = 0; i < n; ++i)
    out.insert(out.end(), i + 1 == n ? last : size, static_cast<std::uint8_t>(i));
  return out;
}

}  // namespace fg::io::kernel
