#include "tests/support/flood/raw_link.h"

#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace fg::flood {
namespace {

constexpr std::size_t kIpHeader = 20;
constexpr std::size_t kUdpHeader = 8;
constexpr std::size_t kMtu = 1500;

[[noreturn]] void fail_with(const char* what) {
  throw std::runtime_error(std::string(what) + ": " + std::strerror(errno));
}

SocketAddress address_at(const std::uint8_t* ip, const std::uint8_t* port) {
  return {IpAddress::from_bytes({ip, 4}), load_be16(port)};
}

}  // namespace

ByteVector ip_packet(const SocketAddress& from, const SocketAddress& to, Bytes payload) {
  ByteVector out(kIpHeader + kUdpHeader + payload.size());
  auto* p = out.data();
  p[0] = 0x45;
  store_be16(p + 2, static_cast<std::uint16_t>(out.size()));
  p[8] = 64;
  p[9] = IPPROTO_UDP;
  std::ranges::copy(from.ip.bytes(), p + 12);
  std::ranges::copy(to.ip.bytes(), p + 16);
  store_be16(p + 20, from.port);
  store_be16(p + 22, to.port);
  store_be16(p + 24, static_cast<std::uint16_t>(kUdpHeader + payload.size()));
  std::ranges::copy(payload, p + 28);
  return out;
}

RawLink::RawLink(const std::string& interface, bool sees_own)
    : raw_(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)),
      seen_(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  if (raw_ < 0 || seen_ < 0) fail_with("raw socket");
  const auto index = ::if_nametoindex(interface.c_str());
  if (index == 0) fail_with("interface");
  sockaddr_ll local{};
  local.sll_family = AF_PACKET;
  local.sll_protocol = htons(sees_own ? ETH_P_ALL : ETH_P_IP);
  local.sll_ifindex = static_cast<int>(index);
  const int buffer = 16 << 20;
  ::setsockopt(seen_, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  if (::bind(seen_, reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0)
    fail_with("bind packet socket");
}

RawLink::~RawLink() {
  ::close(raw_);
  ::close(seen_);
}

SpoofingSocket::SpoofingSocket()
    : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), sender_(fd_.get(), true) {
  const int on = 1;
  if (!fd_.is_open() || ::setsockopt(fd_.get(), IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on) != 0)
    fail_with("transparent socket");
}

std::size_t RawLink::send(std::span<const Bytes> packets) {
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> parts{};
  std::array<sockaddr_in, kBatch> names{};
  for (std::size_t i = 0; i < packets.size(); ++i) {
    names[i].sin_family = AF_INET;
    std::memcpy(&names[i].sin_addr, packets[i].data() + 16, 4);
    parts[i] = {const_cast<std::uint8_t*>(packets[i].data()), packets[i].size()};
    messages[i].msg_hdr.msg_name = &names[i];
    messages[i].msg_hdr.msg_namelen = sizeof names[i];
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const int n = ::sendmmsg(raw_, messages.data(), static_cast<unsigned>(packets.size()), 0);
  return n < 0 ? 0 : static_cast<std::size_t>(n);
}

void RawLink::receive(const std::function<void(const Seen&)>& take) {
  static thread_local std::array<std::array<std::uint8_t, kMtu>, kBatch> buffers;
  std::array<mmsghdr, kBatch> messages{};
  std::array<iovec, kBatch> parts{};
  for (std::size_t i = 0; i < kBatch; ++i) {
    parts[i] = {buffers[i].data(), buffers[i].size()};
    messages[i].msg_hdr.msg_iov = &parts[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  int n = 0;
  do {
    n = ::recvmmsg(seen_, messages.data(), kBatch, MSG_DONTWAIT | MSG_TRUNC, nullptr);
    for (int i = 0; i < n; ++i) {
      const Bytes packet{buffers[static_cast<std::size_t>(i)].data(),
                         messages[static_cast<std::size_t>(i)].msg_len};
      // Longer ones are segmented on their way, which a copy would not be.
      if (packet.size() > buffers[0].size() || packet.size() < kIpHeader + kUdpHeader ||
          packet[0] != 0x45 || packet[9] != IPPROTO_UDP) {
        continue;
      }
      const auto* p = packet.data();
      const auto length = std::min<std::size_t>(load_be16(p + 2), packet.size());
      take({address_at(p + 12, p + 20), address_at(p + 16, p + 22), packet.first(length),
            packet.first(length).subspan(kIpHeader + kUdpHeader)});
    }
  } while (n == static_cast<int>(kBatch));
}

}  // namespace fg::flood
