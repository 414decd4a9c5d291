// The TUN device with its offloads (spec operations 9; guides/performance 6): opened exclusively,
// one queue for each worker, a ten-byte virtio header before every packet. Super-packets pass in
// both directions. Addresses, routes and the up state are the host owner's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/datagram.h"
#include "base/result.h"
#include "base/sys_error.h"
#include "io/kernel/file_descriptor.h"
#include "io/kernel/kernel_backend.h"
#include "io/port.h"

namespace fg::io::kernel {

struct TunOptions {
  std::string name = "tun-firezone";
  unsigned queues = 1;
  std::uint32_t mtu = 1280;             // spec connectivity 1.7
  std::uint32_t queue_length = 10'000;  // spec operations 9
};

// One queue; belongs to one worker.
class TunQueue {
 public:
  static constexpr std::size_t kReadArena = 256U << 10;
  static constexpr std::size_t kReadsMax = 64;
  static constexpr std::size_t kCopiedMax = 256;  // bytes; written in one piece with its header

  TunQueue(FileDescriptor fd, TunOffloads offloads);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] TunOffloads offloads() const { return offloads_; }

  // What is waiting, within bounds; stays until the next read(). An errno, or 0.
  std::span<TunRead> read(int& error) noexcept;
  // Returns how many of the inner packets were written.
  std::size_t write(const TunWrite& packet) noexcept;

 private:
  static constexpr std::size_t kPartsMax = 1024;  // IOV_MAX

  bool write_copied(const TunWrite& packet) noexcept;
  std::size_t write_split(const TunWrite& packet) noexcept;

  FileDescriptor fd_;
  TunOffloads offloads_;
  std::unique_ptr<std::uint8_t[]> arena_;
  std::vector<TunRead> reads_;
  std::unique_ptr<std::uint8_t[]> gathered_;  // a super-packet the device refused
};

struct TunDevice {
  std::vector<TunQueue> queues;
  TunCapabilities capabilities;
};

// EBUSY: another process has the device.
[[nodiscard]] Result<TunDevice, SysError> open_tun(const TunOptions& options);

// ---- its steps, for upkeep.h ----

// Makes the device with its first queue, joins it with the others.
[[nodiscard]] std::optional<SysError> attach_queue(int fd, const TunOptions& options,
                                                   bool is_first);
// Of the interface itself; any queue length but the default may be refused, and is then reported.
[[nodiscard]] std::optional<SysError> configure_tun(const TunOptions& options,
                                                    TunCapabilities& can);
// None: the queue has no device.
[[nodiscard]] std::optional<std::string> attached_name(int fd);

}  // namespace fg::io::kernel
