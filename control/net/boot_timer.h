// One deadline on the clock that counts suspend. For the rest of this room only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "base/time.h"

namespace fg::net {

class BootTimer {
 public:
  // on_expired may set the timer again, and may destroy it.
  BootTimer(boost::asio::io_context& context, std::function<void()> on_expired);
  ~BootTimer();
  BootTimer(const BootTimer&) = delete;
  BootTimer& operator=(const BootTimer&) = delete;

  // Replaces the previous deadline. One in the past expires in the loop's next turn.
  void set(std::optional<Instant> at);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

[[nodiscard]] Instant boot_now();

}  // namespace fg::net
