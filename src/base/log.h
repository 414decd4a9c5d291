// Structured logging handed in like the clock: a fixed message plus fields, never values inside
// sentences. Workers do not log. Where the lines go is the sink's business (src/gateway), so tests
// read them back.
//
//   log.info("allocation created", {{"relay", id}, {"lifetime_s", 600}});
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

namespace fg {

enum class LogLevel : std::uint8_t { trace, debug, info, warn, error };

struct LogField {
  std::string key;
  std::string value;
  bool quoted = true;  // false for numbers and booleans in JSON output

  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(v) {}
  LogField(std::string_view k, bool v) : key(k), value(v ? "true" : "false"), quoted(false) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)), quoted(false) {}
  template <class T>
    requires requires(const T& v) {
      { v.to_string() } -> std::convertible_to<std::string>;
    }
  LogField(std::string_view k, const T& v) : key(k), value(v.to_string()) {}
};

class LogSink {
 public:
  virtual ~LogSink() = default;
  [[nodiscard]] virtual bool is_enabled(LogLevel level, std::string_view target) const = 0;
  virtual void write(LogLevel level, std::string_view target, std::string_view message,
                     std::span<const LogField> fields) = 0;
};

// A view of a sink for one room ("target" in the filter syntax of RUST_LOG). Cheap to copy.
class Log {
 public:
  Log(LogSink& sink, std::string target) : sink_(&sink), target_(std::move(target)) {}

  using Fields = std::initializer_list<LogField>;
  void trace(std::string_view message, Fields fields = {}) const {
    write(LogLevel::trace, message, fields);
  }
  void debug(std::string_view message, Fields fields = {}) const {
    write(LogLevel::debug, message, fields);
  }
  void info(std::string_view message, Fields fields = {}) const {
    write(LogLevel::info, message, fields);
  }
  void warn(std::string_view message, Fields fields = {}) const {
    write(LogLevel::warn, message, fields);
  }
  void error(std::string_view message, Fields fields = {}) const {
    write(LogLevel::error, message, fields);
  }
  [[nodiscard]] bool is_enabled(LogLevel level) const { return sink_->is_enabled(level, target_); }
  [[nodiscard]] LogSink& sink() const { return *sink_; }

 private:
  void write(LogLevel level, std::string_view message, Fields fields) const {
    if (sink_->is_enabled(level, target_))
      sink_->write(level, target_, message, {fields.begin(), fields.size()});
  }
  LogSink* sink_;
  std::string target_;
};

}  // namespace fg
