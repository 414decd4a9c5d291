#include "io/xdp/queue_socket.h"

#include <linux/if_xdp.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "io/xdp/frame.h"

namespace fg::io::xdp {
namespace {

constexpr std::uint32_t kCompletionRing = 64;  // where nothing is sent: the kernel wants one
constexpr int kSendBuffer = 8 << 20;           // of copies; each takes its share of it
constexpr int kMaxSendBudget = 9;              // XDP_MAX_TX_SKB_BUDGET, Linux 6.17; else 32
constexpr std::uint32_t kBudgetWanted = 256;   // frames a call, of copies
constexpr int kStuckMax = 64;                  // calls: a device that is down spins nobody
constexpr int kFinishLooksMax = 2000;          // a driver that lost frames keeps no queue for ever
constexpr int kPreferBusyPoll = 69;            // SO_PREFER_BUSY_POLL, Linux 5.11
constexpr int kBusyPollBudget = 70;            // SO_BUSY_POLL_BUDGET
constexpr int kBudget = 64;                    // frames a poll; NAPI's own weight

class Memory {
 public:
  explicit Memory(std::size_t size) : size_(size) {
    at_ = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (is_mapped()) (void)::madvise(at_, size_, MADV_HUGEPAGE);
  }
  ~Memory() {
    if (is_mapped()) ::munmap(at_, size_);
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  [[nodiscard]] bool is_mapped() const { return at_ != MAP_FAILED; }
  [[nodiscard]] void* at() const { return at_; }
  [[nodiscard]] std::uint8_t* bytes() const { return static_cast<std::uint8_t*>(at_); }

 private:
  void* at_;
  std::size_t size_;
};

}  // namespace

struct QueueSocket::Rings {
  explicit Rings(const QueueSocketOptions& options)
      : memory((std::size_t{options.frames} + options.send_frames) * kChunk),
        send_frames(options.send_frames) {
    held.reserve(options.frames);
    free.reserve(send_frames);
    for (std::uint32_t i = 0; i < send_frames; ++i)
      free.push_back(std::uint64_t{options.frames + i} * kChunk);
  }
  ~Rings() {
    if (socket != nullptr) xsk_socket__delete(socket);
    if (umem != nullptr) xsk_umem__delete(umem);
  }
  Rings(const Rings&) = delete;
  Rings& operator=(const Rings&) = delete;

  // 0, or an errno.
  int open(const QueueSocketOptions& options, std::uint16_t bind_flags);
  void fill(std::span<const std::uint64_t> chunks) noexcept;
  void reap() noexcept;
  // Handed over, and not looked at by the kernel yet.
  [[nodiscard]] std::uint32_t unsent() const noexcept {
    return send_frames == 0 ? 0 : *send_ring.producer - taken();
  }
  [[nodiscard]] std::uint32_t taken() const noexcept {
    return __atomic_load_n(send_ring.consumer, __ATOMIC_ACQUIRE);
  }
  // Of a driver that works on our frames itself: there is something, and it sleeps.
  [[nodiscard]] bool must_wake() const noexcept {
    return unsent() != 0 && xsk_ring_prod__needs_wakeup(&send_ring) != 0;
  }

  Memory memory;  // outlives what is registered with the kernel
  xsk_umem* umem = nullptr;
  xsk_socket* socket = nullptr;
  xsk_ring_prod fill_ring{};
  xsk_ring_cons completion_ring{};
  xsk_ring_cons receive_ring{};
  std::vector<std::uint64_t> held;  // chunks the worker has
  xsk_ring_prod send_ring{};
  std::uint32_t send_frames;
  std::vector<std::uint64_t> free;  // chunks to send, the last one first: it is warm
  std::uint32_t begun = 0;          // committed, not handed over
};

int QueueSocket::Rings::open(const QueueSocketOptions& options, std::uint16_t bind_flags) {
  if (!memory.is_mapped()) return ENOMEM;
  const xsk_umem_config layout{.fill_size = options.frames,
                               .comp_size = send_frames != 0 ? send_frames : kCompletionRing,
                               .frame_size = kChunk,
                               .frame_headroom = 0,
                               .flags = 0};
  const auto size = (std::uint64_t{options.frames} + send_frames) * kChunk;
  if (const int error =
          xsk_umem__create(&umem, memory.at(), size, &fill_ring, &completion_ring, &layout);
      error != 0) {
    umem = nullptr;
    return -error;
  }
  // Before the driver looks: one that finds nothing at first says so in the kernel's log, and waits
  // to be woken.
  for (std::uint32_t i = 0; i < options.frames; ++i) held.push_back(std::uint64_t{i} * kChunk);
  fill(held);
  held.clear();
  xsk_socket_config config{};
  config.rx_size = options.ring;
  config.tx_size = send_frames;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = bind_flags;
  if (const int error =
          xsk_socket__create(&socket, options.interface.c_str(), options.queue, umem, &receive_ring,
                             send_frames != 0 ? &send_ring : nullptr, &config);
      error != 0) {
    socket = nullptr;
    return -error;
  }
  return 0;
}

void QueueSocket::Rings::fill(std::span<const std::uint64_t> chunks) noexcept {
  std::uint32_t at = 0;
  const auto n = static_cast<std::uint32_t>(chunks.size());
  FG_ASSERT(xsk_ring_prod__reserve(&fill_ring, n, &at) == n);
  for (std::uint32_t i = 0; i < n; ++i) *xsk_ring_prod__fill_addr(&fill_ring, at + i) = chunks[i];
  xsk_ring_prod__submit(&fill_ring, n);
}

void QueueSocket::Rings::reap() noexcept {
  std::uint32_t at = 0;
  const auto n = xsk_ring_cons__peek(&completion_ring, send_frames, &at);
  for (std::uint32_t i = 0; i < n; ++i)
    free.push_back(*xsk_ring_cons__comp_addr(&completion_ring, at + i));
  if (n != 0) xsk_ring_cons__release(&completion_ring, n);
}

QueueSocket::QueueSocket() = default;
QueueSocket::~QueueSocket() = default;

Result<std::unique_ptr<QueueSocket>, SysError> QueueSocket::open(
    const QueueSocketOptions& options) {
  FG_ASSERT(std::has_single_bit(options.frames) && std::has_single_bit(options.ring));
  FG_ASSERT(options.send_frames == 0 || std::has_single_bit(options.send_frames));
  std::unique_ptr<QueueSocket> out{new QueueSocket};
  out->interface_ = ::if_nametoindex(options.interface.c_str());
  int error = EOPNOTSUPP;
  for (const bool zero_copy : {true, false}) {
    if (zero_copy && !options.try_zero_copy) continue;
    // Rings of a refused socket are not used again: the next attempt begins with fresh ones.
    out->rings_ = std::make_unique<Rings>(options);
    const unsigned flags = XDP_USE_NEED_WAKEUP | (zero_copy ? XDP_ZEROCOPY : XDP_COPY);
    error = out->rings_->open(options, static_cast<std::uint16_t>(flags));
    out->is_zero_copy_ = zero_copy;
    // Drivers refuse zero copy with whatever errno their own part ended with. A queue that is
    // busy may be free the next moment: whoever then took copies would keep them.
    if (error == 0 || error == EBUSY) break;
  }
  if (error != 0) return fail(SysError{"open AF_XDP socket", error});
  const auto set = [fd = out->fd()](int option, int value) {
    return ::setsockopt(fd, SOL_SOCKET, option, &value, sizeof value) == 0;
  };
  if (options.send_frames != 0) {
    if (!set(SO_SNDBUFFORCE, kSendBuffer)) (void)set(SO_SNDBUF, kSendBuffer);
    const auto budget = std::min(kBudgetWanted, options.send_frames);
    (void)::setsockopt(out->fd(), SOL_XDP, kMaxSendBudget, &budget, sizeof budget);
  }
  if (options.busy_poll_us != 0) {
    out->is_busy_polled_ = set(kPreferBusyPoll, 1) &&
                           set(SO_BUSY_POLL, static_cast<int>(options.busy_poll_us)) &&
                           set(kBusyPollBudget, kBudget);
  }
  return out;
}

int QueueSocket::fd() const { return xsk_socket__fd(rings_->socket); }

QueueSocket::Losses QueueSocket::losses() const {
  xdp_statistics s{};
  socklen_t size = sizeof s;
  if (::getsockopt(fd(), SOL_XDP, XDP_STATISTICS, &s, &size) != 0) return {};
  // Without copies it is the driver that looks for free frames, ahead of what arrives: the kernel
  // counts looks, not frames. What finds none the device counts.
  return {.ring_full = s.rx_ring_full,
          .no_frame = is_zero_copy_ ? 0 : s.rx_fill_ring_empty_descs,
          .other = s.rx_dropped + s.rx_invalid_descs};
}

std::uint32_t QueueSocket::waiting() const {
  const auto& ring = rings_->receive_ring;
  return __atomic_load_n(ring.producer, __ATOMIC_ACQUIRE) -
         __atomic_load_n(ring.consumer, __ATOMIC_ACQUIRE);
}

void QueueSocket::refill() noexcept {
  if (rings_->held.empty()) return;
  rings_->fill(rings_->held);
  rings_->held.clear();
}

// In one word: the way, then 31 and 32 bits of costs, which are never both 0.
void QueueSocket::set_verdict(BurstShape shape, const SendVerdict& verdict) noexcept {
  constexpr std::uint32_t kCostMax = 0x7FFF'FFFF;
  const auto word = std::uint64_t{verdict.way == SendWay::xdp} << 63 |
                    std::uint64_t{std::clamp(verdict.costs.socket, 1U, kCostMax)} << 32 |
                    verdict.costs.xdp;
  verdicts_[static_cast<std::size_t>(shape)].store(word, std::memory_order_relaxed);
}

std::optional<QueueSocket::SendVerdict> QueueSocket::verdict(BurstShape shape) const {
  const auto word = verdicts_[static_cast<std::size_t>(shape)].load(std::memory_order_relaxed);
  if (word == 0) return std::nullopt;
  return SendVerdict{.way = word >> 63 != 0 ? SendWay::xdp : SendWay::socket,
                     .costs = {.socket = static_cast<std::uint32_t>(word >> 32 & 0x7FFF'FFFF),
                               .xdp = static_cast<std::uint32_t>(word)}};
}

bool QueueSocket::can_send() const { return rings_->send_frames != 0; }

bool QueueSocket::begin_sending(DropCounters& drops) noexcept {
  if (!can_send()) return false;
  rings_->reap();
  if (is_zero_copy_) return true;  // the driver works when it can
  if (stuck_ != 0) kick(drops);
  return stuck_ == 0;
}

MutableBytes QueueSocket::next_frame() noexcept {
  if (rings_->free.empty()) return {};
  return {rings_->memory.bytes() + rings_->free.back(), kChunk};
}

void QueueSocket::commit_frame(std::size_t size) noexcept {
  auto& rings = *rings_;
  std::uint32_t at = 0;
  // The ring has room for every frame there is.
  FG_ASSERT(xsk_ring_prod__reserve(&rings.send_ring, 1, &at) == 1);
  *xsk_ring_prod__tx_desc(&rings.send_ring, at) = {
      .addr = rings.free.back(), .len = static_cast<std::uint32_t>(size), .options = 0};
  rings.free.pop_back();
  ++rings.begun;
}

void QueueSocket::flush(DropCounters& drops) noexcept {
  auto& rings = *rings_;
  if (rings.begun != 0) xsk_ring_prod__submit(&rings.send_ring, std::exchange(rings.begun, 0U));
  kick(drops);
}

void QueueSocket::kick(DropCounters& drops) noexcept {
  if (is_zero_copy_)
    wake_driver();
  else
    copy_out(drops);
}

void QueueSocket::wake_driver() noexcept {
  auto& rings = *rings_;
  // A driver that goes to sleep looks at the ring after it has said so.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!rings.must_wake()) return;
  const auto taken = rings.taken();
  stuck_ = taken == taken_ ? stuck_ + 1 : 0;
  taken_ = taken;
  (void)::sendto(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
}

// Copies are made in this call, 32 a time before Linux 6.17; it goes on while that gets somewhere.
void QueueSocket::copy_out(DropCounters& drops) noexcept {
  auto& rings = *rings_;
  for (auto left = rings.unsent(); left != 0;) {
    const bool is_taken = ::sendto(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) == 0;
    // The driver threw one away, as it does with a socket's.
    if (!is_taken && errno == EBUSY) drops.count(DropReason::xdp_unsent);
    const auto now = rings.unsent();
    if (now == left) {
      ++stuck_;
      return;
    }
    left = now;
  }
  stuck_ = 0;
}

bool QueueSocket::has_unsent() const noexcept {
  if (stuck_ >= kStuckMax) return false;
  return is_zero_copy_ ? rings_->must_wake() : rings_->unsent() != 0;
}

bool QueueSocket::finish_sending(DropCounters& drops) noexcept {
  auto& rings = *rings_;
  if (!can_send()) return true;
  flush(drops);
  rings.reap();
  if (rings.free.size() == rings.send_frames) return true;
  if (++finish_looks_ < kFinishLooksMax) return false;
  drops.count(DropReason::xdp_unsent, rings.unsent());
  return true;
}

bool QueueSocket::holds_frames() const noexcept { return !rings_->held.empty(); }

std::size_t QueueSocket::receive(std::span<ReceivedDatagrams> out, DropCounters& drops) noexcept {
  auto& rings = *rings_;
  // A driver that works on our frames itself sleeps when the fill ring ran dry, and says so.
  if (is_busy_polled_ || (is_zero_copy_ && xsk_ring_prod__needs_wakeup(&rings.fill_ring) != 0))
    (void)::recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
  std::uint32_t at = 0;
  const auto n =
      xsk_ring_cons__peek(&rings.receive_ring, static_cast<std::uint32_t>(out.size()), &at);
  std::size_t used = 0;
  for (std::uint32_t i = 0; i < n; ++i) {
    const auto* descriptor = xsk_ring_cons__rx_desc(&rings.receive_ring, at + i);
    rings.held.push_back(descriptor->addr & ~std::uint64_t{kChunk - 1});
    const auto datagram = parse_frame({rings.memory.bytes() + descriptor->addr, descriptor->len});
    if (datagram)
      out[used++] = *datagram;
    else
      drops.count(DropReason::xdp_malformed);
  }
  if (n != 0) {
    xsk_ring_cons__release(&rings.receive_ring, n);
    received_.store(received_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  return used;
}

}  // namespace fg::io::xdp
