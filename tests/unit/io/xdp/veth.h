// A pair of Ethernet devices in a network namespace of the test's own, `wan` and `far`; no BPF
// file system but what the test mounts. Needs root.
//
// A veth pair, made for each test, unless FG_DEVICES is "zero-copy" or "copies": then the machine
// has two devices of these names with a wire between them, whose driver has that and no less.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <cstdlib>

#include "tests/unit/io/kernel/network.h"

namespace fg::io::xdp {

using test::output_of;

inline bool has_real_devices() { return std::getenv("FG_DEVICES") != nullptr; }
inline bool has_zero_copy() {
  return has_real_devices() && std::string_view{std::getenv("FG_DEVICES")} == "zero-copy";
}

class VethTest : public kernel::NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    if (has_real_devices())
      take_devices();
    else
      output_of("ip link add wan type veth peer name far");
    // Without IPv6 the kernel itself sends nothing.
    output_of(
        "for i in wan far; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6 && "
        "ip link set $i up; done");
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << "these tests need root";
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    (void)::umount2("/sys/fs/bpf", MNT_DETACH);
  }
  // From the machine's first namespace, where they are again a while after the last test's ended.
  static void take_devices() {
    output_of(
        "for i in wan far; do "
        "until nsenter --net=/proc/1/ns/net ip link set $i netns $$ 2>/dev/null; do sleep 0.1; "
        "done; done");
  }
  static void mount_bpf_file_system() {
    ASSERT_EQ(::mount("bpf", "/sys/fs/bpf", "bpf", 0, nullptr), 0);
  }
};

}  // namespace fg::io::xdp
