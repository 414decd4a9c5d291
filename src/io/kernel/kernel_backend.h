// The backend that runs on any Linux: UDP sockets with segmentation offload in both directions, and
// the TUN device with its offloads. Opens one socket a family and one TUN queue for each worker; a
// socket filter brings WireGuard data to the worker its receiver index names and everything else to
// worker 0 (guides/performance 6, 7; spec connectivity 1.2, operations 9, 10). Everything optional
// is probed and reported.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/sys_error.h"
#include "io/port.h"

namespace fg::io::kernel {

struct KernelOptions {
  unsigned workers = 1;
  std::string tun_name = "tun-firezone";  // spec operations 9
  std::uint16_t port = 52625;             // spec connectivity 1.2; any port when taken. 0: any port
  std::uint32_t mark = 0xfd002021;        // spec operations 9; 0: none
  std::uint32_t receive_buffer = 16U << 20;  // spec operations 10.2
  std::uint32_t send_buffer = 2U << 20;
};

// What a socket family got. Present only when the family could be bound.
struct UdpCapabilities {
  std::uint16_t port = 0;
  bool segmentation = false;         // UDP_SEGMENT
  bool receive_offload = false;      // UDP_GRO
  std::uint32_t receive_buffer = 0;  // bytes the kernel granted
  std::uint32_t send_buffer = 0;
  std::optional<SysError> mark_error;  // SO_MARK refused: own traffic could enter the tunnel
};

struct TunCapabilities {
  std::string name;
  unsigned index = 0;  // interface index
  bool checksum = false;
  bool tcp_segmentation = false;
  bool udp_segmentation = false;
  bool steering = false;                   // packets arrive in their worker's queue
  std::optional<SysError> steering_error;  // why not, with more than one worker
  std::uint32_t queue_length = 0;          // txqueuelen that is set
};

struct Capabilities {
  std::optional<UdpCapabilities> v4;
  std::optional<UdpCapabilities> v6;
  std::optional<SysError> v4_error;  // why the family is missing
  std::optional<SysError> v6_error;
  bool steering = false;  // the reuseport filter is attached (only with more than one worker)
  TunCapabilities tun;
};

class Upkeep;
class UdpSocket;
class TunQueue;

// What a port is made of; another backend may add to it.
using MakePort = std::function<std::unique_ptr<Port>(std::optional<UdpSocket> v4,
                                                     std::optional<UdpSocket> v6, TunQueue tun)>;

struct KernelBackend {
  Backend backend;
  Capabilities capabilities;
  std::shared_ptr<Upkeep> upkeep;  // the control thread's
};

// Fails when neither family can be bound or the TUN device cannot be had (another process holds it:
// EBUSY).
[[nodiscard]] Result<KernelBackend, SysError> open_kernel_backend(const KernelOptions& options,
                                                                  const MakePort& make_port = {});

}  // namespace fg::io::kernel
