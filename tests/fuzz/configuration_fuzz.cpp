// What an operator writes: durations, log filters, flags and environment. An error is one printable
// line that never holds the token; what is accepted is within its limits. Log lines stay one line
// each, and JSON.
#include <map>

#include "control/portal/json.h"
#include "gateway/configuration.h"
#include "gateway/human_duration.h"
#include "gateway/log_sink.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::gateway;

bool is_one_line(std::string_view text) {
  return !text.empty() && text.find_first_of("\r\n") == std::string_view::npos;
}

void durations(std::string_view text) {
  const auto duration = parse_human_duration(text);
  if (!duration) return;
  FG_LAW(*duration > Duration::zero() && *duration % 1s == Duration::zero());
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*duration).count();
  FG_LAW(parse_human_duration(std::to_string(seconds) + "s") == duration ||
         seconds > 1'000'000'000);
}

void log_lines(std::string_view text) {
  const auto filter = LogFilter::parse(text);
  if (!filter) return;
  for (const auto* target : {"portal", "turn::allocation", ""}) {
    // A level that passes lets every worse one pass.
    for (int level = 0; level < 4; ++level) {
      FG_LAW(!filter->allows(static_cast<LogLevel>(level), target) ||
             filter->allows(static_cast<LogLevel>(level + 1), target));
    }
  }
  for (const auto format : {LogFormat::human, LogFormat::json}) {
    std::string line;
    LineSink sink{*filter, format, [] { return fuzz::kWallStart; },
                  [&](std::string_view l) { line += l; }};
    const LogField fields[] = {{"field", std::string{text}}, {"count", 7}};
    sink.write(LogLevel::error, "portal", text, fields);
    FG_LAW(line.ends_with('\n') && is_one_line(std::string_view{line}.substr(0, line.size() - 1)));
    if (format == LogFormat::json) FG_LAW(portal::parse_json(line).has_value());
  }
}

class Table final : public Environment {
 public:
  std::map<std::string, std::string> values;
  [[nodiscard]] std::optional<std::string> get(const std::string& key) const override {
    const auto found = values.find(key);
    return found == values.end() ? std::nullopt : std::optional{found->second};
  }
  [[nodiscard]] std::string host_name() const override { return "host"; }
  [[nodiscard]] std::optional<std::string> read_file(const std::string& path) const override {
    return path.size() % 2 == 0 ? std::optional<std::string>{"a token\n"} : std::nullopt;
  }
};

void whole(Bytes input) {
  constexpr std::array kKeys{"FIREZONE_API_URL",
                             "FIREZONE_TOKEN",
                             "FIREZONE_ID",
                             "FIREZONE_NAME",
                             "HEALTH_CHECK_ADDR",
                             "RUST_LOG",
                             "FIREZONE_LOG_FORMAT",
                             "FIREZONE_NO_INC_BUF",
                             "FIREZONE_MAX_PARTITION_TIME",
                             "FIREGATE_TUN_NAME",
                             "FIREGATE_WORKERS",
                             "FIREGATE_PORTAL_GENERATION",
                             "FIREGATE_REPORTED_VERSION",
                             "FIREGATE_MASQUERADE",
                             "CREDENTIALS_DIRECTORY",
                             "FIREZONE_UDP_SEND_BUFFER_SIZE",
                             "FIREGATE_UNTRACKED"};
  constexpr std::array kFlags{"--api-url",    "--firezone-name=",
                              "--workers",    "--no-check",
                              "-m",           "--tun-name",
                              "--help",       "-V",
                              "--masquerade", "--",
                              "-u",           "--health-check-addr"};
  constexpr std::string_view kToken = "SECRETSECRET";
  if (as_text(input).find(kToken) != std::string_view::npos)
    return;  // other settings are quoted in errors
  fuzz::Choices choices{input};
  Table environment;
  environment.values["FIREZONE_TOKEN"] = kToken;
  std::vector<std::string> arguments;
  while (!choices.empty()) {
    const auto what = choices.u8();
    if ((what & 0x80) == 0)
      environment.values[kKeys[what % kKeys.size()]] = choices.text();
    else if ((what & 0x40) == 0)
      arguments.emplace_back(kFlags[what % kFlags.size()]);
    else
      arguments.emplace_back(choices.text());
  }
  const auto parsed = parse_configuration(arguments, environment);
  if (!parsed) {
    FG_LAW(parsed.error().exit_code == 1 || parsed.error().exit_code == 2);
    FG_LAW(!parsed.error().text.empty() && parsed.error().text.find(kToken) == std::string::npos);
    return;
  }
  FG_LAW(parsed->configuration.has_value() != parsed->early_exit.has_value());
  if (!parsed->configuration) return;
  const auto& c = *parsed->configuration;
  FG_LAW(!c.token.empty() && !c.url.host.empty() && c.partition_time_max > Duration::zero());
  FG_LAW(!c.workers || (*c.workers >= 1 && *c.workers <= 16));
  FG_LAW(!c.tun_name.empty() && c.tun_name.size() <= 15 &&
         c.tun_name.find('/') == std::string::npos);
}

void run(Bytes input) {
  durations(as_text(input));
  log_lines(as_text(input));
  whole(input);
}

}  // namespace

FG_FUZZ_TARGET(run)
