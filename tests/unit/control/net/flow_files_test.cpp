#include "control/net/flow_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/control/flow_log/samples.h"

namespace fg::net {
namespace {

namespace fs = std::filesystem;

constexpr WallTime kBeforeExpiry{std::chrono::seconds{1'790'000'100}};
const std::string kDirectory = "responder/d41c7e90-2f5b-4a86-93d8-0b7e6c5a4f12";

class FlowFilesTest : public testing::Test {
 protected:
  FlowFilesTest() { fs::remove_all(base); }
  ~FlowFilesTest() override { fs::remove_all(base); }

  bool keep_token(FlowFiles& files) {
    return files.keep_token(kDirectory, SecretText{fg::test::token_of(fg::test::claims())});
  }
  [[nodiscard]] std::string path(const std::string& name) const {
    return root + "/" + kDirectory + "/" + name;
  }
  static unsigned mode_of(const std::string& path) {
    struct stat info{};
    return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 0777U : 0;
  }
  static void put(const std::string& path, const std::string& content) {
    std::ofstream{path} << content;
  }

  std::string base = testing::TempDir() + "firegate-spool-" +
                     testing::UnitTest::GetInstance()->current_test_info()->name();
  std::string root = base + "/flow_logs";
};

TEST_F(FlowFilesTest, WhatIsWrittenIsForItsOwnerAndComesBack) {
  FlowFiles files{root};
  ASSERT_TRUE(keep_token(files));
  const auto record = fg::test::completed(fg::test::record());
  ASSERT_EQ(files.write(*flow_log::report_of(fg::test::record())), FlowFiles::Written::written);
  ASSERT_EQ(files.write(*flow_log::report_of(record)), FlowFiles::Written::written);
  for (const auto& entry : fs::recursive_directory_iterator{root})
    EXPECT_EQ(mode_of(entry.path()), entry.is_directory() ? 0700U : 0600U) << entry.path();
  EXPECT_EQ(mode_of(root), 0700U);
  EXPECT_EQ(files.authorizations(), std::vector<std::string>{kDirectory});
  const auto batch = files.read(kDirectory, 10);
  EXPECT_EQ(batch.token.expose(), fg::test::token_of(fg::test::claims()));
  ASSERT_EQ(batch.payloads.size(), 1U) << "the end stands for the beginning";
  EXPECT_EQ(batch.payloads[0], flow_log::ingest_payload(record));
  files.remove(kDirectory, batch.files[0]);
  EXPECT_TRUE(files.read(kDirectory, 10).payloads.empty());
  EXPECT_EQ(std::distance(fs::directory_iterator{root + "/" + kDirectory}, {}), 1) << "the token";
}

TEST_F(FlowFilesTest, NothingIsMadeForWhoHasNoToken) {
  FlowFiles files{root};
  EXPECT_EQ(files.write(*flow_log::report_of(fg::test::record())), FlowFiles::Written::discarded);
  EXPECT_TRUE(files.keep_settings(std::nullopt));
  EXPECT_FALSE(fs::exists(root));
}

TEST_F(FlowFilesTest, WhatIsCorruptOrHalfWrittenGoes) {
  FlowFiles files{root};
  ASSERT_TRUE(keep_token(files));
  const auto report = *flow_log::report_of(fg::test::record());
  put(path(report.name), report.content.substr(0, report.content.size() / 2));
  put(path("0000000001-0000000000000000.end.json"), R"({"checksum":1,"payload":{}})");
  put(path(".new-0000000002-0000000000000000.end.json"), report.content);
  EXPECT_TRUE(files.read(kDirectory, 10).payloads.empty());
  files.prune(kBeforeExpiry);
  EXPECT_EQ(std::distance(fs::directory_iterator{root + "/" + kDirectory}, {}), 1) << "the token";
}

TEST_F(FlowFilesTest, ExpiredAndOrphanedAuthorizationsGo) {
  FlowFiles files{root};
  ASSERT_TRUE(keep_token(files));
  const std::string orphan = root + "/responder/d41c7e90-2f5b-4a86-93d8-0b7e6c5a4f13";
  fs::create_directories(orphan);
  put(root + "/responder/notes", "not ours");
  struct stat info{};
  ASSERT_EQ(::stat(orphan.c_str(), &info), 0);
  const WallTime made{std::chrono::seconds{info.st_mtim.tv_sec}};
  files.prune(std::min(made + 50s, kBeforeExpiry));
  EXPECT_TRUE(fs::exists(orphan));
  EXPECT_TRUE(fs::exists(path("token")));
  files.prune(std::max(made + 70s, WallTime{std::chrono::seconds{1'792'600'000}}));
  EXPECT_FALSE(fs::exists(orphan));
  EXPECT_FALSE(fs::exists(root + "/" + kDirectory));
  EXPECT_TRUE(fs::exists(root + "/responder/notes"));
}

TEST_F(FlowFilesTest, HoldsNoMoreReportsThanItMay) {
  FlowFiles files{root, 2};
  ASSERT_TRUE(keep_token(files));
  auto record = fg::test::record();
  for (std::uint16_t i = 0; i < 3; ++i) {
    record.key.client_port = i;
    EXPECT_EQ(files.write(*flow_log::report_of(record)),
              i < 2 ? FlowFiles::Written::written : FlowFiles::Written::full);
  }
  FlowFiles next{root, 2};
  EXPECT_EQ(next.write(*flow_log::report_of(record)), FlowFiles::Written::full);
  const auto batch = next.read(kDirectory, 1);
  EXPECT_TRUE(batch.has_more);
  next.remove(kDirectory, batch.files[0]);
  EXPECT_EQ(next.write(*flow_log::report_of(record)), FlowFiles::Written::written);
}

TEST_F(FlowFilesTest, SettingsAreKeptUntilUploadsEnd) {
  FlowFiles files{root};
  const flow_log::UploadSettings settings{"https://flows.example", 60, 100};
  ASSERT_TRUE(files.keep_settings(settings));
  EXPECT_EQ(FlowFiles{root}.settings(), settings);
  EXPECT_EQ(mode_of(root + "/upload.json"), 0600U);
  ASSERT_TRUE(files.keep_settings(std::nullopt));
  EXPECT_EQ(files.settings(), std::nullopt);
}

TEST_F(FlowFilesTest, ASpoolThatCannotBeWrittenIsSaid) {
  fs::create_directories(base);
  put(root, "a file");
  FlowFiles files{root};
  EXPECT_FALSE(keep_token(files));
  EXPECT_NE(files.last_error().find(root), std::string::npos);
}

}  // namespace
}  // namespace fg::net
