// The host's side of the tunnel (spec operations 9): addresses, routes and rules that bring replies
// into the TUN device and keep our own traffic out of it. Nothing of another table or device is
// touched; clean_up() takes the rules back, the rest goes with the device.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
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
  HostNetwork(std::unique_ptr<Netlink> netlink, std::string tun_name)
      : netlink_(std::move(netlink)), tun_name_(std::move(tun_name)) {}

  // Addresses as the portal told them. Nothing happens before keep().
  void set_addresses(const IpAddress& v4, const IpAddress& v6);
  [[nodiscard]] bool has_addresses() const { return v4_.wanted.has_value(); }
  // Told, and not left out.
  [[nodiscard]] std::optional<IpAddress> address(Family family) const {
    return error_of(family) ? std::nullopt : side_of(family).wanted;
  }

  struct Outcome {
    std::vector<std::string> made;       // what was missing, a few words each
    std::optional<std::string> problem;  // neither family works: one line with the mend
  };
  // Puts in place what is missing: up state, addresses, routes, rules. Safe to repeat; a family the
  // host does not have is left out.
  Outcome keep();
  // Those that stand on the device.
  [[nodiscard]] std::vector<IpAddress> addresses() const;
  // Why a family is left out.
  [[nodiscard]] const std::optional<SysError>& error_of(Family family) const {
    return side_of(family).error;
  }

  // Other routes or rules that take the tunnel's packets elsewhere: a line each, with the mend.
  [[nodiscard]] std::vector<std::string> obstacles();
  // Gives the device its name back. The error is one line with the mend.
  Result<void, std::string> rename_back(const std::string& name_now);
  void clean_up();

 private:
  struct Side {
    std::optional<IpAddress> wanted;
    std::optional<IpAddress> former;  // to be removed
    std::optional<SysError> error;
  };
  [[nodiscard]] const Side& side_of(Family family) const {
    return family == Family::v4 ? v4_ : v6_;
  }
  Result<void, SysError> keep_side(unsigned index, Side& side, std::vector<std::string>& made);

  std::unique_ptr<Netlink> netlink_;
  std::string tun_name_;
  Side v4_;
  Side v6_;
};

}  // namespace fg::gateway
