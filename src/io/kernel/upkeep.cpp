#include "io/kernel/upkeep.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "io/kernel/os_address.h"

namespace fg::io::kernel {
namespace {

FileDescriptor duplicate(int fd) { return FileDescriptor{::fcntl(fd, F_DUPFD_CLOEXEC, 0)}; }

}  // namespace

Upkeep::Upkeep(TunOptions options, const std::vector<TunQueue>& queues)
    : options_(std::move(options)) {
  for (const auto& queue : queues) queues_.push_back(duplicate(queue.fd()));
}

void Upkeep::add(const UdpSocket& socket) {
  sockets_.push_back({duplicate(socket.fd()), socket.family(), socket.port()});
}

std::uint16_t Upkeep::udp_port(Family family) const {
  for (const auto& socket : sockets_) {
    if (socket.family == family) return socket.port;
  }
  return 0;
}

std::optional<SysError> Upkeep::add(TunSteering steering) {
  if (const auto error = steering.attach(queues_.front().get())) return error;
  steering_ = std::move(steering);
  return std::nullopt;
}

void Upkeep::steer(const IpAddress& tunnel, std::optional<WorkerIndex> owner) {
  if (steering_ && !steering_->set_owner(tunnel, owner)) drops_.count(DropReason::tun_unsteered);
}

std::optional<std::string> Upkeep::tun_name() const {
  for (const auto& queue : queues_) {
    if (auto name = attached_name(queue.get())) return name;
  }
  return std::nullopt;
}

std::optional<SysError> Upkeep::make_tun() {
  bool is_first = true;
  for (const auto& queue : queues_) {
    if (!attached_name(queue.get())) {
      if (const auto error = attach_queue(queue.get(), options_, is_first)) return error;
    }
    is_first = false;
  }
  // Both as before: it is the same kernel.
  if (steering_) (void)steering_->attach(queues_.front().get());
  TunCapabilities ignored;
  return configure_tun(options_, ignored);
}

Upkeep::Rebound Upkeep::rebind() {
  Rebound out;
  for (const auto& socket : sockets_) {
    sockaddr_storage name{};
    socklen_t length = sizeof name;
    if (::getsockname(socket.fd.get(), reinterpret_cast<sockaddr*>(&name), &length) == 0 &&
        from_os(name).port != 0)
      continue;
    const auto any = socket.family == Family::v4 ? IpAddress{} : IpAddress::v6({});
    length = to_os(SocketAddress{any, socket.port}, name);
    if (::bind(socket.fd.get(), reinterpret_cast<const sockaddr*>(&name), length) == 0)
      ++out.count;
    else
      out.error = SysError{"bind udp again", errno};
  }
  return out;
}

}  // namespace fg::io::kernel
