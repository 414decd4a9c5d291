// The control thread's hold on the descriptors the ports work with: what another program took away
// is mended in place, while the workers run. A TUN queue outlives its device and can be attached to
// a new one; a socket that lost its port can be bound again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/drop_reason.h"
#include "base/sys_error.h"
#include "io/kernel/file_descriptor.h"
#include "io/kernel/tun_device.h"
#include "io/kernel/tun_steering.h"
#include "io/kernel/udp_socket.h"

namespace fg::io::kernel {

class Upkeep {
 public:
  Upkeep(TunOptions options, const std::vector<TunQueue>& queues);
  void add(const UdpSocket& socket);
  // Attached to the device, and to each that is made again.
  [[nodiscard]] std::optional<SysError> add(TunSteering steering);

  // Of the sockets of a family; 0: there are none.
  [[nodiscard]] std::uint16_t udp_port(Family family) const;

  // Which worker's queue a client's packets are for; kept up as far as the kernel takes it.
  void steer(const IpAddress& tunnel, std::optional<WorkerIndex> owner);
  [[nodiscard]] const DropCounters& drops() const { return drops_; }

  // The device's name now: another program may have renamed it. None: it was deleted.
  [[nodiscard]] std::optional<std::string> tun_name() const;
  // Makes a deleted device again; it is neither up nor has it addresses. Workers that gave its
  // queues up must be told to watch them again.
  [[nodiscard]] std::optional<SysError> make_tun();

  struct Rebound {
    unsigned count = 0;
    std::optional<SysError> error;
  };
  // Sockets that have no port any more get theirs again.
  [[nodiscard]] Rebound rebind();

 private:
  struct Socket {
    FileDescriptor fd;
    Family family;
    std::uint16_t port;
  };
  TunOptions options_;
  std::vector<FileDescriptor> queues_;
  std::vector<Socket> sockets_;
  std::optional<TunSteering> steering_;
  DropCounters drops_;
};

}  // namespace fg::io::kernel
