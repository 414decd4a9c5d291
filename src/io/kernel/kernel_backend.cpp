#include "io/kernel/kernel_backend.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <vector>

#include "io/kernel/kernel_port.h"
#include "io/kernel/steering.h"
#include "io/kernel/tun_device.h"
#include "io/kernel/udp_socket.h"
#include "io/kernel/upkeep.h"

namespace fg::io::kernel {
namespace {

struct Group {
  std::vector<UdpSocket> sockets;  // one a worker
  bool steering = false;
};

Result<Group, SysError> open_group(const KernelOptions& options, Family family) {
  UdpOptions udp{.family = family,
                 .port = options.port,
                 .mark = options.mark,
                 .receive_buffer = options.receive_buffer,
                 .send_buffer = options.send_buffer};
  auto first = UdpSocket::open(udp);
  if (!first && first.error().error == EADDRINUSE && udp.port != 0) {
    udp.port = 0;  // spec connectivity 1.2: any port when ours is taken
    first = UdpSocket::open(udp);
  }
  if (!first) return fail(first.error());
  Group group;
  group.sockets.push_back(std::move(*first));
  if (options.workers == 1) return group;

  if (!group.sockets[0].open_group()) return fail(SysError{"share udp port", errno});
  udp.port = group.sockets[0].port();
  udp.joins_group = true;
  while (group.sockets.size() < options.workers) {
    auto next = UdpSocket::open(udp);
    if (!next) return fail(next.error());
    group.sockets.push_back(std::move(*next));
  }
  group.steering = !attach_steering(group.sockets[0].fd(), options.workers);
  return group;
}

const UdpSocket* first_of(const Result<Group, SysError>& group) {
  return group ? &group->sockets[0] : nullptr;
}

std::optional<UdpSocket> take(Result<Group, SysError>& group, std::size_t worker) {
  if (!group) return std::nullopt;
  return std::move(group->sockets[worker]);
}

}  // namespace

Result<KernelBackend, SysError> open_kernel_backend(const KernelOptions& options,
                                                    const MakePort& make_port) {
  auto v4 = open_group(options, Family::v4);
  auto v6 = open_group(options, Family::v6);
  if (!v4 && !v6) return fail(v4.error());
  const TunOptions tun_options{.name = options.tun_name, .queues = options.workers};
  auto tun = open_tun(tun_options);
  if (!tun) return fail(tun.error());

  KernelBackend out;
  auto& can = out.capabilities;
  if (v4)
    can.v4 = v4->sockets[0].capabilities();
  else
    can.v4_error = v4.error();
  if (v6)
    can.v6 = v6->sockets[0].capabilities();
  else
    can.v6_error = v6.error();
  can.steering = options.workers > 1 && (!v4 || v4->steering) && (!v6 || v6->steering);
  can.tun = tun->capabilities;
  out.backend.sender = std::make_unique<KernelSender>(first_of(v4), first_of(v6));
  out.upkeep = std::make_shared<Upkeep>(tun_options, tun->queues);
  if (options.workers > 1) {
    auto steering = TunSteering::load();
    can.tun.steering_error =
        steering ? out.upkeep->add(std::move(*steering)) : std::optional{steering.error()};
    can.tun.steering = !can.tun.steering_error;
  }
  for (const auto* group : {&v4, &v6}) {
    if (!*group) continue;
    for (const auto& socket : (*group)->sockets) out.upkeep->add(socket);
  }
  for (std::size_t i = 0; i < options.workers; ++i) {
    auto v4_socket = take(v4, i);
    auto v6_socket = take(v6, i);
    auto& queue = tun->queues[i];
    out.backend.ports.push_back(
        make_port ? make_port(std::move(v4_socket), std::move(v6_socket), std::move(queue))
                  : std::make_unique<KernelPort>(std::move(v4_socket), std::move(v6_socket),
                                                 std::move(queue)));
  }
  return out;
}

}  // namespace fg::io::kernel
