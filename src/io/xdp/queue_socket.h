// One AF_XDP socket: what the XDP program redirects on one queue of one interface. It only
// receives. Its UMEM is its own: a frame goes back to the fill ring it came from, so sockets share
// nothing, and a queue that goes takes its memory with it (docs/adr/0017). There are as many frames
// as the fill ring has room for; hence returning them can never fail, and every frame is in the
// fill ring, with the kernel, in the receive ring, or held by the worker until its next turn.
//
// Made, asked for statistics and destroyed by the control thread; between that its rings belong to
// one worker.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/datagram.h"
#include "base/drop_reason.h"
#include "base/result.h"
#include "base/sys_error.h"

namespace fg::io::xdp {

inline constexpr std::uint32_t kFrames = 4096;  // guides/performance 3.2: twice the receive ring
inline constexpr std::uint32_t kReceiveRing = 2048;
inline constexpr std::uint32_t kChunk = 2048;
// What the kernel leaves for a frame: XDP_PACKET_HEADROOM comes first.
inline constexpr std::uint32_t kFrameMax = kChunk - 256;

struct QueueSocketOptions {
  std::string interface;
  unsigned queue = 0;
  bool try_zero_copy = true;
  std::uint32_t frames = kFrames;  // powers of two
  std::uint32_t ring = kReceiveRing;
  std::uint32_t busy_poll_us = 0;  // 0: interrupts
};

class QueueSocket {
 public:
  // ENOBUFS: too little locked memory. EBUSY: another socket has the queue, perhaps one that was
  // closed a moment ago.
  static Result<std::unique_ptr<QueueSocket>, SysError> open(const QueueSocketOptions& options);
  ~QueueSocket();
  QueueSocket(const QueueSocket&) = delete;
  QueueSocket& operator=(const QueueSocket&) = delete;

  [[nodiscard]] int fd() const;
  [[nodiscard]] bool is_zero_copy() const { return is_zero_copy_; }

  // What the kernel had to drop, since the socket was made.
  struct Losses {
    std::uint64_t ring_full = 0;
    std::uint64_t no_frame = 0;  // the fill ring was empty
    std::uint64_t other = 0;     // longer than a frame, of another queue
  };
  [[nodiscard]] Losses losses() const;
  // Datagrams handed to the worker; of anyone.
  [[nodiscard]] std::uint64_t received() const { return received_.load(std::memory_order_relaxed); }
  // The worker touches neither rings nor frames any more; of anyone.
  [[nodiscard]] bool is_released() const { return released_.load(std::memory_order_acquire); }

  // ---- of the worker ----
  // Gives back what the last receive() handed out.
  void refill() noexcept;
  // The bytes stay until the next refill(). Frames that are no datagrams are counted in `drops`.
  std::size_t receive(std::span<ReceivedDatagrams> out, DropCounters& drops) noexcept;
  [[nodiscard]] bool holds_frames() const noexcept;
  void release() noexcept { released_.store(true, std::memory_order_release); }

 private:
  struct Rings;
  QueueSocket();

  std::unique_ptr<Rings> rings_;
  bool is_zero_copy_ = false;
  bool is_busy_polled_ = false;
  std::atomic<std::uint64_t> received_{0};
  std::atomic<bool> released_{false};
};

}  // namespace fg::io::xdp
