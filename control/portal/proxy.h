// Whether the portal is reached through an HTTP proxy, and which: the variables that command line
// tools share (curl, Go, Python agree on what is read here). A proxy is asked for a tunnel with
// CONNECT (RFC 9110 §9.3.6), for ws as for wss (RFC 6455 §4.1). Left out: proxies spoken to over
// TLS, SOCKS.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/secret.h"
#include "control/portal/api_url.h"

namespace fg::portal {

struct Proxy {
  std::string host;  // lower case, IPv6 literals without brackets
  std::uint16_t port = 80;
  std::optional<SecretText> authorization;  // value of Proxy-Authorization
};

enum class ProxyError : std::uint8_t { not_a_url, wrong_scheme };

// "http://user:password@host:port"; scheme, port (80) and credentials may be left out, a path is
// ignored.
[[nodiscard]] Result<Proxy, ProxyError> parse_proxy(std::string_view text);

// What no_proxy says: a list, separated by commas or spaces, of names (with or without a leading
// dot, they and all names below them), addresses, networks "10.0.0.0/8", each with an optional
// ":port"; "*" is everything. Networks only match a host that is written as an address: names are
// not looked up.
[[nodiscard]] bool is_direct(std::string_view no_proxy, const ApiUrl& url);

// "host" or "[2001:db8::1]", with ":port".
[[nodiscard]] std::string authority_of(std::string_view host, std::uint16_t port);

}  // namespace fg::portal
