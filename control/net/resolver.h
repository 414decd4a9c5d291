// Host names to addresses through the name servers of /etc/resolv.conf and the hosts file, A and
// AAAA in parallel, without blocking the loop. A changed resolv.conf is seen by the next lookup.
// Sockets carry the gateway's mark, so lookups never enter the tunnel.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"
#include "control/net/loop.h"

namespace fg::net {

struct ResolverOptions {
  std::uint32_t mark = 0;              // SO_MARK of every socket; 0: none
  std::vector<SocketAddress> servers;  // empty: /etc/resolv.conf
  std::string resolv_conf = "/etc/resolv.conf";
};

class Resolver {
 public:
  // Text of the failure, e.g. "Domain name not found".
  using Answer = Result<std::vector<IpAddress>, std::string>;

  Resolver(Loop& loop, ResolverOptions options);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Never calls back before it returns. An address literal resolves to itself. Callbacks of lookups
  // that are in flight when the resolver goes away are not called.
  void resolve(const std::string& name, std::function<void(Answer)> callback);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fg::net
