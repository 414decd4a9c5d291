// The control thread's event loop: file descriptors, signals, work posted from other threads,
// deadlines on the clock that counts suspend. Runs in turns: a batch of handlers, then the turn
// hook once, so that the machines above are drained and the next deadline is set in one place.
// Sleeps when nothing is due. One thread runs it; only post() and stop() may be called from others.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>

#include "base/time.h"

namespace boost::asio {
class io_context;
}

namespace fg::net {

inline constexpr int kHandlersPerTurnMax = 64;

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // CLOCK_BOOTTIME and CLOCK_REALTIME, read at every call.
  [[nodiscard]] Instant now() const;
  [[nodiscard]] WallTime wall_now() const;

  // Called after every batch of handlers, also after one caused by the deadline alone.
  void on_turn(std::function<void(Instant now)> hook);
  // The turn hook runs at this time at the latest. Replaces the previous one; none: no deadline.
  void set_deadline(std::optional<Instant> at);

  void post(std::function<void()> work);
  // Level-triggered: called while fd is readable; the callback reads at its own pace. fd stays the
  // caller's and is unwatched before it is closed.
  void watch(int fd, std::function<void()> on_readable);
  void unwatch(int fd);
  void on_signals(std::initializer_list<int> signals, std::function<void(int)> callback);

  void run();
  void stop();

  // For the rest of this room only.
  [[nodiscard]] boost::asio::io_context& context();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fg::net
