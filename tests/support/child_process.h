// Parts of a test that end their process, or give up what it may do, in a process of their own.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace fg::test {

// The exit status that `body` returns; -1: a signal ended it.
template <class Body>
int status_in_child(Body&& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// A process that holds what `make` returned, true or false, until it is killed.
class HoldingChild {
 public:
  template <class Make>
  explicit HoldingChild(Make&& make) {
    std::array<int, 2> ready{};
    if (::pipe(ready.data()) != 0) return;
    child_ = ::fork();
    if (child_ == 0) {
      const auto held = make();
      const char answer = held ? 'y' : 'n';
      if (::write(ready[1], &answer, 1) == 1) ::pause();
      ::_exit(1);
    }
    ::close(ready[1]);
    char answer = 0;
    holds_ = ::read(ready[0], &answer, 1) == 1 && answer == 'y';
    ::close(ready[0]);
  }
  ~HoldingChild() { kill(); }
  HoldingChild(const HoldingChild&) = delete;
  HoldingChild& operator=(const HoldingChild&) = delete;

  [[nodiscard]] bool holds() const { return holds_; }
  // As a crash would: nothing of it runs any more.
  void kill() {
    if (child_ <= 0) return;
    ::kill(child_, SIGKILL);
    EXPECT_EQ(::waitpid(child_, nullptr, 0), child_);
    child_ = -1;
  }

 private:
  pid_t child_ = -1;
  bool holds_ = false;
};

}  // namespace fg::test
