// The few things the gateway asks of the kernel's routing: one link, its addresses, routes and
// rules. Over libnl's sockets; every call waits for the kernel's answer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

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

class Netlink {
 public:
  static Result<std::unique_ptr<Netlink>, SysError> open();
  ~Netlink();
  Netlink(const Netlink&) = delete;
  Netlink& operator=(const Netlink&) = delete;

  // 0: no such interface.
  [[nodiscard]] static unsigned index_of(const std::string& interface);
  Result<void, SysError> set_link_up(unsigned index, std::uint32_t mtu);
  // No kernel-made link-local address.
  Result<void, SysError> disable_address_generation(unsigned index);
  // Already there is success.
  Result<void, SysError> add_address(unsigned index, const IpAddress& address, int prefix);
  Result<void, SysError> remove_address(unsigned index, const IpAddress& address, int prefix);
  Result<void, SysError> add_route(unsigned index, const Cidr& to, std::uint32_t table);
  Result<void, SysError> add_rule(const Rule& rule);
  // Not there is success.
  Result<void, SysError> remove_rule(const Rule& rule);

 private:
  struct Impl;
  explicit Netlink(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace fg::gateway
