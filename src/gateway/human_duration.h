// Durations as operators write them.
#pragma once

#include <optional>
#include <string_view>

#include "base/time.h"

namespace fg::gateway {

// "90s", "30m", "24h", "7d", "1h 30m"; none when it does not parse, is zero or is longer than a
// hundred years.
[[nodiscard]] std::optional<Duration> parse_human_duration(std::string_view text);

}  // namespace fg::gateway
