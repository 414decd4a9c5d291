// The DNS service on the tunnel's addresses (spec policy 7), UDP and TCP. Its sockets are bound to
// the TUN device, and askers must have an address of a client: neither the host's own programs nor
// its neighbours get an answer. What is asked and believed is control/dns's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/drop_reason.h"
#include "base/random.h"
#include "base/result.h"
#include "base/sys_error.h"
#include "control/dns/forwarder.h"
#include "control/net/loop.h"

namespace fg::net {

inline constexpr int kDnsBindAttempts = 3;                   // spec policy 7
inline constexpr Duration kDnsBindPause = 100ms;             // spec policy 7
inline constexpr Duration kDnsIdleMax = 30s;                 // spec policy 7
inline constexpr std::size_t kDnsClientConnectionsMax = 16;  // spec policy 7
inline constexpr std::size_t kDnsConnectionsMax = 1024;
inline constexpr Duration kResolvConfPause = 1s;  // between two looks at resolv.conf

struct DnsServerOptions {
  std::string device;                               // the TUN device
  std::uint32_t mark = 0;                           // SO_MARK of what is sent to name servers
  std::function<bool(const IpAddress&)> is_client;  // our own addresses never are
  std::string resolv_conf = "/etc/resolv.conf";
  std::uint16_t port = dns::kServicePort;
  std::uint16_t server_port = dns::kServerPort;
};

class DnsServer {
 public:
  // Asks the name servers of resolv.conf at once, which of them is the fastest.
  DnsServer(Loop& loop, Random& random, DnsServerOptions options);
  ~DnsServer();
  DnsServer(const DnsServer&) = delete;
  DnsServer& operator=(const DnsServer&) = delete;

  // Success, or why the last of kDnsBindAttempts failed: then it listens nowhere.
  using Outcome = Result<void, SysError>;
  // The tunnel's addresses, of the families it has. Where it listens there already, and the device
  // is the same, everything stays as it is. The outcome may be told before this returns.
  void listen(std::vector<IpAddress> addresses, std::function<void(const Outcome&)> told);

  [[nodiscard]] const DropCounters& drops() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fg::net
