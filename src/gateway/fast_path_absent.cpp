// In place of fast_path.cpp in a build without the AF_XDP backend.
#include "gateway/fast_path.h"

namespace fg::gateway {

struct FastPath::State {
  FastPathOptions options;
  Log log;
  DropCounters drops;
};

FastPath::FastPath(FastPathOptions options, Log log)
    : state_(std::make_unique<State>(std::move(options), std::move(log))) {}
FastPath::~FastPath() = default;

Result<io::kernel::KernelBackend, SysError> FastPath::open(
    const io::kernel::KernelOptions& options) {
  return io::kernel::open_kernel_backend(options);
}

Result<void, std::string> FastPath::start(Instant) {
  constexpr const char* kWhy = "this program was built without it (FG_WITH_XDP)";
  if (state_->options.backend == BackendChoice::xdp)
    return fail(std::string("backend xdp cannot be had: ") + kWhy + "; set --backend kernel");
  state_->log.info("backend chosen", {{"backend", "kernel"}, {"why_not_xdp", kWhy}});
  return {};
}

void FastPath::on_change(const HostChange&, Instant) {}
void FastPath::on_relay(RelaySlot, const std::optional<SocketAddress>&, Instant) {}
void FastPath::on_turn(Instant, const std::string&) {}
int FastPath::fd() const { return -1; }
void FastPath::on_readable(Instant) {}
Instant FastPath::wakeup() const { return Instant::max(); }
FastPath::Report FastPath::report() const { return {}; }
const DropCounters& FastPath::drops() const { return state_->drops; }

}  // namespace fg::gateway
