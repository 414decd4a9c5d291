// What an operator can set, from flags and environment, checked before anything is touched (spec
// operations 1 and 2). Flags win over the environment; everything is read once. An error names the
// key, what is wrong with the value and the mend; a secret value is never part of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "base/secret.h"
#include "base/time.h"
#include "control/portal/login.h"

namespace fg::gateway {

// How datagrams come in (fast_path.h).
enum class BackendChoice : std::uint8_t { automatic, xdp, kernel };
// Whether they leave by AF_XDP where they come in by it: where that is cheaper, always, never
// (xdp_sending.h).
enum class XdpSendChoice : std::uint8_t { automatic, on, off };
// Whether the host's connection tracking is spared the tunnel's datagrams (untracking.h).
enum class UntrackedChoice : std::uint8_t { automatic, on, off };

struct Configuration {
  std::string api_url = "wss://api.firezone.dev";
  portal::ApiUrl url;
  std::optional<portal::Proxy> proxy;
  SecretText token;
  std::optional<std::string> id;  // none: identity.h finds it
  std::string name;
  SocketAddress health_address{IpAddress::v4(0, 0, 0, 0), 8080};
  std::string log_filter = "info";
  bool log_json = false;
  bool check_host = true;        // --no-check switches off permission and forwarding checks
  bool increase_buffers = true;  // --no-inc-buf
  Duration partition_time_max = 24h;
  std::optional<std::uint32_t> udp_send_buffer;     // bytes
  std::optional<std::uint32_t> udp_receive_buffer;  // bytes

  // Ours, beyond the original's.
  std::string tun_name = "tun-firezone";
  std::optional<unsigned> workers;               // none: cores - 1
  bool pin_workers = false;                      // a CPU each
  std::optional<std::uint32_t> spin;             // microseconds of a worker before it sleeps
  std::optional<portal::Generation> generation;  // none: found out
  std::optional<std::string> reported_version;   // none: by generation
  std::string ca_file;
  bool masquerade = true;
  std::vector<Cidr> preserved_sources;  // destinations that see clients' own addresses
  UntrackedChoice untracked = UntrackedChoice::automatic;
  bool set_forwarding = false;
  bool lenient_turn = false;
  std::string state_directory = "/var/lib/firezone";
  std::string aead;  // empty: measured at start
  BackendChoice backend = BackendChoice::automatic;
  std::vector<std::string> xdp_interfaces;  // empty: those of the routes
  XdpSendChoice xdp_send = XdpSendChoice::automatic;
  std::optional<std::uint32_t> xdp_busy_poll;                 // microseconds; none: interrupts
  std::string control_socket = "/run/firegate/control.sock";  // empty: none
  bool flow_logs = false;                     // to the log, whatever the portal says
  std::string flow_log_file;                  // likewise to a file; empty: none
  std::optional<portal::Proxy> upload_proxy;  // for flow records, except to hosts of no_proxy
  std::string no_proxy;

  std::vector<std::string> notices;  // removed settings still present, worth a log line
};

// One line: key, value (never a secret), mend. exit_code as the original's: 2 for a command line
// that does not parse.
struct ConfigurationError {
  std::string text;
  int exit_code = 1;
};
// --help and --version: text for standard output, exit 0.
struct EarlyExit {
  std::string text;
};

// Looks a variable up; tests hand in a table.
class Environment {
 public:
  virtual ~Environment() = default;
  [[nodiscard]] virtual std::optional<std::string> get(const std::string& key) const = 0;
  [[nodiscard]] virtual std::string host_name() const = 0;
  // Whole content, none when it cannot be read.
  [[nodiscard]] virtual std::optional<std::string> read_file(const std::string& path) const = 0;
};

struct Parsed {
  std::optional<Configuration> configuration;
  std::optional<EarlyExit> early_exit;
};
// arguments: without the program's name.
[[nodiscard]] Result<Parsed, ConfigurationError> parse_configuration(
    const std::vector<std::string>& arguments, const Environment& environment);

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace fg::gateway
