// Beside a program that xdp-loader put on the interface. Where the kernel loads EXT programs both
// share libxdp's dispatcher; where it refuses them the other one has the interface to itself. Needs
// root.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <linux/if_packet.h>

#include <optional>
#include <regex>

#include "io/xdp/program.h"
#include "tests/bpf/xdp_run.h"
#include "tests/support/child_process.h"
#include "tests/unit/io/xdp/veth.h"

namespace fg::io::xdp {
namespace {

using kernel::FileDescriptor;
using ::testing::HasSubstr;
using ::testing::Not;

class SharingTest : public VethTest {
 protected:
  void SetUp() override {
    VethTest::SetUp();
    mount_bpf_file_system();
    output_of("xdp-loader load -m native wan " FG_NEIGHBOUR);
    frames_ = map_of(neighbours_id());
  }

  static std::string status() { return output_of("xdp-loader status wan"); }
  static std::uint32_t neighbours_id() {
    std::smatch found;
    const auto text = status();
    if (!std::regex_search(text, found, std::regex{"neighbour +(?:native +|skb +)?([0-9]+)"})) {
      ADD_FAILURE() << text;
      return 0;
    }
    return static_cast<std::uint32_t>(std::stoul(found[1]));
  }
  static FileDescriptor map_of(std::uint32_t program) {
    const FileDescriptor loaded{::bpf_prog_get_fd_by_id(program)};
    std::uint32_t map = 0;
    bpf_prog_info info{};
    info.nr_map_ids = 1;
    info.map_ids = reinterpret_cast<std::uintptr_t>(&map);
    std::uint32_t size = sizeof info;
    EXPECT_EQ(::bpf_obj_get_info_by_fd(loaded.get(), &info, &size), 0);
    return FileDescriptor{::bpf_map_get_fd_by_id(map)};
  }
  // Of ten frames sent to the interface, what the neighbour saw.
  std::uint64_t seen_of_ten() {
    const auto before = neighbours_frames();
    const FileDescriptor sender{::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x88B5))};
    sockaddr_ll to{};
    to.sll_family = AF_PACKET;
    to.sll_ifindex = static_cast<int>(::if_nametoindex("far"));
    const auto frame = test::frame_of(ByteVector(46), {}, 0x88B5);  // IEEE: local experiments
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(::sendto(sender.get(), frame.data(), frame.size(), 0,
                         reinterpret_cast<const sockaddr*>(&to), sizeof to),
                static_cast<ssize_t>(frame.size()));
    }
    // Sending may return before the other end's poll.
    pollfd nothing{-1, 0, 0};
    for (int i = 0; i < 100 && neighbours_frames() < before + 10; ++i)
      (void)::poll(&nothing, 1, 20);
    return neighbours_frames() - before;
  }
  [[nodiscard]] std::uint64_t neighbours_frames() const {
    std::uint64_t count = 0;
    const std::uint32_t zero = 0;
    EXPECT_EQ(::bpf_map_lookup_elem(frames_.get(), &zero, &count), 0);
    return count;
  }

  // None: the kernel has no dispatcher, and the neighbour was left alone.
  std::optional<Program> join() {
    auto program = Program::attach({.interface = "wan"});
    if (status().find("xdp_dispatcher") == std::string::npos) {
      std::printf("this kernel refuses EXT programs: nobody shares\n");
      EXPECT_THAT(program ? "attached" : program.error().to_string(), HasSubstr("\"neighbour\""));
      EXPECT_EQ(seen_of_ten(), 10);
      return std::nullopt;
    }
    if (!program) {
      ADD_FAILURE() << program.error().to_string();
      return std::nullopt;
    }
    return std::move(*program);
  }
  // A gateway that joined and was killed.
  static void leave_one_behind() {
    const test::HoldingChild gateway{[] { return Program::attach({.interface = "wan"}); }};
    ASSERT_TRUE(gateway.holds());
    const auto second = Program::attach({.interface = "wan"});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().reason, AttachError::Reason::another_gateway);
  }

  FileDescriptor frames_;
};

TEST_F(SharingTest, BothSeeTheFramesAndTheOtherStaysWhenWeLeave) {
  {
    const auto program = join();
    if (!program) return;
    EXPECT_TRUE(program->is_shared());
    EXPECT_TRUE(program->is_attached());
    EXPECT_EQ(program->mode(), AttachMode::native);
    EXPECT_EQ(seen_of_ten(), 10);
    EXPECT_EQ(program->counters().of[fg_xdp_other_protocol], 10);
    EXPECT_THAT(status(), HasSubstr("firegate_xdp"));
  }
  EXPECT_THAT(status(), Not(HasSubstr("firegate_xdp")));
  EXPECT_EQ(seen_of_ten(), 10);
}

TEST_F(SharingTest, WhatAKilledGatewayLeftIsReplacedAtTheNextStart) {
  if (!join()) return;
  leave_one_behind();
  EXPECT_THAT(status(), HasSubstr("firegate_xdp"));
  EXPECT_EQ(seen_of_ten(), 10);
  const auto program = join();
  ASSERT_TRUE(program);
  const auto now = status();
  EXPECT_EQ(now.find("firegate_xdp"), now.rfind("firegate_xdp")) << now;
  EXPECT_EQ(seen_of_ten(), 10);
  EXPECT_EQ(program->counters().of[fg_xdp_other_protocol], 10);
}

TEST_F(SharingTest, WhatAKilledGatewayLeftIsTakenOffByOneThatAttachesNothing) {
  {
    const auto alive = join();
    if (!alive) return;
    remove_leftovers();
    EXPECT_THAT(status(), HasSubstr("firegate_xdp")) << "another gateway's, and in use";
  }
  leave_one_behind();
  ASSERT_THAT(status(), HasSubstr("firegate_xdp"));
  remove_leftovers();
  EXPECT_THAT(status(), Not(HasSubstr("firegate_xdp")));
  EXPECT_EQ(seen_of_ten(), 10);
}

TEST_F(SharingTest, AloneWithItsRemainsTheNextOneHasTheInterfaceToItself) {
  if (!join()) return;
  leave_one_behind();
  output_of("xdp-loader unload wan --id " + std::to_string(neighbours_id()));
  {
    const auto program = Program::attach({.interface = "wan"});
    ASSERT_TRUE(program) << program.error().to_string();
    EXPECT_FALSE(program->is_shared());
  }
  EXPECT_THAT(status(), Not(HasSubstr("firegate_xdp")));
}

TEST_F(SharingTest, ItIsNoticedWhenTheOtherSideUnloadsEverything) {
  const auto program = join();
  if (!program) return;
  output_of("xdp-loader unload wan --all");
  EXPECT_FALSE(program->is_attached());
  output_of("xdp-loader load -m native wan " FG_NEIGHBOUR);
  EXPECT_FALSE(program->is_attached());
}

TEST_F(SharingTest, ADispatcherInGenericModeKeepsItsMode) {
  output_of("xdp-loader unload wan --all && xdp-loader load -m skb wan " FG_NEIGHBOUR);
  frames_ = map_of(neighbours_id());
  const auto program = join();
  if (!program) return;
  EXPECT_EQ(program->mode(), AttachMode::generic);
  EXPECT_THAT(program->limitation(), HasSubstr("load them in native mode"));
  const auto native = Program::attach({.interface = "wan", .only = AttachMode::native});
  EXPECT_FALSE(native);
}

}  // namespace
}  // namespace fg::io::xdp
