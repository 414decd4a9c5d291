// A network namespace of the test's own with a TUN device in it: needs root.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <string>

namespace fg::gateway {

inline std::string output_of(const std::string& command) {
  std::string out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return out;
  std::array<char, 512> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) out += buffer.data();
  ::pclose(pipe);
  return out;
}

class OwnNamespace : public ::testing::Test {
 protected:
  void SetUp() override {
    home = ::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    ASSERT_GE(home, 0);
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0)
        << "run the tests as root: they make a network namespace of their own";
    tun = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    ASSERT_GE(tun, 0);
    ifreq request{};
    std::strncpy(request.ifr_name, "tun-test", IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    ASSERT_EQ(::ioctl(tun, TUNSETIFF, &request), 0);
  }
  void TearDown() override {
    ::close(tun);
    EXPECT_EQ(::setns(home, CLONE_NEWNET), 0);
    ::close(home);
  }

  int home = -1;
  int tun = -1;
};

}  // namespace fg::gateway
