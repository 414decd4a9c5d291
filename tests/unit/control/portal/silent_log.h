// A log nobody reads, and one that remembers what was said.
#pragma once

#include <string>
#include <vector>

#include "base/log.h"

namespace fg::portal::test {

class RememberingSink final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel /*level*/, std::string_view /*target*/) const override {
    return true;
  }
  void write(LogLevel /*level*/, std::string_view /*target*/, std::string_view message,
             std::span<const LogField> fields) override {
    std::string line{message};
    for (const auto& field : fields) line += " " + field.key + "=" + field.value;
    lines.push_back(std::move(line));
  }
  std::vector<std::string> lines;
};

}  // namespace fg::portal::test
