// The host's side of the tunnel (spec operations 9): addresses, routes and rules that bring replies
// into the TUN device and keep our own traffic out of it. Nothing of another table or device is
// touched; clean_up() takes the rules back, the rest goes with the device.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/address.h"
#include "base/log.h"
#include "base/result.h"
#include "gateway/netlink.h"

namespace fg::gateway {

inline constexpr std::uint32_t kMark =
    0xfd002021;  // spec operations 9: own traffic escapes the tunnel's rule
inline constexpr std::uint32_t kRouteTable = 0x2021fd00;  // spec operations 9
inline constexpr std::uint32_t kRulePriority = 100;       // spec operations 9
inline constexpr std::uint32_t kTunMtu = 1280;            // spec operations 9

class HostNetwork {
 public:
  HostNetwork(std::unique_ptr<Netlink> netlink, std::string tun_name, Log log)
      : netlink_(std::move(netlink)), tun_name_(std::move(tun_name)), log_(std::move(log)) {}

  // Addresses as the portal told them, up state, routes and rules; safe to repeat. A family the
  // host does not have is left out. The error is one line, and means that neither family works.
  Result<void, std::string> configure(const IpAddress& v4, const IpAddress& v6);
  void clean_up();

 private:
  Result<void, SysError> configure_family(unsigned index, const IpAddress& address,
                                          std::optional<IpAddress>& current);

  std::unique_ptr<Netlink> netlink_;
  std::string tun_name_;
  Log log_;
  std::optional<IpAddress> v4_;
  std::optional<IpAddress> v6_;
};

}  // namespace fg::gateway
