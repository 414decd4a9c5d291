// What the kernel knows of a network device. Asking changes nothing on it, whereas attaching an XDP
// program resets the queues of a real one, under everybody's traffic.
#pragma once

#include <optional>
#include <string>

#include "io/xdp/attach_error.h"

namespace fg::io::xdp {

struct XdpFeatures {
  bool native = false;  // runs programs, and those may redirect
  bool zero_copy = false;
};

struct Device {
  std::string interface;
  std::string driver;                   // as `ethtool -i` names it; empty: unknown
  std::optional<XdpFeatures> features;  // none: the kernel cannot be asked (before Linux 6.3)
};

[[nodiscard]] Device ask_device(const std::string& interface);

// Why its sockets would get copies; none: attach and see.
[[nodiscard]] std::optional<AttachError> zero_copy_obstacle(const Device& device);

[[nodiscard]] bool is_ethernet(const std::string& interface);
// As they are now; 0: it is gone.
[[nodiscard]] unsigned receive_queues(unsigned index);
[[nodiscard]] unsigned send_queues(unsigned index);
// BPF programs that judge what leaves (tcx, Linux 6.6), which tc does not list.
[[nodiscard]] bool has_egress_programs(unsigned index);

}  // namespace fg::io::xdp
