#include "gateway/identity.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace fg::gateway {
namespace {

class IdentityTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "firegate-identity-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root = pattern;
    files = {(root / "state").string(), (root / "machine-id").string()};
  }
  void TearDown() override { std::filesystem::remove_all(root); }
  void write(const std::string& path, const std::string& content) {
    std::filesystem::create_directories(std::filesystem::path{path}.parent_path());
    std::ofstream{path} << content;
  }
  Result<DeviceId, std::string> find() { return find_device_id(files, random); }

  std::filesystem::path root;
  IdentityFiles files;
  SeededRandom random{7};
};

TEST_F(IdentityTest, ReadsTheFileOfNewerOriginals) {
  write(files.state_directory + "/gateway_id", R"({"id":"3b5f"})");
  EXPECT_EQ(find()->id, "3b5f");
}

TEST_F(IdentityTest, ReadsTheFileOfTheSeed) {
  write(files.state_directory + "/gateway_id", "3f0a4c6e-6d0c-4b6b-9a3e-0b8f7c1d2e34\n");
  write(files.machine_id, "0123456789abcdef0123456789abcdef\n");
  EXPECT_EQ(find()->id, "3f0a4c6e-6d0c-4b6b-9a3e-0b8f7c1d2e34\n") << "the seed hashes all of it";
}

TEST_F(IdentityTest, AnUnusableFileOrADirectoryOfItsNameLeavesTheMachineIdAsTheOriginalsDo) {
  write(files.machine_id, "0123456789abcdef0123456789abcdef\n");
  const auto derived = derive_from_machine_id("0123456789abcdef0123456789abcdef\n");
  for (const auto* content : {"", "garbage", "{}", R"({"id":""})", R"({"id":3})"}) {
    write(files.state_directory + "/gateway_id", content);
    EXPECT_EQ(find()->id, derived) << content;
  }
  std::filesystem::remove(files.state_directory + "/gateway_id");
  std::filesystem::create_directory(files.state_directory + "/gateway_id");
  EXPECT_EQ(find()->id, derived);
  write(files.machine_id, "");
  EXPECT_EQ(find()->id, derive_from_machine_id("")) << "used like any other content";
}

TEST_F(IdentityTest, DerivesFromTheMachineIdNewlineIncluded) {
  write(files.machine_id, "0123456789abcdef0123456789abcdef\n");
  // The same by another implementation of HMAC-SHA256 over the text with its newline.
  EXPECT_EQ(find()->id, "eeefe5d1cb3807dfc3ae24794878ec3147027390d839d1d718d8e42bcfde3336");
  EXPECT_EQ(find()->id, derive_from_machine_id("0123456789abcdef0123456789abcdef\n"));
  EXPECT_NE(find()->id, derive_from_machine_id("0123456789abcdef0123456789abcdef"));
  EXPECT_EQ(find()->id.size(), 64U);
  EXPECT_FALSE(std::filesystem::exists(files.state_directory)) << "a derived id is not stored";
}

TEST_F(IdentityTest, AnUnusableFileIsNeverOverwritten) {
  write(files.state_directory + "/gateway_id", "garbage");
  const auto found = find();
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().find("FIREZONE_ID"), std::string::npos);
  std::ifstream in{files.state_directory + "/gateway_id"};
  std::string content;
  std::getline(in, content);
  EXPECT_EQ(content, "garbage");
}

TEST_F(IdentityTest, MakesAndKeepsANewOneAsTheLastResort) {
  const auto first = find();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->id.size(), 64U);
  EXPECT_EQ(find()->id, first->id);
  struct stat info{};
  ASSERT_EQ(::stat((files.state_directory + "/gateway_id").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0007, 0U) << "not for the world";
}

TEST_F(IdentityTest, AStateDirectoryThatCannotBeMadeIsAnErrorWithTheMend) {
  write(root / "file", "");
  files.state_directory = (root / "file" / "state").string();
  const auto found = find();
  ASSERT_FALSE(found);
  EXPECT_NE(found.error().find("set FIREZONE_ID"), std::string::npos);
  EXPECT_EQ(found.error().find('\n'), std::string::npos);
}

}  // namespace
}  // namespace fg::gateway
