// What changes on the host, as the kernel announces it: links, addresses, routes, rules, firewall,
// neighbours.
// Announcements say that something changed; a reader that must know the state asks for it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/result.h"
#include "base/sys_error.h"
#include "io/kernel/file_descriptor.h"

namespace fg::gateway {

struct HostChange {
  // unknown: announcements were lost, anything may have changed.
  enum class Kind : std::uint8_t { link, address, route, rule, firewall, neighbour, unknown };
  Kind kind = Kind::unknown;
  bool removed = false;                // else new, or changed
  unsigned index = 0;                  // of the interface; 0: none
  std::string interface{};             // link: its name now
  bool is_up = false;                  // link: set up
  bool has_carrier = false;            // link
  std::optional<Family> family{};      // address, route, rule, neighbour
  std::optional<IpAddress> address{};  // address (also repeated when only its lifetime changed),
                                       // neighbour
  int prefix = 0;                      // address, route (0: a default route)
  std::uint32_t table = 0;             // route, rule
};

class NetlinkMonitor {
 public:
  enum class Topic : std::uint8_t { routing, firewall, neighbours };
  // firewall needs CAP_NET_ADMIN and a kernel with nftables.
  static Result<NetlinkMonitor, SysError> open(Topic topic);

  // Readable when there are changes.
  [[nodiscard]] int fd() const { return fd_.get(); }
  // Gives what is waiting, at most kReadsMax messages of the kernel; never waits.
  void read(const std::function<void(const HostChange&)>& on_change);

  static constexpr int kReadsMax = 32;

 private:
  NetlinkMonitor(io::kernel::FileDescriptor fd, Topic topic) : fd_(std::move(fd)), topic_(topic) {}

  io::kernel::FileDescriptor fd_;
  Topic topic_;
};

// One message of the kernel, which may hold several changes.
void parse_changes(NetlinkMonitor::Topic topic, Bytes message,
                   const std::function<void(const HostChange&)>& on_change);

}  // namespace fg::gateway
