// A TCP connection to a host, through a proxy where one is named: all addresses are dialled in
// parallel and the first that answers wins (spec portal 1.4). Through a proxy its addresses, and
// the host's name is the proxy's to resolve. For the rest of this room only; used once.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/time.h"
#include "control/net/boot_timer.h"
#include "control/net/loop.h"
#include "control/net/resolver.h"
#include "control/portal/proxy.h"

namespace fg::net {

inline constexpr Duration kTcpTimeout = 5s;  // spec portal 1.4

struct DialTarget {
  std::string host;
  std::uint16_t port = 0;
  std::optional<portal::Proxy> proxy;
};

class Dial : public std::enable_shared_from_this<Dial> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  // Called once, later, unless cancelled: a socket, or why there is none. The caller limits the
  // time that a proxy and a name server take.
  using Done = std::function<void(std::string error, std::optional<Socket> socket)>;

  Dial(Loop& loop, Resolver& resolver, Log log, std::uint32_t mark)
      : loop_(loop), resolver_(resolver), log_(std::move(log)), mark_(mark) {}

  void start(DialTarget target, Done done);
  void cancel();

 private:
  [[nodiscard]] const std::string& dialled_host() const {
    return target_.proxy ? target_.proxy->host : target_.host;
  }
  [[nodiscard]] std::uint16_t dialled_port() const {
    return target_.proxy ? target_.proxy->port : target_.port;
  }
  [[nodiscard]] std::string dialled_name() const {
    return (target_.proxy ? "proxy " : "") + portal::authority_of(dialled_host(), dialled_port());
  }
  void on_resolved(Resolver::Answer answer);
  void start_dial(const IpAddress& address);
  void on_dialled(std::size_t index, const boost::system::error_code& error);
  void cross_proxy();
  void finish(std::string error);

  Loop& loop_;
  Resolver& resolver_;
  Log log_;
  std::uint32_t mark_;
  DialTarget target_;
  Done done_;
  std::optional<BootTimer> timer_;
  std::vector<Socket> dialling_;
  std::size_t pending_ = 0;
  std::string last_error_;
  std::optional<Socket> winner_;
  bool is_ended_ = false;
};

}  // namespace fg::net
