// One UDP socket of one family on the wildcard address (spec connectivity 1.2; guides/performance
// 7), receiving with offload, destination address and ECN. The socket is never connected and
// reports no ICMP errors, so what happens to one destination cannot cost another one a datagram.
// Sending is in udp_sender.h.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/datagram.h"
#include "base/result.h"
#include "base/sys_error.h"
#include "io/kernel/file_descriptor.h"
#include "io/kernel/kernel_backend.h"

namespace fg::io::kernel {

struct UdpOptions {
  Family family = Family::v4;
  std::uint16_t port = 0;  // 0: any
  std::uint32_t mark = 0;  // 0: none
  std::uint32_t receive_buffer = 16U << 20;
  std::uint32_t send_buffer = 2U << 20;
  bool joins_group = false;  // bind to a port that already has sockets of ours
};

class UdpSocket {
 public:
  static constexpr std::size_t kReceiveBatch = 16;         // buffers of one recvmmsg
  static constexpr std::size_t kReceiveBuffer = 65'536;    // a receive-offload buffer
  static constexpr std::uint32_t kBufferMin = 256U << 10;  // spec operations 10.2

  // Bound alone: fails with EADDRINUSE when any other socket has the port, unless joins_group is
  // set.
  static Result<UdpSocket, SysError> open(const UdpOptions& options);
  // Lets further sockets of this process join the port.
  [[nodiscard]] bool open_group();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] std::uint16_t port() const { return capabilities_.port; }
  [[nodiscard]] Family family() const { return family_; }
  [[nodiscard]] const UdpCapabilities& capabilities() const { return capabilities_; }

  // Fills at most min(out.size(), kReceiveBatch); the bytes belong to the socket until the next
  // call. An errno, or 0.
  std::size_t receive(std::span<ReceivedDatagrams> out, int& error) noexcept;

 private:
  UdpSocket() = default;
  struct ReceiveState;
  struct ReceiveStateDeleter {
    void operator()(ReceiveState* state) const;
  };

  FileDescriptor fd_;
  Family family_ = Family::v4;
  UdpCapabilities capabilities_;
  std::unique_ptr<ReceiveState, ReceiveStateDeleter> receive_;
};

}  // namespace fg::io::kernel
