// The way to a name server: each exchange has a socket of its own, connected, its port chosen by
// the kernel at random and marked as ours, so that it does not enter the tunnel.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/address.h"
#include "base/bytes.h"
#include "control/dns/forwarder.h"
#include "control/net/loop.h"

namespace fg::net {

class DnsUpstream {
 public:
  // Every message that arrives, the wrong ones too; over TCP one at most.
  using OnMessage = std::function<void(dns::ExchangeId, const SocketAddress& from, Bytes)>;
  // Nothing will arrive. Neither is called from within begin().
  using OnFailure = std::function<void(dns::ExchangeId)>;

  DnsUpstream(Loop& loop, std::uint32_t mark, OnMessage on_message, OnFailure on_failure);
  ~DnsUpstream();
  DnsUpstream(const DnsUpstream&) = delete;
  DnsUpstream& operator=(const DnsUpstream&) = delete;

  void begin(dns::Forwarder::Exchange exchange);
  void end(dns::ExchangeId id);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fg::net
