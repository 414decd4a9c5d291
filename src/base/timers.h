// A table of named timers: the enum lists the kinds, an array holds the optional instants, the
// minimum is the next deadline. Stopping is assigning "none". The enum ends in count_.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "base/time.h"

namespace fg {

template <class Timer>
class TimerTable {
 public:
  void set(Timer timer, Instant at) { at_[index(timer)] = at; }
  void stop(Timer timer) { at_[index(timer)].reset(); }
  void clear() { at_.fill(std::nullopt); }

  [[nodiscard]] bool is_set(Timer timer) const { return at_[index(timer)].has_value(); }
  [[nodiscard]] std::optional<Instant> at(Timer timer) const { return at_[index(timer)]; }
  [[nodiscard]] bool expired(Timer timer, Instant now) const {
    return at_[index(timer)] && *at_[index(timer)] <= now;
  }
  // True once: an expired timer is stopped by asking.
  [[nodiscard]] bool take_expired(Timer timer, Instant now) {
    if (!expired(timer, now)) return false;
    stop(timer);
    return true;
  }
  [[nodiscard]] std::optional<Instant> next() const {
    std::optional<Instant> first;
    for (const auto& at : at_) {
      if (at && (!first || *at < *first)) first = at;
    }
    return first;
  }

 private:
  static constexpr std::size_t index(Timer timer) { return static_cast<std::size_t>(timer); }
  std::array<std::optional<Instant>, static_cast<std::size_t>(Timer::count_)> at_{};
};

}  // namespace fg
