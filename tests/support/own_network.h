// A network namespace of the test's own, empty but for `lo`, which is down; and what people type
// into a shell. Needs root.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

namespace fg::test {

// What a command wrote, errors too.
inline std::string output_of(const std::string& command, bool may_fail = false) {
  std::string out;
  FILE* pipe = ::popen(("{ " + command + "\n} 2>&1").c_str(), "r");
  if (pipe == nullptr) return out;
  std::array<char, 512> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) out += buffer.data();
  const int status = ::pclose(pipe);
  EXPECT_TRUE(status == 0 || may_fail) << command << ": " << out;
  return out;
}

class OwnNetwork : public ::testing::Test {
 protected:
  void SetUp() override {
    home_ = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    ASSERT_GE(home_, 0);
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0) << "these tests need root";
  }
  void TearDown() override {
    EXPECT_EQ(::setns(home_, CLONE_NEWNET), 0);
    ::close(home_);
  }

 private:
  int home_ = -1;
};

}  // namespace fg::test
