#include "tests/support/client/host_network.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace fg::client {
namespace {

constexpr const char* kRulePreference = "100";  // before the main table's 32766

IpAddress address_of(const Interface& interface, Family family) {
  return family == Family::v4 ? interface.v4 : interface.v6;
}

std::string rule(const HostOptions& options, const char* verb) {
  return std::string{"rule "} + verb + " pref " + kRulePreference + " not fwmark " +
         std::to_string(options.mark) + " table " + std::to_string(kRouteTable) + "\n";
}

// "ip -force" goes on after a line that fails.
bool run_ip(Family family, const std::string& text, bool is_silent) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return false;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[0], 0);
  if (is_silent) ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  std::array<std::string, 5> words{"ip", family == Family::v4 ? "-4" : "-6", "-force", "-batch",
                                   "-"};
  std::array<char*, 6> argv{};
  std::transform(words.begin(), words.end(), argv.begin(),
                 [](std::string& word) { return word.data(); });
  pid_t child = 0;
  const bool is_started =
      ::posix_spawnp(&child, "ip", &actions, nullptr, argv.data(), environ) == 0;
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[0]);
  if (is_started) {
    std::size_t written = 0;
    while (written < text.size()) {
      const auto n = ::write(pipe[1], text.data() + written, text.size() - written);
      if (n <= 0) break;
      written += static_cast<std::size_t>(n);
    }
  }
  ::close(pipe[1]);
  int status = 1;
  if (is_started) ::waitpid(child, &status, 0);
  return status == 0;
}

}  // namespace

std::string ip_commands(const HostOptions& options, Family family,
                        const std::optional<NetworkSetup>& previous, const NetworkSetup& next) {
  const std::string table = " table " + std::to_string(kRouteTable) + "\n";
  const auto device = " dev " + options.tun;
  const auto address = address_of(next.interface, family);
  const auto host = "/" + std::to_string(address.bits()) + device;
  std::string out;
  if (!previous && family == Family::v4) out += "link set" + device + " mtu 1280 up\n";
  if (!previous || address_of(previous->interface, family) != address) {
    if (previous)
      out += "addr del " + address_of(previous->interface, family).to_string() + host + "\n";
    out +=
        "addr replace " + address.to_string() + host + (family == Family::v6 ? " nodad\n" : "\n");
  }
  const auto has = [](const std::optional<NetworkSetup>& setup, const Cidr& route) {
    return setup &&
           std::find(setup->routes.begin(), setup->routes.end(), route) != setup->routes.end();
  };
  for (const auto& route : previous ? previous->routes : std::vector<Cidr>{}) {
    if (route.family() != family || has(next, route)) continue;
    out += "route del " + route.to_string() + device + table;
  }
  for (const auto& route : next.routes) {
    if (route.family() != family || has(previous, route)) continue;
    out += "route replace " + route.to_string() + device + table;
  }
  if (!previous) out += rule(options, "add");
  return out;
}

bool HostNetwork::apply(const NetworkSetup& next) {
  bool is_fine = true;
  for (const auto family : {Family::v4, Family::v6}) {
    if (!current_) (void)run_ip(family, rule(options_, "del"), true);
    if (const auto text = ip_commands(options_, family, current_, next); !text.empty()) {
      is_fine = run_ip(family, text, false) && is_fine;
    }
  }
  current_ = next;
  return is_fine;
}

// Addresses and routes go with the device.
HostNetwork::~HostNetwork() {
  if (!current_) return;
  for (const auto family : {Family::v4, Family::v6})
    (void)run_ip(family, rule(options_, "del"), true);
}

}  // namespace fg::client
