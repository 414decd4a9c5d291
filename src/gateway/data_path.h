// Whether packets move: every worker's loop turns, and of what they send something leaves. Looked
// at every ten seconds; a reason of /readyz while it does not hold.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/time.h"

namespace fg::gateway {

inline constexpr Duration kDataPathInterval = 10s;

class DataPath {
 public:
  struct Sent {
    std::uint64_t datagrams = 0;  // by all workers, since the start
    std::uint64_t failed = 0;
  };
  // `stalled`: workers whose loop has not turned since the last time.
  void check(const std::vector<WorkerIndex>& stalled, Sent sent);
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

 private:
  static constexpr std::uint64_t kFailuresMin = 10;  // fewer are one client that moved

  Sent before_;
  std::vector<std::string> problems_;
};

}  // namespace fg::gateway
