// The client's outer UDP sockets, one a family (spec connectivity 1.2), with the offloads of
// io/kernel.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <vector>

#include "base/datagram.h"
#include "base/result.h"
#include "base/sys_error.h"
#include "io/kernel/udp_sender.h"
#include "io/kernel/udp_socket.h"

namespace fg::client {

class Sockets {
 public:
  // Fails when neither family can be bound. port 0: any.
  static Result<Sockets, SysError> open(std::uint16_t port, std::uint32_t mark);

  [[nodiscard]] std::vector<int> fds() const;
  // The bytes belong to the sockets until the next call for this descriptor.
  std::span<ReceivedDatagrams> receive(int fd);
  // Of one family. What cannot be sent is counted and forgotten.
  void send(std::span<const OutgoingDatagrams> batch);
  [[nodiscard]] std::uint64_t failed() const { return failed_; }
  // Of the IPv4 socket, 0 without one.
  [[nodiscard]] std::uint16_t port() const { return v4_ ? v4_->socket.port() : std::uint16_t{0}; }

 private:
  struct Udp {
    io::kernel::UdpSocket socket;
    io::kernel::UdpSender sender;
  };
  Sockets() = default;

  std::optional<Udp> v4_;
  std::optional<Udp> v6_;
  std::vector<ReceivedDatagrams> received_;
  std::uint64_t failed_ = 0;
};

}  // namespace fg::client
