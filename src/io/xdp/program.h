// The XDP program of one interface (bpf/fast_path.bpf.c): attached, told what is ours, counted,
// detached. It takes nothing before set_tunnel_ports(), set_addresses() and a socket are given.
//
// Alone on its interface it hangs on a BPF link that ends with the process, however that ends.
// Where another program came by libxdp's dispatcher it joins that one, whose pins outlive a killed
// process: what such a gateway left is removed at the next start (docs/adr/0017). The control
// thread's.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/address.h"
#include "base/result.h"
#include "base/sys_error.h"
#include "bpf/fast_path_abi.h"
#include "io/xdp/attach_error.h"

namespace fg::io::xdp {

enum class AttachMode : std::uint8_t { native, generic };
[[nodiscard]] std::string_view to_string(AttachMode mode);

struct ProgramOptions {
  std::string interface;
  std::optional<AttachMode> only{};  // none: native, and generic when that is refused
  // Bytes a frame of the AF_XDP sockets holds; what is longer goes to the kernel. Of a chunk of
  // 2048 bytes this is what the kernel's headroom leaves.
  std::uint32_t frame_max = 1792;
};

// Takes off what killed gateways left in the dispatchers of this host's interfaces, whatever
// backend comes next. Best effort: what may not be done stays, and lets everything pass.
void remove_leftovers();

// Frames by decision, since attach().
struct VerdictCounters {
  static constexpr std::size_t kCount = FG_XDP_VERDICT_COUNT;
  std::array<std::uint64_t, kCount> of{};

  // As it stands in metrics: "data", "other_port".
  [[nodiscard]] static std::string_view name(std::size_t verdict);
  [[nodiscard]] std::uint64_t redirected() const {
    return of[fg_xdp_data] + of[fg_xdp_channel_data];
  }
  [[nodiscard]] std::uint64_t passed() const;
};

class Program {
 public:
  static constexpr unsigned kQueuesMax = FG_XDP_QUEUES_MAX;
  static constexpr std::size_t kAddressesMax = FG_XDP_ADDRESSES_MAX;
  static constexpr std::size_t kRelaysMax = FG_XDP_RELAYS_MAX;

  [[nodiscard]] static Result<Program, AttachError> attach(const ProgramOptions& options);
  Program(Program&&) noexcept;
  Program& operator=(Program&&) noexcept;
  ~Program();  // detaches

  [[nodiscard]] AttachMode mode() const;
  [[nodiscard]] unsigned interface_index() const;
  // Joined other programs in libxdp's dispatcher.
  [[nodiscard]] bool is_shared() const;
  // Why not native mode, with the mend; empty: it is native, or generic was asked for.
  [[nodiscard]] const std::string& limitation() const;
  // Receive queues of the device, as they are now.
  [[nodiscard]] unsigned queues() const;
  // False: somebody detached it, or the interface is gone.
  [[nodiscard]] bool is_attached() const;

  // A queue without a socket leaves its packets to the kernel. A closed socket leaves by itself.
  [[nodiscard]] std::optional<SysError> set_socket(unsigned queue, int xsk);
  void clear_socket(unsigned queue);

  // UDP ports of the tunnel; 0: none of that family.
  void set_tunnel_ports(std::uint16_t v4, std::uint16_t v6);
  // Addresses of this host, in place of those before. Beyond the limit E2BIG: the rest is left to
  // the kernel.
  [[nodiscard]] std::optional<SysError> set_addresses(std::span<const IpAddress> addresses);
  // Server sockets of the relays in use, in place of those before; limit as above.
  [[nodiscard]] std::optional<SysError> set_relays(std::span<const SocketAddress> relays);

  [[nodiscard]] VerdictCounters counters() const;
  // For bpf_prog_test_run() and bpftool.
  [[nodiscard]] int descriptor() const;

 private:
  class State;
  explicit Program(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fg::io::xdp
