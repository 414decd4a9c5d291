// The client's connection to its portal on a real socket: dials, joins, talks, waits and dials
// again. Everything happens on the loop's thread; callbacks come from the loop, never from within a
// call.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "base/random.h"
#include "control/net/boot_timer.h"
#include "control/net/loop.h"
#include "control/net/resolver.h"
#include "control/net/web_socket.h"
#include "control/portal/backoff.h"
#include "tests/support/client/channel.h"
#include "tests/support/client/login.h"

namespace fg::client {

struct PortalCallbacks {
  std::function<void()> on_joined;
  std::function<void(const std::string& reason)> on_lost;
  std::function<void(Message)> on_message;
  std::function<void(const Channel::Replied&)> on_reply;
  std::function<void(const std::string& reason)> on_fatal;
};

class PortalLink {
 public:
  // loop, resolver and random outlive the link.
  PortalLink(net::Loop& loop, net::Resolver& resolver, Random& random, Log log,
             LoginOptions options, std::uint32_t mark, PortalCallbacks callbacks);

  // Dials at once, leaving a connection that exists with Close 1000 (spec portal 5.1).
  void dial(const PublicKey& public_key);
  void send(portal::Message message, std::optional<Tag> tag = std::nullopt);
  void shut_down(std::function<void()> done);
  [[nodiscard]] bool is_joined() const { return channel_.is_joined(); }

 private:
  void connect();
  void lose(const std::string& reason, std::optional<Duration> retry_after = std::nullopt);
  void end(const std::string& reason);
  void pump();

  net::Loop& loop_;
  net::Resolver& resolver_;
  Random& random_;
  Log log_;
  LoginOptions options_;
  std::uint32_t mark_;
  PortalCallbacks callbacks_;
  PublicKey public_key_{};
  Channel channel_;
  portal::Backoff backoff_;
  std::shared_ptr<net::TlsContext> tls_;
  std::unique_ptr<net::WebSocket> socket_;
  std::unique_ptr<net::WebSocket> leaving_;
  net::BootTimer channel_timer_;
  net::BootTimer retry_timer_;
  bool is_ended_ = false;
};

}  // namespace fg::client
