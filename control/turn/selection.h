// Which relays are near enough to choose from (spec connectivity 3.11, BC).
#pragma once

#include <span>

#include "base/time.h"

namespace fg::turn {

// The largest round-trip time still eligible. One or two relays: one and a half times the smallest.
// Three and more: the median and three times the median absolute deviation, taken as at least 2 ms.
// Needs at least one sample.
[[nodiscard]] Duration rtt_threshold(std::span<const Duration> samples);

}  // namespace fg::turn
