// The few things the gateway asks of the kernel's routing: one link, its addresses, routes and
// rules. Over libnl's sockets; every call waits for the kernel's answer.
#pragma once

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
