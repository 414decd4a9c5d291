// The portal connection on a real socket: carries out what portal::Session decides. Resolves the
// host, dials all its addresses in parallel, TLS where the scheme says so, WebSocket by Beast.
// Everything happens on the loop's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "control/net/loop.h"
#include "control/net/resolver.h"
#include "control/portal/backoff.h"
#include "control/portal/channel.h"
#include "control/portal/login.h"
#include "control/portal/messages.h"

namespace fg::net {

struct PortalClientOptions {
  portal::LoginOptions login;
  Duration partition_time_max = portal::kPartitionTimeDefault;
  std::uint32_t mark = 0xfd002021;  // SO_MARK of the socket, set before it connects; 0: none
  std::string ca_file;              // additional trust anchors (PEM); empty: the system's alone
};

// Called on the loop's thread, never from within a call to PortalClient.
class PortalHandler {
 public:
  virtual ~PortalHandler() = default;
  virtual void on_portal_joined(portal::Generation generation) = 0;
  virtual void on_portal_message(portal::Ingress message) = 0;
  virtual void on_portal_disconnected(const std::string& reason, Duration retry_in) = 0;
  // Nothing more will come. The process logs the text and exits with status 1.
  virtual void on_portal_fatal(const std::string& reason) = 0;
};

class PortalClient {
 public:
  // loop, resolver, random and handler outlive the client.
  PortalClient(Loop& loop, Resolver& resolver, Random& random, Log log, PortalClientOptions options,
               PortalHandler& handler);
  ~PortalClient();
  PortalClient(const PortalClient&) = delete;
  PortalClient& operator=(const PortalClient&) = delete;

  void start();
  void send(const portal::Egress& egress);
  void forget_client(const ClientId& client);
  // The host's addresses or routes are others than before, perhaps: a connection that can no longer
  // be heard is given up at once instead of after four heartbeats.
  void on_network_changed();
  // What was said still goes out, then Close 1000 if connected; waits kCloseTimeout at most for its
  // answer. No handler calls after this one.
  void shut_down(std::function<void()> done);

  [[nodiscard]] bool is_joined() const;
  [[nodiscard]] const portal::ChannelCounters& counters() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace fg::net
