#include "gateway/log_sink.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace fg::gateway {
namespace {

WallTime fixed_time() { return WallTime{1'795'366'989'707ms}; }

std::string write_one(LogFormat format, std::string_view message, Log::Fields fields) {
  std::string out;
  LineSink sink{*LogFilter::parse("trace"), format, fixed_time,
                [&](std::string_view line) { out += line; }};
  sink.write(LogLevel::info, "portal", message, {fields.begin(), fields.size()});
  return out;
}

TEST(LogFilter, TheLongestMatchingTargetWins) {
  const auto filter = LogFilter::parse("warn,portal=debug,portal::wire=off");
  ASSERT_TRUE(filter);
  EXPECT_TRUE(filter->allows(LogLevel::warn, "gateway"));
  EXPECT_FALSE(filter->allows(LogLevel::info, "gateway"));
  EXPECT_TRUE(filter->allows(LogLevel::debug, "portal"));
  EXPECT_TRUE(filter->allows(LogLevel::debug, "portal::login"));
  EXPECT_FALSE(filter->allows(LogLevel::error, "portal::wire"));
  EXPECT_FALSE(filter->allows(LogLevel::debug, "portals"));
}

TEST(LogFilter, TakesLevelsInEitherCaseAndAsNumbers) {
  EXPECT_TRUE(LogFilter::parse("WARN")->allows(LogLevel::warn, "x"));
  EXPECT_TRUE(LogFilter::parse("x=4")->allows(LogLevel::debug, "x"));
  EXPECT_FALSE(LogFilter::parse("0")->allows(LogLevel::error, "x"));
  EXPECT_TRUE(LogFilter::parse(" info , str0m=warn,")->allows(LogLevel::info, "x"));
}

TEST(LogFilter, RefusesWhatIsNoFilter) {
  for (const auto* text : {"portal=loud", "=info", "a=b=c"})
    EXPECT_FALSE(LogFilter::parse(text)) << text;
  EXPECT_TRUE(LogFilter::parse(""));
  EXPECT_FALSE(LogFilter::parse("")->allows(LogLevel::warn, "x")) << "errors only, as the original";
}

TEST(LineSink, WritesTheHumanFormatOfTheOriginal) {
  EXPECT_EQ(
      write_one(LogFormat::human, "Connected to portal", {{"attempt", 3}, {"host", "portal.test"}}),
      "2026-11-22T17:03:09.707Z  INFO portal: Connected to portal attempt=3 host=portal.test\n");
}

TEST(LineSink, RemoteTextCannotForgeLines) {
  const auto line = write_one(LogFormat::human, "refused", {{"body", "x\n2026 ERROR"}});
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  EXPECT_NE(line.find("x\\x0a2026"), std::string::npos);
}

TEST(LineSink, WritesOneFlatJsonObjectALine) {
  const auto line = write_one(LogFormat::json, "Connected",
                              {{"attempt", 3}, {"ready", true}, {"host", "a\"b\xFF"}});
  const auto json = nlohmann::json::parse(line);
  EXPECT_EQ(json["level"], "INFO");
  EXPECT_EQ(json["target"], "portal");
  EXPECT_EQ(json["message"], "Connected");
  EXPECT_EQ(json["attempt"], 3);
  EXPECT_EQ(json["ready"], true);
}

}  // namespace
}  // namespace fg::gateway
