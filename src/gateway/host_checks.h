// What the host must offer before anything is changed on it, and the mend for what is missing (spec
// operations 2.1, 12).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "base/sys_error.h"
#include "control/portal/login.h"
#include "io/kernel/kernel_backend.h"

namespace fg::gateway {

// Reads /proc and capabilities; tests hand in another root.
struct HostFacts {
  bool has_net_admin = false;
  std::optional<bool> forwards_v4;  // none: unknown
  std::optional<bool> forwards_v6;  // none: unknown, or a host without IPv6
};
[[nodiscard]] HostFacts read_host_facts(const std::string& proc = "/proc");

struct Verdict {
  std::optional<std::string> error;   // the gateway cannot do its job: one line with the mend
  std::vector<std::string> warnings;  // each with its mend
};
[[nodiscard]] Verdict judge(const HostFacts& facts);

// net.ipv4.ip_forward and net.ipv6.conf.all.forwarding. The error names the file.
Result<void, std::string> set_forwarding(const std::string& proc = "/proc");
// Raises net.core.rmem_max and wmem_max to at least these; what happened as log lines, never fatal
// (spec operations 10.2).
std::vector<std::string> raise_buffer_limits(std::uint32_t receive, std::uint32_t send,
                                             const std::string& proc = "/proc");

// What the operating system refused when sockets and device were opened, in one line with the mend
// (spec operations 3.4).
[[nodiscard]] std::string describe(const SysError& error, const std::string& tun_name);

// What the portal is told of the host; unknown parts are empty.
[[nodiscard]] portal::SystemFacts read_system_facts();

// Logs what sockets and device can do. An error when SO_MARK is refused: own traffic could enter
// the tunnel.
Result<void, std::string> report(const io::kernel::Capabilities& capabilities,
                                 std::uint32_t receive_buffer, const Log& log);

}  // namespace fg::gateway
