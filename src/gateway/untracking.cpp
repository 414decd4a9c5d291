#include "gateway/untracking.h"

#include <utility>

namespace fg::gateway {

Untracking::Untracking(UntrackedChoice choice, std::string table, Log log)
    : choice_(choice), table_(std::move(table)), log_(std::move(log)) {}

bool Untracking::decide(const std::optional<std::string>& user, const UdpPorts& ports,
                        Instant now) {
  const bool was_on = is_on();
  const bool is_first = !std::exchange(was_decided_, true);
  std::optional<std::string> reason;
  if (choice_ == UntrackedChoice::off) reason = "FIREGATE_UNTRACKED is off";
  if (choice_ == UntrackedChoice::automatic) reason = user;
  for (const auto port : {ports.v4, ports.v6}) {
    if (!reason && port != 0 && !Firewall::is_avoidable(port))
      reason = "translated flows cannot be kept off port " + std::to_string(port);
  }
  if (reason) {
    settled_at_.reset();
    keep(*reason);
    return was_on;
  }
  if (was_on) {
    if (nft_->listing("inet " + table_).empty()) begin(ports, now);
    return false;
  }
  if (!is_first && !settled_at_) settled_at_ = now + kSettledAfter;
  if (is_first || *settled_at_ <= now) begin(ports, now);
  return false;
}

// Prerouting also sees what is forwarded, to such a port of others: the address decides. Counters
// would cost a part of what is saved.
std::string Untracking::ruleset(const std::string& table, const UdpPorts& ports) {
  const auto name = "inet " + table;
  auto out = "add table " + name + " { flags owner; }\nadd chain " + name +
             " in { type filter hook prerouting priority raw; }\nadd chain " + name +
             " out { type filter hook output priority raw; }\n";
  const auto add_rules = [&](const std::string& family, std::uint16_t port) {
    if (port == 0) return;
    const auto number = std::to_string(port);
    out += "add rule " + name + " in " + family + "udp dport " + number +
           " fib daddr type local notrack\nadd rule " + name + " out " + family + "udp sport " +
           number + " notrack\n";
  };
  if (ports.v4 == ports.v6) {
    add_rules("", ports.v4);
  } else {
    add_rules("meta nfproto ipv4 ", ports.v4);
    add_rules("meta nfproto ipv6 ", ports.v6);
  }
  return out;
}

void Untracking::begin(const UdpPorts& ports, Instant now) {
  settled_at_.reset();
  nft_.emplace();
  if (const auto made = nft_->run(ruleset(table_, ports)); !made.ok) {
    settled_at_ = now + kRetryAfter;
    keep("nft: the table 'inet " + table_ + "' cannot be made: " + made.error);
    return;
  }
  reason_.clear();
  log_.info("the host does not track the tunnel's datagrams", {{"table", "inet " + table_}});
}

void Untracking::keep(const std::string& reason) {
  nft_.reset();
  if (reason == reason_) return;
  reason_ = reason;
  log_.info("tracking of the tunnel's datagrams kept", {{"reason", reason_}});
}

}  // namespace fg::gateway
