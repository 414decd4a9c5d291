#include "control/net/line_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdio>
#include <fstream>
#include <iterator>

namespace fg::net {
namespace {

std::string content_of(const std::string& path) {
  std::ifstream in{path};
  return {std::istreambuf_iterator<char>{in}, {}};
}

class LineFileTest : public testing::Test {
 protected:
  LineFileTest() {
    std::remove(path.c_str());
    std::remove((path + ".1").c_str());
  }
  ~LineFileTest() override {
    std::remove(path.c_str());
    std::remove((path + ".1").c_str());
  }
  std::string path = testing::TempDir() + "firegate-lines-" +
                     testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(LineFileTest, IsForItsOwnerAndAppends) {
  {
    LineFile file{path};
    ASSERT_TRUE(file.append("one\n"));
  }
  LineFile file{path};
  ASSERT_TRUE(file.append("two\n"));
  EXPECT_EQ(content_of(path), "one\ntwo\n");
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777U, 0600U);
}

TEST_F(LineFileTest, NeverGrowsBeyondItsLimit) {
  LineFile file{path, 10};
  for (const auto* line : {"1234\n", "5678\n", "abcd\n", "efgh\n", "ijkl\n"})
    ASSERT_TRUE(file.append(line));
  EXPECT_EQ(content_of(path), "ijkl\n");
  EXPECT_EQ(content_of(path + ".1"), "abcd\nefgh\n");
}

TEST_F(LineFileTest, WritesToTheNewFileAfterTheOldWasMovedAway) {
  LineFile file{path};
  ASSERT_TRUE(file.append("one\n"));
  ASSERT_EQ(std::rename(path.c_str(), (path + ".1").c_str()), 0);
  file.reopen();
  ASSERT_TRUE(file.append("two\n"));
  EXPECT_EQ(content_of(path), "two\n");
}

TEST_F(LineFileTest, SaysWhatIsInTheWay) {
  LineFile file{path + "/none/file"};
  EXPECT_FALSE(file.append("one\n"));
  EXPECT_NE(file.last_error().find("No such file or directory"), std::string::npos);
}

}  // namespace
}  // namespace fg::net
