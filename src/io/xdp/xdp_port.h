// A worker's port that receives by AF_XDP what the XDP program redirects, and is the kernel's port
// in everything else: what arrives on the UDP sockets, sending, the TUN device. Queues come and go
// while it runs; the sockets that own the port stay, so without any queue it is the kernel's port.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "base/spsc_ring.h"
#include "io/kernel/kernel_port.h"
#include "io/xdp/queue_socket.h"

namespace fg::io::xdp {

inline constexpr std::size_t kReceiveBatch = 128;  // datagrams of all queues together
inline constexpr std::size_t kQueuesMax = 64;      // of a worker

class XdpPort final : public kernel::KernelPort {
 public:
  XdpPort(std::optional<kernel::UdpSocket> v4, std::optional<kernel::UdpSocket> v6,
          kernel::TunQueue tun);
  // False: out of descriptors.
  [[nodiscard]] bool is_open() const { return wakeup_.is_open() && poll_.is_open(); }

  // ---- of the control thread ----
  // The worker takes the socket up, or lets it go when it has taken what is left in it; then
  // is_released() holds. False: too many changes wait, or queues are in use; nothing happened.
  [[nodiscard]] bool add(QueueSocket& socket);
  [[nodiscard]] bool remove(QueueSocket& socket);
  [[nodiscard]] std::size_t queues() const { return queues_; }

  // ---- of the worker ----
  std::span<ReceivedDatagrams> receive(ReadySet ready) noexcept override;

 private:
  struct Change {
    QueueSocket* socket = nullptr;
    bool is_added = false;
  };
  struct Queue {
    QueueSocket* socket = nullptr;
    bool is_leaving = false;
  };

  bool post(Change change);
  void take_changes() noexcept;
  std::size_t receive_from_queues(std::span<ReceivedDatagrams> out) noexcept;
  void let_go() noexcept;
  void ring() const noexcept;

  // The descriptors a worker waits for are constant; those of the queues are behind one of them.
  kernel::FileDescriptor poll_;
  kernel::FileDescriptor wakeup_;
  ReadySet poll_bit_ = 0;
  SpscRing<Change> changes_{2 * kQueuesMax};
  std::size_t queues_ = 0;  // as the control thread counts
  std::vector<Queue> taken_;
  std::size_t first_ = 0;  // whose turn it is
  std::array<ReceivedDatagrams, 2 * kernel::UdpSocket::kReceiveBatch + kReceiveBatch> batch_{};
};

}  // namespace fg::io::xdp
