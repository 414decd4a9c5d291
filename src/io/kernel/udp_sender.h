// Sends segmented datagrams, many destinations a call, from a chosen source address (spec
// connectivity 1.2 "Send rule"; guides/performance 7). A refusal costs only the datagrams it was
// about.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/datagram.h"

namespace fg::io::kernel {

// Sends from a socket it borrows. Each thread that sends has its own: it remembers what the route
// turned out not to take.
class UdpSender {
 public:
  UdpSender(int fd, bool segmentation);
  ~UdpSender();
  UdpSender(UdpSender&&) noexcept;
  UdpSender& operator=(UdpSender&&) noexcept;

  struct Outcome {
    std::uint64_t datagrams = 0;  // sent
    std::uint64_t bytes = 0;
    std::uint64_t failed = 0;  // datagrams refused
    std::uint64_t calls = 0;
    int error = 0;  // of the last refusal
  };
  // All of the batch must be of the socket's family.
  Outcome send(std::span<const OutgoingDatagrams> batch) noexcept;
  [[nodiscard]] bool segments() const { return segmentation_; }

 private:
  static constexpr std::size_t kSendBatch = 32;  // messages of one sendmmsg
  struct Messages;

  void send_run(std::span<const OutgoingDatagrams> run, Outcome& outcome) noexcept;
  void send_singly(const OutgoingDatagrams& datagrams, int first_error, Outcome& outcome) noexcept;

  int fd_;
  bool segmentation_;
  std::unique_ptr<Messages> messages_;
};

}  // namespace fg::io::kernel
