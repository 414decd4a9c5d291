// The client's state as one line of JSON, for the lab.
#pragma once

#include <string>

#include "base/time.h"
#include "tests/support/client/engine.h"
#include "tests/support/client/traffic.h"

namespace fg::client {

struct StateFacts {
  bool is_joined = false;
  std::uint64_t joins = 0;
  std::uint64_t udp_failed = 0;
};
[[nodiscard]] std::string state_json(const Engine& engine, const TrafficCounters& traffic,
                                     const StateFacts& facts, Instant now);

}  // namespace fg::client
