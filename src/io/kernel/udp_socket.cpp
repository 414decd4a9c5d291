#include "io/kernel/udp_socket.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "io/kernel/os_address.h"

namespace fg::io::kernel {
namespace {

constexpr int kIpv6AddressPreferences = 72;  // IPV6_ADDR_PREFERENCES, RFC 5014
constexpr int kPreferPublic = 2;             // IPV6_PREFER_SRC_PUBLIC

bool set(int fd, int level, int option, int value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

int get(int fd, int level, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  return ::getsockopt(fd, level, option, &value, &length) == 0 ? value : 0;
}

// Beyond the system's limit where we may, else up to it. Returns what was granted.
std::uint32_t set_buffer(int fd, std::pair<int, int> force_and_plain, std::uint32_t wanted) {
  const auto [force, plain] = force_and_plain;
  for (auto size = wanted; size >= UdpSocket::kBufferMin; size /= 2) {
    if (set(fd, SOL_SOCKET, force, static_cast<int>(size)) ||
        set(fd, SOL_SOCKET, plain, static_cast<int>(size)))
      break;
  }
  return static_cast<std::uint32_t>(get(fd, SOL_SOCKET, plain)) /
         2;  // the kernel doubles it for its own use
}

void ask_for_ancillary_data(int fd, Family family) {
  if (family == Family::v4) {
    set(fd, IPPROTO_IP, IP_PKTINFO, 1);
    set(fd, IPPROTO_IP, IP_RECVTOS, 1);
    // Path MTU state of one destination must neither fragment nor refuse the tunnel's packets.
    set(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  } else {
    set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    set(fd, IPPROTO_IPV6, kIpv6AddressPreferences, kPreferPublic);
  }
}

SysError error_of(Family family, const char* v4, const char* v6) {
  return {family == Family::v4 ? v4 : v6, errno};
}

}  // namespace

struct UdpSocket::ReceiveState {
  // Room for destination address, ECN and segment size of either family.
  static constexpr std::size_t kControl =
      CMSG_SPACE(sizeof(in6_pktinfo)) + CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(int));

  ReceiveState()
      : buffers(std::make_unique_for_overwrite<std::uint8_t[]>(kReceiveBatch * kReceiveBuffer)) {
    for (std::size_t i = 0; i < kReceiveBatch; ++i) {
      parts[i] = {buffers.get() + i * kReceiveBuffer, kReceiveBuffer};
      auto& header = messages[i].msg_hdr;
      header.msg_name = &names[i];
      header.msg_iov = &parts[i];
      header.msg_iovlen = 1;
      header.msg_control = control[i].data();
    }
  }

  std::unique_ptr<std::uint8_t[]> buffers;
  std::array<mmsghdr, kReceiveBatch> messages{};
  std::array<iovec, kReceiveBatch> parts{};
  std::array<sockaddr_storage, kReceiveBatch> names{};
  struct alignas(cmsghdr) Control : std::array<std::uint8_t, kControl> {};
  std::array<Control, kReceiveBatch> control{};
};

void UdpSocket::ReceiveStateDeleter::operator()(ReceiveState* state) const { delete state; }

Result<UdpSocket, SysError> UdpSocket::open(const UdpOptions& options) {
  const auto family = options.family;
  UdpSocket s;
  s.family_ = family;
  s.fd_ = FileDescriptor{::socket(family == Family::v4 ? AF_INET : AF_INET6,
                                  SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP)};
  if (!s.fd_.is_open()) return fail(error_of(family, "open udp v4", "open udp v6"));
  const int fd = s.fd();
  if (family == Family::v6 && !set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1))
    return fail(SysError{"limit udp socket to v6", errno});
  if (options.joins_group && !set(fd, SOL_SOCKET, SO_REUSEPORT, 1))
    return fail(SysError{"share udp port", errno});

  auto& can = s.capabilities_;
  if (options.mark != 0 &&
      ::setsockopt(fd, SOL_SOCKET, SO_MARK, &options.mark, sizeof options.mark) != 0) {
    can.mark_error = SysError{"mark udp socket", errno};
  }
  can.receive_buffer = set_buffer(fd, {SO_RCVBUFFORCE, SO_RCVBUF}, options.receive_buffer);
  can.send_buffer = set_buffer(fd, {SO_SNDBUFFORCE, SO_SNDBUF}, options.send_buffer);
  ask_for_ancillary_data(fd, family);
  can.receive_offload = set(fd, SOL_UDP, UDP_GRO, 1);
  // Size 0 changes nothing, but only a kernel that can segment knows the option.
  can.segmentation = set(fd, SOL_UDP, UDP_SEGMENT, 0);

  sockaddr_storage name{};
  const IpAddress any = family == Family::v4 ? IpAddress{} : IpAddress::v6({});
  auto length = to_os(SocketAddress{any, options.port}, name);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&name), length) != 0) {
    return fail(error_of(family, "bind udp v4", "bind udp v6"));
  }
  length = sizeof name;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name), &length) != 0)
    return fail(SysError{"name of udp socket", errno});
  can.port = from_os(name).port;
  s.receive_.reset(new ReceiveState);
  return s;
}

bool UdpSocket::open_group() { return set(fd(), SOL_SOCKET, SO_REUSEPORT, 1); }

namespace {

void read_ancillary(msghdr& header, ReceivedDatagrams& out) noexcept {
  int value = 0;
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
      std::memcpy(&value, CMSG_DATA(c), sizeof value);
      if (value > 0 && static_cast<std::size_t>(value) < out.bytes.size())
        out.segment = static_cast<std::uint16_t>(value);
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
      in_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      out.local.ip = from_os(info.ipi_addr);
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
      in6_pktinfo info{};
      std::memcpy(&info, CMSG_DATA(c), sizeof info);
      out.local.ip = from_os(info.ipi6_addr);
    } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
      out.ecn = *CMSG_DATA(c) & 3U;
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
      std::memcpy(&value, CMSG_DATA(c), sizeof value);
      out.ecn = static_cast<std::uint8_t>(value & 3);
    }
  }
}

}  // namespace

std::size_t UdpSocket::receive(std::span<ReceivedDatagrams> out, int& error) noexcept {
  error = 0;
  auto& state = *receive_;
  const auto room = std::min(out.size(), kReceiveBatch);
  for (std::size_t i = 0; i < room; ++i) {
    auto& header = state.messages[i].msg_hdr;
    header.msg_namelen = sizeof(sockaddr_storage);
    header.msg_controllen = ReceiveState::kControl;
  }
  const int n =
      ::recvmmsg(fd(), state.messages.data(), static_cast<unsigned>(room), MSG_DONTWAIT, nullptr);
  if (n < 0) {
    if (errno != EAGAIN && errno != EINTR) error = errno;
    return 0;
  }
  std::size_t used = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
    const std::size_t size = state.messages[i].msg_len;
    if (size == 0) continue;  // an empty datagram says nothing
    auto& received = out[used++];
    received = {};
    received.bytes = {state.buffers.get() + i * kReceiveBuffer, size};
    received.segment = static_cast<std::uint16_t>(std::min<std::size_t>(size, 65'535));
    received.from = from_os(state.names[i]);
    received.local = {family_ == Family::v4 ? IpAddress{} : IpAddress::v6({}), capabilities_.port};
    read_ancillary(state.messages[i].msg_hdr, received);
  }
  return used;
}

}  // namespace fg::io::kernel
