#include "tests/support/load/link.h"

#include <fcntl.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace fg::load {
namespace {

using io::kernel::FileDescriptor;

constexpr int kBuffer = 32 << 20;
constexpr std::size_t kSuperFrameMax = kVnetHeaderSize + kEthernet + kTunSuperPacketMax;

[[noreturn]] void fail_with(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

// This thread in another namespace for as long as it lives: sockets made meanwhile belong to it.
class Elsewhere {
 public:
  explicit Elsewhere(const std::string& host) {
    if (host.empty()) return;
    home_ = FileDescriptor{::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)};
    const FileDescriptor there{::open(("/run/netns/" + host).c_str(), O_RDONLY | O_CLOEXEC)};
    if (!home_.is_open() || !there.is_open() || ::setns(there.get(), CLONE_NEWNET) != 0)
      fail_with("namespace " + host);
  }
  ~Elsewhere() {
    if (home_.is_open()) (void)::setns(home_.get(), CLONE_NEWNET);
  }
  Elsewhere(const Elsewhere&) = delete;
  Elsewhere& operator=(const Elsewhere&) = delete;

 private:
  FileDescriptor home_;
};

FileDescriptor packet_socket(int index, int protocol) {
  FileDescriptor out{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
  if (!out.is_open()) fail_with("packet socket");
  const int on = 1;
  if (::setsockopt(out.get(), SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) != 0)
    fail_with("virtio headers");
  ::setsockopt(out.get(), SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  ::setsockopt(out.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kBuffer, sizeof kBuffer);
  ::setsockopt(out.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kBuffer, sizeof kBuffer);
  sockaddr_ll local{};
  local.sll_family = AF_PACKET;
  local.sll_protocol = htons(static_cast<std::uint16_t>(protocol));
  local.sll_ifindex = index;
  if (::bind(out.get(), reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0)
    fail_with("bind packet socket");
  return out;
}

}  // namespace

Link::Link(const Options& options) : buffer_(kSuperFrameMax) {
  const Elsewhere there{options.host};
  const auto index = static_cast<int>(::if_nametoindex(options.interface.c_str()));
  if (index == 0) fail_with("interface " + options.interface);
  out_ = packet_socket(index, 0);
  const int on = 1;
  if (::setsockopt(out_.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0)
    fail_with("past the queueing discipline");
  in_ = packet_socket(0, 0);  // hears nothing before its filter is there
  watch_.emplace(in_.get(), options.rule);
  sockaddr_ll local{};
  local.sll_family = AF_PACKET;
  local.sll_protocol = htons(ETH_P_ALL);
  local.sll_ifindex = index;
  if (::bind(in_.get(), reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0)
    fail_with("bind packet socket");
  ifreq request{};
  options.interface.copy(request.ifr_name, IFNAMSIZ - 1);
  if (::ioctl(out_.get(), SIOCGIFHWADDR, &request) != 0) fail_with("address of the interface");
  std::memcpy(ends_.own.data(), request.ifr_hwaddr.sa_data, ends_.own.size());
  ends_.other = options.other;
}

std::size_t Link::send(std::span<const Bytes> frames) {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> parts{};
  for (std::size_t i = 0; i < frames.size(); ++i) {
    parts[i] = {const_cast<std::uint8_t*>(frames[i].data()), frames[i].size()};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  std::size_t taken = 0;
  for (std::size_t i = 0; i < frames.size();) {
    const int n =
        ::sendmmsg(out_.get(), messages.data() + i, static_cast<unsigned>(frames.size() - i), 0);
    if (n > 0) taken += static_cast<std::size_t>(n);
    // It stops at a frame that found the ring of the other end full: lost there, not to be
    // repeated.
    i += n > 0 ? static_cast<std::size_t>(n) : 1;
  }
  return taken;
}

void Link::receive(const std::function<void(MutableBytes)>& take) {
  while (true) {
    const auto n = ::recv(in_.get(), buffer_.data(), buffer_.size(), 0);
    if (n <= 0) return;
    take(MutableBytes{buffer_}.first(static_cast<std::size_t>(n)));
  }
}

}  // namespace fg::load
