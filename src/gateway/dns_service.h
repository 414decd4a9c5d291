// The DNS service as part of the program: where it listens, what its failure means, what is said
// about it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "control/net/dns_server.h"

namespace fg::gateway {

class DnsService {
 public:
  DnsService(net::Loop& loop, Random& random, const std::string& tun_name, Log log);

  // spec policy 7: what an `init` asks for and cannot be had ends the process.
  using Fatal = std::function<void()>;
  void start(std::vector<IpAddress> addresses, Fatal fatal);
  // The tunnel may have changed since. What cannot be had is a problem, to be tried again.
  void keep(std::vector<IpAddress> addresses);

  // One line with the mend.
  [[nodiscard]] const std::optional<std::string>& problem() const { return problem_; }
  [[nodiscard]] const DropCounters& drops() const { return server_.drops(); }

 private:
  void on_told(const std::vector<IpAddress>& addresses, const net::DnsServer::Outcome& outcome,
               const Fatal& fatal);

  Log log_;
  net::DnsServer server_;
  bool is_started_ = false;
  std::string said_;  // where it listens
  std::optional<std::string> problem_;
};

}  // namespace fg::gateway
