#include "gateway/host_checks.h"

#include <linux/capability.h>
#include <sys/utsname.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <string>
#include <tuple>

namespace fg::gateway {
namespace {

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream in{path};
  std::string line;
  if (!std::getline(in, line)) return std::nullopt;
  return line;
}

std::optional<bool> read_switch(const std::string& path) {
  const auto line = first_line(path);
  if (!line) return std::nullopt;
  return *line != "0";
}

bool has_capability(const std::string& proc, unsigned capability) {
  std::ifstream in{proc + "/self/status"};
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with("CapEff:")) continue;
    const auto start = line.find_first_not_of(" \t", 7);
    if (start == std::string::npos) return false;
    std::uint64_t set = 0;
    std::from_chars(line.data() + start, line.data() + line.size(), set, 16);
    return (set >> capability & 1) != 0;
  }
  return false;
}

bool write_value(const std::string& path, const std::string& value) {
  std::ofstream out{path};
  out << value << '\n';
  out.flush();
  return out.good();
}

}  // namespace

HostFacts read_host_facts(const std::string& proc) {
  HostFacts facts;
  facts.has_net_admin = has_capability(proc, CAP_NET_ADMIN);
  facts.forwards_v4 = read_switch(proc + "/sys/net/ipv4/ip_forward");
  if (read_switch(proc + "/sys/net/ipv6/conf/all/disable_ipv6") == false) {
    facts.forwards_v6 = read_switch(proc + "/sys/net/ipv6/conf/all/forwarding");
  }
  return facts;
}

Verdict judge(const HostFacts& facts) {
  Verdict out;
  if (!facts.has_net_admin) {
    out.error =
        "capability CAP_NET_ADMIN is missing: run as root, or grant it (systemd: "
        "AmbientCapabilities=CAP_NET_ADMIN)";
    return out;
  }
  if (facts.forwards_v4 == false) {
    out.error =
        "net.ipv4.ip_forward=0, so clients could reach nothing: run 'sysctl -w "
        "net.ipv4.ip_forward=1', or set "
        "FIREGATE_SET_FORWARDING=true";
    return out;
  }
  if (facts.forwards_v6 == false) {
    out.warnings.emplace_back(
        "net.ipv6.conf.all.forwarding=0, so clients reach nothing over IPv6: run 'sysctl -w "
        "net.ipv6.conf.all.forwarding=1', or set FIREGATE_SET_FORWARDING=true");
  }
  return out;
}

Result<void, std::string> set_forwarding(const std::string& proc) {
  const auto v4 = proc + "/sys/net/ipv4/ip_forward";
  if (!write_value(v4, "1")) {
    return fail("FIREGATE_SET_FORWARDING=true, but '" + v4 +
                "' cannot be written: run 'sysctl -w net.ipv4.ip_forward=1' as root");
  }
  (void)write_value(proc + "/sys/net/ipv6/conf/all/forwarding", "1");
  return {};
}

std::vector<std::string> raise_buffer_limits(std::uint32_t receive, std::uint32_t send,
                                             const std::string& proc) {
  std::vector<std::string> out;
  for (const auto& [name, least] : {std::pair{"rmem_max", receive}, std::pair{"wmem_max", send}}) {
    const auto path = proc + "/sys/net/core/" + name;
    const auto line = first_line(path);
    std::uint64_t current = 0;
    if (line) std::from_chars(line->data(), line->data() + line->size(), current);
    if (current >= least) continue;
    const auto value = std::to_string(least);
    if (write_value(path, value))
      out.push_back("Set `core." + std::string(name) + "` to " + value);
    else
      out.push_back("Failed to increase `core." + std::string(name) +
                    "`: run 'sysctl -w net.core." + name + "=" + value + "'");
  }
  return out;
}

std::string describe(const SysError& error, const std::string& tun_name) {
  const std::string operation = error.operation;
  const auto text = error.to_string();
  if (error.error == EMFILE || error.error == ENFILE)
    return text + ": raise the limit of open files (systemd: LimitNOFILE)";
  if (error.error == EACCES && operation.find("/dev/net/tun") != std::string::npos)
    return text + ": run as root, or run 'chmod 0666 /dev/net/tun' (container: --device)";
  if (error.error == EPERM || error.error == EACCES)
    return text + ": run as root, or grant CAP_NET_ADMIN";
  if (operation.find("tun") != std::string::npos || operation.find("TUN") != std::string::npos) {
    if (error.error == EBUSY) {
      return "interface '" + tun_name + "' is in use (" + text +
             "): stop the other gateway; if there is none run 'ip link delete " + tun_name +
             "', or set FIREGATE_TUN_NAME";
    }
    if (error.error == EINVAL) {
      return "interface '" + tun_name + "' exists and is of another kind (" + text +
             "): run 'ip link delete " + tun_name + "', or set FIREGATE_TUN_NAME";
    }
    return "/dev/net/tun: " + text +
           ": run 'modprobe tun', or 'mknod /dev/net/tun c 10 200' as root (container: --device "
           "/dev/net/tun)";
  }
  return text + ": check whether the host has IPv4 or IPv6 (ip addr)";
}

portal::SystemFacts read_system_facts() {
  portal::SystemFacts out{"Linux", "", "", ""};
  std::ifstream in{"/etc/os-release"};
  for (std::string line; std::getline(in, line);) {
    const auto value = [&](std::size_t at) {
      auto text = line.substr(at);
      std::erase(text, '"');
      return text;
    };
    if (line.starts_with("NAME=")) out.os = value(5);
    if (line.starts_with("VERSION_ID=")) out.version = value(11);
  }
  utsname name{};
  if (::uname(&name) == 0) {
    out.arch = name.machine;
    out.kernel = name.release;
  }
  return out;
}

Result<void, std::string> report(const io::kernel::Capabilities& capabilities,
                                 std::uint32_t receive_buffer, const Log& log) {
  for (const auto& [name, udp, error] :
       {std::tuple{"IPv4", &capabilities.v4, &capabilities.v4_error},
        std::tuple{"IPv6", &capabilities.v6, &capabilities.v6_error}}) {
    if (!*udp) {
      log.info("no UDP socket for this family",
               {{"family", name}, {"reason", *error ? (*error)->to_string() : ""}});
      continue;
    }
    if ((*udp)->mark_error) {
      return fail("SO_MARK is refused (" + (*udp)->mark_error->to_string() +
                  "), so own traffic could enter the tunnel: run with CAP_NET_ADMIN");
    }
    if ((*udp)->receive_buffer < receive_buffer) {
      log.info("the UDP receive buffer is smaller than wanted: run 'sysctl -w net.core.rmem_max=" +
                   std::to_string(receive_buffer) + "'",
               {{"bytes", (*udp)->receive_buffer}});
    }
    log.info("UDP socket", {{"family", name},
                            {"port", (*udp)->port},
                            {"segmentation", (*udp)->segmentation},
                            {"receive_offload", (*udp)->receive_offload},
                            {"receive_buffer", (*udp)->receive_buffer}});
  }
  log.info("TUN device", {{"name", capabilities.tun.name},
                          {"checksum", capabilities.tun.checksum},
                          {"tcp_segmentation", capabilities.tun.tcp_segmentation},
                          {"udp_segmentation", capabilities.tun.udp_segmentation},
                          {"steering", capabilities.tun.steering}});
  if (capabilities.tun.steering_error) {
    log.info("packets to clients are handed from worker to worker: run with CAP_BPF",
             {{"reason", capabilities.tun.steering_error->to_string()}});
  }
  return {};
}

}  // namespace fg::gateway
