// The real clocks. Read once a loop turn and passed down (guides/style "Units, ids, time").
#pragma once

#include "base/time.h"

namespace fg::runtime {

[[nodiscard]] Instant
monotonic_now();  // CLOCK_BOOTTIME: time spent suspended counts (spec policy 2.5)
[[nodiscard]] WallTime wall_now();

}  // namespace fg::runtime
