#include "control/portal/retry_after.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace fg::portal {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// All of text must be digits. What does not fit is as long as can be.
std::optional<std::uint64_t> whole_number(std::string_view text) {
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc{} ? value : ~std::uint64_t{0};
}

// Takes the text up to the next separator (or all of it) off the front.
std::string_view take_until(std::string_view& text, char separator) {
  const auto at = text.find(separator);
  const auto part = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return part;
}

std::optional<unsigned> month_of(std::string_view name) {
  constexpr std::array<std::string_view, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const auto at = std::find(kMonths.begin(), kMonths.end(), name);
  if (at == kMonths.end()) return std::nullopt;
  return static_cast<unsigned>(at - kMonths.begin()) + 1;
}

// Minutes east of Greenwich.
std::optional<int> zone_of(std::string_view text) {
  if (text == "GMT" || text == "UTC" || text == "UT" || text == "Z") return 0;
  if (text.size() != 5 || (text[0] != '+' && text[0] != '-')) return std::nullopt;
  const auto digits = whole_number(text.substr(1));
  if (!digits) return std::nullopt;
  const int minutes = static_cast<int>(*digits / 100 * 60 + *digits % 100);
  return text[0] == '-' ? -minutes : minutes;
}

std::optional<std::chrono::seconds> time_of_day(std::string_view text) {
  const auto hours = whole_number(take_until(text, ':'));
  const auto minutes = whole_number(take_until(text, ':'));
  const auto seconds = text.empty() ? std::optional<std::uint64_t>{0} : whole_number(text);
  if (!hours || !minutes || !seconds || *hours > 23 || *minutes > 59 || *seconds > 60)
    return std::nullopt;
  return std::chrono::seconds{static_cast<std::int64_t>(*hours * 3600 + *minutes * 60 + *seconds)};
}

// "Sun, 06 Nov 1994 08:49:37 GMT"; the day of the week may be left out.
std::optional<std::chrono::seconds> unix_time_of(std::string_view text) {
  if (const auto comma = text.find(','); comma != std::string_view::npos) {
    if (comma != 3) return std::nullopt;
    text = trimmed(text.substr(comma + 1));
  }
  const auto day = whole_number(take_until(text, ' '));
  const auto month = month_of(take_until(text, ' '));
  const auto year = whole_number(take_until(text, ' '));
  const auto time = time_of_day(take_until(text, ' '));
  const auto zone = zone_of(text);
  if (!day || !month || !year || !time || !zone || *day > 31 || *year < 1900 || *year > 9999)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(*year)},
                                         std::chrono::month{*month},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days{date}.time_since_epoch() + *time - std::chrono::minutes{*zone};
}

}  // namespace

std::optional<Duration> parse_retry_after(std::string_view value, WallTime now) {
  value = trimmed(value);
  constexpr std::chrono::seconds kMax =
      std::chrono::duration_cast<std::chrono::seconds>(kRetryAfterMax);
  const auto digits = value.starts_with('+') ? value.substr(1) : value;
  if (const auto seconds = whole_number(digits)) {
    const auto bounded =
        std::min<std::uint64_t>(*seconds, static_cast<std::uint64_t>(kMax.count()));
    return std::chrono::seconds{static_cast<std::int64_t>(bounded)};
  }
  const auto date = unix_time_of(value);
  if (!date) return std::nullopt;
  const auto today = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
  const auto wait = std::clamp(*date - today, std::chrono::seconds{0}, kMax);
  return Duration{wait};
}

}  // namespace fg::portal
