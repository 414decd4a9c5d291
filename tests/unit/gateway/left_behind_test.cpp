#include "gateway/left_behind.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace fg::gateway {
namespace {

class LeftBehindTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "firegate-left-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root); }

  std::filesystem::path root;
  const std::vector<std::string> lines{"candidate:1 1 udp 1 198.51.100.10 52625 typ host",
                                       "candidate:2 1 udp 1 2001:db8::1 52625 typ host"};
};

TEST_F(LeftBehindTest, WhatWasWrittenLastIsReadAndNothingElseStays) {
  const LeftBehind file{root};
  EXPECT_TRUE(file.read().empty());
  EXPECT_TRUE(file.write(lines));
  EXPECT_TRUE(file.write({lines[1]}));
  EXPECT_EQ(LeftBehind{root}.read(), std::vector{lines[1]});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator{root}, {}), 1);
}

TEST_F(LeftBehindTest, NothingIsLeftAfterACleanEnd) {
  const LeftBehind file{root};
  EXPECT_TRUE(file.write(lines));
  file.clear();
  EXPECT_TRUE(std::filesystem::is_empty(root));
  file.clear();
}

TEST_F(LeftBehindTest, WhatIsNoCandidateIsLeftOut) {
  std::ofstream{root / "reachable_at"} << "garbage\n"
                                       << lines[0] << "\n\ncandidate:" << std::string(2000, 'x')
                                       << '\n';
  EXPECT_EQ(LeftBehind{root}.read(), std::vector{lines[0]});
}

TEST_F(LeftBehindTest, LinesAreBounded) {
  const LeftBehind file{root};
  EXPECT_TRUE(file.write(std::vector(kLeftBehindMax, lines[0])));
  EXPECT_EQ(file.read().size(), kLeftBehindMax);
  EXPECT_TRUE(file.write(std::vector(kLeftBehindMax + 1, lines[0])));
  EXPECT_EQ(file.read().size(), kLeftBehindMax);
}

TEST_F(LeftBehindTest, ADirectoryThatIsNotThereIsNoHarm) {
  const LeftBehind file{(root / "absent").string()};
  EXPECT_TRUE(file.read().empty());
  EXPECT_FALSE(file.write(lines));
  file.clear();
}

}  // namespace
}  // namespace fg::gateway
