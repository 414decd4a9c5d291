// One AF_XDP socket: what the XDP program redirects on one queue of one interface, and frames out
// by that queue. Its UMEM is its own, so sockets share nothing, and a queue that goes takes its
// memory with it (docs/adr/0021). Frames to receive into and frames to send are apart. Of the first
// there are as many as the fill ring has room for; hence returning them can never fail, and every
// frame is in the fill ring, with the kernel, in the receive ring, or held by the worker until its
// next turn. Of the others there are as many as the send and the completion ring have room for:
// each is free, being written, or with the kernel until it completes it.
//
// Made, asked for statistics and destroyed by the control thread; between that its rings belong to
// one worker.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/datagram.h"
#include "base/drop_reason.h"
#include "base/result.h"
#include "base/sys_error.h"
#include "io/xdp/send_choice.h"

namespace fg::io::xdp {

inline constexpr std::uint32_t kFrames = 4096;  // guides/performance 3.2: twice the receive ring
inline constexpr std::uint32_t kReceiveRing = 2048;
inline constexpr std::uint32_t kChunk = 2048;
// What the kernel leaves for a frame: XDP_PACKET_HEADROOM comes first.
inline constexpr std::uint32_t kFrameMax = kChunk - 256;
inline constexpr std::uint32_t kSendFrames = 1024;

struct QueueSocketOptions {
  std::string interface;
  unsigned queue = 0;
  bool try_zero_copy = true;
  std::uint32_t frames = kFrames;  // powers of two
  std::uint32_t ring = kReceiveRing;
  std::uint32_t send_frames = 0;   // 0: it only receives; else a power of two
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
  [[nodiscard]] unsigned interface() const { return interface_; }  // its index
  [[nodiscard]] bool is_zero_copy() const { return is_zero_copy_; }
  [[nodiscard]] bool can_send() const;

  // What the kernel had to drop, since the socket was made.
  struct Losses {
    std::uint64_t ring_full = 0;
    std::uint64_t no_frame = 0;  // the fill ring was empty; of copies
    std::uint64_t other = 0;     // longer than a frame, of another queue
  };
  [[nodiscard]] Losses losses() const;
  // Datagrams handed to the worker; of anyone.
  [[nodiscard]] std::uint64_t received() const { return received_.load(std::memory_order_relaxed); }
  // Frames in the receive ring, now; of anyone.
  [[nodiscard]] std::uint32_t waiting() const;
  // What the worker measured; none: not yet. Of anyone.
  struct SendVerdict {
    SendWay way{};
    SendCosts costs;
  };
  [[nodiscard]] std::optional<SendVerdict> verdict(BurstShape shape) const;
  // The worker touches neither rings nor frames any more; of anyone.
  [[nodiscard]] bool is_released() const { return released_.load(std::memory_order_acquire); }

  // ---- of the worker ----
  // Gives back what the last receive() handed out.
  void refill() noexcept;
  // The bytes stay until the next refill(). Frames that are no datagrams are counted in `drops`.
  std::size_t receive(std::span<ReceivedDatagrams> out, DropCounters& drops) noexcept;
  [[nodiscard]] bool holds_frames() const noexcept;

  // A burst: begin_sending(), frames, flush(). What the kernel is done with is free again; false:
  // it takes nothing now.
  [[nodiscard]] bool begin_sending(DropCounters& drops) noexcept;
  // Room for kChunk bytes; empty: all frames are under way.
  [[nodiscard]] MutableBytes next_frame() noexcept;
  // The last next_frame() is to be sent.
  void commit_frame(std::size_t size) noexcept;
  // Hands the burst over, and wakes the kernel if it wants that. Frames the driver threw away are
  // counted.
  void flush(DropCounters& drops) noexcept;
  // The kernel has to be woken again for the rest: flush(), soon. False as well when that was tried
  // often enough to wait for the next burst.
  [[nodiscard]] bool has_unsent() const noexcept;
  // Before release(): true when the kernel is done with every frame, or when it was asked often
  // enough; what it did not send is counted.
  [[nodiscard]] bool finish_sending(DropCounters& drops) noexcept;

  void set_verdict(BurstShape shape, const SendVerdict& verdict) noexcept;
  void release() noexcept { released_.store(true, std::memory_order_release); }

 private:
  struct Rings;
  QueueSocket();
  void kick(DropCounters& drops) noexcept;
  void wake_driver() noexcept;
  void copy_out(DropCounters& drops) noexcept;

  std::unique_ptr<Rings> rings_;
  unsigned interface_ = 0;
  bool is_zero_copy_ = false;
  bool is_busy_polled_ = false;
  std::uint32_t taken_ = 0;  // where the kernel was in the send ring
  int stuck_ = 0;  // wake-ups in a row after which it had taken nothing of what there was to send
  int finish_looks_ = 0;
  std::atomic<std::uint64_t> received_{0};
  std::array<std::atomic<std::uint64_t>, kBurstShapes> verdicts_{};  // 0: none
  std::atomic<bool> released_{false};
};

}  // namespace fg::io::xdp
