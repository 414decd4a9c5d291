#include "io/kernel/tun_steering.h"

#include <cerrno>
#include <cstring>
#include <utility>

#ifdef FG_WITH_XDP
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include "bpf/tun_steering_abi.h"
#include "tun_steering.skel.h"

namespace fg::io::kernel {

static_assert(TunSteering::kOwnersMax == FG_TUN_OWNERS_MAX);

struct TunSteering::State {
  struct Closer {
    void operator()(tun_steering_bpf* p) const { tun_steering_bpf__destroy(p); }
  };
  std::unique_ptr<tun_steering_bpf, Closer> skeleton;
};

Result<TunSteering, SysError> TunSteering::load() {
  ::libbpf_set_print(nullptr);  // it writes to standard error
  auto state = std::make_unique<State>();
  state->skeleton.reset(tun_steering_bpf__open_and_load());
  if (!state->skeleton) return fail(SysError{"load the program that steers TUN queues", errno});
  return TunSteering{std::move(state)};
}

std::optional<SysError> TunSteering::attach(int queue) const {
  int program = ::bpf_program__fd(state_->skeleton->progs.firegate_tun);
  if (::ioctl(queue, TUNSETSTEERINGEBPF, &program) != 0)
    return SysError{"attach the program that steers TUN queues", errno};
  return std::nullopt;
}

bool TunSteering::set_owner(const IpAddress& address, std::optional<WorkerIndex> owner) {
  fg_tun_address key{};
  std::memcpy(key.bytes, address.raw().data(), sizeof key.bytes);
  key.version = address.is_v4() ? 4 : 6;
  const int map = ::bpf_map__fd(state_->skeleton->maps.fg_owners);
  if (!owner) {
    ::bpf_map_delete_elem(map, &key);
    return true;
  }
  const std::uint32_t queue = number(*owner);
  return ::bpf_map_update_elem(map, &key, &queue, BPF_ANY) == 0;
}

}  // namespace fg::io::kernel

#else

namespace fg::io::kernel {

struct TunSteering::State {};

Result<TunSteering, SysError> TunSteering::load() {
  return fail(SysError{"this build has no BPF programs", ENOSYS});
}
std::optional<SysError> TunSteering::attach(int) const { return std::nullopt; }
bool TunSteering::set_owner(const IpAddress&, std::optional<WorkerIndex>) { return false; }

}  // namespace fg::io::kernel

#endif

namespace fg::io::kernel {

TunSteering::TunSteering(std::unique_ptr<State> state) : state_(std::move(state)) {}
TunSteering::TunSteering(TunSteering&&) noexcept = default;
TunSteering& TunSteering::operator=(TunSteering&&) noexcept = default;
TunSteering::~TunSteering() = default;

}  // namespace fg::io::kernel
