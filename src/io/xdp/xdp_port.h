// A worker's port that receives by AF_XDP what the XDP program redirects, sends by it where the
// next hop is known and that is cheaper, and is the kernel's port in everything else: what arrives
// on the UDP sockets and leaves by them, the TUN device. Queues come and go while it runs; the
// sockets that own the port stay, so without any queue it is the kernel's port.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "base/spsc_ring.h"
#include "io/kernel/kernel_port.h"
#include "io/xdp/next_hops.h"
#include "io/xdp/queue_socket.h"

namespace fg::io::xdp {

inline constexpr std::size_t kReceiveBatch = 128;  // datagrams of all queues together
inline constexpr std::size_t kQueuesMax = 64;      // of a worker
inline constexpr std::size_t kSendBatch = 64;      // destinations that are looked up together

// Whether datagrams leave by AF_XDP: never, where that was measured to be cheaper, or wherever the
// next hop is known.
enum class SendMode : std::uint8_t { off, measured, on };

class XdpPort final : public kernel::KernelPort {
 public:
  XdpPort(std::optional<kernel::UdpSocket> v4, std::optional<kernel::UdpSocket> v6,
          kernel::TunQueue tun, SendMode send_mode = SendMode::off);
  // False: out of descriptors.
  [[nodiscard]] bool is_open() const {
    return wakeup_.is_open() && poll_.is_open() && questions_.is_open();
  }

  // ---- of the control thread ----
  // The worker takes the socket up, or lets it go when it has taken what is left in it; then
  // is_released() holds. False: too many changes wait, or queues are in use; nothing happened.
  [[nodiscard]] bool add(QueueSocket& socket);
  [[nodiscard]] bool remove(QueueSocket& socket);
  [[nodiscard]] std::size_t queues() const { return queues_; }
  [[nodiscard]] NextHops& next_hops() { return next_hops_; }
  // An eventfd: there are questions.
  [[nodiscard]] int question_fd() const { return questions_.get(); }

  // ---- of the worker ----
  std::span<ReceivedDatagrams> receive(ReadySet ready) noexcept override;
  void send(std::span<const OutgoingDatagrams> batch) noexcept override;

 private:
  struct Change {
    QueueSocket* socket = nullptr;
    bool is_added = false;
  };
  struct Queue {
    QueueSocket* socket = nullptr;
    bool is_leaving = false;
    bool is_begun = false;  // a burst
    std::array<SendChoice, kBurstShapes> choices{};
  };
  struct Exit {
    const FrameHeader* header = nullptr;
    Queue* queue = nullptr;  // none: a UDP socket
  };

  bool post(Change change);
  void take_changes() noexcept;
  std::size_t receive_from_queues(std::span<ReceivedDatagrams> out) noexcept;
  void let_go() noexcept;
  void send_some(std::span<const OutgoingDatagrams> batch) noexcept;
  [[nodiscard]] Exit exit_of(const OutgoingDatagrams& datagrams) noexcept;
  void send_by(std::span<const Exit> exits, std::span<const OutgoingDatagrams> batch) noexcept;
  void send_frames(const Exit& exit, const OutgoingDatagrams& datagrams) noexcept;
  [[nodiscard]] bool begin(Queue& queue) noexcept;
  void flush(Queue& queue) noexcept;
  void ring() const noexcept;

  // The descriptors a worker waits for are constant; those of the queues are behind one of them.
  kernel::FileDescriptor poll_;
  kernel::FileDescriptor wakeup_;
  ReadySet poll_bit_ = 0;
  SpscRing<Change> changes_{2 * kQueuesMax};
  std::size_t queues_ = 0;  // as the control thread counts
  std::vector<Queue> taken_;
  std::size_t first_ = 0;  // whose turn it is
  const SendMode send_mode_;
  std::uint16_t port_v4_ = 0;
  std::uint16_t port_v6_ = 0;
  kernel::FileDescriptor questions_;
  NextHops next_hops_;
  std::array<ReceivedDatagrams, 2 * kernel::UdpSocket::kReceiveBatch + kReceiveBatch> batch_{};
};

}  // namespace fg::io::xdp
