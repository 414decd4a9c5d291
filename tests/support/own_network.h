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
#include <utility>

namespace fg::test {

struct Ran {
  int status = -1;
  std::string output;  // errors too
};
inline Ran run(const std::string& command) {
  Ran ran;
  FILE* pipe = ::popen(("{ " + command + "\n} 2>&1").c_str(), "r");
  if (pipe == nullptr) return ran;
  std::array<char, 512> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) ran.output += buffer.data();
  ran.status = ::pclose(pipe);
  return ran;
}
// What a command says that does its work.
inline std::string output_of(const std::string& command) {
  auto ran = run(command);
  EXPECT_EQ(ran.status, 0) << command << ": " << ran.output;
  return std::move(ran.output);
}
// What one says that cannot.
inline std::string refusal_of(const std::string& command) {
  auto ran = run(command);
  EXPECT_NE(ran.status, 0) << command << ": " << ran.output;
  return std::move(ran.output);
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
