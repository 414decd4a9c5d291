// Between our addresses and the system's.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>

#include "base/address.h"

namespace fg::io::kernel {

[[nodiscard]] inline IpAddress from_os(const in_addr& a) {
  return IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(&a.s_addr), 4});
}
[[nodiscard]] inline IpAddress from_os(const in6_addr& a) {
  return IpAddress::from_bytes({reinterpret_cast<const std::uint8_t*>(a.s6_addr), 16});
}
[[nodiscard]] inline SocketAddress from_os(const sockaddr_storage& s) {
  if (s.ss_family == AF_INET) {
    const auto& in = reinterpret_cast<const sockaddr_in&>(s);
    return {from_os(in.sin_addr), ntohs(in.sin_port)};
  }
  const auto& in6 = reinterpret_cast<const sockaddr_in6&>(s);
  return {from_os(in6.sin6_addr), ntohs(in6.sin6_port)};
}
inline void to_os(const IpAddress& a, in_addr& out) {
  std::memcpy(&out.s_addr, a.bytes().data(), 4);
}
inline void to_os(const IpAddress& a, in6_addr& out) {
  std::memcpy(out.s6_addr, a.bytes().data(), 16);
}

// Returns the length.
inline socklen_t to_os(const SocketAddress& a, sockaddr_storage& out) {
  if (a.ip.is_v4()) {
    auto& in = reinterpret_cast<sockaddr_in&>(out);
    in = {};
    in.sin_family = AF_INET;
    in.sin_port = htons(a.port);
    to_os(a.ip, in.sin_addr);
    return sizeof(sockaddr_in);
  }
  auto& in6 = reinterpret_cast<sockaddr_in6&>(out);
  in6 = {};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(a.port);
  to_os(a.ip, in6.sin6_addr);
  return sizeof(sockaddr_in6);
}

}  // namespace fg::io::kernel
