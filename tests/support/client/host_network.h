// Addresses, routes and the policy rule of the client's TUN device, set with ip(8) as the originals
// do with netlink: routes in a table of their own, used by everything that does not carry the
// sockets' mark (spec connectivity 1.2).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/address.h"
#include "tests/support/client/engine.h"

namespace fg::client {

inline constexpr std::uint32_t kRouteTable = 0x2021fd00;

struct HostOptions {
  std::string tun;
  std::uint32_t mark = 0;
};

// Input of "ip -batch" of one family for going from `previous` (none: nothing is set up) to `next`.
[[nodiscard]] std::string ip_commands(const HostOptions& options, Family family,
                                      const std::optional<NetworkSetup>& previous,
                                      const NetworkSetup& next);

class HostNetwork {
 public:
  explicit HostNetwork(HostOptions options) : options_(std::move(options)) {}
  ~HostNetwork();
  HostNetwork(const HostNetwork&) = delete;
  HostNetwork& operator=(const HostNetwork&) = delete;

  // False when ip(8) complained; what it could do is done.
  bool apply(const NetworkSetup& next);

 private:
  HostOptions options_;
  std::optional<NetworkSetup> current_;
};

}  // namespace fg::client
