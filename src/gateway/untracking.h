// Spares the host's connection tracking, which our source translation switches on, the tunnel's own
// datagrams: nobody looks them up, and they are most of the packets. Rules of a table that belongs
// to this process's netlink socket say so, so that they cannot outlive it; and only while nobody
// else relies on tracking (tracking_users.h).
//
//   tracked   --nobody relies on it, for kSettledAfter--> untracked
//   untracked --somebody does--> tracked, at once: what a firewall calls established is to be made
//                                anew by packets of ours
#pragma once

#include <optional>
#include <string>

#include "base/log.h"
#include "base/time.h"
#include "gateway/configuration.h"
#include "gateway/firewall.h"
#include "gateway/nft.h"

namespace fg::gateway {

class Untracking {
 public:
  static constexpr Duration kSettledAfter = 10s;  // a firewall that is restarted is back by then
  static constexpr Duration kRetryAfter = 60s;    // when the kernel refused

  // `table`: of the family inet. The log is told of every change.
  Untracking(UntrackedChoice choice, std::string table, Log log);

  // Who relies on tracking, as known now; none: nobody. To be repeated. True: our datagrams are
  // tracked from now on, and were not.
  bool decide(const std::optional<std::string>& user, const UdpPorts& ports, Instant now);
  // When decide() may come to something else though nothing changed.
  [[nodiscard]] std::optional<Instant> due() const { return settled_at_; }
  // Why the tunnel's datagrams are tracked; empty: they are not.
  [[nodiscard]] const std::string& reason() const { return reason_; }
  [[nodiscard]] bool is_on() const { return nft_.has_value(); }
  void remove() { nft_.reset(); }

  // One command a line.
  [[nodiscard]] static std::string ruleset(const std::string& table, const UdpPorts& ports);

 private:
  void begin(const UdpPorts& ports, Instant now);
  void keep(const std::string& reason);

  UntrackedChoice choice_;
  std::string table_;
  Log log_;
  std::optional<Nft> nft_;  // its table is there as long as this is
  std::string reason_ = "the gateway translates no sources";
  bool was_decided_ = false;
  std::optional<Instant> settled_at_;
};

}  // namespace fg::gateway
