// The few things the gateway asks of the kernel's routing: links, their addresses, routes, rules,
// neighbours, and what else is in a packet's way out. Over libnl's sockets; every call waits for
// the kernel's answer.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/sys_error.h"

namespace fg::gateway {

struct Rule {
  Family family = Family::v4;
  std::uint32_t priority = 0;
  std::uint32_t table = 0;
  std::uint32_t mark = 0;  // the rule matches what does NOT carry it
};

struct Link {
  unsigned index = 0;
  bool is_up = false;
  std::uint32_t mtu = 0;
};

// An interface as it stands, of whoever made it.
struct Interface {
  unsigned index = 0;
  std::string name{};
  std::string kind{};   // "vlan", "bond", …; empty: a device
  unsigned parent = 0;  // of a VLAN, in this network namespace
  bool is_loopback = false;
  bool is_up = false;
  std::uint32_t mtu = 0;
  std::optional<std::array<std::uint8_t, 6>> mac{};  // none: not Ethernet
  std::uint16_t vlan_protocol = 0;                   // of a VLAN: 0x8100, 0x88A8
  std::uint16_t vlan_id = 0;
};

// A datagram as routing sees it.
struct RouteQuestion {
  SocketAddress to;
  std::optional<IpAddress> from{};
  std::uint16_t port = 0;  // it comes from
  std::uint32_t mark = 0;
};
struct RouteSeen {
  unsigned interface = 0;              // index
  std::optional<IpAddress> gateway{};  // of either family; none: on the link
  std::optional<IpAddress> source{};   // that the kernel would take
  std::uint32_t mtu = 0;               // 0: the link's
  std::uint8_t hop_limit = 0;          // 0: the host's
  bool is_plain = false;               // a unicast route without encapsulation
};

struct NeighbourSeen {
  std::optional<std::array<std::uint8_t, 6>> mac{};  // none: not resolved, or failed
  bool is_stale = false;                             // nobody has heard of it lately
};

// A routing rule as it stands, of whoever made it.
struct RuleSeen {
  std::uint32_t priority = 0;
  std::uint32_t table = 0;  // 0: none, the rule refuses
};

class Netlink {
 public:
  static Result<std::unique_ptr<Netlink>, SysError> open();
  ~Netlink();
  Netlink(const Netlink&) = delete;
  Netlink& operator=(const Netlink&) = delete;

  [[nodiscard]] static std::optional<Link> link(const std::string& interface);
  [[nodiscard]] static std::string name_of(unsigned index);  // empty: no such interface
  Result<void, SysError> set_link_up(unsigned index, std::uint32_t mtu);
  // Takes the link down where the kernel renames no other.
  Result<void, SysError> rename(unsigned index, const std::string& name);
  // No kernel-made link-local address.
  Result<void, SysError> disable_address_generation(unsigned index);

  // Whether it was missing; already there is success.
  Result<bool, SysError> add_address(unsigned index, const IpAddress& address, int prefix);
  Result<bool, SysError> add_route(unsigned index, const Cidr& to, std::uint32_t table);
  Result<bool, SysError> add_rule(const Rule& rule);
  // Not there is success.
  Result<void, SysError> remove_address(unsigned index, const IpAddress& address, int prefix);
  Result<void, SysError> remove_rule(const Rule& rule);

  // The interface by which an unmarked packet to this address leaves.
  Result<unsigned, SysError> route_to(const IpAddress& address);
  // ENETUNREACH and its like: there is no route.
  Result<RouteSeen, SysError> route(const RouteQuestion& question);
  Result<NeighbourSeen, SysError> neighbour(unsigned index, const IpAddress& address);
  // Has the kernel find out whether it is still there, as if a packet were sent.
  Result<void, SysError> probe(unsigned index, const IpAddress& address);
  // What tc has on an interface's way out that is no plain queue, in a few words; empty: nothing.
  Result<std::string, SysError> egress_control(unsigned index);
  // Whether IPsec policies may concern what leaves.
  static Result<bool, SysError> has_ipsec_policies();
  Result<std::vector<RuleSeen>, SysError> rules(Family family);
  Result<std::vector<Interface>, SysError> interfaces();
  // Where the main table's default routes of both families lead, by interface; repetitions allowed.
  Result<std::vector<unsigned>, SysError> default_routes();
  // Of all interfaces.
  Result<std::vector<IpAddress>, SysError> addresses();

 private:
  struct Impl;
  explicit Netlink(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fg::gateway
