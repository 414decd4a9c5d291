// The gateway's own nftables table: source translation of what clients send, so that resources can
// answer without a route to the tunnel (design "Own NAT table in the kernel, cleanly"). It matches
// the tunnel ranges and every egress but the tunnel itself; nothing outside this table is changed.
// Towards listed destinations the source stays what it is, whatever other tables would make of it:
// decided before them, as a translation to itself. No UDP flow gets a port of our sockets: what
// arrives for that port is ours, and need not be looked up among the translated (untracking.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace fg::gateway {

// Of our sockets; 0: none of that family.
struct UdpPorts {
  std::uint16_t v4 = 0;
  std::uint16_t v6 = 0;
};

// What the nftables tables of other programs mean for us.
struct OtherTables {
  std::vector<std::string> obstacles;          // forward_policy.h
  std::optional<std::string> tracking_user;    // tracking_users.h
  std::optional<std::string> outgoing_filter;  // outgoing_filters.h
  bool is_complete = true;                     // else they are to be read again
};

class Firewall {
 public:
  // `preserved`: destinations that see the clients' own tunnel addresses.
  explicit Firewall(std::string tun_name, std::vector<Cidr> preserved = {});
  // Whether translated flows can be kept off it.
  [[nodiscard]] static bool is_avoidable(std::uint16_t port);
  // For the next install().
  void set_ports(const UdpPorts& ports) { ports_ = ports; }

  // Replaces what a run before left. The error is one line with the mend.
  Result<void, std::string> install();
  // Whether the tables are as install() made them: nothing gone, nothing changed, nothing added.
  [[nodiscard]] bool is_installed() const;
  void remove();
  [[nodiscard]] OtherTables others() const;

  // Of every family.
  [[nodiscard]] const std::string& table() const { return table_; }
  // The rules as text, one command a line.
  [[nodiscard]] std::string ruleset(Family family) const;

 private:
  // As the kernel has it, without its counters; empty: there is none.
  [[nodiscard]] std::string listing(Family family) const;

  std::string tun_name_;
  std::string table_;  // of a second device a second one
  std::vector<Cidr> preserved_;
  UdpPorts ports_;
  std::string installed_v4_;  // listing() after install()
  std::string installed_v6_;  // empty: the host has no such tables
};

}  // namespace fg::gateway
