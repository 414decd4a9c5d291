#include "runtime/clock.h"

#include <ctime>

namespace fg::runtime {
namespace {

Duration read(clockid_t clock) {
  timespec t{};
  ::clock_gettime(clock, &t);
  return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
}

}  // namespace

Instant monotonic_now() { return Instant{read(CLOCK_BOOTTIME)}; }
WallTime wall_now() { return WallTime{read(CLOCK_REALTIME)}; }

}  // namespace fg::runtime
