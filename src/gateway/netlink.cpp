#include "gateway/netlink.h"

#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include <cerrno>

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

}  // namespace

struct Netlink::Impl {
  nl_sock* socket = nullptr;

  ~Impl() { nl_socket_free(socket); }

  Result<void, SysError> send(Message& message, const char* operation, int tolerated) {
    if (!message.ok()) return fail(SysError{operation, ENOBUFS});
    // Sends, waits for the acknowledgement and frees the message in every case.
    const int code = nl_send_sync(socket, message.release());
    if (code >= 0) return {};
    const int error = to_errno(code);
    if (error == tolerated) return {};
    return fail(SysError{operation, error});
  }
};

Netlink::Netlink(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Netlink::~Netlink() = default;

Result<std::unique_ptr<Netlink>, SysError> Netlink::open() {
  auto impl = std::make_unique<Impl>();
  impl->socket = nl_socket_alloc();
  if (impl->socket == nullptr) return fail(SysError{"allocate netlink socket", ENOMEM});
  if (const int code = nl_connect(impl->socket, NETLINK_ROUTE); code < 0) {
    return fail(SysError{"open netlink socket", to_errno(code)});
  }
  return std::unique_ptr<Netlink>{new Netlink{std::move(impl)}};
}

unsigned Netlink::index_of(const std::string& interface) {
  return ::if_nametoindex(interface.c_str());
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

Result<void, SysError> Netlink::add_address(unsigned index, const IpAddress& address, int prefix) {
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
  return impl_->send(message, "add tunnel address", EEXIST);
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

Result<void, SysError> Netlink::add_route(unsigned index, const Cidr& to, std::uint32_t table) {
  Message message{RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE};
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
  return impl_->send(message, "add tunnel route", EEXIST);
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

Result<void, SysError> Netlink::add_rule(const Rule& rule) {
  Message message{RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL};
  fill(message, rule);
  return impl_->send(message, "add routing rule", EEXIST);
}

Result<void, SysError> Netlink::remove_rule(const Rule& rule) {
  Message message{RTM_DELRULE, 0};
  fill(message, rule);
  return impl_->send(message, "remove routing rule", ENOENT);
}

}  // namespace fg::gateway
