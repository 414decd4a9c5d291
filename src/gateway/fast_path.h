// The choice of how datagrams come in and leave, and its upkeep: the kernel's sockets always own
// the port; where it is wanted and possible, AF_XDP takes the tunnel's packets before them
// (io/xdp), and where that is cheaper it sends them (xdp_sending.h). Which interfaces, in which
// mode, and why not more is said in one line at start and in `firegate status`. What an interface
// does later (goes, comes, changes its queues, loses its program, delivers nothing) moves packets
// from one way to the other and never ends a tunnel. Lives on the control thread's loop.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/drop_reason.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/result.h"
#include "base/time.h"
#include "gateway/configuration.h"
#include "gateway/netlink_monitor.h"
#include "io/kernel/kernel_backend.h"

namespace fg::gateway {

struct FastPathOptions {
  BackendChoice backend = BackendChoice::automatic;
  std::vector<std::string> interfaces;  // empty: those of the routes
  std::uint32_t busy_poll_us = 0;
  XdpSendChoice send = XdpSendChoice::automatic;
};

class FastPath {
 public:
  FastPath(FastPathOptions options, Log log);
  // When no worker runs.
  ~FastPath();
  FastPath(const FastPath&) = delete;
  FastPath& operator=(const FastPath&) = delete;

  // Sockets and TUN device, with ports that can receive by AF_XDP where that may come to pass.
  Result<io::kernel::KernelBackend, SysError> open(const io::kernel::KernelOptions& options);
  // Chooses, with the ports' workers running. The error, one line with the mend: it was demanded
  // and cannot be had.
  Result<void, std::string> start(Instant now);

  void on_change(const HostChange& change, Instant now);
  void on_relay(RelaySlot relay, const std::optional<SocketAddress>& server, Instant now);
  // `outgoing_filter`: what others do to datagrams that leave; empty: nothing.
  void on_turn(Instant now, const std::string& outgoing_filter);
  // Readable when there is something for on_readable(); -1: never. Constant after start().
  [[nodiscard]] int fd() const;
  void on_readable(Instant now);
  [[nodiscard]] Instant wakeup() const;

  struct Report {
    std::string name = "kernel";
    std::string detail;  // of each interface: mode, or why not
    // Datagrams out by AF_XDP; by sockets for want of frames; destinations that could not be asked
    // for.
    std::uint64_t sent_by_xdp = 0;
    std::uint64_t send_frames_short = 0;
    std::uint64_t next_hops_crowded = 0;
    std::vector<std::pair<std::string, std::uint64_t>>
        verdicts;  // of the XDP program, that counted
  };
  [[nodiscard]] Report report() const;
  [[nodiscard]] const DropCounters& drops() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fg::gateway
