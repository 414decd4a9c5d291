// The gateway's own nftables table: source translation of what clients send, so that resources can
// answer without a route to the tunnel (design "Own NAT table in the kernel, cleanly"). It matches
// the tunnel ranges and every egress but the tunnel itself; nothing outside this table is changed.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace fg::gateway {

class Firewall {
 public:
  explicit Firewall(std::string tun_name);

  // Replaces what a run before left. The error is one line with the mend.
  Result<void, std::string> install();
  // Whether everything install() made is still there.
  [[nodiscard]] bool is_installed() const;
  void remove();
  // Tables of other programs that drop what clients send: forward_policy.h.
  [[nodiscard]] std::vector<std::string> obstacles() const;

  // The rules as text, one command a line.
  [[nodiscard]] std::string ruleset(bool v6) const;

 private:
  std::string tun_name_;
  std::string table_;  // of a second device a second one
  bool has_v6_ = false;
};

}  // namespace fg::gateway
