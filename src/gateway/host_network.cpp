#include "gateway/host_network.h"

namespace fg::gateway {
namespace {

// spec operations 9: the device ranges, shared by clients and gateways.
Cidr range_of(Family family) {
  return family == Family::v4 ? Cidr{IpAddress::v4(100, 64, 0, 0), 11}
                              : Cidr{IpAddress::v6({0xFD, 0x00, 0x20, 0x21, 0x11, 0x11}), 107};
}
Rule rule_of(Family family) { return {family, kRulePriority, kRouteTable, kMark}; }

}  // namespace

Result<void, SysError> HostNetwork::configure_family(unsigned index, const IpAddress& address,
                                                     std::optional<IpAddress>& current) {
  if (current && *current != address)
    (void)netlink_->remove_address(index, *current, address.bits());
  if (auto done = netlink_->add_address(index, address, address.bits()); !done) return done;
  current = address;
  if (auto done = netlink_->add_route(index, range_of(address.family()), kRouteTable); !done)
    return done;
  return netlink_->add_rule(rule_of(address.family()));
}

Result<void, std::string> HostNetwork::configure(const IpAddress& v4, const IpAddress& v6) {
  const auto index = Netlink::index_of(tun_name_);
  if (index == 0)
    return fail("interface '" + tun_name_ + "' is gone: restart the gateway to make it again");
  (void)netlink_->disable_address_generation(index);
  if (auto up = netlink_->set_link_up(index, kTunMtu); !up) {
    return fail("interface '" + tun_name_ + "' cannot be set up (" + up.error().to_string() +
                "): run with CAP_NET_ADMIN");
  }
  const auto four = configure_family(index, v4, v4_);
  const auto six = configure_family(index, v6, v6_);
  if (!four && !six) {
    return fail("interface '" + tun_name_ + "' takes neither " + v4.to_string() + " (" +
                four.error().to_string() + ") nor " + v6.to_string() + " (" +
                six.error().to_string() + "): run with CAP_NET_ADMIN");
  }
  if (!four) log_.warn("tunnel works without IPv4", {{"reason", four.error().to_string()}});
  if (!six) log_.info("tunnel works without IPv6", {{"reason", six.error().to_string()}});
  log_.info("tunnel addresses set", {{"ipv4", v4}, {"ipv6", v6}});
  return {};
}

void HostNetwork::clean_up() {
  if (v4_) (void)netlink_->remove_rule(rule_of(Family::v4));
  if (v6_) (void)netlink_->remove_rule(rule_of(Family::v6));
}

}  // namespace fg::gateway
