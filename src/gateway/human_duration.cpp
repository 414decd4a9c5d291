#include "gateway/human_duration.h"

#include <charconv>
#include <cstdint>
#include <system_error>

namespace fg::gateway {

std::optional<Duration> parse_human_duration(std::string_view text) {
  Duration total{};
  bool any = false;
  while (!text.empty()) {
    if (text.front() == ' ') {
      text.remove_prefix(1);
      continue;
    }
    std::int64_t count = 0;
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error != std::errc{} || count < 0 || count > 1'000'000'000) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
    std::size_t letters = 0;
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || c == 'M'; };
    while (letters < text.size() && is_letter(text[letters])) ++letters;
    const auto unit = text.substr(0, letters);
    text.remove_prefix(letters);
    std::int64_t seconds = 0;
    if (unit == "s" || unit == "sec" || unit == "secs" || unit == "second" || unit == "seconds")
      seconds = 1;
    else if (unit == "m" || unit == "min" || unit == "mins" || unit == "minute" ||
             unit == "minutes")
      seconds = 60;
    else if (unit == "h" || unit == "hr" || unit == "hrs" || unit == "hour" || unit == "hours")
      seconds = 3600;
    else if (unit == "d" || unit == "day" || unit == "days")
      seconds = 86'400;
    else if (unit == "w" || unit == "week" || unit == "weeks")
      seconds = 7 * 86'400;
    else if (unit == "M" || unit == "month" || unit == "months")
      seconds = 2'630'016;  // 30.44 days
    else if (unit == "y" || unit == "yr" || unit == "yrs" || unit == "year" || unit == "years")
      seconds = 31'557'600;  // 365.25 days
    else
      return std::nullopt;
    constexpr std::chrono::hours kMost{100 * 365 * 24};
    if (count * seconds > std::chrono::seconds{kMost}.count()) return std::nullopt;
    total += std::chrono::seconds{count * seconds};
    if (total > kMost) return std::nullopt;
    any = true;
  }
  if (!any || total == Duration{}) return std::nullopt;
  return total;
}

}  // namespace fg::gateway
