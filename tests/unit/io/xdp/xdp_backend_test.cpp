#include "io/xdp/xdp_backend.h"

#include "tests/unit/io/xdp/two_hosts.h"

namespace fg::io::xdp {
namespace {

class XdpBackendTest : public TwoHosts {};

TEST_F(XdpBackendTest, EachWorkersPortCanTakeQueues) {
  const auto opened = open_xdp_backend({.workers = 3, .tun_name = "tun-test"});
  ASSERT_TRUE(opened) << opened.error().to_string();
  ASSERT_EQ(opened->ports.size(), 3U);
  ASSERT_EQ(opened->kernel.backend.ports.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(opened->ports[i], opened->kernel.backend.ports[i].get());
    EXPECT_TRUE(opened->ports[i]->is_open());
    EXPECT_EQ(opened->ports[i]->wait_fds().size(), 4U);
  }
}

TEST_F(XdpBackendTest, WhatTheKernelRefusesIsTold) {
  const auto first = open_xdp_backend({.tun_name = "tun-test"});
  ASSERT_TRUE(first);
  EXPECT_FALSE(open_xdp_backend({.tun_name = "tun-test"}));
}

}  // namespace
}  // namespace fg::io::xdp
