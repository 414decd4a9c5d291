#include "io/kernel/tun_device.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "packet/inner.h"
#include "packet/segment.h"
#include "packet/vnet_header.h"

namespace fg::io::kernel {
namespace {

static_assert(kVnetHeaderSize == packet::kVnetHeader);

constexpr const char* kNode = "/dev/net/tun";
constexpr unsigned kUso4 = 0x20;  // TUN_F_USO4, TUN_F_USO6: Linux 6.2
constexpr unsigned kUso6 = 0x40;
constexpr short kExclusive = static_cast<short>(0x8000);  // IFF_TUN_EXCL

// spec operations 9: a missing node is created.
Result<FileDescriptor, SysError> open_node() {
  int fd = ::open(kNode, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) {
    ::mkdir("/dev/net", 0751);
    if (::mknod(kNode, S_IFCHR | 0600, makedev(10, 200)) != 0 && errno != EEXIST) {
      return fail(SysError{"create /dev/net/tun", errno});
    }
    fd = ::open(kNode, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  if (fd < 0) return fail(SysError{"open /dev/net/tun", errno});
  return FileDescriptor{fd};
}

ifreq request_for(const std::string& name) {
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  return request;
}

TunCapabilities set_offloads(int fd) {
  TunCapabilities can;
  const auto accepts = [fd](unsigned flags) {
    return ::ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(flags)) == 0;
  };
  constexpr unsigned kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  can.udp_segmentation = accepts(kTcp | kUso4 | kUso6);
  can.tcp_segmentation = can.udp_segmentation || accepts(kTcp);
  can.checksum = can.tcp_segmentation || accepts(TUN_F_CSUM);
  return can;
}

}  // namespace

std::optional<SysError> configure_tun(const TunOptions& options, TunCapabilities& can) {
  const FileDescriptor control{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  if (!control.is_open()) return SysError{"open control socket", errno};
  auto request = request_for(options.name);
  request.ifr_mtu = static_cast<int>(options.mtu);
  if (::ioctl(control.get(), SIOCSIFMTU, &request) != 0)
    return SysError{"set the TUN device's MTU", errno};
  request = request_for(options.name);
  request.ifr_qlen = static_cast<int>(options.queue_length);
  (void)::ioctl(control.get(), SIOCSIFTXQLEN, &request);
  request = request_for(options.name);
  if (::ioctl(control.get(), SIOCGIFTXQLEN, &request) == 0)
    can.queue_length = static_cast<std::uint32_t>(request.ifr_qlen);
  can.name = options.name;
  can.index = ::if_nametoindex(options.name.c_str());
  return std::nullopt;
}

std::optional<SysError> attach_queue(int fd, const TunOptions& options, bool is_first) {
  auto request = request_for(options.name);
  // One queue: the kernel itself refuses a second process. Several: anyone may join later queues,
  // so the first must create the device.
  const short several = options.queues > 1 ? IFF_MULTI_QUEUE : 0;
  const short exclusive = is_first && several != 0 ? kExclusive : 0;
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | several | exclusive);
  if (::ioctl(fd, TUNSETIFF, &request) != 0) return SysError{"attach to the TUN device", errno};
  int size = kVnetHeaderSize;
  if (::ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) return SysError{"set the TUN header size", errno};
  (void)set_offloads(fd);
  return std::nullopt;
}

std::optional<std::string> attached_name(int fd) {
  ifreq request{};
  if (::ioctl(fd, TUNGETIFF, &request) != 0) return std::nullopt;
  return std::string{request.ifr_name, ::strnlen(request.ifr_name, IFNAMSIZ)};
}

Result<TunDevice, SysError> open_tun(const TunOptions& options) {
  TunDevice device;
  std::vector<FileDescriptor> fds;
  for (unsigned i = 0; i < options.queues; ++i) {
    auto fd = open_node();
    if (!fd) return fail(fd.error());
    if (const auto error = attach_queue(fd->get(), options, i == 0)) return fail(*error);
    fds.push_back(std::move(*fd));
  }
  device.capabilities = set_offloads(fds.front().get());
  if (const auto error = configure_tun(options, device.capabilities)) return fail(*error);
  const TunOffloads offloads{device.capabilities.tcp_segmentation,
                             device.capabilities.udp_segmentation};
  for (auto& fd : fds) device.queues.emplace_back(std::move(fd), offloads);
  return device;
}

TunQueue::TunQueue(FileDescriptor fd, TunOffloads offloads)
    : fd_(std::move(fd)),
      offloads_(offloads),
      arena_(std::make_unique_for_overwrite<std::uint8_t[]>(kReadArena)),
      gathered_(std::make_unique_for_overwrite<std::uint8_t[]>(kTunSuperPacketMax)) {
  reads_.reserve(kReadsMax);
}

std::span<TunRead> TunQueue::read(int& error) noexcept {
  constexpr std::size_t kRoom = kVnetHeaderSize + kTunSuperPacketMax;
  error = 0;
  reads_.clear();
  std::size_t at = 0;
  // Until nothing is left: the call that finds that out is cheaper than another turn for the rest.
  while (reads_.size() < kReadsMax && kReadArena - at >= kRoom) {
    const auto n = ::read(fd(), arena_.get() + at, kRoom);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) error = errno;
      break;
    }
    if (static_cast<std::size_t>(n) <= kVnetHeaderSize) continue;
    reads_.push_back({{arena_.get() + at, static_cast<std::size_t>(n)}});
    at += static_cast<std::size_t>(n + 63) & ~std::size_t{63};
  }
  return reads_;
}

std::size_t TunQueue::write(const TunWrite& packet) noexcept {
  if (packet.parts.size() >= kPartsMax) return 0;
  if (packet.packets == 1 && packet.parts.size() == 1 && packet.parts[0].size() <= kCopiedMax)
    return write_copied(packet) ? 1 : 0;
  std::array<iovec, kPartsMax> parts;  // NOLINT: filled below, as far as used
  // The kernel does not write through these.
  parts[0] = {const_cast<std::uint8_t*>(packet.header.data()), packet.header.size()};
  for (std::size_t i = 0; i < packet.parts.size(); ++i) {
    parts[i + 1] = {const_cast<std::uint8_t*>(packet.parts[i].data()), packet.parts[i].size()};
  }
  ssize_t n = 0;
  do {
    n = ::writev(fd(), parts.data(), static_cast<int>(packet.parts.size() + 1));
  } while (n < 0 && errno == EINTR);
  if (n >= 0) return packet.packets;
  return errno == EINVAL && packet.packets > 1 ? write_split(packet) : 0;
}

// One buffer costs the kernel less than two, and these few bytes are in the cache.
bool TunQueue::write_copied(const TunWrite& packet) noexcept {
  const auto bytes = packet.parts[0];
  std::array<std::uint8_t, kVnetHeaderSize + kCopiedMax> one;  // NOLINT: filled as far as used
  std::memcpy(one.data(), packet.header.data(), kVnetHeaderSize);
  std::memcpy(one.data() + kVnetHeaderSize, bytes.data(), bytes.size());
  ssize_t n = 0;
  do {
    n = ::write(fd(), one.data(), kVnetHeaderSize + bytes.size());
  } while (n < 0 && errno == EINTR);
  return n >= 0;
}

std::size_t TunQueue::write_split(const TunWrite& packet) noexcept {
  std::size_t size = 0;
  for (const auto part : packet.parts) {
    if (part.size() > kTunSuperPacketMax - size) return 0;
    std::copy(part.begin(), part.end(), gathered_.get() + size);
    size += part.size();
  }
  const auto header = packet::VnetHeader::load(packet.header.data());
  const auto inner = packet::InnerPacket::parse({gathered_.get(), size}, packet::kSuperPacketMax);
  if (!inner) return 0;
  const auto segments = packet::Segments::of(header, *inner);
  if (!segments) return 0;
  std::size_t written = 0;
  for (std::size_t i = 0; i < segments->count(); ++i) {
    std::array<std::uint8_t, kVnetHeaderSize + packet::kPacketMax> one{};
    const auto length = segments->write(i, one.data() + kVnetHeaderSize);
    if (::write(fd(), one.data(), kVnetHeaderSize + length) >= 0) ++written;
  }
  // The parts pass where the whole does not: this kernel does not take the kind.
  if (written > 0 && header.gso_type == packet::VnetHeader::kGsoUdp) offloads_.udp = false;
  if (written > 0 && header.gso_type != packet::VnetHeader::kGsoUdp) offloads_.tcp = false;
  return written;
}

}  // namespace fg::io::kernel
