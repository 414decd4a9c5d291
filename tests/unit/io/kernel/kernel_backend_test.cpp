#include "io/kernel/kernel_backend.h"

#include <cerrno>
#include <fstream>

#include "tests/unit/io/kernel/network.h"

namespace fg::io::kernel {
namespace {

class KernelBackendTest : public NetworkTest {};

TEST_F(KernelBackendTest, OneWorkerHasBothFamiliesOnThePreferredPort) {
  const auto opened = open_kernel_backend({.tun_name = "tun-test"});
  ASSERT_TRUE(opened) << opened.error().to_string();
  EXPECT_EQ(opened->backend.ports.size(), 1);
  EXPECT_EQ(opened->backend.ports[0]->wait_fds().size(), 3);
  const auto& can = opened->capabilities;
  ASSERT_TRUE(can.v4 && can.v6);
  EXPECT_EQ(can.v4->port, 52625);
  EXPECT_EQ(can.v6->port, 52625);
  EXPECT_TRUE(can.v4->segmentation && can.v4->receive_offload && !can.v4->mark_error);
  EXPECT_FALSE(can.steering);
  EXPECT_EQ(can.tun.name, "tun-test");
}

TEST_F(KernelBackendTest, ATakenPortIsReplacedInThatFamilyOnly) {
  const auto taken = open_or_die(Family::v4, 52625);
  const auto opened = open_kernel_backend({.tun_name = "tun-test"});
  ASSERT_TRUE(opened) << opened.error().to_string();
  EXPECT_NE(opened->capabilities.v4->port, 52625);
  EXPECT_NE(opened->capabilities.v4->port, 0);
  EXPECT_EQ(opened->capabilities.v6->port, 52625);
}

TEST_F(KernelBackendTest, EachWorkerHasAPortOfItsOwnAndDataIsSteered) {
  const auto opened = open_kernel_backend({.workers = 3, .tun_name = "tun-test"});
  ASSERT_TRUE(opened) << opened.error().to_string();
  EXPECT_EQ(opened->backend.ports.size(), 3);
  EXPECT_TRUE(opened->capabilities.steering);
}

TEST_F(KernelBackendTest, ASecondGatewayIsRefusedTheDevice) {
  const auto first = open_kernel_backend({.tun_name = "tun-test"});
  ASSERT_TRUE(first);
  const auto second = open_kernel_backend({.tun_name = "tun-test"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().error, EBUSY);
  EXPECT_STREQ(second.error().operation, "attach to the TUN device");
}

}  // namespace
}  // namespace fg::io::kernel
