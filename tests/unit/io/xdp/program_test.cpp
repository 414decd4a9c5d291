#include "io/xdp/program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>

#include "tests/support/child_process.h"
#include "tests/unit/io/xdp/veth.h"

namespace fg::io::xdp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

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
  static int index() { return static_cast<int>(::if_nametoindex("wan")); }
  // An XDP program that lets everything pass.
  static kernel::FileDescriptor load_other(const char* name) {
    const std::array<bpf_insn, 2> pass{{
        {.code = BPF_ALU64 | BPF_MOV | BPF_K,
         .dst_reg = 0,
         .src_reg = 0,
         .off = 0,
         .imm = XDP_PASS},
        {.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0},
    }};
    kernel::FileDescriptor program{
        ::bpf_prog_load(BPF_PROG_TYPE_XDP, name, "GPL", pass.data(), pass.size(), nullptr)};
    EXPECT_TRUE(program.is_open());
    return program;
  }
  // As `bpftool link` finds it.
  static kernel::FileDescriptor link_of(const Program& program) {
    bpf_prog_info ours{};
    std::uint32_t size = sizeof ours;
    EXPECT_EQ(::bpf_obj_get_info_by_fd(program.descriptor(), &ours, &size), 0);
    for (std::uint32_t id = 0; ::bpf_link_get_next_id(id, &id) == 0;) {
      kernel::FileDescriptor found{::bpf_link_get_fd_by_id(id)};
      bpf_link_info info{};
      size = sizeof info;
      if (::bpf_obj_get_info_by_fd(found.get(), &info, &size) == 0 && info.prog_id == ours.id)
        return found;
    }
    ADD_FAILURE() << "the program has no link";
    return {};
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
  EXPECT_THAT(link(), Not(HasSubstr("xdp")));
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

TEST_F(ProgramTest, AKilledGatewayLeavesNothingOnTheInterface) {
  test::HoldingChild gateway{[] { return Program::attach({.interface = "wan"}); }};
  ASSERT_TRUE(gateway.holds());
  EXPECT_THAT(link(), HasSubstr("prog/xdp"));
  EXPECT_THAT(refusal({.interface = "wan"}), HasSubstr("another running firegate has wan"));
  gateway.kill();
  EXPECT_THAT(link(), Not(HasSubstr("xdp")));
  EXPECT_TRUE(attach({.interface = "wan"}).is_attached());
}

TEST_F(ProgramTest, AProgramThatSharesWithNobodyStaysAndIsNamed) {
  const auto other = load_other("somebody_else");
  ASSERT_EQ(::bpf_xdp_attach(index(), other.get(), 0, nullptr), 0);
  EXPECT_THAT(refusal({.interface = "wan"}),
              AllOf(HasSubstr("ip link set dev wan xdp off"), HasSubstr("\"somebody_else\"")));
  EXPECT_THAT(link(), HasSubstr("prog/xdp"));
  ASSERT_EQ(::bpf_xdp_detach(index(), 0, nullptr), 0);
  EXPECT_TRUE(attach({.interface = "wan"}).is_attached());
}

TEST_F(ProgramTest, SharingWithOthersNeedsTheirFileSystem) {
  const auto other = load_other("xdp_dispatcher");
  ASSERT_EQ(::bpf_xdp_attach(index(), other.get(), 0, nullptr), 0);
  EXPECT_THAT(refusal({.interface = "wan"}), HasSubstr("mount -t bpf bpf /sys/fs/bpf"));
}

TEST_F(ProgramTest, ADispatcherThatCannotBeReadIsLeftAlone) {
  mount_bpf_file_system();
  const auto other = load_other("xdp_dispatcher");
  ASSERT_EQ(::bpf_xdp_attach(index(), other.get(), 0, nullptr), 0);
  EXPECT_THAT(refusal({.interface = "wan"}), HasSubstr("xdp-loader status wan"));
  EXPECT_THAT(link(), HasSubstr("prog/xdp"));
}

TEST_F(ProgramTest, NobodyReplacesItByAccident) {
  const auto program = attach({.interface = "wan"});
  const auto other = load_other("somebody_else");
  EXPECT_EQ(::bpf_xdp_attach(index(), other.get(), 0, nullptr), -EBUSY);
  EXPECT_EQ(::bpf_xdp_detach(index(), 0, nullptr), -EBUSY);
  EXPECT_TRUE(program.is_attached());
}

TEST_F(ProgramTest, ItIsNoticedWhenSomebodyDetachesIt) {
  const auto program = attach({.interface = "wan"});
  const auto link = link_of(program);
  ASSERT_EQ(::bpf_link_detach(link.get()), 0);
  EXPECT_FALSE(program.is_attached());
  EXPECT_TRUE(attach({.interface = "wan"}).is_attached()) << "beside one that is detached";
}

TEST_F(ProgramTest, ItIsNoticedWhenTheInterfaceGoes) {
  const auto program = attach({.interface = "wan"});
  output_of("ip link delete wan");
  EXPECT_FALSE(program.is_attached());
  EXPECT_EQ(program.queues(), 0);
}

TEST_F(ProgramTest, AnInterfaceThatGoesDownAndUpKeepsIt) {
  const auto program = attach({.interface = "wan"});
  output_of("ip link set wan down && ip link set wan up && ip link set wan mtu 1400");
  EXPECT_TRUE(program.is_attached());
}

TEST_F(ProgramTest, QueuesAreThoseOfTheDeviceNow) {
  output_of("ip link add many numtxqueues 4 numrxqueues 4 type veth peer name few");
  const auto program = attach({.interface = "many"});
  EXPECT_EQ(program.queues(), 4);
  output_of("ethtool -L many rx 2");
  EXPECT_EQ(program.queues(), 2);
}

TEST_F(ProgramTest, ALargeMtuIsNoObstacle) {
  output_of("ip link set wan mtu 9000 && ip link set far mtu 9000");
  EXPECT_EQ(attach({.interface = "wan"}).mode(), AttachMode::native);
}

TEST_F(ProgramTest, WithoutPrivilegesTheRefusalNamesThem) {
  const int status = test::status_in_child([] {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) return 2;
    const auto program = Program::attach({.interface = "wan"});
    const bool is_named = !program && program.error().reason == AttachError::Reason::no_permission;
    return is_named ? 0 : 1;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace fg::io::xdp
