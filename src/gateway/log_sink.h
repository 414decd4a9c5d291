// Log lines on standard output in the two formats of the original, filtered by its filter syntax
// (spec operations 5). One thread writes.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/time.h"

namespace fg::gateway {

// "info", "warn,portal=debug": comma-separated target=level with a bare level as default; the
// longest matching target wins. A target matches itself and what follows it after "::".
class LogFilter {
 public:
  static std::optional<LogFilter> parse(std::string_view text);
  [[nodiscard]] bool allows(LogLevel level, std::string_view target) const;

 private:
  // One past error means "off".
  static constexpr int kOff = static_cast<int>(LogLevel::error) + 1;
  static std::optional<int> parse_level(std::string_view text);
  int default_ = static_cast<int>(LogLevel::error);
  std::map<std::string, int, std::less<>> targets_;
};

enum class LogFormat : std::uint8_t { human, json };

class LineSink final : public LogSink {
 public:
  using Clock = std::function<WallTime()>;
  using Output = std::function<void(std::string_view line)>;  // line ends in a newline

  LineSink(LogFilter filter, LogFormat format, Clock clock, Output output)
      : filter_(std::move(filter)),
        format_(format),
        clock_(std::move(clock)),
        output_(std::move(output)) {}

  [[nodiscard]] bool is_enabled(LogLevel level, std::string_view target) const override {
    return filter_.allows(level, target);
  }
  void write(LogLevel level, std::string_view target, std::string_view message,
             std::span<const LogField> fields) override;

 private:
  LogFilter filter_;
  LogFormat format_;
  Clock clock_;
  Output output_;
};

// "2026-11-22T17:49:52.123Z"
[[nodiscard]] std::string format_time(WallTime time);

}  // namespace fg::gateway
