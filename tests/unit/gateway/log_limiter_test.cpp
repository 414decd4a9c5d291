#include "gateway/log_limiter.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace fg::gateway {
namespace {

struct Lines final : LogSink {
  [[nodiscard]] bool is_enabled(LogLevel level, std::string_view) const override {
    return level >= LogLevel::info;
  }
  void write(LogLevel, std::string_view, std::string_view message,
             std::span<const LogField> fields) override {
    std::string line{message};
    for (const auto& field : fields) line += " " + field.key + "=" + field.value;
    lines.push_back(std::move(line));
  }
  std::vector<std::string> lines;
};

class LogLimiting : public ::testing::Test {
 protected:
  void say(int times, const char* message = "client connected") {
    for (int i = 0; i < times; ++i) log.info(message);
  }
  Lines out;
  WallTime now{1'795'366'989'707ms};
  LogLimiter limiter{out, [this] { return now; }};
  Log log{limiter, "controller"};
};

TEST_F(LogLimiting, ABurstPassesAndOneLineMoreIsLeftOut) {
  say(kLogBurst);
  EXPECT_EQ(out.lines.size(), std::size_t{kLogBurst});
  say(1);
  EXPECT_EQ(out.lines.size(), std::size_t{kLogBurst});
}

TEST_F(LogLimiting, WhatWasLeftOutIsSaidWithItsNumberByTheNextLineOfAnyKind) {
  say(kLogBurst + 41);
  out.lines.clear();
  now += kLogInterval;
  say(1, "Goodbye!");
  EXPECT_EQ(
      out.lines,
      (std::vector<std::string>{
          "lines left out, too many of one kind line=client connected suppressed=41", "Goodbye!"}));
}

TEST_F(LogLimiting, AFloodLeavesTenLinesASecond) {
  say(kLogBurst);
  out.lines.clear();
  for (int i = 0; i < 10'000; ++i) {
    now += 1ms;
    say(1);
  }
  EXPECT_GE(out.lines.size(), 90U);
  EXPECT_LE(out.lines.size(), 101U);
}

TEST_F(LogLimiting, OtherMessagesAreNotHeldBack) {
  say(kLogBurst + 1);
  out.lines.clear();
  say(1, "relay gone");
  EXPECT_EQ(out.lines, std::vector<std::string>{"relay gone"});
}

TEST_F(LogLimiting, ErrorsAreNeverLeftOut) {
  for (int i = 0; i < 2 * kLogBurst; ++i) log.error("broken");
  EXPECT_EQ(out.lines.size(), std::size_t{2 * kLogBurst});
}

TEST_F(LogLimiting, AWallClockSetBackSilencesNothing) {
  say(kLogBurst);
  out.lines.clear();
  now -= std::chrono::hours{24};
  say(1);
  EXPECT_EQ(out.lines.size(), 1U);
}

TEST_F(LogLimiting, MessagesBeyondTheLimitShareOneRate) {
  for (std::size_t i = 0; i < kLogMessagesMax; ++i) say(1, std::to_string(i).c_str());
  out.lines.clear();
  for (int i = 0; i < 2 * kLogBurst; ++i) say(1, ("more " + std::to_string(i)).c_str());
  EXPECT_EQ(out.lines.size(), std::size_t{kLogBurst});
}

}  // namespace
}  // namespace fg::gateway
