// The gateway's own nftables table: source translation of what clients send, so that resources can
// answer without a route to the tunnel (design "Own NAT table in the kernel, cleanly"). It matches
// the tunnel ranges and every egress but the tunnel itself; nothing outside this table is changed.
// Towards listed destinations the source stays what it is, whatever other tables would make of it:
// decided before them, as a translation to itself.
#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

namespace fg::gateway {

class Firewall {
 public:
  // `preserved`: destinations that see the clients' own tunnel addresses.
  explicit Firewall(std::string tun_name, std::vector<Cidr> preserved = {});

  // Replaces what a run before left. The error is one line with the mend.
  Result<void, std::string> install();
  // Whether the tables are as install() made them: nothing gone, nothing changed, nothing added.
  [[nodiscard]] bool is_installed() const;
  void remove();
  // Tables of other programs that drop what clients send: forward_policy.h.
  [[nodiscard]] std::vector<std::string> obstacles() const;

  // The rules as text, one command a line.
  [[nodiscard]] std::string ruleset(Family family) const;

 private:
  // As the kernel has it, without its counters; empty: there is none.
  [[nodiscard]] std::string listing(Family family) const;

  std::string tun_name_;
  std::string table_;  // of a second device a second one
  std::vector<Cidr> preserved_;
  std::string installed_v4_;  // listing() after install()
  std::string installed_v6_;  // empty: the host has no such tables
};

}  // namespace fg::gateway
