// Socket addresses to Asio's endpoints and back. For the rest of this room only.
#pragma once

#include <algorithm>
#include <boost/asio/ip/address.hpp>

#include "base/address.h"

namespace fg::net {

template <class Protocol>
[[nodiscard]] typename Protocol::endpoint to_endpoint(const SocketAddress& address) {
  namespace ip = boost::asio::ip;
  if (address.ip.is_v4()) {
    ip::address_v4::bytes_type bytes{};
    std::copy_n(address.ip.raw().begin(), bytes.size(), bytes.begin());
    return {ip::address_v4{bytes}, address.port};
  }
  ip::address_v6::bytes_type bytes{};
  std::copy_n(address.ip.raw().begin(), bytes.size(), bytes.begin());
  return {ip::address_v6{bytes}, address.port};
}

template <class Endpoint>
[[nodiscard]] SocketAddress to_socket_address(const Endpoint& endpoint) {
  const auto& address = endpoint.address();
  if (address.is_v4()) return {IpAddress::v4(address.to_v4().to_bytes()), endpoint.port()};
  return {IpAddress::v6(address.to_v6().to_bytes()), endpoint.port()};
}

}  // namespace fg::net
