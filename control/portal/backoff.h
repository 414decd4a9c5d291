// When to try the portal again, and when to give up (spec portal 1.6, generation C's rules).
#pragma once

#include <optional>

#include "base/random.h"
#include "base/time.h"

namespace fg::portal {

inline constexpr Duration kFirstJoinDelay = 1s;
inline constexpr Duration kFirstJoinBudget = 15s;
inline constexpr Duration kRetryDelayFirst = 500ms;
inline constexpr Duration kRetryDelayMax = 60s;
inline constexpr double kRetryFactor = 1.5;
inline constexpr Duration kPartitionTimeDefault = 24h;

class Backoff {
 public:
  explicit Backoff(Random& random, Duration partition_time_max = kPartitionTimeDefault)
      : random_(&random), partition_time_max_(partition_time_max) {}

  // The delay before the next attempt; none: the budget is used up. A delay the portal asked for
  // (Retry-After) is taken as it is and costs nothing.
  std::optional<Duration> next(std::optional<Duration> retry_after = std::nullopt);
  void on_joined();

 private:
  Random* random_;
  Duration partition_time_max_;
  bool has_joined_ = false;
  Duration interval_ = kRetryDelayFirst;
  Duration spent_{};
};

}  // namespace fg::portal
