// The Retry-After header (spec portal 1.5): seconds, or a date as RFC 2822 §3.3 writes it.
#pragma once

#include <optional>
#include <string_view>

#include "base/time.h"

namespace fg::portal {

inline constexpr Duration kRetryAfterMax = 24h;  // a portal cannot silence us for longer

// None for anything unreadable; a date in the past is zero.
[[nodiscard]] std::optional<Duration> parse_retry_after(std::string_view value, WallTime now);

}  // namespace fg::portal
