// Time as an argument. Neither clock has a now(): only runtime and control/net read a real clock,
// once per loop turn, and pass the value down.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace fg {

using namespace std::chrono_literals;  // NOLINT: durations are written 250ms everywhere

using Duration = std::chrono::nanoseconds;

// Monotonic, counts suspend (CLOCK_BOOTTIME). For every timer.
struct Monotonic {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<Monotonic>;
  static constexpr bool is_steady = true;
};
using Instant = Monotonic::time_point;

// Wall-clock time since 1970-01-01 UTC. For TAI64N stamps and expiry dates, never for timers.
struct Wall {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<Wall>;
  static constexpr bool is_steady = false;
};
using WallTime = Wall::time_point;

// When a machine wants to be called again, and why: a busy loop or a missing wake-up is then
// readable in a log.
struct Wakeup {
  Instant at;
  const char* why = "";
};

[[nodiscard]] inline std::optional<Wakeup> earlier(std::optional<Wakeup> a,
                                                   std::optional<Wakeup> b) {
  if (!a) return b;
  if (!b) return a;
  return b->at < a->at ? b : a;
}

}  // namespace fg
