// The program that makes the host's packets arrive in the TUN queue of the worker that owns their
// client (bpf/tun_steering.bpf.c). Without it they arrive in any queue and are handed over. The
// control thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/address.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/sys_error.h"

namespace fg::io::kernel {

class TunSteering {
 public:
  static constexpr std::size_t kOwnersMax = 16'384;  // addresses

  // ENOSYS: built without BPF.
  [[nodiscard]] static Result<TunSteering, SysError> load();
  TunSteering(TunSteering&&) noexcept;
  TunSteering& operator=(TunSteering&&) noexcept;
  ~TunSteering();

  // To the device of that queue, which keeps it until it is deleted.
  [[nodiscard]] std::optional<SysError> attach(int queue) const;
  // Worker i reads queue i. None: the address is nobody's. False: there is no room for it; its
  // packets are spread.
  [[nodiscard]] bool set_owner(const IpAddress& address, std::optional<WorkerIndex> owner);

 private:
  struct State;
  explicit TunSteering(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fg::io::kernel
