#include "io/xdp/attach_error.h"

#include <gmock/gmock.h>

#include <cerrno>

namespace fg::io::xdp {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Reason = AttachError::Reason;

TEST(AttachErrorTest, EachReasonNamesItsMend) {
  struct Case {
    Reason reason;
    const char* mend;
  };
  for (const auto& [reason, mend] : {
           Case{Reason::no_interface, "`ip link`"},
           Case{Reason::not_ethernet, "name the interface"},
           Case{Reason::no_permission, "CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_NET_RAW"},
           Case{Reason::locked_memory, "LimitMEMLOCK"},
           Case{Reason::kernel_too_old, "5.18"},
           Case{Reason::occupied, "ip link set dev wan xdp off"},
           Case{Reason::no_bpffs, "mount -t bpf bpf /sys/fs/bpf"},
           Case{Reason::another_gateway, "--backend kernel"},
           Case{Reason::device_refused, "dmesg"},
           Case{Reason::dispatcher_refused, "xdp-loader status wan"},
           Case{Reason::frame_memory, "LimitMEMLOCK"},
           Case{Reason::queue_taken, "ss --xdp"},
           Case{Reason::socket_refused, "CONFIG_XDP_SOCKETS"},
           Case{Reason::only_copies, "--backend xdp"},
       }) {
    const AttachError error{reason, 0, "wan", ""};
    EXPECT_THAT(error.to_string(), HasSubstr(mend));
  }
}

TEST(AttachErrorTest, WhatTheSystemAndTheLibrarySaidIsAtTheEnd) {
  const AttachError error{Reason::no_permission, EPERM, "wan", "map create"};
  EXPECT_THAT(error.to_string(), HasSubstr("[map create] (Operation not permitted)"));
}

TEST(AttachErrorTest, RefusalsOfTheKernelHaveReasons) {
  EXPECT_EQ(reason_of(EPERM), Reason::no_permission);
  EXPECT_EQ(reason_of(ENOMEM), Reason::locked_memory);
  EXPECT_EQ(reason_of(EINVAL), Reason::kernel_too_old);
  EXPECT_EQ(reason_of(EBUSY), Reason::occupied);
  EXPECT_EQ(reason_of(EEXIST), Reason::occupied);
  EXPECT_EQ(reason_of(EOPNOTSUPP), Reason::device_refused);
}

}  // namespace
}  // namespace fg::io::xdp
