#include "control/net/loop.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <ctime>
#include <map>

#include "base/assert.h"
#include "control/net/boot_timer.h"

namespace fg::net {
namespace {

namespace asio = boost::asio;

// A descriptor of somebody else: looked at, never read, never closed.
struct Watch : std::enable_shared_from_this<Watch> {
  Watch(asio::io_context& context, int fd, std::function<void()> callback)
      : descriptor(context, fd), on_readable(std::move(callback)) {}

  void wait() {
    descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                          [self = shared_from_this()](const boost::system::error_code& error) {
                            if (error || !self->is_active) return;
                            self->on_readable();
                            if (self->is_active) self->wait();
                          });
  }
  void end() {
    is_active = false;
    (void)descriptor.release();
  }

  asio::posix::stream_descriptor descriptor;
  std::function<void()> on_readable;
  bool is_active = true;
};

}  // namespace

struct Loop::Impl {
  Impl() : guard(context.get_executor()), deadline(context, [] {}), signals(context) {}
  ~Impl() {
    for (auto& [fd, watch] : watches) watch->end();
  }

  void wait_for_signal() {
    signals.async_wait([this](const boost::system::error_code& error, int number) {
      if (error) return;
      on_signal(number);
      wait_for_signal();
    });
  }

  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard;
  BootTimer deadline;
  asio::signal_set signals;
  std::function<void(int)> on_signal;
  std::function<void(Instant)> hook;
  std::map<int, std::shared_ptr<Watch>> watches;
  std::atomic<bool> is_stopping{false};
};

Loop::Loop() : impl_(std::make_unique<Impl>()) {}
Loop::~Loop() = default;

Instant Loop::now() const { return boot_now(); }

WallTime Loop::wall_now() const {
  timespec spec{};
  ::clock_gettime(CLOCK_REALTIME, &spec);
  return WallTime{std::chrono::seconds{spec.tv_sec} + std::chrono::nanoseconds{spec.tv_nsec}};
}

void Loop::on_turn(std::function<void(Instant now)> hook) { impl_->hook = std::move(hook); }
void Loop::set_deadline(std::optional<Instant> at) { impl_->deadline.set(at); }
void Loop::post(std::function<void()> work) { asio::post(impl_->context, std::move(work)); }
asio::io_context& Loop::context() { return impl_->context; }

void Loop::watch(int fd, std::function<void()> on_readable) {
  unwatch(fd);
  const auto watch = std::make_shared<Watch>(impl_->context, fd, std::move(on_readable));
  impl_->watches.emplace(fd, watch);
  watch->wait();
}

void Loop::unwatch(int fd) {
  const auto at = impl_->watches.find(fd);
  if (at == impl_->watches.end()) return;
  at->second->end();
  impl_->watches.erase(at);
}

void Loop::on_signals(std::initializer_list<int> signals, std::function<void(int)> callback) {
  const bool is_first = !impl_->on_signal;
  impl_->on_signal = std::move(callback);
  for (const int number : signals) {
    boost::system::error_code error;
    impl_->signals.add(number, error);
    FG_ASSERT(!error);
  }
  if (is_first) impl_->wait_for_signal();
}

void Loop::run() {
  impl_->is_stopping = false;
  // The first turn has no cause: it lets the machines state their first deadline.
  post([] {});
  while (!impl_->is_stopping) {
    impl_->context.run_one();
    for (int i = 1; i < kHandlersPerTurnMax && impl_->context.poll_one() != 0; ++i) {
    }
    if (impl_->hook && !impl_->is_stopping) impl_->hook(now());
  }
}

void Loop::stop() {
  impl_->is_stopping = true;
  post([] {});  // wakes the loop if it sleeps
}

}  // namespace fg::net
