// What the log says of losses: one line a kind, when there is more of it than the last one said.
#pragma once

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/drop_reason.h"
#include "base/log.h"

namespace fg::gateway {

class LossReports {
 public:
  explicit LossReports(Log log) : log_(log) {}

  // One line with every reason that has counted anything.
  void drops(LogLevel level, const std::array<std::uint64_t, kDropReasons>& counts) {
    if (!log_.is_enabled(level)) return;
    std::vector<LogField> fields;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kDropReasons; ++i) {
      if (counts[i] > 0) fields.emplace_back(name_of(static_cast<DropReason>(i)), counts[i]);
      sum += counts[i];
    }
    if (sum == std::exchange(dropped_, sum)) return;
    log_.sink().write(level, "gateway", "packets and messages dropped since the start", fields);
  }

  // Packets of flows that flow logs miss, by which limit.
  void untracked_flows(std::uint64_t by_worker, std::uint64_t by_client) {
    if (by_worker != std::exchange(untracked_, by_worker)) {
      log_.warn(
          "flows are not recorded: a worker follows 65536 at once, use more workers or gateways",
          {{"packets", by_worker}});
    }
    if (by_client != std::exchange(over_share_, by_client)) {
      log_.warn("flows of a client are not recorded: a worker follows 16384 of each at once",
                {{"packets", by_client}});
    }
  }

 private:
  Log log_;
  std::uint64_t dropped_ = 0;
  std::uint64_t untracked_ = 0;
  std::uint64_t over_share_ = 0;
};

}  // namespace fg::gateway
