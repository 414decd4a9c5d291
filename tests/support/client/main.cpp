#include <sys/utsname.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <map>

#include "tests/support/client/app.h"

namespace {

using namespace fg;  // NOLINT: a program of one file

class StderrSink final : public LogSink {
 public:
  explicit StderrSink(LogLevel level) : level_(level) {}
  [[nodiscard]] bool is_enabled(LogLevel level, std::string_view /*target*/) const override {
    return level >= level_;
  }
  void write(LogLevel level, std::string_view target, std::string_view message,
             std::span<const LogField> fields) override {
    static constexpr std::array kNames = {"trace", "debug", "info", "warn", "error"};
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    std::string line = std::to_string(now.tv_sec) + "." +
                       std::to_string(1000 + now.tv_nsec / 1'000'000).substr(1) + " ";
    line += kNames[static_cast<std::size_t>(level)];
    line += " " + std::string{target} + ": " + std::string{message};
    for (const auto& field : fields) line += " " + field.key + "=" + field.value;
    std::fprintf(stderr, "%s\n", line.c_str());
  }

 private:
  LogLevel level_;
};

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "lab-client";
}

}  // namespace

int main(int argc, char** argv) {
  client::AppOptions options;
  std::string url;
  std::string token;
  auto level = LogLevel::info;
  options.login.name = host_name();
  options.login.id = "lab-client";

  CLI::App cli{"Client of a Firezone network, for the lab."};
  const std::map<std::string, client::Generation> generations{
      {"A", client::Generation::a}, {"B", client::Generation::b}, {"C", client::Generation::c}};
  const std::map<std::string, LogLevel> levels{{"trace", LogLevel::trace},
                                               {"debug", LogLevel::debug},
                                               {"info", LogLevel::info},
                                               {"warn", LogLevel::warn}};
  cli.add_option("--api-url", url, "of the portal")->required();
  cli.add_option("--token", token, "of the client")->required();
  cli.add_option("--generation", options.login.generation, "A, B or C")
      ->transform(CLI::CheckedTransformer(generations));
  cli.add_option("--id", options.login.id, "of the device");
  cli.add_option("--name", options.login.name, "of the device");
  cli.add_option("--version", options.login.version, "told to the portal");
  cli.add_option("--tun", options.tun, "name of the TUN device");
  cli.add_option("--control", options.control, "path of the command socket");
  cli.add_option("--mark", options.mark, "of the outer sockets");
  cli.add_option("--port", options.port, "of the outer sockets; any when taken");
  cli.add_option("--log", level, "least level shown")->transform(CLI::CheckedTransformer(levels));
  CLI11_PARSE(cli, argc, argv);

  const auto parsed = portal::ApiUrl::parse(url);
  if (!parsed) {
    std::fprintf(stderr, "not a URL of a portal: %s\n", url.c_str());
    return 2;
  }
  options.login.url = *parsed;
  options.login.token = SecretText{std::move(token)};
  utsname system{};
  (void)::uname(&system);
  options.login.system = {"Lab", "1.0.0", system.machine, system.release};

  StderrSink sink{level};
  client::App app{std::move(options), Log{sink, "client"}};
  return app.run();
}
