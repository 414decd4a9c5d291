// The gateway as a whole, as an operator is told of it. Filled in by src/gateway.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/drop_reason.h"
#include "base/time.h"
#include "control/controller/controller.h"

namespace fg::console {

// Both read together, to say when something was.
struct Clock {
  Instant now;
  WallTime wall;
};

struct WorkerStatus {
  std::uint64_t packets_in = 0;  // inner packets from clients
  std::uint64_t bytes_in = 0;
  std::uint64_t packets_out = 0;  // to them
  std::uint64_t bytes_out = 0;
};

struct FlowLogStatus {
  bool is_on = false;
  std::uint64_t open = 0;        // flows
  std::uint64_t untracked = 0;   // packets of flows that found no room
  std::uint64_t over_share = 0;  // the same, as their client has had its share
  std::uint64_t recorded = 0;    // beginnings and ends of flows
  std::uint64_t lost = 0;        // of these
  std::uint64_t spooled = 0;     // reports on disk
  std::uint64_t uploaded = 0;
  std::optional<Instant> last_upload;
  std::string last_error;  // empty: the last upload succeeded
  std::optional<Instant> last_error_at;
};

struct Status {
  std::string version;
  int pid = 0;
  Instant started;
  bool is_joined = false;
  std::optional<Instant> portal_since;  // joined, or lost
  std::optional<char> generation;
  std::string portal_host;
  std::vector<controller::RelayReport> relays;
  std::string interface;
  std::optional<IpAddress> v4;
  std::optional<IpAddress> v6;
  std::string backend;
  std::string backend_detail;        // interfaces and modes, or why not; may be empty
  std::uint64_t data_by_xdp = 0;     // tunnel packets that came by AF_XDP
  std::uint64_t data_by_socket = 0;  // and those that came by the kernel's sockets meanwhile
  std::uint64_t sent = 0;            // the workers' datagrams, of all ways
  std::uint64_t sent_by_xdp = 0;
  std::uint64_t send_frames_short = 0;  // by sockets, as all frames were under way
  std::uint64_t next_hops_crowded = 0;  // by sockets, as no next hop could be asked for
  std::vector<std::pair<std::string, std::uint64_t>> verdicts;  // of the XDP program
  std::string cipher;
  std::string tracked_because;  // why the host tracks the tunnel's datagrams; empty: it does not
  std::vector<WorkerStatus> workers;
  controller::Summary summary;
  FlowLogStatus flow_logs;
  std::vector<std::pair<DropReason, std::uint64_t>> drops;  // that counted
  std::vector<std::string> not_ready;                       // reasons of /readyz
  std::vector<std::string> warnings;                        // true now, and no such reason
};

}  // namespace fg::console
