#include "control/net/flow_log_writer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "quiet_log.h"
#include "tests/unit/control/flow_log/samples.h"

namespace fg::net {
namespace {

class FlowLogWriterTest : public testing::Test {
 protected:
  FlowLogWriterTest() { std::filesystem::remove_all(base); }
  ~FlowLogWriterTest() override { std::filesystem::remove_all(base); }

  [[nodiscard]] FlowLogWriter::Options options() const {
    FlowLogWriter::Options out;
    out.spool = base + "/flow_logs";
    out.line_file = base + "/lines";
    return out;
  }

  std::string base = testing::TempDir() + "firegate-writer-" +
                     testing::UnitTest::GetInstance()->current_test_info()->name();
  test::QuietSink sink;
  Loop loop;
};

TEST_F(FlowLogWriterTest, WhatWaitsIsWrittenBeforeTheEnd) {
  FlowLogWriter writer(loop, options(), sink);
  writer.start();
  auto claims = fg::test::claims();
  claims["exp"] = 4'000'000'000;
  auto record = fg::test::record();
  record.whose = fg::test::ingest(claims);
  const auto report = *flow_log::report_of(record);
  writer.keep_token(report.directory, SecretText{fg::test::token_of(claims)});
  EXPECT_TRUE(writer.write(report));
  EXPECT_TRUE(writer.append("line\n"));
  writer.stop();
  EXPECT_EQ(writer.status().lost, 0U);
  EXPECT_TRUE(std::filesystem::exists(base + "/flow_logs/" + report.directory + "/" + report.name));
  std::ifstream lines{base + "/lines"};
  EXPECT_EQ((std::string{std::istreambuf_iterator<char>{lines}, {}}), "line\n");
  EXPECT_EQ(writer.status().spooled, 1U);
  EXPECT_EQ(writer.status().waiting, 0U);
}

TEST_F(FlowLogWriterTest, LosesWhatIsTooMuchAndCountsIt) {
  auto limited = options();
  limited.records_max = 3;
  FlowLogWriter writer(loop, limited, sink);  // not started: nothing is taken away
  for (int i = 0; i < 5; ++i) EXPECT_EQ(writer.append("line\n"), i < 3);
  EXPECT_EQ(writer.status().lost, 2U);
}

TEST_F(FlowLogWriterTest, LosesTokensAndSettingsThatAreTooManyApartFromRecords) {
  auto limited = options();
  limited.orders_max = 2;
  FlowLogWriter writer(loop, limited, sink);
  EXPECT_TRUE(writer.keep_token("responder/x", SecretText{"token"}));
  EXPECT_TRUE(writer.keep_settings(std::nullopt));
  EXPECT_FALSE(writer.keep_token("responder/y", SecretText{"token"}));
  EXPECT_FALSE(writer.keep_settings(std::nullopt));
  EXPECT_TRUE(writer.append("line\n"));
  EXPECT_EQ(writer.status().lost, 2U);
}

TEST_F(FlowLogWriterTest, CountsWhatCannotBeWritten) {
  auto elsewhere = options();
  elsewhere.line_file = base + "/none/lines";
  FlowLogWriter writer(loop, elsewhere, sink);
  writer.start();
  EXPECT_TRUE(writer.append("line\n"));
  writer.stop();
  EXPECT_EQ(writer.status().lost, 1U);
}

}  // namespace
}  // namespace fg::net
