// A pair of Ethernet devices in a network namespace of the test's own, `wan` and `far`; no BPF
// file system but what the test mounts. Needs root.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include "tests/unit/io/kernel/network.h"

namespace fg::io::xdp {

using test::output_of;

class VethTest : public kernel::NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    // Without IPv6 the kernel itself sends nothing.
    output_of(
        "ip link add wan type veth peer name far && "
        "for i in wan far; do echo 1 >/proc/sys/net/ipv6/conf/$i/disable_ipv6 && "
        "ip link set $i up; done");
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << "these tests need root";
    ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    (void)::umount2("/sys/fs/bpf", MNT_DETACH);
  }
  static void mount_bpf_file_system() {
    ASSERT_EQ(::mount("bpf", "/sys/fs/bpf", "bpf", 0, nullptr), 0);
  }
};

}  // namespace fg::io::xdp
