#include "gateway/host_network.h"

#include <algorithm>
#include <array>

namespace fg::gateway {
namespace {

// spec operations 9: the device ranges, shared by clients and gateways.
Cidr range_of(Family family) {
  return family == Family::v4 ? Cidr{IpAddress::v4(100, 64, 0, 0), 11}
                              : Cidr{IpAddress::v6({0xFD, 0x00, 0x20, 0x21, 0x11, 0x11}), 107};
}
Rule rule_of(Family family) { return {family, kRulePriority, kRouteTable, kMark}; }

// First and last address of the range that a client may have: what is in between is rarely routed
// apart.
std::array<IpAddress, 2> samples_of(Family family) {
  if (family == Family::v4) return {IpAddress::v4(100, 64, 0, 1), IpAddress::v4(100, 95, 255, 254)};
  auto raw = range_of(family).address().raw();
  raw[15] = 1;
  auto last = raw;
  last[13] |= 0x1F;  // the bits below /107
  last[14] = 0xFF;
  last[15] = 0xFE;
  return {IpAddress::v6(raw), IpAddress::v6(last)};
}

}  // namespace

void HostNetwork::set_addresses(const IpAddress& v4, const IpAddress& v6) {
  for (auto& [side, address] : {std::pair<Side&, const IpAddress&>{v4_, v4}, {v6_, v6}}) {
    if (side.wanted && *side.wanted != address) side.former = side.wanted;
    side.wanted = address;
  }
}

Result<void, SysError> HostNetwork::keep_side(unsigned index, Side& side,
                                              std::vector<std::string>& made) {
  const auto address = *side.wanted;
  const auto range = range_of(address.family());
  if (side.former) {
    (void)netlink_->remove_address(index, *side.former, address.bits());
    side.former.reset();
  }
  const auto note = [&](const Result<bool, SysError>& done, std::string what) {
    if (done && *done) made.push_back(std::move(what));
    return done;
  };
  if (auto done = note(netlink_->add_address(index, address, address.bits()),
                       "address " + address.to_string());
      !done)
    return fail(done.error());
  if (auto done =
          note(netlink_->add_route(index, range, kRouteTable), "route " + range.to_string());
      !done)
    return fail(done.error());
  if (auto done =
          note(netlink_->add_rule(rule_of(address.family())),
               "rule " + std::to_string(kRulePriority) + (address.is_v4() ? " (IPv4)" : " (IPv6)"));
      !done)
    return fail(done.error());
  return {};
}

HostNetwork::Outcome HostNetwork::keep() {
  Outcome out;
  const auto link = Netlink::link(tun_name_);
  if (!link) {
    out.problem = "interface '" + tun_name_ + "' is gone: restart the gateway to make it again";
    return out;
  }
  if (!link->is_up || link->mtu != kTunMtu) {
    (void)netlink_->disable_address_generation(link->index);
    if (auto up = netlink_->set_link_up(link->index, kTunMtu); !up) {
      out.problem = "interface '" + tun_name_ + "' cannot be set up (" + up.error().to_string() +
                    "): run with CAP_NET_ADMIN";
      return out;
    }
    out.made.emplace_back(link->is_up ? "MTU 1280" : "up state");
  }
  for (auto* side : {&v4_, &v6_}) {
    side->error.reset();
    if (auto done = keep_side(link->index, *side, out.made); !done) side->error = done.error();
  }
  if (v4_.error && v6_.error) {
    out.problem = "interface '" + tun_name_ + "' takes neither " + v4_.wanted->to_string() + " (" +
                  v4_.error->to_string() + ") nor " + v6_.wanted->to_string() + " (" +
                  v6_.error->to_string() + "): run with CAP_NET_ADMIN";
  }
  return out;
}

std::vector<IpAddress> HostNetwork::addresses() const {
  std::vector<IpAddress> out;
  for (const auto* side : {&v4_, &v6_}) {
    if (side->wanted && !side->error) out.push_back(*side->wanted);
  }
  return out;
}

std::vector<std::string> HostNetwork::obstacles() {
  std::vector<std::string> out;
  const auto link = Netlink::link(tun_name_);
  if (!link) return out;
  for (const auto family : {Family::v4, Family::v6}) {
    if (!side_of(family).wanted || side_of(family).error) continue;
    for (const auto& sample : samples_of(family)) {
      if (sample == *side_of(family).wanted) continue;
      const auto route = netlink_->route_to(sample);
      if (route && *route == link->index) continue;
      const auto where = route ? "leave by '" + Netlink::name_of(*route) + "'"
                               : "are refused (" + route.error().to_string() + ")";
      std::uint32_t first = kRulePriority;
      std::string culprits;
      for (const auto& rule : netlink_->rules(family).value_or(std::vector<RuleSeen>{})) {
        // Priority 0 is the table of local addresses.
        if (rule.priority == 0 || rule.priority >= kRulePriority) continue;
        first = std::min(first, rule.priority);
        culprits += (culprits.empty() ? "" : ", ") + std::to_string(rule.priority) +
                    (rule.table == 0 ? "" : " (table " + std::to_string(rule.table) + ")");
      }
      const auto range = range_of(family).to_string();
      const std::string ip = family == Family::v4 ? "ip" : "ip -6";
      out.push_back(
          "packets to clients (" + range + ") " + where + " instead of '" + tun_name_ + "': " +
          (culprits.empty()
               ? "table " + std::to_string(kRouteTable) + " has a route of another program, see '" +
                     ip + " route show table " + std::to_string(kRouteTable) +
                     "'; is another gateway running? Stop it"
               : "routing rules of other programs come first, priority " + culprits + "; run '" +
                     ip + " rule add priority " + std::to_string(first - 1) +
                     " not fwmark 0xfd002021 to " + range + " lookup " +
                     std::to_string(kRouteTable) + "'"));
      break;
    }
  }
  return out;
}

Result<void, std::string> HostNetwork::rename_back(const std::string& name_now) {
  const auto link = Netlink::link(name_now);
  if (!link) return fail("interface '" + name_now + "' is gone");
  if (auto done = netlink_->rename(link->index, tun_name_); !done) {
    return fail("interface '" + tun_name_ + "' was renamed to '" + name_now +
                "' and cannot be renamed back (" + done.error().to_string() +
                "): run 'ip link set " + name_now + " down' and 'ip link set " + name_now +
                " name " + tun_name_ + "'");
  }
  return {};
}

void HostNetwork::clean_up() {
  if (v4_.wanted) (void)netlink_->remove_rule(rule_of(Family::v4));
  if (v6_.wanted) (void)netlink_->remove_rule(rule_of(Family::v6));
}

}  // namespace fg::gateway
