// The host as the gateway needs it, kept that way: device, addresses, routes, rules, NAT table,
// sockets. Watches what the kernel announces, puts back what another program took away, and names
// what it cannot mend. Lives on the control thread's loop.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/log.h"
#include "base/result.h"
#include "base/time.h"
#include "control/net/loop.h"
#include "gateway/firewall.h"
#include "gateway/host_network.h"
#include "gateway/netlink_monitor.h"
#include "gateway/untracking.h"
#include "io/kernel/upkeep.h"

namespace fg::gateway {

struct HostOptions {
  std::string tun_name;
  bool masquerade = true;
  std::vector<Cidr> preserved_sources;  // firewall.h
  UntrackedChoice untracked = UntrackedChoice::automatic;
};

class Host {
 public:
  Host(net::Loop& loop, HostOptions options, Log log);
  ~Host();
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  // Installs the NAT table and begins to watch. The error is one line with the mend.
  Result<void, std::string> open(std::shared_ptr<io::kernel::Upkeep> upkeep);
  // Every change of the host, our own among them.
  void on_change(std::function<void(const HostChange&)> listener) {
    listener_ = std::move(listener);
  }
  // The device was made again, or sockets were bound again.
  void on_mended(std::function<void()> listener) { on_mended_ = std::move(listener); }

  // The host tracks the tunnel's datagrams from now on: what a firewall calls established is made
  // by packets that leave.
  void on_tracked(std::function<void()> listener) { on_tracked_ = std::move(listener); }

  // The portal's word; carried out at once. The error means that neither family works.
  Result<void, std::string> configure(const IpAddress& v4, const IpAddress& v6, Instant now);
  // Looks after everything when it is due.
  void on_turn(Instant now);
  [[nodiscard]] Instant wakeup() const { return std::min(check_at_, legacy_glance_at_); }

  [[nodiscard]] bool is_configured() const { return network_ && network_->has_addresses(); }
  // The tunnel's, of the families it works with.
  [[nodiscard]] std::vector<IpAddress> addresses() const { return network_->addresses(); }
  // What keeps clients from being served, each with its mend; empty when all is well.
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }
  // What may, and is true now.
  [[nodiscard]] const std::vector<std::string>& warnings() const { return firewall_obstacles_; }
  // What others do to datagrams that leave, unless AF_XDP sends them; empty: nothing.
  [[nodiscard]] std::string outgoing_filter() const {
    if (!legacy_read_at_) return "nftables was not read yet";
    return others_.outgoing_filter.value_or(legacy_user_.value_or(""));
  }
  // Why the host tracks the tunnel's datagrams; empty: it does not.
  [[nodiscard]] const std::string& tracked_because() const { return untracking_.reason(); }
  // That the device carries.
  [[nodiscard]] std::optional<IpAddress> address(Family family) const {
    return network_ ? network_->address(family) : std::nullopt;
  }
  void clean_up();

 private:
  static constexpr Duration kInterval = 60s;  // without any announcement
  static constexpr Duration kSettle = 20ms;   // others change several things at once
  static constexpr Duration kPause = 1s;      // between two mends
  static constexpr Duration kRepeat = 60s;    // of one line, who undoes our work again and again
  // A large rule set takes long to read, and the control thread has other work: at most a twentieth
  // of its time.
  static constexpr int kReadingShare = 20;
  static constexpr Duration kLegacyGlance = 10s;  // whether iptables-legacy has come up
  static constexpr Duration kRetryFirst = 1s;
  static constexpr Duration kRetryMax = 60s;

  void take(const HostChange& change);
  void check(Instant now);
  void check_device();
  void check_network(Instant now);
  void check_sockets();
  void check_firewall(Instant now);
  void check_tracking(Instant now);
  void read_ruleset();
  void read_legacy(Instant now);
  void say_put_back(Instant now);
  void say_what_changed();

  net::Loop& loop_;
  HostOptions options_;
  Log log_;
  Firewall firewall_;
  bool has_firewall_ = false;
  UdpPorts ports_;
  Untracking untracking_;
  std::unique_ptr<HostNetwork> network_;
  std::shared_ptr<io::kernel::Upkeep> upkeep_;
  std::optional<NetlinkMonitor> routing_;
  std::optional<NetlinkMonitor> rules_;
  std::function<void(const HostChange&)> listener_;
  std::function<void()> on_mended_;
  std::function<void()> on_tracked_;

  unsigned tun_index_ = 0;
  bool was_remade_ = false;  // in this check
  Instant mended_at_{};
  bool firewall_changed_ = true;  // since our table was looked at
  Instant firewall_looked_at_{};
  bool ruleset_changed_ = true;  // since the whole rule set was read
  Instant ruleset_due_{};        // not before
  Instant check_at_{};
  Duration retry_ = kRetryFirst;
  std::vector<std::string> problems_;            // that stop the gateway from serving
  std::vector<std::string> firewall_obstacles_;  // that may
  OtherTables others_;                           // these are of nftables
  std::vector<std::string> legacy_obstacles_;    // and these nobody announces
  std::optional<Instant> legacy_read_at_;
  Instant legacy_glance_at_ = Instant::max();
  std::optional<std::string> nft_user_;      // of tracking
  std::optional<std::string> legacy_user_;   // nobody announces it, either
  std::optional<Instant> put_back_said_at_;  // our tables
  unsigned put_back_unsaid_ = 0;
  std::vector<std::string> said_;
};

}  // namespace fg::gateway
