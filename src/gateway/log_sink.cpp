#include "gateway/log_sink.h"

#include <fmt/format.h>

#include <array>
#include <ctime>
#include <nlohmann/json.hpp>

namespace fg::gateway {
namespace {

constexpr std::array<std::string_view, 5> kNames{"TRACE", "DEBUG", "INFO", "WARN", "ERROR"};

// Control characters of remote text must not forge lines.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F)
      out += c;
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  }
  return out;
}

}  // namespace

std::optional<int> LogFilter::parse_level(std::string_view text) {
  static const std::map<std::string, int, std::less<>> kLevels{
      {"trace", 0}, {"debug", 1}, {"info", 2}, {"warn", 3}, {"error", 4}, {"off", kOff},
      {"5", 0},     {"4", 1},     {"3", 2},    {"2", 3},    {"1", 4},     {"0", kOff}};
  std::string lower{text};
  for (auto& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const auto found = kLevels.find(lower);
  if (found == kLevels.end()) return std::nullopt;
  return found->second;
}

std::optional<LogFilter> LogFilter::parse(std::string_view text) {
  LogFilter out;
  while (!text.empty()) {
    const auto comma = text.find(',');
    auto part = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    while (!part.empty() && part.front() == ' ') part.remove_prefix(1);
    while (!part.empty() && part.back() == ' ') part.remove_suffix(1);
    if (part.empty()) continue;
    const auto equals = part.find('=');
    if (equals == std::string_view::npos) {
      if (const auto level = parse_level(part))
        out.default_ = *level;
      else
        out.targets_[std::string{part}] = 0;  // a bare target: everything of it
      continue;
    }
    const auto level = parse_level(part.substr(equals + 1));
    if (!level || equals == 0) return std::nullopt;
    out.targets_[std::string{part.substr(0, equals)}] = *level;
  }
  return out;
}

bool LogFilter::allows(LogLevel level, std::string_view target) const {
  int least = default_;
  std::size_t best = 0;
  for (const auto& [name, value] : targets_) {
    const bool matches = target == name ||
                         (target.starts_with(name) && target.substr(name.size()).starts_with("::"));
    if (matches && name.size() > best) {
      best = name.size();
      least = value;
    }
  }
  return static_cast<int>(level) >= least;
}

std::string format_time(WallTime time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since);
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(since - seconds).count();
  const std::time_t value = seconds.count();
  std::tm parts{};
  ::gmtime_r(&value, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     millis);
}

void LineSink::write(LogLevel level, std::string_view target, std::string_view message,
                     std::span<const LogField> fields) {
  const auto name = kNames[static_cast<std::size_t>(level)];
  if (format_ == LogFormat::human) {
    std::string line =
        fmt::format("{} {:>5} {}: {}", format_time(clock_()), name, target, printable(message));
    for (const auto& field : fields)
      line += fmt::format(" {}={}", field.key, printable(field.value));
    line += '\n';
    output_(line);
    return;
  }
  nlohmann::ordered_json line;
  line["timestamp"] = format_time(clock_());
  line["level"] = name;
  line["target"] = target;
  line["message"] = message;
  for (const auto& field : fields) {
    if (field.quoted)
      line[field.key] = field.value;
    else
      line[field.key] = nlohmann::ordered_json::parse(field.value, nullptr, false);
  }
  output_(line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace fg::gateway
