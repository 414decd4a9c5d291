// The kernel's backend whose ports can receive by AF_XDP as well: each interface that is to be
// received from is attached to them (link.h).
#pragma once

#include <vector>

#include "io/kernel/kernel_backend.h"
#include "io/xdp/xdp_port.h"

namespace fg::io::xdp {

struct XdpBackend {
  kernel::KernelBackend kernel;
  std::vector<XdpPort*> ports;  // the backend's own
};

[[nodiscard]] Result<XdpBackend, SysError> open_xdp_backend(const kernel::KernelOptions& options,
                                                            SendMode send_mode = SendMode::off);

}  // namespace fg::io::xdp
