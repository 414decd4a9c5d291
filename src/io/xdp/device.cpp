#include "io/xdp/device.h"

#include <bpf/bpf.h>
#include <linux/ethtool.h>
#include <linux/genetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "io/kernel/file_descriptor.h"

namespace fg::io::xdp {
namespace {

using kernel::FileDescriptor;

// The family "netdev" (Documentation/netlink/specs/netdev.yaml), which Debian 12's headers lack.
constexpr const char* kFamily = "netdev";
constexpr std::uint8_t kDeviceGet = 1;  // NETDEV_CMD_DEV_GET
constexpr int kInterfaceIndex = 1;      // NETDEV_A_DEV_IFINDEX
constexpr int kFeatures = 3;            // NETDEV_A_DEV_XDP_FEATURES
constexpr std::uint64_t kBasic = 1;     // NETDEV_XDP_ACT_BASIC
constexpr std::uint64_t kRedirect = 2;  // NETDEV_XDP_ACT_REDIRECT
constexpr std::uint64_t kZeroCopy = 8;  // NETDEV_XDP_ACT_XSK_ZEROCOPY

// With zero copy in kernels that cannot be asked. Those are done: the list is complete.
constexpr std::array<std::string_view, 9> kEarlyZeroCopy{
    "fsl_dpaa2_eth", "i40e", "ice", "igc", "ixgbe", "mlx5_core", "nfp", "st_gmac", "st_xgmac"};

ifreq request_for(const std::string& interface) {
  ifreq request{};
  interface.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

bool control(unsigned long operation, ifreq& request) {
  const FileDescriptor socket{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  return ::ioctl(socket.get(), operation, &request) == 0;
}

// One question over generic netlink, one answer.
class GenericNetlink {
 public:
  GenericNetlink() : socket_(nl_socket_alloc(), &nl_socket_free) {
    if (socket_ == nullptr) return;
    nl_socket_disable_auto_ack(socket_.get());  // the answer is enough
    if (nl_connect(socket_.get(), NETLINK_GENERIC) < 0) socket_.reset();
  }

  // `attribute`: of the answer. None: the kernel refused, or the answer lacks it.
  template <class Value, class Put>
  std::optional<Value> ask(int family, std::uint8_t command, int attribute, Put&& put) {
    if (socket_ == nullptr) return std::nullopt;
    const Message question{nlmsg_alloc_simple(family, NLM_F_REQUEST), &nlmsg_free};
    const genlmsghdr header{.cmd = command, .version = 1, .reserved = 0};
    if (question == nullptr ||
        nlmsg_append(question.get(), const_cast<genlmsghdr*>(&header), sizeof header,
                     NLMSG_ALIGNTO) < 0 ||
        put(question.get()) < 0 || nl_send_auto(socket_.get(), question.get()) < 0)
      return std::nullopt;
    sockaddr_nl from{};
    unsigned char* buffer = nullptr;
    const int size = nl_recv(socket_.get(), &from, &buffer, nullptr);
    const std::unique_ptr<unsigned char, decltype(&std::free)> owned{buffer, &std::free};
    auto* answer = reinterpret_cast<nlmsghdr*>(buffer);
    if (size <= 0 || !nlmsg_ok(answer, size) || answer->nlmsg_type == NLMSG_ERROR)
      return std::nullopt;
    const auto* found = nlmsg_find_attr(answer, sizeof(genlmsghdr), attribute);
    if (found == nullptr || nla_len(found) != sizeof(Value)) return std::nullopt;
    Value value{};
    std::memcpy(&value, nla_data(found), sizeof value);
    return value;
  }

 private:
  using Message = std::unique_ptr<nl_msg, decltype(&nlmsg_free)>;
  std::unique_ptr<nl_sock, decltype(&nl_socket_free)> socket_;
};

std::optional<XdpFeatures> features_of(unsigned index) {
  GenericNetlink netlink;
  const auto family = netlink.ask<std::uint16_t>(
      GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID,
      [](nl_msg* m) { return nla_put_string(m, CTRL_ATTR_FAMILY_NAME, kFamily); });
  if (!family) return std::nullopt;
  const auto flags = netlink.ask<std::uint64_t>(*family, kDeviceGet, kFeatures, [index](nl_msg* m) {
    return nla_put_u32(m, kInterfaceIndex, index);
  });
  if (!flags) return std::nullopt;
  return XdpFeatures{.native = (*flags & (kBasic | kRedirect)) == (kBasic | kRedirect),
                     .zero_copy = (*flags & kZeroCopy) != 0};
}

std::string driver_of(const std::string& interface) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  auto request = request_for(interface);
  request.ifr_data = reinterpret_cast<char*>(&info);
  if (!control(SIOCETHTOOL, request)) return {};
  return {info.driver, ::strnlen(info.driver, sizeof info.driver)};
}

}  // namespace

Device ask_device(const std::string& interface) {
  return {.interface = interface,
          .driver = driver_of(interface),
          .features = features_of(::if_nametoindex(interface.c_str()))};
}

std::optional<AttachError> zero_copy_obstacle(const Device& device) {
  using Reason = AttachError::Reason;
  const auto driver = device.driver.empty() ? "its driver" : device.driver;
  constexpr const char* kHow = ": asked of the kernel, nothing attached";
  if (!device.features) {
    if (std::ranges::find(kEarlyZeroCopy, device.driver) != kEarlyZeroCopy.end())
      return std::nullopt;
    return AttachError{Reason::only_copies, 0, device.interface,
                       driver +
                           " is not known for zero copy, and this kernel cannot be asked "
                           "(Linux 6.3 can): nothing attached"};
  }
  if (!device.features->native)
    return AttachError{Reason::device_refused, EOPNOTSUPP, device.interface,
                       driver + " has no XDP in native mode" + kHow};
  if (!device.features->zero_copy)
    return AttachError{Reason::only_copies, 0, device.interface,
                       driver + " has no zero copy" + kHow};
  return std::nullopt;
}

bool is_ethernet(const std::string& interface) {
  auto request = request_for(interface);
  return control(SIOCGIFHWADDR, request) && request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
}

namespace {

unsigned queues(unsigned index, std::uint32_t ethtool_channels::* kind) {
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request{};
  // By index: the interface may have been renamed.
  if (::if_indextoname(index, request.ifr_name) == nullptr) return 0;
  request.ifr_data = reinterpret_cast<char*>(&channels);
  if (!control(SIOCETHTOOL, request)) return 1;
  return std::max(channels.*kind + channels.combined_count, 1U);
}

}  // namespace

unsigned receive_queues(unsigned index) { return queues(index, &ethtool_channels::rx_count); }
unsigned send_queues(unsigned index) { return queues(index, &ethtool_channels::tx_count); }

bool has_egress_programs(unsigned index) {
  constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);  // BPF_TCX_EGRESS
  std::array<std::uint32_t, 1> ids{};
  std::uint32_t count = ids.size();
  const int asked =
      ::bpf_prog_query(static_cast<int>(index), kTcxEgress, 0, nullptr, ids.data(), &count);
  // ENOSPC: more than one. Kernels that do not know them have none.
  return (asked == 0 && count != 0) || (asked != 0 && errno == ENOSPC);
}

}  // namespace fg::io::xdp
