#include "io/xdp/program.h"

#include <gmock/gmock.h>

#include "tests/unit/io/xdp/veth.h"

namespace fg::io::xdp {
namespace {

using ::testing::HasSubstr;

class ProgramTest : public VethTest {
 protected:
  static Program attach(const ProgramOptions& options) {
    auto program = Program::attach(options);
    if (!program) ADD_FAILURE() << program.error().to_string();
    return std::move(*program);
  }
  static std::string refusal(const ProgramOptions& options) {
    const auto program = Program::attach(options);
    return program ? "it was attached" : program.error().to_string();
  }
  static std::string link() { return output_of("ip -details link show dev wan"); }
};

TEST_F(ProgramTest, NativeModeIsTakenWhereTheDeviceHasIt) {
  const auto program = attach({.interface = "wan"});
  EXPECT_EQ(program.mode(), AttachMode::native);
  EXPECT_EQ(program.limitation(), "");
  EXPECT_FALSE(program.is_shared());
  EXPECT_TRUE(program.is_attached());
  EXPECT_EQ(program.queues(), 1);
  EXPECT_THAT(link(), HasSubstr("prog/xdp"));
}

TEST_F(ProgramTest, NothingIsLeftOnTheInterfaceAfterwards) {
  {
    const auto program = attach({.interface = "wan"});
  }
  EXPECT_THAT(link(), ::testing::Not(HasSubstr("xdp")));
}

TEST_F(ProgramTest, GenericModeIsTakenWhereNativeIsRefusedAndTheReasonSaid) {
  // A veth wants a receive queue for each queue its peer sends on.
  output_of("ip link add many numtxqueues 4 numrxqueues 4 type veth peer name few");
  const auto program = attach({.interface = "few"});
  EXPECT_EQ(program.mode(), AttachMode::generic);
  EXPECT_THAT(program.limitation(), HasSubstr("ethtool -L few"));
}

TEST_F(ProgramTest, AModeThatIsAskedForIsTheOnlyOneTried) {
  EXPECT_EQ(attach({.interface = "wan", .only = AttachMode::generic}).mode(), AttachMode::generic);
  output_of("ip link add many numtxqueues 4 numrxqueues 4 type veth peer name few");
  EXPECT_THAT(refusal({.interface = "few", .only = AttachMode::native}),
              HasSubstr("few refuses XDP"));
}

TEST_F(ProgramTest, AnInterfaceThatIsNotThereIsRefused) {
  EXPECT_THAT(refusal({.interface = "wan7"}), HasSubstr("there is no interface wan7"));
}

TEST_F(ProgramTest, ADeviceThatIsNotEthernetIsRefused) {
  output_of("ip tuntap add mode tun name tun-test");
  EXPECT_THAT(refusal({.interface = "tun-test"}), HasSubstr("not an Ethernet device"));
}

}  // namespace
}  // namespace fg::io::xdp
