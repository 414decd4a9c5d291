#include "gateway/next_hop_resolver.h"

#include <sys/socket.h>

#include <algorithm>
#include <fstream>

#include "io/kernel/file_descriptor.h"
#include "io/kernel/os_address.h"

namespace fg::gateway {
namespace {

constexpr std::uint8_t kHopLimitDefault = 64;
constexpr int kIpv6AddressPreferences = 72;  // IPV6_ADDR_PREFERENCES, RFC 5014
constexpr int kPreferPublic = 2;  // IPV6_PREFER_SRC_PUBLIC, as the tunnel's socket has it

// The address that a socket like the tunnel's would send from. Nothing is sent.
std::optional<IpAddress> chosen_source(const SocketAddress& to, std::uint32_t mark) {
  const io::kernel::FileDescriptor fd{::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!fd.is_open()) return std::nullopt;
  if (mark != 0 && ::setsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, sizeof mark) != 0)
    return std::nullopt;
  (void)::setsockopt(fd.get(), IPPROTO_IPV6, kIpv6AddressPreferences, &kPreferPublic,
                     sizeof kPreferPublic);
  sockaddr_storage name{};
  auto length = io::kernel::to_os(to, name);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), length) != 0)
    return std::nullopt;
  length = sizeof name;
  if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&name), &length) != 0)
    return std::nullopt;
  return io::kernel::from_os(name).ip;
}

}  // namespace

std::optional<Egress> egress_of(const std::vector<Interface>& all, unsigned index) {
  const auto find = [&all](unsigned wanted) {
    const auto at = std::ranges::find(all, wanted, &Interface::index);
    return at == all.end() ? nullptr : &*at;
  };
  Egress out{.interface = find(index)};
  out.device = out.interface;
  if (out.interface != nullptr && out.interface->kind == "vlan") {
    out.device = find(out.interface->parent);
    out.vlan = io::xdp::VlanTag{out.interface->vlan_protocol, out.interface->vlan_id};
  }
  if (out.device == nullptr || out.device->kind == "vlan" || !out.interface->mac ||
      !out.interface->is_up || !out.device->is_up)
    return std::nullopt;
  return out;
}

void NextHopResolver::forget() {
  is_read_ = false;
  hop_limits_.clear();
  neighbours_.clear();
}

bool NextHopResolver::read_host() {
  if (is_read_) return true;
  auto links = netlink_.interfaces();
  auto addresses = netlink_.addresses();
  if (!links || !addresses) return false;
  links_ = std::move(*links);
  addresses_ = std::move(*addresses);
  is_read_ = true;
  return true;
}

// IPv6 has rules of its own (RFC 6724), which sockets may bend; a route's answer knows only those
// of the system.
std::optional<IpAddress> NextHopResolver::source_of(const io::xdp::Destination& destination,
                                                    const RouteSeen& route) const {
  auto source = destination.from;
  if (!source)
    source = destination.to.ip.is_v4() ? route.source : chosen_source(destination.to, socket_.mark);
  if (!source || std::ranges::find(addresses_, *source) == addresses_.end()) return std::nullopt;
  return source;
}

std::uint8_t NextHopResolver::hop_limit_of(Family family, const std::string& interface) {
  const auto path = family == Family::v4 ? std::string{"/proc/sys/net/ipv4/ip_default_ttl"}
                                         : "/proc/sys/net/ipv6/conf/" + interface + "/hop_limit";
  const auto [at, is_new] = hop_limits_.try_emplace(path, kHopLimitDefault);
  unsigned value = 0;
  if (is_new && std::ifstream{path} >> value && value > 0 && value < 256)
    at->second = static_cast<std::uint8_t>(value);
  return at->second;
}

std::optional<io::xdp::NextHop> NextHopResolver::resolve(const io::xdp::Destination& destination,
                                                         const std::vector<unsigned>& attached) {
  const auto& to = destination.to.ip;
  // Without a scope, and without a routing of their own.
  if (to.is_link_local() || to.is_multicast() || !read_host()) return std::nullopt;
  const auto route = netlink_.route({.to = destination.to,
                                     .from = destination.from,
                                     .port = to.is_v4() ? socket_.port_v4 : socket_.port_v6,
                                     .mark = socket_.mark});
  if (!route || !route->is_plain) return std::nullopt;
  const auto egress = egress_of(links_, route->interface);
  if (!egress || std::ranges::find(attached, egress->device->index) == attached.end())
    return std::nullopt;
  const auto source = source_of(destination, *route);
  if (!source) return std::nullopt;

  const auto& link = *egress->interface;
  const auto neighbour = route->gateway.value_or(to);
  if (neighbours_.size() >= kNeighboursMax) return std::nullopt;
  const auto seen = netlink_.neighbour(link.index, neighbour);
  auto& known = neighbours_[{link.index, neighbour}];
  known = seen ? seen->mac : std::nullopt;
  if (!known) return std::nullopt;
  // The kernel asks a neighbour whether it is still there when it sends to it, and it does not see
  // what we send.
  if (seen->is_stale) (void)netlink_.probe(link.index, neighbour);

  const auto mtu = std::min({route->mtu != 0 ? route->mtu : link.mtu, link.mtu, egress->device->mtu,
                             std::uint32_t{io::xdp::kIpPacketMax}});
  return io::xdp::NextHop{
      .interface = egress->device->index,
      .source = *source,
      .source_mac = *link.mac,
      .destination_mac = *known,
      .vlan = egress->vlan,
      .hop_limit = route->hop_limit != 0 ? route->hop_limit : hop_limit_of(to.family(), link.name),
      .mtu = static_cast<std::uint16_t>(mtu)};
}

bool NextHopResolver::concerns(const HostChange& change) {
  if (change.kind == HostChange::Kind::unknown || !change.address) return true;
  const auto at = neighbours_.find({change.index, *change.address});
  if (at == neighbours_.end()) return false;
  const auto seen = netlink_.neighbour(change.index, *change.address);
  return !seen || seen->mac != at->second;
}

}  // namespace fg::gateway
