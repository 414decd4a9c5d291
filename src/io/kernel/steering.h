// The socket filter that picks the worker of a datagram among the sockets sharing the port:
// WireGuard data, direct or as channel data, goes to the worker its receiver index names
// (pipeline/commands.h: top four bits); everything else to the first (guides/performance 7).
#pragma once

#include <linux/filter.h>

#include <array>
#include <optional>

#include "base/sys_error.h"

namespace fg::io::kernel {

// Classic BPF over the UDP payload; returns the index of the socket in the group.
[[nodiscard]] std::array<sock_filter, 13> steering_program(unsigned workers);

// For one family's group, given any of its sockets. All sockets must have joined before.
[[nodiscard]] std::optional<SysError> attach_steering(int fd, unsigned workers);

}  // namespace fg::io::kernel
