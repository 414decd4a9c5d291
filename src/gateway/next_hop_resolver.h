// Where a worker's datagrams go, asked of the kernel: the route a socket's datagram would take, the
// neighbour on it, the device under it. Whatever has more to it than one Ethernet frame from an
// interface that AF_XDP is on (no neighbour yet, tunnels, local and multicast destinations) has no
// answer and stays with the sockets, whose packets have the kernel resolve the neighbour. What was
// read of the host holds until forget().
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gateway/netlink.h"
#include "gateway/netlink_monitor.h"
#include "io/xdp/next_hops.h"

namespace fg::gateway {

// The device under an interface that a route names, and the tag its frames carry there. None: it is
// down or no Ethernet, or there is more than one tag.
struct Egress {
  const Interface* interface = nullptr;  // that has the addresses
  const Interface* device = nullptr;
  std::optional<io::xdp::VlanTag> vlan{};
};
[[nodiscard]] std::optional<Egress> egress_of(const std::vector<Interface>& all, unsigned index);

class NextHopResolver {
 public:
  // As the sockets have them.
  struct Socket {
    std::uint16_t port_v4 = 0;
    std::uint16_t port_v6 = 0;
    std::uint32_t mark = 0;
  };
  NextHopResolver(Netlink& netlink, const Socket& socket) : netlink_(netlink), socket_(socket) {}

  // `attached`: indices of the devices.
  [[nodiscard]] std::optional<io::xdp::NextHop> resolve(const io::xdp::Destination& destination,
                                                        const std::vector<unsigned>& attached);
  // Whether an answer since forget() may not be true any more, or could be given now.
  [[nodiscard]] bool concerns(const HostChange& neighbour);
  void forget();

 private:
  using Neighbour = std::pair<unsigned, IpAddress>;  // interface, address
  static constexpr std::size_t kNeighboursMax = 4096;

  bool read_host();
  [[nodiscard]] std::optional<IpAddress> source_of(const io::xdp::Destination& destination,
                                                   const RouteSeen& route) const;
  [[nodiscard]] std::uint8_t hop_limit_of(Family family, const std::string& interface);

  Netlink& netlink_;
  Socket socket_;
  std::vector<Interface> links_;
  std::vector<IpAddress> addresses_;
  bool is_read_ = false;
  std::map<std::string, std::uint8_t> hop_limits_;  // by file
  // What answers were made with, or wait for.
  std::map<Neighbour, std::optional<std::array<std::uint8_t, 6>>> neighbours_;
};

}  // namespace fg::gateway
