#include "gateway/netlink_monitor.h"

#include <linux/fib_rules.h>
#include <linux/neighbour.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace fg::gateway {
namespace {

using OnChange = std::function<void(const HostChange&)>;

constexpr int kReceiveBuffer = 1 << 20;
constexpr std::size_t kMessageMax = 32U << 10;  // the kernel's own messages end at 16 KiB

constexpr std::size_t aligned(std::size_t size) { return (size + 3) & ~std::size_t{3}; }

template <class T>
std::optional<T> load(Bytes bytes) {
  T out{};
  if (bytes.size() < sizeof out) return std::nullopt;
  std::memcpy(&out, bytes.data(), sizeof out);
  return out;
}

// type, value of every attribute; ends at the first that lies about its length.
template <class Function>
void each_attribute(Bytes bytes, Function&& function) {
  while (const auto header = load<rtattr>(bytes)) {
    if (header->rta_len < sizeof(rtattr) || header->rta_len > bytes.size()) return;
    function(header->rta_type, bytes.subspan(sizeof(rtattr), header->rta_len - sizeof(rtattr)));
    bytes = bytes.subspan(std::min(aligned(header->rta_len), bytes.size()));
  }
}

std::optional<Family> family_of(std::uint8_t family) {
  if (family == AF_INET) return Family::v4;
  if (family == AF_INET6) return Family::v6;
  return std::nullopt;
}

std::optional<IpAddress> address_of(Family family, Bytes bytes) {
  if (family == Family::v4 && bytes.size() == 4)
    return IpAddress::v4(bytes[0], bytes[1], bytes[2], bytes[3]);
  if (family == Family::v6 && bytes.size() == 16) {
    std::array<std::uint8_t, 16> raw{};
    std::memcpy(raw.data(), bytes.data(), raw.size());
    return IpAddress::v6(raw);
  }
  return std::nullopt;
}

Bytes after(Bytes body, std::size_t header) {
  return body.subspan(std::min(aligned(header), body.size()));
}

std::optional<HostChange> link_change(Bytes body) {
  const auto header = load<ifinfomsg>(body);
  // Bridges announce their ports once more under a family of their own.
  if (!header || header->ifi_family != AF_UNSPEC) return std::nullopt;
  HostChange out{.kind = HostChange::Kind::link, .index = static_cast<unsigned>(header->ifi_index)};
  out.is_up = (header->ifi_flags & IFF_UP) != 0;
  out.has_carrier = (header->ifi_flags & IFF_RUNNING) != 0;
  each_attribute(after(body, sizeof *header), [&](unsigned type, Bytes value) {
    if (type != IFLA_IFNAME || value.empty()) return;
    const auto text = as_text(value);
    out.interface = text.substr(0, text.find('\0'));
  });
  return out;
}

std::optional<HostChange> address_change(Bytes body) {
  const auto header = load<ifaddrmsg>(body);
  const auto family = header ? family_of(header->ifa_family) : std::nullopt;
  if (!family) return std::nullopt;
  HostChange out{.kind = HostChange::Kind::address, .index = header->ifa_index, .family = family};
  out.prefix = header->ifa_prefixlen;
  each_attribute(after(body, sizeof *header), [&](unsigned type, Bytes value) {
    // Of a point-to-point link IFA_ADDRESS is the other end; IPv6 has no IFA_LOCAL without one.
    if (type == IFA_LOCAL || (type == IFA_ADDRESS && !out.address))
      out.address = address_of(*family, value);
  });
  return out;
}

std::optional<HostChange> route_change(Bytes body) {
  const auto header = load<rtmsg>(body);
  const auto family = header ? family_of(header->rtm_family) : std::nullopt;
  // Cached routes come and go with traffic.
  if (!family || (header->rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  HostChange out{.kind = HostChange::Kind::route, .family = family};
  out.prefix = header->rtm_dst_len;
  out.table = header->rtm_table;
  each_attribute(after(body, sizeof *header), [&](unsigned type, Bytes value) {
    if (type == RTA_TABLE) out.table = load<std::uint32_t>(value).value_or(out.table);
    if (type == RTA_OIF) out.index = load<std::uint32_t>(value).value_or(0);
  });
  return out;
}

std::optional<HostChange> rule_change(Bytes body) {
  const auto header = load<fib_rule_hdr>(body);
  const auto family = header ? family_of(header->family) : std::nullopt;
  if (!family) return std::nullopt;
  HostChange out{.kind = HostChange::Kind::rule, .family = family};
  out.table = header->table;
  each_attribute(after(body, sizeof *header), [&](unsigned type, Bytes value) {
    if (type == FRA_TABLE) out.table = load<std::uint32_t>(value).value_or(out.table);
  });
  return out;
}

std::optional<HostChange> neighbour_change(Bytes body) {
  const auto header = load<ndmsg>(body);
  const auto family = header ? family_of(header->ndm_family) : std::nullopt;
  if (!family) return std::nullopt;
  HostChange out{.kind = HostChange::Kind::neighbour,
                 .index = static_cast<unsigned>(header->ndm_ifindex),
                 .family = family};
  each_attribute(after(body, sizeof *header), [&](unsigned type, Bytes value) {
    if (type == NDA_DST) out.address = address_of(*family, value);
  });
  return out;
}

std::optional<HostChange> routing_change(unsigned type, Bytes body) {
  switch (type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return link_change(body);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return address_change(body);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return route_change(body);
    case RTM_NEWRULE:
    case RTM_DELRULE:
      return rule_change(body);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return neighbour_change(body);
    default:
      return std::nullopt;
  }
}

}  // namespace

void parse_changes(NetlinkMonitor::Topic topic, Bytes message, const OnChange& on_change) {
  while (const auto header = load<nlmsghdr>(message)) {
    if (header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > message.size()) return;
    const auto body = message.subspan(sizeof(nlmsghdr), header->nlmsg_len - sizeof(nlmsghdr));
    const unsigned type = header->nlmsg_type;
    message = message.subspan(std::min(aligned(header->nlmsg_len), message.size()));
    if (type < NLMSG_MIN_TYPE) continue;
    if (topic == NetlinkMonitor::Topic::firewall) {
      on_change({.kind = HostChange::Kind::firewall});
      return;  // what of it is not told: one is enough
    }
    auto change = routing_change(type, body);
    if (!change) continue;
    change->removed = type == RTM_DELLINK || type == RTM_DELADDR || type == RTM_DELROUTE ||
                      type == RTM_DELRULE || type == RTM_DELNEIGH;
    on_change(*change);
  }
}

Result<NetlinkMonitor, SysError> NetlinkMonitor::open(Topic topic) {
  const bool is_firewall = topic == Topic::firewall;
  io::kernel::FileDescriptor fd{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                         is_firewall ? NETLINK_NETFILTER : NETLINK_ROUTE)};
  if (!fd.is_open()) return fail(SysError{"open netlink socket", errno});
  (void)::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer);
  sockaddr_nl name{};
  name.nl_family = AF_NETLINK;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0)
    return fail(SysError{"bind netlink socket", errno});
  static constexpr std::array<int, 7> kRouting{
      RTNLGRP_LINK,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
      RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,   RTNLGRP_IPV6_RULE};
  static constexpr std::array<int, 1> kFirewall{NFNLGRP_NFTABLES};
  static constexpr std::array<int, 1> kNeighbours{RTNLGRP_NEIGH};
  std::span<const int> groups = kRouting;
  if (is_firewall) groups = kFirewall;
  if (topic == Topic::neighbours) groups = kNeighbours;
  for (const int group : groups) {
    if (::setsockopt(fd.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0)
      return fail(SysError{"join netlink group", errno});
  }
  return NetlinkMonitor{std::move(fd), topic};
}

void NetlinkMonitor::read(const OnChange& on_change) {
  std::array<std::uint8_t, kMessageMax> buffer;  // NOLINT: filled below, as far as used
  for (int i = 0; i < kReadsMax; ++i) {
    sockaddr_nl from{};
    socklen_t length = sizeof from;
    const auto n = ::recvfrom(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC,
                              reinterpret_cast<sockaddr*>(&from), &length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0 || static_cast<std::size_t>(n) > buffer.size()) {
      on_change({.kind = HostChange::Kind::unknown});
      if (n < 0 && errno != ENOBUFS) return;
      continue;
    }
    if (from.nl_pid != 0) continue;  // not the kernel
    parse_changes(topic_, Bytes{buffer}.first(static_cast<std::size_t>(n)), on_change);
  }
}

}  // namespace fg::gateway
