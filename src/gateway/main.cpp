// Process start: arguments, environment and secrets, then gateway.h.
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>

#include "base/secret.h"
#include "control/console/command.h"
#include "gateway/ask.h"
#include "gateway/configuration.h"
#include "gateway/gateway.h"
#include "gateway/log_limiter.h"
#include "gateway/log_sink.h"

extern char** environ;

namespace {

class ProcessEnvironment final : public fg::gateway::Environment {
 public:
  [[nodiscard]] std::optional<std::string> get(const std::string& key) const override {
    const char* value = std::getenv(key.c_str());
    if (value == nullptr) return std::nullopt;
    return std::string{value};
  }
  [[nodiscard]] std::string host_name() const override {
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == 0) return "firegate";
    return name.data();
  }
  [[nodiscard]] std::optional<std::string> read_file(const std::string& path) const override {
    // A directory opens as well, and a container makes one of a mounted file that is missing.
    constexpr std::size_t kMost = 65'536;
    std::string content(kMost, '\0');
    std::ifstream in{path, std::ios::binary};
    in.read(content.data(), kMost);
    if (!in.is_open() || in.bad()) return std::nullopt;
    content.resize(static_cast<std::size_t>(in.gcount()));
    return content;
  }
};

// /proc/*/cmdline and /proc/*/environ show the memory the process started with.
void scrub(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    fg::wipe({reinterpret_cast<std::uint8_t*>(argv[i]), std::strlen(argv[i])});
  // Proxies may be named with a password.
  static constexpr std::array<std::string_view, 7> kKeys{
      "FIREZONE_TOKEN=", "https_proxy=", "HTTPS_PROXY=", "http_proxy=",
      "HTTP_PROXY=",     "all_proxy=",   "ALL_PROXY="};
  for (char** variable = environ; *variable != nullptr; ++variable) {
    for (const auto key : kKeys) {
      if (std::strncmp(*variable, key.data(), key.size()) != 0) continue;
      auto* value = *variable + key.size();
      fg::wipe({reinterpret_cast<std::uint8_t*>(value), std::strlen(value)});
    }
  }
}

void forbid_core_files() {
  const rlimit none{0, 0};
  (void)::setrlimit(RLIMIT_CORE, &none);
  (void)::prctl(PR_SET_DUMPABLE, 0);
}

// DNS queries of clients have a socket each (control/dns/forwarder.h), and select() is not used.
void allow_descriptors() {
  constexpr rlim_t kDescriptors = 8192;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = std::max(limit.rlim_cur, std::min(kDescriptors, limit.rlim_max));
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

fg::WallTime wall_now() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return fg::WallTime{std::chrono::seconds{now.tv_sec} + std::chrono::nanoseconds{now.tv_nsec}};
}

}  // namespace

int main(int argc, char** argv) {
  forbid_core_files();
  allow_descriptors();
  ::umask(0007);  // no file of ours is for everyone
  std::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> arguments{argv + 1, argv + argc};
  const ProcessEnvironment environment;
  if (fg::console::is_command(arguments)) {
    const auto asked = fg::gateway::ask(arguments, environment);
    if (!asked.error.empty()) std::fprintf(stderr, "firegate: %s\n", asked.error.c_str());
    std::fputs(asked.output.c_str(), stdout);
    return asked.exit_code;
  }
  auto parsed = fg::gateway::parse_configuration(arguments, environment);
  scrub(argc, argv);
  if (!parsed) {
    std::fprintf(stderr, "firegate: %s\n", parsed.error().text.c_str());
    return parsed.error().exit_code;
  }
  if (parsed->early_exit) {
    std::fputs(parsed->early_exit->text.c_str(), stdout);
    return 0;
  }
  const auto& configuration = *parsed->configuration;
  auto filter = fg::gateway::LogFilter::parse(configuration.log_filter);
  if (!filter) {
    std::fprintf(
        stderr, "firegate: RUST_LOG='%s' is not a log filter: set e.g. info or warn,portal=debug\n",
        configuration.log_filter.c_str());
    return 1;
  }
  fg::gateway::LineSink lines{
      std::move(*filter),
      configuration.log_json ? fg::gateway::LogFormat::json : fg::gateway::LogFormat::human,
      wall_now, [](std::string_view line) {
        std::fwrite(line.data(), 1, line.size(), stdout);
        std::fflush(stdout);
      }};
  fg::gateway::LogLimiter sink{lines, wall_now};
  const fg::Log log{sink, "gateway"};
  log.info("`gateway` started logging", {{"version", fg::gateway::kVersion}});
  for (const auto& notice : configuration.notices) log.info(notice);
  return fg::gateway::run(configuration, sink);
}
