#include "gateway/configuration.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <map>

#include "crypto/aead.h"
#include "gateway/human_duration.h"

namespace fg::gateway {
namespace {

constexpr std::size_t kTokenMax = 8192;
constexpr std::size_t kNameMax = 255;          // characters, spec portal 1.1
constexpr std::size_t kInterfaceNameMax = 15;  // IFNAMSIZ - 1
constexpr std::size_t kSocketPathMax = 107;    // unix(7), without its end
constexpr unsigned kWorkersLimit = 16;         // worker bits of a receiver index
constexpr std::uint32_t kBusyPollMax = 1000;   // microseconds
constexpr std::uint32_t kSpinMax = 1'000'000;  // microseconds

ConfigurationError usage(std::string text) { return {std::move(text), 2}; }

// A value and where it came from, so that an error can name what the operator wrote.
struct Setting {
  std::string key;
  std::string value;
};

class Reader {
 public:
  Reader(const Environment& environment, std::map<std::string, std::string> flags)
      : environment_(environment), flags_(std::move(flags)) {}

  [[nodiscard]] std::optional<Setting> get(const std::string& flag,
                                           const std::string& variable) const {
    if (const auto given = flags_.find(flag); !flag.empty() && given != flags_.end()) {
      return Setting{"--" + flag, given->second};
    }
    if (variable.empty()) return std::nullopt;
    if (auto value = environment_.get(variable)) return Setting{variable, *value};
    return std::nullopt;
  }
  [[nodiscard]] const Environment& environment() const { return environment_; }

 private:
  const Environment& environment_;
  std::map<std::string, std::string> flags_;
};

using Check = std::optional<ConfigurationError>;

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7F; });
}

std::size_t characters(std::string_view utf8) {
  return static_cast<std::size_t>(
      std::count_if(utf8.begin(), utf8.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string shown(std::string_view value) {
  return is_printable(value) ? std::string(value) : "(unprintable)";
}

template <class T>
struct Word {
  std::string_view text;
  T value;
};

template <class T>
Check read_word(const Reader& reader, const std::string& flag, const std::string& variable,
                std::initializer_list<Word<T>> words, T& out) {
  const auto setting = reader.get(flag, variable);
  if (!setting) return std::nullopt;
  std::string all;
  for (const auto& word : words) {
    if (setting->value == word.text) {
      out = word.value;
      return std::nullopt;
    }
    all += (all.empty() ? "'" : "', '") + std::string(word.text);
  }
  return usage(setting->key + "='" + shown(setting->value) +
               "' is none of its values: set one of " + all + "' or remove it");
}

// Only these two words, as the original's argument parser.
Check read_bool(const Reader& reader, const std::string& flag, const std::string& variable,
                bool& out) {
  return read_word<bool>(reader, flag, variable, {{"true", true}, {"false", false}}, out);
}

template <class T>
Check read_number(const Reader& reader, const std::string& flag, const std::string& variable,
                  T least, T most, std::optional<T>& out) {
  const auto setting = reader.get(flag, variable);
  if (!setting) return std::nullopt;
  T value{};
  const auto* end = setting->value.data() + setting->value.size();
  const auto [stop, error] = std::from_chars(setting->value.data(), end, value);
  if (error != std::errc{} || stop != end || value < least || value > most) {
    return usage(setting->key + "='" + setting->value + "' is not a number from " +
                 std::to_string(least) + " to " + std::to_string(most) +
                 ": set such a number or remove it");
  }
  out = value;
  return std::nullopt;
}

// Credentials may stand before '@', a token behind '?'.
std::string shown_url(std::string text) {
  if (const auto at = text.rfind('@'); at != std::string::npos) {
    const auto scheme = text.find("://");
    const auto start = scheme < at ? scheme + 3 : 0;
    text.replace(start, at - start, "...");
  }
  if (const auto query = text.find('?'); query != std::string::npos)
    text.replace(query + 1, std::string::npos, "...");
  return shown(text);
}

Check read_url(const Reader& reader, Configuration& out) {
  std::string key = "FIREZONE_API_URL";
  if (const auto setting = reader.get("api-url", key)) {
    key = setting->key;
    out.api_url = setting->value;
  }
  auto url = portal::ApiUrl::parse(out.api_url);
  if (url) {
    out.url = std::move(*url);
    return std::nullopt;
  }
  const bool scheme = url.error() == portal::UrlError::wrong_scheme;
  return ConfigurationError{
      key + "='" + shown_url(out.api_url) + "' " +
          (scheme ? "has a scheme other than wss, ws, https and http" : "is not a URL") +
          ": set the portal's address, e.g. wss://api.firezone.dev",
      scheme ? 1 : 2};
}

// The first variable that is set and not empty; lower case first, as everywhere.
std::optional<Setting> first_of(const Environment& environment,
                                std::initializer_list<const char*> keys) {
  for (const auto* key : keys) {
    if (auto value = environment.get(key); value && !value->empty()) return Setting{key, *value};
  }
  return std::nullopt;
}

// The value may hold a password and is never shown.
Check read_proxy(const Reader& reader, Configuration& out) {
  const auto& environment = reader.environment();
  const auto setting =
      out.url.is_tls
          ? first_of(environment, {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"})
          : first_of(environment, {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"});
  if (!setting) return std::nullopt;
  const auto exceptions = first_of(environment, {"no_proxy", "NO_PROXY"});
  if (exceptions && portal::is_direct(exceptions->value, out.url)) return std::nullopt;
  auto proxy = portal::parse_proxy(setting->value);
  if (proxy) {
    out.proxy = std::move(*proxy);
    return std::nullopt;
  }
  return ConfigurationError{
      setting->key +
      (proxy.error() == portal::ProxyError::wrong_scheme
           ? " names a proxy of a kind that is not spoken: set http://[user:password@]host:port"
           : " is not a proxy's address: set http://[user:password@]host:port") +
      ", or name the portal's host in no_proxy"};
}

// Records of flows go to another host than the portal's, always over TLS.
void read_upload_proxy(const Reader& reader, Configuration& out) {
  const auto& environment = reader.environment();
  if (const auto exceptions = first_of(environment, {"no_proxy", "NO_PROXY"}))
    out.no_proxy = exceptions->value;
  const auto setting =
      first_of(environment, {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"});
  if (!setting) return;
  if (auto proxy = portal::parse_proxy(setting->value)) {
    out.upload_proxy = std::move(*proxy);
  } else {
    out.notices.push_back(setting->key +
                          " names no proxy that is spoken to: flow records are uploaded without");
  }
}

constexpr std::string_view kTokenMend =
    "set FIREZONE_TOKEN to the token of the portal's deploy page, or give it as the systemd "
    "credential FIREZONE_TOKEN";

// Argument, then environment, then systemd credential (spec operations 2.2); a value that names a
// file is read from it.
Check read_token(const Reader& reader, const std::optional<std::string>& argument,
                 Configuration& out) {
  std::string key = "TOKEN";
  std::optional<std::string> value = argument;
  if (!value) {
    key = "FIREZONE_TOKEN";
    value = reader.environment().get(key);
  }
  if (value && value->starts_with('/')) {
    const auto path = *value;
    value = reader.environment().read_file(path);
    if (!value)
      return ConfigurationError{key + " names the file '" + path +
                                "', which cannot be read: " + std::string(kTokenMend)};
  }
  if (!value) {
    const auto directory = reader.environment().get("CREDENTIALS_DIRECTORY");
    if (!directory) {
      return ConfigurationError{
          "FIREZONE_TOKEN is missing and CREDENTIALS_DIRECTORY is not provided: " +
          std::string(kTokenMend)};
    }
    key = *directory + "/FIREZONE_TOKEN";
    value = reader.environment().read_file(key);
    if (!value) {
      return ConfigurationError{"FIREZONE_TOKEN is missing and the systemd credential '" + key +
                                "' cannot be read: " + std::string(kTokenMend)};
    }
  }
  if (argument && key == "TOKEN") {
    out.notices.emplace_back(
        "the token was an argument, which every user of the host can see until the program has "
        "overwritten it: give it as FIREZONE_TOKEN=/path/to/a/file or as a systemd credential");
  }
  std::string token = *value;
  wipe({reinterpret_cast<std::uint8_t*>(value->data()), value->size()});
  std::erase_if(token, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); });
  const bool malformed =
      !std::all_of(token.begin(), token.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (token.empty() || token.size() > kTokenMax || malformed) {
    const auto* what = token.empty() ? " is empty: "
                       : malformed   ? " holds characters no token has: "
                                     : " is too long for a token: ";
    wipe({reinterpret_cast<std::uint8_t*>(token.data()), token.size()});
    return ConfigurationError{key + what + std::string(kTokenMend)};
  }
  out.token = SecretText{std::move(token)};
  return std::nullopt;
}

Check read_identity(const Reader& reader, Configuration& out) {
  if (const auto id = reader.get("firezone-id", "FIREZONE_ID"); id && !id->value.empty()) {
    if (id->value.size() > kNameMax || !is_printable(id->value)) {
      return ConfigurationError{
          id->key + "='" + shown(id->value) +
          "' is not an id: use 1 to 255 printable characters, best 64 hex digits"};
    }
    out.id = id->value;
  }
  out.name = reader.environment().host_name();
  if (const auto name = reader.get("firezone-name", "FIREZONE_NAME");
      name && !name->value.empty()) {
    if (characters(name->value) > kNameMax || !is_printable(name->value)) {
      return ConfigurationError{name->key + "='" + shown(name->value) +
                                "' is not a name: use 1 to 255 printable characters"};
    }
    out.name = name->value;
  }
  return std::nullopt;
}

bool is_interface_name(std::string_view name) {
  return !name.empty() && name.size() <= kInterfaceNameMax && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '-' || c == '_' || c == '.';
         });
}

constexpr std::size_t kXdpInterfacesMax = 16;

Check read_backend(const Reader& reader, Configuration& out) {
  const auto setting = reader.get("xdp-interfaces", "FIREGATE_XDP_INTERFACES");
  if (!setting) return std::nullopt;
  std::string_view rest = setting->value;
  while (!rest.empty()) {
    const auto name = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(name.size() + 1, rest.size()));
    if (!is_interface_name(name) || out.xdp_interfaces.size() == kXdpInterfacesMax) {
      return usage(setting->key + "='" + shown(setting->value) +
                   "' is not a list of interfaces: set at most 16 names with commas between them, "
                   "e.g. eth0,eth1");
    }
    out.xdp_interfaces.emplace_back(name);
  }
  return std::nullopt;
}

Check read_interface(const Reader& reader, Configuration& out) {
  const auto setting = reader.get("tun-name", "FIREGATE_TUN_NAME");
  if (!setting) return std::nullopt;
  const auto& name = setting->value;
  if (!is_interface_name(name)) {
    return ConfigurationError{setting->key + "='" + shown(name) +
                              "' is not an interface name: use 1 to 15 letters, digits, '-', '_' "
                              "or '.', e.g. tun-firezone"};
  }
  out.tun_name = name;
  return std::nullopt;
}

constexpr std::size_t kPreservedMax = 256;

// Networks with commas between them.
Check read_preserved(const Reader& reader, Configuration& out) {
  const auto setting = reader.get("preserve-source", "FIREGATE_PRESERVE_SOURCE");
  if (!setting) return std::nullopt;
  std::string_view rest = setting->value;
  while (!rest.empty()) {
    auto word = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(word.size() + 1, rest.size()));
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    if (word.empty()) continue;
    const bool is_host = word.find('/') == std::string_view::npos;
    const auto network = Cidr::parse(word, !is_host);
    if (!network) {
      const std::string shown{is_printable(word) ? word : "(unprintable)"};
      return usage(setting->key + " has '" + shown +
                   "', which is not a network: set networks with commas between them, e.g. "
                   "10.20.0.0/16,fd20::/64, and no bits behind their prefix");
    }
    if (out.preserved_sources.size() == kPreservedMax)
      return usage(setting->key + " has more than " + std::to_string(kPreservedMax) +
                   " networks: join some of them");
    out.preserved_sources.push_back(*network);
  }
  return std::nullopt;
}

// "off", a path, or the directory systemd made for the service.
Check read_control_socket(const Reader& reader, Configuration& out) {
  if (const auto directory = reader.environment().get("RUNTIME_DIRECTORY");
      directory && directory->starts_with('/'))
    out.control_socket = directory->substr(0, directory->find(':')) + "/control.sock";
  const auto setting = reader.get("control-socket", "FIREGATE_CONTROL_SOCKET");
  if (!setting || setting->value.empty()) return std::nullopt;
  if (setting->value == "off") {
    out.control_socket.clear();
    return std::nullopt;
  }
  if (!setting->value.starts_with('/') || setting->value.size() > kSocketPathMax ||
      !is_printable(setting->value)) {
    return usage(setting->key + "='" + shown(setting->value) +
                 "' is neither 'off' nor a path from / of at most 107 characters: set e.g. "
                 "/run/firegate/control.sock");
  }
  out.control_socket = setting->value;
  return std::nullopt;
}

Check read_words(const Reader& reader, Configuration& out) {
  if (const auto health = reader.get("health-check-addr", "HEALTH_CHECK_ADDR")) {
    const auto address = SocketAddress::parse(health->value);
    if (!address)
      return usage(health->key + "='" + health->value + "' is not ip:port: set e.g. 0.0.0.0:8080");
    out.health_address = *address;
  }
  if (const auto time = reader.get("max-partition-time", "FIREZONE_MAX_PARTITION_TIME")) {
    const auto duration = parse_human_duration(time->value);
    if (!duration)
      return usage(time->key + "='" + time->value + "' is not a duration: set e.g. 30m, 24h or 7d");
    out.partition_time_max = *duration;
  }
  if (const auto version = reader.get("reported-version", "FIREGATE_REPORTED_VERSION")) {
    const auto dots = std::count(version->value.begin(), version->value.end(), '.');
    const bool valid = dots == 2 && version->value.size() < 32 &&
                       std::all_of(
                           version->value.begin(), version->value.end(),
                           [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
    if (!valid)
      return usage(version->key + "='" + version->value + "' is not x.y.z: set e.g. 1.6.1");
    out.reported_version = version->value;
  }
  if (const auto filter = reader.environment().get("RUST_LOG"); filter && !filter->empty())
    out.log_filter = *filter;
  if (const auto file = reader.get("ca-file", "FIREGATE_CA_FILE")) out.ca_file = file->value;
  if (const auto file = reader.get("flow-log-file", "FIREGATE_FLOW_LOG_FILE");
      file && !file->value.empty()) {
    if (!file->value.starts_with('/') || file->value.ends_with('/') || !is_printable(file->value)) {
      return usage(file->key + "='" + shown(file->value) +
                   "' is not a file's absolute path: set e.g. /var/log/firegate/flows.json");
    }
    out.flow_log_file = file->value;
  }
  if (const auto directory = reader.get("", "FIREGATE_STATE_DIRECTORY"))
    out.state_directory = directory->value;
  if (const auto aead = reader.get("", "FIREGATE_AEAD")) {
    if (!crypto::parse_aead_provider(aead->value)) {
      return usage(
          aead->key + "='" + aead->value +
          "' is not a cipher library: set sodium, openssl, gcrypt or ipsec-mb, or remove it");
    }
    out.aead = aead->value;
  }
  return std::nullopt;
}

Check read_choices(const Reader& reader, Configuration& out) {
  using portal::Generation;
  bool ignored = false;
  for (const auto& check :
       {read_word<bool>(reader, "log-format", "FIREZONE_LOG_FORMAT",
                        {{"human", false}, {"json", true}}, out.log_json),
        read_word<bool>(reader, "metrics", "FIREZONE_METRICS",
                        {{"stdout", true}, {"otel-collector", true}, {"sentry", true}}, ignored),
        read_word<std::optional<Generation>>(reader, "portal-generation",
                                             "FIREGATE_PORTAL_GENERATION",
                                             {{"A", Generation::a},
                                              {"B", Generation::b},
                                              {"C", Generation::c},
                                              {"auto", std::nullopt}},
                                             out.generation),
        read_word<bool>(reader, "masquerade", "FIREGATE_MASQUERADE", {{"on", true}, {"off", false}},
                        out.masquerade),
        read_word<UntrackedChoice>(reader, "untracked", "FIREGATE_UNTRACKED",
                                   {{"auto", UntrackedChoice::automatic},
                                    {"on", UntrackedChoice::on},
                                    {"off", UntrackedChoice::off}},
                                   out.untracked),
        read_word<BackendChoice>(reader, "backend", "FIREGATE_BACKEND",
                                 {{"auto", BackendChoice::automatic},
                                  {"xdp", BackendChoice::xdp},
                                  {"kernel", BackendChoice::kernel}},
                                 out.backend),
        read_word<XdpSendChoice>(reader, "", "FIREGATE_XDP_SEND",
                                 {{"auto", XdpSendChoice::automatic},
                                  {"on", XdpSendChoice::on},
                                  {"off", XdpSendChoice::off}},
                                 out.xdp_send)}) {
    if (check) return check;
  }
  return std::nullopt;
}

Check read_rest(const Reader& reader, Configuration& out) {
  bool no_check = false;
  bool no_buffers = false;
  bool ignored = false;
  for (const auto& check :
       {read_bool(reader, "no-check", "", no_check),
        read_bool(reader, "no-inc-buf", "FIREZONE_NO_INC_BUF", no_buffers),
        read_bool(reader, "no-telemetry", "FIREZONE_NO_TELEMETRY", ignored),
        read_bool(reader, "flow-logs", "FIREZONE_FLOW_LOGS", out.flow_logs),
        read_bool(reader, "validate-checksums", "FIREZONE_VALIDATE_CHECKSUMS", ignored),
        read_bool(reader, "set-forwarding", "FIREGATE_SET_FORWARDING", out.set_forwarding),
        read_bool(reader, "lenient-turn", "FIREGATE_LENIENT_TURN", out.lenient_turn),
        read_bool(reader, "", "FIREGATE_PIN_WORKERS", out.pin_workers),
        read_number(reader, "", "FIREGATE_SPIN", 1U, kSpinMax, out.spin),
        read_number(reader, "workers", "FIREGATE_WORKERS", 1U, kWorkersLimit, out.workers),
        read_number(reader, "", "FIREGATE_XDP_BUSY_POLL", 1U, kBusyPollMax, out.xdp_busy_poll),
        read_number(reader, "", "FIREZONE_UDP_SEND_BUFFER_SIZE", 4096U, 1U << 30,
                    out.udp_send_buffer),
        read_number(reader, "", "FIREZONE_UDP_RECV_BUFFER_SIZE", 4096U, 1U << 30,
                    out.udp_receive_buffer)}) {
    if (check) return check;
  }
  out.check_host = !no_check;
  out.increase_buffers = !no_buffers;
  for (const auto* removed : {"FIREZONE_ENABLE_MASQUERADE", "FIREZONE_NUM_TUN_THREADS"}) {
    if (reader.environment().get(removed))
      out.notices.push_back(std::string(removed) + " has no effect any more: remove it");
  }
  if (out.flow_logs) out.log_filter += ",flow_logs=trace";  // spec operations 1.1
  return std::nullopt;
}

struct CommandLine {
  std::map<std::string, std::string> flags;
  std::optional<std::string> token;
  std::optional<EarlyExit> early_exit;
};

Result<CommandLine, ConfigurationError> parse_command_line(std::vector<std::string> arguments) {
  CLI::App app{"Gateway for Firezone networks.", "firegate"};
  CommandLine out;
  std::map<std::string, std::string> values;
  std::string token;
  bool version = false;
  app.add_option(
      "TOKEN", token,
      "Token of the portal's deploy page; better given as FIREZONE_TOKEN or systemd credential");
  app.footer(
      "A running gateway is asked by: firegate status, peers, explain (firegate status --help)");
  app.add_flag("-V,--version", version, "Print the version and exit");
  struct Option {
    const char* names;
    const char* key;
    const char* help;
  };
  for (const auto& option : std::initializer_list<Option>{
           {"-u,--api-url", "api-url", "Portal, e.g. wss://api.firezone.dev [FIREZONE_API_URL]"},
           {"-n,--firezone-name", "firezone-name", "Name shown in the portal [FIREZONE_NAME]"},
           {"-i,--firezone-id", "firezone-id", "Stable identity [FIREZONE_ID]"},
           {"--health-check-addr", "health-check-addr",
            "ip:port of the health listener [HEALTH_CHECK_ADDR]"},
           {"--log-format", "log-format", "human or json [FIREZONE_LOG_FORMAT]"},
           {"-m,--max-partition-time", "max-partition-time",
            "How long to try to reach the portal [FIREZONE_MAX_PARTITION_TIME]"},
           {"--metrics", "metrics", "Accepted for compatibility [FIREZONE_METRICS]"},
           {"--otlp-grpc-endpoint", "otlp-grpc-endpoint",
            "Accepted for compatibility [OTLP_GRPC_ENDPOINT]"},
           {"--tun-name", "tun-name", "Name of the TUN device [FIREGATE_TUN_NAME]"},
           {"--backend", "backend", "auto, xdp or kernel [FIREGATE_BACKEND]"},
           {"--xdp-interfaces", "xdp-interfaces",
            "Where AF_XDP is used, in place of the routes' [FIREGATE_XDP_INTERFACES]"},
           {"--workers", "workers", "Number of worker threads, 1 to 16 [FIREGATE_WORKERS]"},
           {"--portal-generation", "portal-generation",
            "A, B, C or auto [FIREGATE_PORTAL_GENERATION]"},
           {"--reported-version", "reported-version",
            "Version told to the portal [FIREGATE_REPORTED_VERSION]"},
           {"--ca-file", "ca-file",
            "Additional trust anchors for the portal, PEM [FIREGATE_CA_FILE]"},
           {"--flow-log-file", "flow-log-file",
            "File for records of flows, a JSON object a line [FIREGATE_FLOW_LOG_FILE]"},
           {"--masquerade", "masquerade", "on or off [FIREGATE_MASQUERADE]"},
           {"--preserve-source", "preserve-source",
            "Networks that see clients' own addresses [FIREGATE_PRESERVE_SOURCE]"},
           {"--untracked", "untracked",
            "Keep tunnel datagrams out of connection tracking: auto, on or off "
            "[FIREGATE_UNTRACKED]"},
           {"--control-socket", "control-socket",
            "Where 'firegate status' asks, or off [FIREGATE_CONTROL_SOCKET]"}}) {
    app.add_option(option.names, values[option.key], option.help);
  }
  std::map<std::string, bool> switches;
  for (const auto& option : std::initializer_list<Option>{
           {"--no-check", "no-check", "Skip the checks of permissions and forwarding"},
           {"--no-inc-buf", "no-inc-buf",
            "Leave net.core.{r,w}mem_max alone [FIREZONE_NO_INC_BUF]"},
           {"--no-telemetry", "no-telemetry",
            "Accepted; there is no telemetry [FIREZONE_NO_TELEMETRY]"},
           {"--flow-logs", "flow-logs", "Records of flows in the log [FIREZONE_FLOW_LOGS]"},
           {"--validate-checksums", "validate-checksums",
            "Accepted for compatibility [FIREZONE_VALIDATE_CHECKSUMS]"},
           {"--set-forwarding", "set-forwarding",
            "Switch IP forwarding on at start [FIREGATE_SET_FORWARDING]"},
           {"--lenient-turn", "lenient-turn",
            "Accept relays that do not sign errors, e.g. coturn [FIREGATE_LENIENT_TURN]"}}) {
    app.add_flag(option.names, switches[option.key], option.help);
  }
  std::reverse(arguments.begin(), arguments.end());
  try {
    app.parse(arguments);
  } catch (const CLI::CallForHelp&) {
    out.early_exit = EarlyExit{app.help()};
    return out;
  } catch (const CLI::ParseError& error) {
    return fail(usage(std::string("command line: ") + error.what() + " (see --help)"));
  }
  if (version) out.early_exit = EarlyExit{"firegate " + std::string(kVersion) + "\n"};
  for (auto& [key, value] : values) {
    if (app.count("--" + key) > 0) out.flags[key] = value;
  }
  for (const auto& [key, on] : switches) {
    if (on) out.flags[key] = "true";
  }
  if (app.count("TOKEN") > 0) out.token = token;
  wipe({reinterpret_cast<std::uint8_t*>(token.data()), token.size()});
  return out;
}

}  // namespace

Result<Parsed, ConfigurationError> parse_configuration(const std::vector<std::string>& arguments,
                                                       const Environment& environment) {
  auto line = parse_command_line(arguments);
  if (!line) return fail(line.error());
  Parsed parsed;
  if (line->early_exit) {
    parsed.early_exit = std::move(line->early_exit);
    return parsed;
  }
  const Reader reader{environment, line->flags};
  Configuration out;
  for (const auto& check :
       {read_url(reader, out), read_proxy(reader, out), read_words(reader, out),
        read_choices(reader, out), read_rest(reader, out), read_identity(reader, out),
        read_interface(reader, out), read_control_socket(reader, out), read_preserved(reader, out),
        read_backend(reader, out)}) {
    if (check) return fail(*check);
  }
  read_upload_proxy(reader, out);
  if (auto error = read_token(reader, line->token, out)) return fail(std::move(*error));
  parsed.configuration = std::move(out);
  return parsed;
}

}  // namespace fg::gateway
