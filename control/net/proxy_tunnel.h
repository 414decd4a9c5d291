// A tunnel through an HTTP proxy: CONNECT on a fresh TCP connection, until the proxy has answered.
// For dial.cpp only; the caller limits the time.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <string>

#include "control/portal/proxy.h"

namespace fg::net {

// target is "host:port". Calls back once, later: an empty text when the tunnel stands, else a
// sentence. The socket outlives the call unless it is closed first.
void open_tunnel(boost::asio::ip::tcp::socket& socket, const portal::Proxy& proxy,
                 const std::string& target, std::function<void(std::string error)> done);

}  // namespace fg::net
