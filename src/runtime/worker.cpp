#include "runtime/worker.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string>

#include "runtime/clock.h"

namespace fg::runtime {
namespace {

constexpr std::uint32_t kBell = 0xFFFFFFFF;
constexpr std::size_t kEventsMax = 33;  // a port's descriptors and the bell

void add(std::atomic<std::uint64_t>& counter) {
  counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

}  // namespace

Worker::Worker(const WorkerOptions& options, io::Port& port, Doorbell& control)
    : options_(options),
      port_(port),
      control_(control),
      engine_(options.aead),
      pipeline_(
          [&] {
            auto p = options.pipeline;
            p.offloads = {port.tun_offloads().tcp, port.tun_offloads().udp};
            return p;
          }(),
          engine_, *this),
      offloads_(port.tun_offloads()),
      peers_(options.pipeline.workers) {
  for (unsigned i = 0; i < options.pipeline.workers; ++i) {
    const bool is_self = WorkerIndex{static_cast<std::uint8_t>(i)} == options.pipeline.worker;
    incoming_.push_back(is_self ? nullptr
                                : std::make_unique<SpscRing<pipeline::Handoff>>(kHandoffRing));
  }
}

Worker::~Worker() {
  request_stop();
  join();
  if (epoll_ >= 0) ::close(epoll_);
}

void Worker::connect(std::vector<std::unique_ptr<Worker>>& all) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].get() != this)
      peers_[i] = {all[i].get(), all[i]->incoming_[number(options_.pipeline.worker)].get(), false};
  }
}

std::optional<SysError> Worker::open() {
  if (const auto error = bell_.open()) return error;
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) return SysError{"create epoll", errno};
  const auto watch = [this](int fd, std::uint32_t tag) {
    epoll_event event{.events = EPOLLIN, .data = {.u32 = tag}};
    return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0;
  };
  if (!watch(bell_.fd(), kBell)) return SysError{"watch eventfd", errno};
  const auto fds = port_.wait_fds();
  for (std::size_t i = 0; i < fds.size(); ++i) {
    if (!watch(fds[i], static_cast<std::uint32_t>(i))) return SysError{"watch the port", errno};
  }
  return std::nullopt;
}

void Worker::start() {
  // Signals are the control thread's.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread{[this] { run(); }};
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Worker::request_stop() noexcept {
  stop_.store(true, std::memory_order_release);
  bell_.ring();
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::run() {
  const auto name = "fg-worker-" + std::to_string(number(options_.pipeline.worker));
  ::pthread_setname_np(::pthread_self(), name.c_str());
  if (options_.cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(*options_.cpu), &set);
    ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
  }
  auto now = monotonic_now();
  auto ready = io::kAllReady;
  while (true) {
    turn_ = now;
    const bool is_last = stop_.load(std::memory_order_acquire);
    if (watch_again_.load(std::memory_order_relaxed)) watch_port();
    take_commands(now);
    take_handoffs(now);
    move_packets(ready, now);
    if (const auto wake = pipeline_.wakeup(); wake && wake->at <= now) pipeline_.on_timeout(now);
    if (ring_at_ && *ring_at_ <= now) ring_control();
    add(turns_.turns);
    if (is_last && commands_.is_empty()) return;
    ready = wait(now);
    now = monotonic_now();
  }
}

void Worker::take_commands(Instant now) {
  std::size_t taken = 0;
  while (auto* command = taken < kCommandsATurn ? commands_.front() : nullptr) {
    pipeline_.apply(std::move(*command), now);
    *command = std::monostate{};  // keys do not stay in the ring
    commands_.pop();
    ++taken;
  }
  if (taken != 0) pipeline_.flush(now);
}

void Worker::take_handoffs(Instant now) noexcept {
  bool any = false;
  for (auto& ring : incoming_) {
    if (ring == nullptr) continue;
    for (std::size_t i = 0; i < kHandoffsATurn; ++i) {
      const auto* handoff = ring->front();
      if (handoff == nullptr) break;
      pipeline_.on_handoff(*handoff, now);
      ring->pop();
      any = true;
    }
  }
  if (any) pipeline_.flush(now);
}

void Worker::move_packets(io::ReadySet ready, Instant now) noexcept {
  if (ready == 0) return;
  awake_until_ = now + options_.spin;
  if (const auto received = port_.receive(ready); !received.empty()) {
    // A client uses its session as soon as it has our answer: what was commanded before that answer
    // left counts.
    take_commands(now);
    pipeline_.on_datagrams(received, now);
    if (const auto offloads = port_.tun_offloads(); offloads != offloads_) {
      offloads_ = offloads;
      pipeline_.set_offloads({offloads.tcp, offloads.udp});
    }
  }
  if (const auto reads = port_.read_tun(ready); !reads.empty()) pipeline_.on_tun(reads, now);
}

bool Worker::has_messages() noexcept {
  if (!commands_.is_empty() || stop_.load(std::memory_order_acquire) ||
      watch_again_.load(std::memory_order_relaxed))
    return true;
  return std::ranges::any_of(incoming_,
                             [](const auto& ring) { return ring != nullptr && !ring->is_empty(); });
}

io::ReadySet Worker::wait(Instant now) noexcept {
  int timeout = -1;
  auto wake = pipeline_.wakeup();
  if (ring_at_) wake = earlier(wake, Wakeup{*ring_at_, "output that waits"});
  if (wake) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(std::max(wake->at - now, Duration::zero()));
    timeout = static_cast<int>(std::min<std::int64_t>(left.count(), 3'600'000));
  }
  // A worker that stays awake looks at its rings in its next turn, without a ring.
  if (now < awake_until_)
    timeout = 0;
  else
    bell_.announce();
  if (has_messages()) timeout = 0;
  if (timeout != 0) add(turns_.sleeps);
  std::array<epoll_event, kEventsMax> events;  // NOLINT: filled by the call
  const int n = ::epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout);
  bool has_rung = false;
  io::ReadySet ready = 0;
  for (const auto& event : std::span{events}.first(static_cast<std::size_t>(std::max(n, 0)))) {
    if (event.data.u32 == kBell)
      has_rung = true;
    else if (is_worth_reading(event.data.u32, event.events))
      ready |= io::ReadySet{1} << event.data.u32;
  }
  bell_.awake(has_rung);
  return ready;
}

// A device that is gone reports an error for ever: it is not asked again after a while, or the
// worker would never sleep.
bool Worker::is_worth_reading(std::uint32_t fd, std::uint32_t events) noexcept {
  auto& errors = errors_[fd];
  errors = (events & EPOLLIN) != 0 ? 0 : errors + 1;
  if (errors <= kErrorsMax) return true;
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, port_.wait_fds()[fd], nullptr);
  return false;
}

void Worker::watch_port() noexcept {
  watch_again_.store(false, std::memory_order_relaxed);
  errors_ = {};
  const auto fds = port_.wait_fds();
  for (std::size_t i = 0; i < fds.size(); ++i) {
    epoll_event event{.events = EPOLLIN, .data = {.u32 = static_cast<std::uint32_t>(i)}};
    (void)::epoll_ctl(epoll_, EPOLL_CTL_ADD, fds[i], &event);  // EEXIST: never given up
  }
}

// ---- what the pipeline gives ----

void Worker::write_tun(const TunWrite& packet) noexcept { (void)port_.write_tun(packet); }
void Worker::transmit(std::span<const OutgoingDatagrams> batch) noexcept { port_.send(batch); }

pipeline::Event* Worker::reserve_event(bool can_wait) noexcept {
  auto* place = events_.reserve();
  if (place == nullptr) return nullptr;
  if (can_wait && ++patient_events_ < kPatientEventsMax)
    ring_control_by(turn_ + kEventPatience);
  else
    has_control_output_ = true;
  return place;
}

flow::Event* Worker::reserve_flow_event() noexcept {
  auto* place = flow_events_.reserve();
  has_control_output_ |= place != nullptr;
  return place;
}

pipeline::Punt* Worker::reserve_punt(pipeline::PuntClass punt_class) noexcept {
  auto* place = punts(punt_class).reserve();
  if (place == nullptr) return nullptr;
  if (punt_class == pipeline::PuntClass::stranger)
    ring_control_by(turn_ + kStrangerPatience);
  else
    has_control_output_ = true;
  return place;
}

pipeline::Handoff* Worker::reserve_handoff(WorkerIndex to) noexcept {
  auto& peer = peers_[number(to)];
  auto* place = peer.ring != nullptr ? peer.ring->reserve() : nullptr;
  peer.unpublished |= place != nullptr;
  has_handoffs_ |= place != nullptr;
  return place;
}

void Worker::publish() noexcept {
  if (has_patient_output_ || has_control_output_) {
    has_patient_output_ = false;
    for (auto& ring : punts_) ring.publish();
    events_.publish();
    flow_events_.publish();
  }
  if (has_control_output_) {
    has_control_output_ = false;
    ring_control();
  }
  if (!has_handoffs_) return;
  has_handoffs_ = false;
  for (auto& peer : peers_) {
    if (!peer.unpublished) continue;
    peer.unpublished = false;
    peer.ring->publish();
    peer.worker->bell_.ring();
  }
}

void Worker::ring_control_by(Instant at) noexcept {
  has_patient_output_ = true;
  ring_at_ = std::min(ring_at_.value_or(Instant::max()), at);
}

void Worker::ring_control() noexcept {
  ring_at_.reset();
  patient_events_ = 0;
  control_.ring();
}

}  // namespace fg::runtime
