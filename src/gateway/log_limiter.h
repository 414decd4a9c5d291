// Keeps what others can cause as often as they like from filling the log: each message of a target
// has a rate, and what was left out is said with the next line that is written. Messages are fixed
// texts (base/log.h), so one message is one place in the code. Errors end the process and debug was
// asked for: neither is limited.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/time.h"

namespace fg::gateway {

inline constexpr int kLogBurst = 200;
inline constexpr Duration kLogInterval = 100ms;      // one line each, after the burst
inline constexpr std::size_t kLogMessagesMax = 256;  // told apart; further ones share one rate

class LogLimiter final : public LogSink {
 public:
  using Clock = std::function<WallTime()>;

  // The sink outlives the limiter.
  LogLimiter(LogSink& sink, Clock clock) : sink_(sink), clock_(std::move(clock)) {}

  [[nodiscard]] bool is_enabled(LogLevel level, std::string_view target) const override {
    return sink_.is_enabled(level, target);
  }
  void write(LogLevel level, std::string_view target, std::string_view message,
             std::span<const LogField> fields) override;

 private:
  struct Rate {
    LogLevel level = LogLevel::info;
    WallTime spent_until{};  // when all of the burst is there again
    std::uint64_t suppressed = 0;
  };
  using Key = std::pair<std::string, std::string>;  // target, message

  Rate& rate_of(std::string_view target, std::string_view message);
  void say_suppressed(WallTime now);

  LogSink& sink_;
  Clock clock_;
  std::map<Key, Rate> rates_;
  bool is_silent_about_some_ = false;
};

}  // namespace fg::gateway
