#include "gateway/log_limiter.h"

#include <algorithm>

namespace fg::gateway {
namespace {

bool is_limited(LogLevel level) { return level == LogLevel::info || level == LogLevel::warn; }

bool has_room(WallTime spent_until, WallTime now) {
  return spent_until - now <= (kLogBurst - 1) * kLogInterval;
}

}  // namespace

void LogLimiter::write(LogLevel level, std::string_view target, std::string_view message,
                       std::span<const LogField> fields) {
  if (!is_limited(level)) {
    sink_.write(level, target, message, fields);
    return;
  }
  const auto now = clock_();
  if (is_silent_about_some_) say_suppressed(now);
  auto& rate = rate_of(target, message);
  rate.level = level;
  // More than a whole burst ahead: the wall clock was set back.
  if (rate.spent_until < now || rate.spent_until > now + kLogBurst * kLogInterval)
    rate.spent_until = now;
  if (!has_room(rate.spent_until, now)) {
    ++rate.suppressed;
    is_silent_about_some_ = true;
    return;
  }
  rate.spent_until += kLogInterval;
  sink_.write(level, target, message, fields);
}

LogLimiter::Rate& LogLimiter::rate_of(std::string_view target, std::string_view message) {
  const Key key{target, message};
  if (const auto found = rates_.find(key); found != rates_.end()) return found->second;
  if (rates_.size() < kLogMessagesMax) return rates_[key];
  return rates_[{"gateway", "various"}];
}

void LogLimiter::say_suppressed(WallTime now) {
  is_silent_about_some_ = false;
  for (auto& [key, rate] : rates_) {
    if (rate.suppressed == 0) continue;
    if (!has_room(rate.spent_until, now)) {
      is_silent_about_some_ = true;
      continue;
    }
    rate.spent_until = std::max(rate.spent_until, now) + kLogInterval;
    const std::vector<LogField> fields{{"line", key.second},
                                       {"suppressed", std::exchange(rate.suppressed, 0)}};
    sink_.write(rate.level, key.first, "lines left out, too many of one kind", fields);
  }
}

}  // namespace fg::gateway
