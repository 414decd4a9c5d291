#include "gateway/netlink.h"

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "io/kernel/file_descriptor.h"

namespace fg::gateway {
namespace {

std::uint8_t family_of(Family family) {
  return static_cast<std::uint8_t>(family == Family::v4 ? AF_INET : AF_INET6);
}

// libnl's own codes; the kernel's refusals among them as errno where a reader can act on the
// difference.
int to_errno(int code) {
  switch (-code) {
    case NLE_EXIST:
      return EEXIST;
    case NLE_OBJ_NOTFOUND:
      return ENOENT;
    case NLE_PERM:
      return EPERM;
    case NLE_NOMEM:
      return ENOMEM;
    case NLE_NOADDR:
      return EADDRNOTAVAIL;
    case NLE_NODEV:
      return ENODEV;
    case NLE_OPNOTSUPP:
      return EOPNOTSUPP;
    case NLE_AF_NOSUPPORT:
      return EAFNOSUPPORT;
    case NLE_NOACCESS:
      return EACCES;
    case NLE_BUSY:
      return EBUSY;
    default:
      return EINVAL;
  }
}

class Message {
 public:
  Message(int type, int flags) : message_(nlmsg_alloc_simple(type, flags)) {}
  ~Message() { nlmsg_free(message_); }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  template <class Header>
  void header(Header value) {
    ok_ = ok_ && nlmsg_append(message_, &value, sizeof value, NLMSG_ALIGNTO) == 0;
  }
  void u32(int type, std::uint32_t value) { ok_ = ok_ && nla_put_u32(message_, type, value) == 0; }
  void be16(int type, std::uint16_t value) {
    ok_ = ok_ && nla_put_u16(message_, type, htons(value)) == 0;
  }
  void u8(int type, std::uint8_t value) { ok_ = ok_ && nla_put_u8(message_, type, value) == 0; }
  void bytes(int type, Bytes value) {
    ok_ = ok_ && nla_put(message_, type, static_cast<int>(value.size()), value.data()) == 0;
  }
  nlattr* begin(int type) { return nla_nest_start(message_, type); }
  void end(nlattr* nest) { nla_nest_end(message_, nest); }
  [[nodiscard]] bool ok() const { return ok_; }
  // Hands the message to libnl, which frees it.
  nl_msg* release() { return std::exchange(message_, nullptr); }

 private:
  nl_msg* message_;
  bool ok_ = true;
};

// It has an address that packets are sent to.
bool is_resolved(std::uint16_t state) {
  return (state & (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT)) != 0;
}

std::optional<std::array<std::uint8_t, 6>> mac_of(const nlattr* attribute) {
  std::array<std::uint8_t, 6> mac{};
  if (attribute == nullptr || nla_len(attribute) != static_cast<int>(mac.size()))
    return std::nullopt;
  std::memcpy(mac.data(), nla_data(attribute), mac.size());
  return mac;
}

std::optional<IpAddress> address_of(const nlattr* attribute) {
  if (attribute == nullptr || (nla_len(attribute) != 4 && nla_len(attribute) != 16))
    return std::nullopt;
  return IpAddress::from_bytes({static_cast<const std::uint8_t*>(nla_data(attribute)),
                                static_cast<std::size_t>(nla_len(attribute))});
}

// RTA_VIA: a gateway of another family than the route's.
std::optional<IpAddress> via_of(const nlattr* attribute) {
  if (attribute == nullptr || nla_len(attribute) <= 2) return std::nullopt;
  return IpAddress::from_bytes({static_cast<const std::uint8_t*>(nla_data(attribute)) + 2,
                                static_cast<std::size_t>(nla_len(attribute)) - 2});
}

void read_vlan(nlattr* data, Interface& out) {
  auto* attributes = static_cast<nlattr*>(nla_data(data));
  if (const auto* id = nla_find(attributes, nla_len(data), IFLA_VLAN_ID); id != nullptr)
    out.vlan_id = nla_get_u16(id);
  if (const auto* protocol = nla_find(attributes, nla_len(data), IFLA_VLAN_PROTOCOL);
      protocol != nullptr)
    out.vlan_protocol = ntohs(nla_get_u16(protocol));
}

}  // namespace

struct Netlink::Impl {
  nl_sock* socket = nullptr;

  ~Impl() { nl_socket_free(socket); }

  // True: done. False: refused with the tolerated error.
  Result<bool, SysError> try_send(Message& message, const char* operation, int tolerated) {
    if (!message.ok()) return fail(SysError{operation, ENOBUFS});
    // Sends, waits for the acknowledgement and frees the message in every case.
    const int code = nl_send_sync(socket, message.release());
    if (code >= 0) return true;
    const int error = to_errno(code);
    if (error == tolerated) return false;
    return fail(SysError{operation, error});
  }
  Result<void, SysError> send(Message& message, const char* operation, int tolerated) {
    if (auto done = try_send(message, operation, tolerated); !done) return fail(done.error());
    return {};
  }

  // Sends and hands every answer over, until the kernel says that there are no more.
  template <class OnAnswer>
  Result<void, SysError> query(Message& message, const char* operation, OnAnswer&& on_answer) {
    if (!message.ok()) return fail(SysError{operation, ENOBUFS});
    auto* raw = message.release();
    const int code = nl_send_auto(socket, raw);
    nlmsg_free(raw);
    if (code < 0) return fail(SysError{operation, to_errno(code)});
    while (true) {
      sockaddr_nl from{};
      unsigned char* buffer = nullptr;
      int left = nl_recv(socket, &from, &buffer, nullptr);
      if (left <= 0) return fail(SysError{operation, left < 0 ? to_errno(left) : EIO});
      const std::unique_ptr<unsigned char, decltype(&std::free)> owned{buffer, &std::free};
      for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); nlmsg_ok(header, left);
           header = nlmsg_next(header, &left)) {
        if (header->nlmsg_type == NLMSG_DONE) return {};
        if (header->nlmsg_type == NLMSG_ERROR) {
          const int error = -static_cast<const nlmsgerr*>(nlmsg_data(header))->error;
          if (error != 0) return fail(SysError{operation, error});
          return {};
        }
        on_answer(header);
      }
    }
  }
};

Netlink::Netlink(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Netlink::~Netlink() = default;

Result<std::unique_ptr<Netlink>, SysError> Netlink::open() {
  auto impl = std::make_unique<Impl>();
  impl->socket = nl_socket_alloc();
  if (impl->socket == nullptr) return fail(SysError{"allocate netlink socket", ENOMEM});
  // query() reads for itself.
  nl_socket_disable_seq_check(impl->socket);
  if (const int code = nl_connect(impl->socket, NETLINK_ROUTE); code < 0) {
    return fail(SysError{"open netlink socket", to_errno(code)});
  }
  return std::unique_ptr<Netlink>{new Netlink{std::move(impl)}};
}

std::optional<Link> Netlink::link(const std::string& interface) {
  Link out{.index = ::if_nametoindex(interface.c_str())};
  if (out.index == 0) return std::nullopt;
  const io::kernel::FileDescriptor control{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(control.get(), SIOCGIFFLAGS, &request) == 0)
    out.is_up = (request.ifr_flags & IFF_UP) != 0;
  if (::ioctl(control.get(), SIOCGIFMTU, &request) == 0)
    out.mtu = static_cast<std::uint32_t>(request.ifr_mtu);
  return out;
}

std::string Netlink::name_of(unsigned index) {
  std::array<char, IFNAMSIZ> name{};
  return ::if_indextoname(index, name.data()) == nullptr ? "" : name.data();
}

Result<void, SysError> Netlink::set_link_up(unsigned index, std::uint32_t mtu) {
  Message message{RTM_NEWLINK, 0};
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  header.ifi_flags = IFF_UP;
  header.ifi_change = IFF_UP;
  message.header(header);
  message.u32(IFLA_MTU, mtu);
  return impl_->send(message, "set TUN device up", 0);
}

Result<void, SysError> Netlink::rename(unsigned index, const std::string& name) {
  const auto send = [&](const char* to, unsigned change) {
    Message message{RTM_NEWLINK, 0};
    ifinfomsg header{};
    header.ifi_index = static_cast<int>(index);
    header.ifi_change = change;
    message.header(header);
    if (to != nullptr)
      message.bytes(IFLA_IFNAME, as_bytes(std::string_view{to, std::strlen(to) + 1}));
    return impl_->send(message, "rename the TUN device", 0);
  };
  const auto renamed = send(name.c_str(), 0);
  if (renamed || renamed.error().error != EBUSY) return renamed;
  if (auto down = send(nullptr, IFF_UP); !down) return down;
  return send(name.c_str(), 0);
}

Result<void, SysError> Netlink::disable_address_generation(unsigned index) {
  Message message{RTM_NEWLINK, 0};
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  message.header(header);
  auto* families = message.begin(IFLA_AF_SPEC);
  auto* v6 = message.begin(AF_INET6);
  message.u8(IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  message.end(v6);
  message.end(families);
  return impl_->send(message, "disable address generation", 0);
}

Result<bool, SysError> Netlink::add_address(unsigned index, const IpAddress& address, int prefix) {
  Message message{RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL};
  ifaddrmsg header{};
  header.ifa_family = family_of(address.family());
  header.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
  header.ifa_index = index;
  // Nobody else can have it: no waiting for duplicate address detection.
  if (address.is_v6()) header.ifa_flags = IFA_F_NODAD;
  message.header(header);
  message.bytes(IFA_LOCAL, address.bytes());
  message.bytes(IFA_ADDRESS, address.bytes());
  return impl_->try_send(message, "add tunnel address", EEXIST);
}

Result<void, SysError> Netlink::remove_address(unsigned index, const IpAddress& address,
                                               int prefix) {
  Message message{RTM_DELADDR, 0};
  ifaddrmsg header{};
  header.ifa_family = family_of(address.family());
  header.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
  header.ifa_index = index;
  message.header(header);
  message.bytes(IFA_LOCAL, address.bytes());
  return impl_->send(message, "remove tunnel address", EADDRNOTAVAIL);
}

Result<bool, SysError> Netlink::add_route(unsigned index, const Cidr& to, std::uint32_t table) {
  Message message{RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL};
  rtmsg header{};
  header.rtm_family = family_of(to.family());
  header.rtm_dst_len = static_cast<std::uint8_t>(to.prefix());
  header.rtm_table = RT_TABLE_UNSPEC;
  header.rtm_protocol = RTPROT_STATIC;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  message.header(header);
  message.bytes(RTA_DST, to.address().bytes());
  message.u32(RTA_OIF, index);
  message.u32(RTA_TABLE, table);
  return impl_->try_send(message, "add tunnel route", EEXIST);
}

namespace {

void fill(Message& message, const Rule& rule) {
  fib_rule_hdr header{};
  header.family = family_of(rule.family);
  header.action = FR_ACT_TO_TBL;
  header.flags = FIB_RULE_INVERT;
  header.table = RT_TABLE_UNSPEC;
  message.header(header);
  message.u32(FRA_PRIORITY, rule.priority);
  message.u32(FRA_FWMARK, rule.mark);
  message.u32(FRA_FWMASK, 0xFFFFFFFF);
  message.u32(FRA_TABLE, rule.table);
}

}  // namespace

Result<bool, SysError> Netlink::add_rule(const Rule& rule) {
  Message message{RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL};
  fill(message, rule);
  return impl_->try_send(message, "add routing rule", EEXIST);
}

Result<void, SysError> Netlink::remove_rule(const Rule& rule) {
  Message message{RTM_DELRULE, 0};
  fill(message, rule);
  return impl_->send(message, "remove routing rule", ENOENT);
}

Result<unsigned, SysError> Netlink::route_to(const IpAddress& address) {
  Message message{RTM_GETROUTE, NLM_F_REQUEST};
  rtmsg header{};
  header.rtm_family = family_of(address.family());
  header.rtm_dst_len = static_cast<std::uint8_t>(address.bits());
  message.header(header);
  message.bytes(RTA_DST, address.bytes());
  unsigned index = 0;
  auto asked = impl_->query(message, "look a route up", [&](nlmsghdr* answer) {
    if (const auto* out = nlmsg_find_attr(answer, sizeof(rtmsg), RTA_OIF); out != nullptr)
      index = nla_get_u32(out);
  });
  if (!asked) return fail(asked.error());
  return index;
}

Result<RouteSeen, SysError> Netlink::route(const RouteQuestion& question) {
  Message message{RTM_GETROUTE, NLM_F_REQUEST};
  rtmsg header{};
  const auto& to = question.to.ip;
  header.rtm_family = family_of(to.family());
  header.rtm_dst_len = static_cast<std::uint8_t>(to.bits());
  if (question.from) header.rtm_src_len = static_cast<std::uint8_t>(question.from->bits());
  message.header(header);
  message.bytes(RTA_DST, to.bytes());
  if (question.from) message.bytes(RTA_SRC, question.from->bytes());
  message.u8(RTA_IP_PROTO, IPPROTO_UDP);
  message.be16(RTA_SPORT, question.port);
  message.be16(RTA_DPORT, question.to.port);
  if (question.mark != 0) message.u32(RTA_MARK, question.mark);
  RouteSeen out;
  auto asked = impl_->query(message, "look a route up", [&](nlmsghdr* answer) {
    if (!nlmsg_valid_hdr(answer, sizeof(rtmsg))) return;
    const auto* route = static_cast<const rtmsg*>(nlmsg_data(answer));
    const auto find = [&](int type) { return nlmsg_find_attr(answer, sizeof *route, type); };
    if (const auto* at = find(RTA_OIF); at != nullptr) out.interface = nla_get_u32(at);
    out.is_plain =
        route->rtm_type == RTN_UNICAST && find(RTA_ENCAP) == nullptr && find(RTA_NEWDST) == nullptr;
    out.gateway = find(RTA_VIA) != nullptr ? via_of(find(RTA_VIA)) : address_of(find(RTA_GATEWAY));
    out.source = address_of(find(RTA_PREFSRC));
    if (auto* metrics = find(RTA_METRICS); metrics != nullptr) {
      auto* each = static_cast<nlattr*>(nla_data(metrics));
      if (const auto* mtu = nla_find(each, nla_len(metrics), RTAX_MTU); mtu != nullptr)
        out.mtu = nla_get_u32(mtu);
      if (const auto* hops = nla_find(each, nla_len(metrics), RTAX_HOPLIMIT); hops != nullptr)
        out.hop_limit = static_cast<std::uint8_t>(nla_get_u32(hops));
    }
  });
  if (!asked) return fail(asked.error());
  return out;
}

Result<NeighbourSeen, SysError> Netlink::neighbour(unsigned index, const IpAddress& address) {
  Message message{RTM_GETNEIGH, NLM_F_REQUEST};
  ndmsg header{};
  header.ndm_family = family_of(address.family());
  header.ndm_ifindex = static_cast<int>(index);
  message.header(header);
  message.bytes(NDA_DST, address.bytes());
  NeighbourSeen out;
  auto asked = impl_->query(message, "look a neighbour up", [&](nlmsghdr* answer) {
    if (!nlmsg_valid_hdr(answer, sizeof(ndmsg))) return;
    const auto* neighbour = static_cast<const ndmsg*>(nlmsg_data(answer));
    if (is_resolved(neighbour->ndm_state))
      out.mac = mac_of(nlmsg_find_attr(answer, sizeof *neighbour, NDA_LLADDR));
    out.is_stale = (neighbour->ndm_state & NUD_STALE) != 0;
  });
  if (!asked && asked.error().error != ENOENT) return fail(asked.error());
  return out;
}

Result<void, SysError> Netlink::probe(unsigned index, const IpAddress& address) {
  Message message{RTM_NEWNEIGH, 0};
  ndmsg header{};
  header.ndm_family = family_of(address.family());
  header.ndm_ifindex = static_cast<int>(index);
  header.ndm_flags = NTF_USE;
  message.header(header);
  message.bytes(NDA_DST, address.bytes());
  return impl_->send(message, "probe a neighbour", 0);
}

namespace {

// They order what waits and drop what is too much; nothing is limited, marked or sent elsewhere.
constexpr std::array<std::string_view, 8> kPlainQueues{
    "noqueue", "pfifo_fast", "fq_codel", "fq", "mq", "pfifo", "bfifo", "ingress"};
constexpr std::uint32_t kEgressFilters = TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS);

}  // namespace

Result<std::string, SysError> Netlink::egress_control(unsigned index) {
  std::string found;
  bool has_classifier = false;
  tcmsg header{};
  header.tcm_ifindex = static_cast<int>(index);
  Message queues{RTM_GETQDISC, NLM_F_REQUEST | NLM_F_DUMP};
  queues.header(header);
  auto asked = impl_->query(queues, "list queueing disciplines", [&](nlmsghdr* answer) {
    if (!nlmsg_valid_hdr(answer, sizeof(tcmsg))) return;
    const auto* queue = static_cast<const tcmsg*>(nlmsg_data(answer));
    const auto* kind = nlmsg_find_attr(answer, sizeof *queue, TCA_KIND);
    if (queue->tcm_ifindex != static_cast<int>(index) || kind == nullptr) return;
    const std::string_view name = nla_get_string(kind);
    has_classifier |= name == "clsact";
    if (name != "clsact" && std::ranges::find(kPlainQueues, name) == kPlainQueues.end())
      found = "tc has " + std::string(name);
  });
  if (!asked) return fail(asked.error());
  if (!has_classifier || !found.empty()) return found;
  header.tcm_parent = kEgressFilters;
  Message filters{RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_DUMP};
  filters.header(header);
  asked = impl_->query(filters, "list egress filters",
                       [&](nlmsghdr*) { found = "tc has egress filters"; });
  if (!asked) return fail(asked.error());
  return found;
}

Result<bool, SysError> Netlink::has_ipsec_policies() {
  Impl impl;
  impl.socket = nl_socket_alloc();
  if (impl.socket == nullptr) return fail(SysError{"allocate netlink socket", ENOMEM});
  nl_socket_disable_seq_check(impl.socket);
  // A kernel without IPsec has none.
  if (nl_connect(impl.socket, NETLINK_XFRM) < 0) return false;
  Message message{XFRM_MSG_GETSPDINFO, NLM_F_REQUEST};
  message.header(std::uint32_t{0});
  bool out = false;
  auto asked = impl.query(message, "count IPsec policies", [&](nlmsghdr* answer) {
    const auto* counts = nlmsg_find_attr(answer, sizeof(std::uint32_t), XFRMA_SPD_INFO);
    xfrmu_spdinfo info{};
    if (counts == nullptr || nla_len(counts) < static_cast<int>(sizeof info)) return;
    std::memcpy(&info, nla_data(counts), sizeof info);
    out = info.outcnt != 0;
  });
  if (!asked) return fail(asked.error());
  return out;
}

Result<std::vector<RuleSeen>, SysError> Netlink::rules(Family family) {
  Message message{RTM_GETRULE, NLM_F_REQUEST | NLM_F_DUMP};
  fib_rule_hdr header{};
  header.family = family_of(family);
  message.header(header);
  std::vector<RuleSeen> out;
  auto asked = impl_->query(message, "list routing rules", [&](nlmsghdr* answer) {
    if (!nlmsg_valid_hdr(answer, sizeof(fib_rule_hdr))) return;
    const auto* rule = static_cast<const fib_rule_hdr*>(nlmsg_data(answer));
    RuleSeen seen{0, rule->action == FR_ACT_TO_TBL ? rule->table : 0U};
    if (const auto* at = nlmsg_find_attr(answer, sizeof *rule, FRA_PRIORITY); at != nullptr)
      seen.priority = nla_get_u32(at);
    if (const auto* at = nlmsg_find_attr(answer, sizeof *rule, FRA_TABLE);
        at != nullptr && seen.table != 0)
      seen.table = nla_get_u32(at);
    out.push_back(seen);
  });
  if (!asked) return fail(asked.error());
  return out;
}

Result<std::vector<Interface>, SysError> Netlink::interfaces() {
  Message message{RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP};
  message.header(ifinfomsg{});
  std::vector<Interface> out;
  auto asked = impl_->query(message, "list interfaces", [&](nlmsghdr* answer) {
    if (!nlmsg_valid_hdr(answer, sizeof(ifinfomsg))) return;
    const auto* link = static_cast<const ifinfomsg*>(nlmsg_data(answer));
    const auto* name = nlmsg_find_attr(answer, sizeof *link, IFLA_IFNAME);
    if (name == nullptr) return;
    Interface seen{.index = static_cast<unsigned>(link->ifi_index),
                   .name = nla_get_string(name),
                   .is_loopback = (link->ifi_flags & IFF_LOOPBACK) != 0,
                   .is_up = (link->ifi_flags & IFF_UP) != 0};
    if (auto* info = nlmsg_find_attr(answer, sizeof *link, IFLA_LINKINFO); info != nullptr) {
      if (const auto* kind =
              nla_find(static_cast<nlattr*>(nla_data(info)), nla_len(info), IFLA_INFO_KIND);
          kind != nullptr)
        seen.kind = nla_get_string(kind);
      if (auto* data =
              nla_find(static_cast<nlattr*>(nla_data(info)), nla_len(info), IFLA_INFO_DATA);
          data != nullptr && seen.kind == "vlan")
        read_vlan(data, seen);
    }
    if (const auto* mtu = nlmsg_find_attr(answer, sizeof *link, IFLA_MTU); mtu != nullptr)
      seen.mtu = nla_get_u32(mtu);
    if (link->ifi_type == ARPHRD_ETHER)
      seen.mac = mac_of(nlmsg_find_attr(answer, sizeof *link, IFLA_ADDRESS));
    const auto* parent = nlmsg_find_attr(answer, sizeof *link, IFLA_LINK);
    const bool is_elsewhere = nlmsg_find_attr(answer, sizeof *link, IFLA_LINK_NETNSID) != nullptr;
    if (parent != nullptr && !is_elsewhere) seen.parent = nla_get_u32(parent);
    out.push_back(std::move(seen));
  });
  if (!asked) return fail(asked.error());
  return out;
}

Result<std::vector<unsigned>, SysError> Netlink::default_routes() {
  std::vector<unsigned> out;
  for (const auto family : {Family::v4, Family::v6}) {
    Message message{RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP};
    rtmsg header{};
    header.rtm_family = family_of(family);
    message.header(header);
    auto asked = impl_->query(message, "list routes", [&](nlmsghdr* answer) {
      if (!nlmsg_valid_hdr(answer, sizeof(rtmsg))) return;
      const auto* route = static_cast<const rtmsg*>(nlmsg_data(answer));
      if (route->rtm_dst_len != 0 || route->rtm_table != RT_TABLE_MAIN ||
          route->rtm_type != RTN_UNICAST)
        return;
      if (const auto* at = nlmsg_find_attr(answer, sizeof *route, RTA_OIF); at != nullptr)
        out.push_back(nla_get_u32(at));
      const auto* ways = nlmsg_find_attr(answer, sizeof *route, RTA_MULTIPATH);
      if (ways == nullptr) return;
      int left = nla_len(ways);
      for (const auto* hop = static_cast<const rtnexthop*>(nla_data(ways));
           left >= static_cast<int>(sizeof *hop) && RTNH_OK(hop, left); hop = RTNH_NEXT(hop)) {
        out.push_back(static_cast<unsigned>(hop->rtnh_ifindex));
        left -= RTNH_ALIGN(hop->rtnh_len);
      }
    });
    if (!asked && asked.error().error != EAFNOSUPPORT && asked.error().error != EOPNOTSUPP)
      return fail(asked.error());
  }
  return out;
}

Result<std::vector<IpAddress>, SysError> Netlink::addresses() {
  Message message{RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP};
  message.header(ifaddrmsg{});
  std::vector<IpAddress> out;
  auto asked = impl_->query(message, "list addresses", [&](nlmsghdr* answer) {
    if (!nlmsg_valid_hdr(answer, sizeof(ifaddrmsg))) return;
    const auto* header = static_cast<const ifaddrmsg*>(nlmsg_data(answer));
    // Of a point-to-point link IFA_ADDRESS is the other end; IPv6 has no IFA_LOCAL without one.
    const auto* at = nlmsg_find_attr(answer, sizeof *header, IFA_LOCAL);
    if (at == nullptr) at = nlmsg_find_attr(answer, sizeof *header, IFA_ADDRESS);
    if (at == nullptr || (nla_len(at) != 4 && nla_len(at) != 16)) return;
    out.push_back(IpAddress::from_bytes(
        {static_cast<const std::uint8_t*>(nla_data(at)), static_cast<std::size_t>(nla_len(at))}));
  });
  if (!asked) return fail(asked.error());
  return out;
}

}  // namespace fg::gateway
