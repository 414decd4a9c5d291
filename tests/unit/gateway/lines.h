// A log kept as lines: the message, then its fields as key=value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"

namespace fg::gateway {

class Lines final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel, std::string_view) const override { return true; }
  void write(LogLevel, std::string_view, std::string_view message,
             std::span<const LogField> fields) override {
    auto& line = all.emplace_back(message);
    for (const auto& field : fields) line += " " + field.key + "=" + field.value;
  }
  std::vector<std::string> all;
};

}  // namespace fg::gateway
