#include "io/xdp/xdp_backend.h"

#include <cerrno>
#include <utility>

namespace fg::io::xdp {

Result<XdpBackend, SysError> open_xdp_backend(const kernel::KernelOptions& options,
                                              SendMode send_mode) {
  XdpBackend out;
  auto opened = kernel::open_kernel_backend(options, [&out, send_mode](auto v4, auto v6, auto tun) {
    auto port = std::make_unique<XdpPort>(std::move(v4), std::move(v6), std::move(tun), send_mode);
    out.ports.push_back(port.get());
    return port;
  });
  if (!opened) return fail(opened.error());
  for (const auto* port : out.ports) {
    if (!port->is_open()) return fail(SysError{"wait for AF_XDP sockets", EMFILE});
  }
  out.kernel = std::move(*opened);
  return out;
}

}  // namespace fg::io::xdp
