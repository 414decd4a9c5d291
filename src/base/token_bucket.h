// A rate with a burst, as one instant: when the bucket would be full again (the "virtual
// scheduling" form).
#pragma once

#include "base/time.h"

namespace fg {

class TokenBucket {
 public:
  // One token each `interval`, at most `burst` saved up.
  constexpr TokenBucket(Duration interval, int burst)
      : interval_(interval), depth_(interval * burst) {}

  [[nodiscard]] bool take(Instant now) noexcept {
    const auto full_at = full_at_ < now ? now : full_at_;
    if (full_at + interval_ > now + depth_) return false;
    full_at_ = full_at + interval_;
    return true;
  }
  // Whether `n` tokens are left, none of them taken.
  [[nodiscard]] bool has(int n, Instant now) const noexcept {
    const auto full_at = full_at_ < now ? now : full_at_;
    return full_at + interval_ * n <= now + depth_;
  }
  // Whatever was taken has come back: as good as a new one.
  [[nodiscard]] bool is_full(Instant now) const noexcept { return full_at_ <= now; }

 private:
  Duration interval_;
  Duration depth_;
  Instant full_at_ = Instant::min();
};

}  // namespace fg
