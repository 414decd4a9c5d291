#include "io/xdp/queue_socket.h"

#include <linux/if_xdp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xdp/xsk.h>

#include <bit>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "io/xdp/frame.h"

namespace fg::io::xdp {
namespace {

constexpr std::uint32_t kCompletionRing = 64;  // nothing is sent; the kernel wants one
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
  explicit Rings(std::uint32_t frames) : memory(std::size_t{frames} * kChunk) {
    held.reserve(frames);
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

  Memory memory;  // outlives what is registered with the kernel
  xsk_umem* umem = nullptr;
  xsk_socket* socket = nullptr;
  xsk_ring_prod fill_ring{};
  xsk_ring_cons completion_ring{};
  xsk_ring_cons receive_ring{};
  std::vector<std::uint64_t> held;  // chunks the worker has
};

int QueueSocket::Rings::open(const QueueSocketOptions& options, std::uint16_t bind_flags) {
  if (!memory.is_mapped()) return ENOMEM;
  const xsk_umem_config layout{.fill_size = options.frames,
                               .comp_size = kCompletionRing,
                               .frame_size = kChunk,
                               .frame_headroom = 0,
                               .flags = 0};
  const auto size = std::uint64_t{options.frames} * kChunk;
  if (const int error =
          xsk_umem__create(&umem, memory.at(), size, &fill_ring, &completion_ring, &layout);
      error != 0) {
    umem = nullptr;
    return -error;
  }
  xsk_socket_config config{};
  config.rx_size = options.ring;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = bind_flags;
  if (const int error = xsk_socket__create(&socket, options.interface.c_str(), options.queue, umem,
                                           &receive_ring, nullptr, &config);
      error != 0) {
    socket = nullptr;
    return -error;
  }
  for (std::uint32_t i = 0; i < options.frames; ++i) held.push_back(std::uint64_t{i} * kChunk);
  fill(held);
  held.clear();
  return 0;
}

void QueueSocket::Rings::fill(std::span<const std::uint64_t> chunks) noexcept {
  std::uint32_t at = 0;
  const auto n = static_cast<std::uint32_t>(chunks.size());
  FG_ASSERT(xsk_ring_prod__reserve(&fill_ring, n, &at) == n);
  for (std::uint32_t i = 0; i < n; ++i) *xsk_ring_prod__fill_addr(&fill_ring, at + i) = chunks[i];
  xsk_ring_prod__submit(&fill_ring, n);
}

QueueSocket::QueueSocket() = default;
QueueSocket::~QueueSocket() = default;

Result<std::unique_ptr<QueueSocket>, SysError> QueueSocket::open(
    const QueueSocketOptions& options) {
  FG_ASSERT(std::has_single_bit(options.frames) && std::has_single_bit(options.ring));
  std::unique_ptr<QueueSocket> out{new QueueSocket};
  int error = EOPNOTSUPP;
  for (const bool zero_copy : {true, false}) {
    if (zero_copy && !options.try_zero_copy) continue;
    // Rings of a refused socket are not used again: the next attempt begins with fresh ones.
    out->rings_ = std::make_unique<Rings>(options.frames);
    const unsigned flags = XDP_USE_NEED_WAKEUP | (zero_copy ? XDP_ZEROCOPY : XDP_COPY);
    error = out->rings_->open(options, static_cast<std::uint16_t>(flags));
    out->is_zero_copy_ = zero_copy;
    if (error == 0 || (error != EOPNOTSUPP && error != EINVAL)) break;
  }
  if (error != 0) return fail(SysError{"open AF_XDP socket", error});
  if (options.busy_poll_us != 0) {
    const auto set = [fd = out->fd()](int option, int value) {
      return ::setsockopt(fd, SOL_SOCKET, option, &value, sizeof value) == 0;
    };
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
  return {.ring_full = s.rx_ring_full,
          .no_frame = s.rx_fill_ring_empty_descs,
          .other = s.rx_dropped + s.rx_invalid_descs};
}

void QueueSocket::refill() noexcept {
  if (rings_->held.empty()) return;
  rings_->fill(rings_->held);
  rings_->held.clear();
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
