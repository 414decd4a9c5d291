// A network namespace of the test's own with a TUN device in it: needs root.
#pragma once

#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cstring>

#include "io/kernel/file_descriptor.h"
#include "tests/support/own_network.h"

namespace fg::gateway {

using test::output_of;
using test::refusal_of;

class OwnNamespace : public test::OwnNetwork {
 protected:
  void SetUp() override {
    OwnNetwork::SetUp();
    tun_ = io::kernel::FileDescriptor{::open("/dev/net/tun", O_RDWR | O_CLOEXEC)};
    ASSERT_TRUE(tun_.is_open());
    ifreq request{};
    std::strncpy(request.ifr_name, "tun-test", IFNAMSIZ - 1);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    ASSERT_EQ(::ioctl(tun_.get(), TUNSETIFF, &request), 0);
  }
  void TearDown() override {
    tun_.close();
    OwnNetwork::TearDown();
  }

 private:
  io::kernel::FileDescriptor tun_;
};

}  // namespace fg::gateway
