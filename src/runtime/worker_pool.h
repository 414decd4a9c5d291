// The workers as the control thread sees them: commands in, events and punts out, own datagrams,
// counters. Everything here is called by the control thread alone.
//
// Sleeping: wait for notify_fd() to be readable, call awake(), then take events and punts until
// both are empty, then call prepare_to_sleep(); false means something came in meanwhile: take
// again. Workers write the descriptor only after prepare_to_sleep() said true.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/datagram.h"
#include "base/drop_reason.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/sys_error.h"
#include "crypto/aead.h"
#include "flow/tracker.h"
#include "io/port.h"
#include "pipeline/commands.h"

namespace fg::runtime {

struct PoolOptions {
  std::size_t clients_max = 16'384;  // a worker
  crypto::AeadChoice aead{};         // of crypto::choose_aead()
  std::uint64_t seed = 0;            // pipeline::PipelineOptions
  bool pin = false;  // worker i to allowed CPU i + 1 (modulo), the control thread is left alone
  Duration spin = Duration::zero();  // of a worker after packets, before it sleeps
};

struct WorkerCounters {
  std::uint64_t to_resources = 0;  // inner packets written to the TUN device
  std::uint64_t to_clients = 0;    // inner packets encrypted
  std::uint64_t bytes_to_resources = 0;
  std::uint64_t bytes_to_clients = 0;
  std::uint64_t datagrams_received = 0;
  std::uint64_t datagrams_sent = 0;
  std::uint64_t punts = 0;
  std::uint64_t handed_over = 0;
  std::uint64_t turns = 0;  // of the loop
  std::uint64_t sleeps = 0;
  std::uint64_t tun_reads = 0;  // super-packets
  std::uint64_t tun_writes = 0;
  std::uint64_t data_by_xdp = 0;  // tunnel packets in, where there are two ways (io/port.h)
  std::uint64_t data_by_socket = 0;
  std::uint64_t flows_open = 0;
  std::uint64_t flows_untracked = 0;   // packets that found the table of flows full
  std::uint64_t flows_over_share = 0;  // or their client's share of it
  std::array<std::uint64_t, kDropReasons> drops{};
};

struct WorkerEvent {
  WorkerIndex worker{};
  pipeline::Event event;
};

struct WorkerFlowEvent {
  WorkerIndex worker{};
  flow::Event event;
};

// Cores but one, at least one, at most 16.
[[nodiscard]] unsigned default_workers();

class WorkerPool {
 public:
  // One worker for each port of the backend; the threads run when this returns.
  static Result<std::unique_ptr<WorkerPool>, SysError> start(io::Backend backend,
                                                             const PoolOptions& options);
  ~WorkerPool();  // stop()
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Ends and joins the threads after what is queued for them is done. What they reported can still
  // be polled.
  void stop();

  [[nodiscard]] unsigned size() const;
  // False: the ring is full, the command is untouched and the refusal counted.
  bool send(WorkerIndex worker, pipeline::Command&& command);

  std::optional<WorkerEvent> poll_event();
  std::optional<WorkerFlowEvent> poll_flow_event();
  // A punt, in place, oldest first in its class; stays valid until the next poll_punt() or
  // prepare_to_sleep(). When all classes wait, four of eight are trusted, three expected, one of a
  // stranger.
  [[nodiscard]] const pipeline::Punt* poll_punt();

  [[nodiscard]] int notify_fd() const;
  void awake();
  [[nodiscard]] bool prepare_to_sleep();

  // Own datagrams of the control thread, from the workers' sockets; false: some were refused.
  bool udp_send(std::span<const OutgoingDatagrams> batch);

  // The port's device is back: descriptors a worker gave up for their errors are watched again.
  void watch_again();

  // Why an own datagram was refused last, an errno; 0: none was.
  [[nodiscard]] int last_send_error() const;
  // Wakes every worker, and gives those whose loop has not turned since the call before. Seconds
  // apart.
  std::vector<WorkerIndex> stalled();

  [[nodiscard]] WorkerCounters counters(WorkerIndex worker) const;
  [[nodiscard]] WorkerCounters total() const;  // with the control thread's own drops

 private:
  struct State;
  explicit WorkerPool(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fg::runtime
