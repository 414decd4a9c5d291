// Ties the client together on one thread: portal, sockets, TUN device, host network, commands,
// signals.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "control/net/loop.h"
#include "control/net/resolver.h"
#include "crypto/aead.h"
#include "crypto/random.h"
#include "tests/support/client/control_socket.h"
#include "tests/support/client/engine.h"
#include "tests/support/client/host_network.h"
#include "tests/support/client/portal_link.h"
#include "tests/support/client/sockets.h"
#include "tests/support/client/traffic.h"
#include "wireguard/identity.h"

namespace fg::client {

struct AppOptions {
  LoginOptions login;
  std::string tun = "tun-client";
  std::string control;
  std::uint32_t mark = 0xfd002021;  // spec connectivity 1.2
  std::uint16_t port = 52625;       // spec connectivity 1.2
};

class App {
 public:
  App(AppOptions options, Log log);

  // The status to exit with.
  int run();

 private:
  bool open();
  void watch_sockets();
  void start_over();
  void turn(Instant now);
  [[nodiscard]] std::string command(std::string_view line);
  void reset();
  void stop(int status);

  AppOptions options_;
  Log log_;
  net::Loop loop_;
  net::Resolver resolver_;
  crypto::SystemRandom random_;
  std::optional<crypto::AeadEngine> aead_;
  std::optional<wireguard::Identity> identity_;
  std::optional<Sockets> sockets_;
  std::unique_ptr<Traffic> traffic_;
  std::unique_ptr<Engine> engine_;
  HostNetwork host_;
  std::unique_ptr<PortalLink> link_;
  std::unique_ptr<ControlSocket> control_;
  std::uint64_t joins_ = 0;
  bool is_stopping_ = false;
  int status_ = 0;
};

}  // namespace fg::client
