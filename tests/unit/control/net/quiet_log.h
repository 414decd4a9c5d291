#pragma once

#include "base/log.h"

namespace fg::net::test {

class QuietSink final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel /*level*/, std::string_view /*target*/) const override {
    return false;
  }
  void write(LogLevel /*level*/, std::string_view /*target*/, std::string_view /*message*/,
             std::span<const LogField> /*fields*/) override {}
};

}  // namespace fg::net::test
