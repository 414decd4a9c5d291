#include "io/xdp/device.h"

#include <gmock/gmock.h>
#include <sys/utsname.h>

#include <cstdlib>

#include "tests/unit/io/xdp/veth.h"

namespace fg::io::xdp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Reason = AttachError::Reason;

TEST(ZeroCopyObstacleTest, FollowsWhatTheKernelAnswers) {
  struct Case {
    const char* driver;
    std::optional<XdpFeatures> features;
    std::optional<Reason> obstacle;
    const char* says;
  };
  constexpr XdpFeatures kNothing{};
  constexpr XdpFeatures kCopies{.native = true, .zero_copy = false};
  constexpr XdpFeatures kZeroCopy{.native = true, .zero_copy = true};
  for (const auto& [driver, features, obstacle, says] : {
           Case{"ixgbe", kZeroCopy, std::nullopt, ""},
           Case{"not heard of", kZeroCopy, std::nullopt, ""},
           Case{"", kZeroCopy, std::nullopt, ""},
           Case{"veth", kCopies, Reason::only_copies,
                "[veth has no zero copy: asked of the kernel"},
           Case{"ixgbe", kCopies, Reason::only_copies, "[ixgbe has no zero copy"},
           Case{"", kCopies, Reason::only_copies, "[its driver has no zero copy"},
           Case{"bridge", kNothing, Reason::device_refused, "[bridge has no XDP in native mode"},
           Case{"odd", XdpFeatures{.native = false, .zero_copy = true}, Reason::device_refused, ""},
           // Linux before 6.3.
           Case{"ixgbe", std::nullopt, std::nullopt, ""},
           Case{"mlx5_core", std::nullopt, std::nullopt, ""},
           Case{"veth", std::nullopt, Reason::only_copies, "[veth is not known for zero copy"},
           Case{"ixgbevf", std::nullopt, Reason::only_copies, "this kernel cannot be asked"},
           Case{"", std::nullopt, Reason::only_copies, "[its driver is not known"},
       }) {
    const auto found = zero_copy_obstacle({"wan", driver, features});
    ASSERT_EQ(found.has_value(), obstacle.has_value()) << driver << " " << says;
    if (!found) continue;
    EXPECT_EQ(found->reason, *obstacle) << driver;
    EXPECT_THAT(found->to_string(),
                AllOf(HasSubstr(says), HasSubstr("wan"), HasSubstr("nothing attached")));
  }
}

class DeviceTest : public VethTest {
 protected:
  static bool kernel_can_be_asked() {
    utsname name{};
    EXPECT_EQ(::uname(&name), 0);
    char* minor = nullptr;
    const auto major = std::strtol(name.release, &minor, 10);
    return major > 6 || (major == 6 && std::strtol(minor + 1, nullptr, 10) >= 3);
  }
};

TEST_F(DeviceTest, AVethHasNativeModeAndNoZeroCopy) {
  const auto wan = ask_device("wan");
  EXPECT_EQ(wan.driver, "veth");
  ASSERT_EQ(wan.features.has_value(), kernel_can_be_asked());
  if (!wan.features) {
    std::printf("this kernel does not say what its drivers can\n");
    return;
  }
  EXPECT_TRUE(wan.features->native);
  EXPECT_FALSE(wan.features->zero_copy);
}

TEST_F(DeviceTest, ABridgeHasNoNativeMode) {
  if (!kernel_can_be_asked()) return;
  output_of("ip link add bridge type bridge");
  const auto bridge = ask_device("bridge");
  ASSERT_TRUE(bridge.features);
  EXPECT_FALSE(bridge.features->native);
}

TEST_F(DeviceTest, OfADeviceThatIsNotThereNothingIsKnown) {
  const auto none = ask_device("wan7");
  EXPECT_EQ(none.driver, "");
  EXPECT_FALSE(none.features);
  EXPECT_FALSE(is_ethernet("wan7"));
  EXPECT_EQ(receive_queues(0), 0U);
}

TEST_F(DeviceTest, ReceiveQueuesAreCounted) {
  output_of("ip link add many numtxqueues 4 numrxqueues 4 type veth peer name few");
  EXPECT_EQ(receive_queues(::if_nametoindex("many")), 4U);
  EXPECT_EQ(receive_queues(::if_nametoindex("wan")), 1U);
}

TEST_F(DeviceTest, OnlyEthernetIsEthernet) {
  EXPECT_TRUE(is_ethernet("wan"));
  EXPECT_FALSE(is_ethernet("lo"));
}

}  // namespace
}  // namespace fg::io::xdp
