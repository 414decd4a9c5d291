#include "control/net/boot_timer.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <ctime>

#include "base/assert.h"

namespace fg::net {

struct BootTimer::State : std::enable_shared_from_this<State> {
  State(boost::asio::io_context& context, std::function<void()> callback)
      : descriptor(context), on_expired(std::move(callback)) {}

  void wait() {
    is_waiting = true;
    descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                            self->is_waiting = false;
                            if (!error && self->is_alive) self->on_readable();
                          });
  }
  void on_readable() {
    std::uint64_t count = 0;
    // Nothing to read: the deadline was moved after the descriptor became readable.
    const bool has_expired =
        ::read(descriptor.native_handle(), &count, sizeof count) == sizeof count;
    if (has_expired) {
      deadline.reset();
      const auto callback = on_expired;
      callback();
    }
    if (is_alive && deadline && !is_waiting) wait();
  }

  boost::asio::posix::stream_descriptor descriptor;
  std::function<void()> on_expired;
  std::optional<Instant> deadline;
  bool is_waiting = false;
  bool is_alive = true;
};

BootTimer::BootTimer(boost::asio::io_context& context, std::function<void()> on_expired)
    : state_(std::make_shared<State>(context, std::move(on_expired))) {
  const int fd = ::timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC);
  FG_ASSERT(fd >= 0);
  state_->descriptor.assign(fd);
}

BootTimer::~BootTimer() {
  state_->is_alive = false;
  boost::system::error_code ignored;
  state_->descriptor.close(ignored);
}

void BootTimer::set(std::optional<Instant> at) {
  if (at == state_->deadline) return;
  state_->deadline = at;
  itimerspec spec{};
  if (at) {
    const auto ns =
        std::max<std::int64_t>(at->time_since_epoch().count(), 1);  // zero would disarm it
    spec.it_value.tv_sec = ns / 1'000'000'000;
    spec.it_value.tv_nsec = ns % 1'000'000'000;
  }
  const int result =
      ::timerfd_settime(state_->descriptor.native_handle(), TFD_TIMER_ABSTIME, &spec, nullptr);
  FG_ASSERT(result == 0);
  if (at && !state_->is_waiting) state_->wait();
}

Instant boot_now() {
  timespec spec{};
  ::clock_gettime(CLOCK_BOOTTIME, &spec);
  return Instant{std::chrono::seconds{spec.tv_sec} + std::chrono::nanoseconds{spec.tv_nsec}};
}

}  // namespace fg::net
