#include "control/portal/backoff.h"

#include <algorithm>

namespace fg::portal {

std::optional<Duration> Backoff::next(std::optional<Duration> retry_after) {
  if (retry_after) return retry_after;
  Duration delay = kFirstJoinDelay;
  if (has_joined_) {
    // interval × [1, 2)
    constexpr std::uint32_t kSteps = 1U << 30;
    const double jitter = static_cast<double>(random_->below(kSteps)) / kSteps;
    delay = interval_ + std::chrono::duration_cast<Duration>(interval_ * jitter);
    interval_ =
        std::min(std::chrono::duration_cast<Duration>(interval_ * kRetryFactor), kRetryDelayMax);
  }
  const Duration budget = has_joined_ ? partition_time_max_ : kFirstJoinBudget;
  if (spent_ + delay > budget) return std::nullopt;
  spent_ += delay;
  return delay;
}

void Backoff::on_joined() {
  has_joined_ = true;
  interval_ = kRetryDelayFirst;
  spent_ = Duration{};
}

}  // namespace fg::portal
