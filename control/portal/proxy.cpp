#include "control/portal/proxy.h"

#include <algorithm>
#include <charconv>

#include "base/address.h"
#include "base/encoding.h"

namespace fg::portal {
namespace {

std::string lowered(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// User and password may hold any character as %XX.
std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_digit(text[i + 2]) : -1;
    if (text[i] == '%' && high >= 0 && low >= 0) {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

struct Entry {
  std::string_view host;
  std::optional<std::uint16_t> port;
};

// "name:80", "[2001:db8::1]:80", "10.0.0.0/8"; what follows a lone colon is the port, two colons
// make an IPv6 address.
Entry entry_of(std::string_view text) {
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos) return {text, std::nullopt};
    const auto rest = text.substr(end + 1);
    return {text.substr(1, end - 1),
            rest.starts_with(':') ? port_of(rest.substr(1)) : std::nullopt};
  }
  const auto colon = text.find(':');
  if (colon == std::string_view::npos || text.find(':', colon + 1) != std::string_view::npos)
    return {text, std::nullopt};
  return {text.substr(0, colon), port_of(text.substr(colon + 1))};
}

bool matches(const Entry& entry, const std::string& host, const std::optional<IpAddress>& ip) {
  if (ip) {
    const auto network = Cidr::parse(entry.host, false);
    return network && network->family() == ip->family() && network->contains(*ip);
  }
  auto name = entry.host;
  if (name.starts_with("*.")) name.remove_prefix(1);
  if (name.starts_with('.')) name.remove_prefix(1);
  const auto suffix = lowered(name);
  if (suffix.empty() || !host.ends_with(suffix)) return false;
  return host.size() == suffix.size() || host[host.size() - suffix.size() - 1] == '.';
}

}  // namespace

std::string authority_of(std::string_view host, std::uint16_t port) {
  const bool is_v6 = host.find(':') != std::string_view::npos;
  return (is_v6 ? "[" + std::string{host} + "]" : std::string{host}) + ":" + std::to_string(port);
}

Result<Proxy, ProxyError> parse_proxy(std::string_view text) {
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
    if (lowered(text.substr(0, scheme)) != "http") return fail(ProxyError::wrong_scheme);
    text.remove_prefix(scheme + 3);
  }
  text = text.substr(0, text.find_first_of("/?#"));
  Proxy proxy;
  const auto at = text.rfind('@');
  if (at != std::string_view::npos) {
    const auto user = percent_decoded(text.substr(0, at));
    proxy.authorization = SecretText{
        "Basic " + base64(as_bytes(user.find(':') == std::string::npos ? user + ":" : user))};
    text.remove_prefix(at + 1);
  }
  // The rest is what a portal's address has too; only the default port differs.
  const bool has_port =
      text.find(':', text.starts_with('[') ? text.find(']') : 0) != std::string_view::npos;
  auto url = ApiUrl::parse("http://" + std::string{text});
  if (!url || (has_port && url->port == 0)) return fail(ProxyError::not_a_url);
  proxy.host = std::move(url->host);
  proxy.port = url->port;
  return proxy;
}

bool is_direct(std::string_view no_proxy, const ApiUrl& url) {
  const auto ip = IpAddress::parse(url.host);
  while (!no_proxy.empty()) {
    const auto end = no_proxy.find_first_of(", \t");
    const auto text = no_proxy.substr(0, end);
    no_proxy.remove_prefix(end == std::string_view::npos ? no_proxy.size() : end + 1);
    if (text.empty()) continue;
    if (text == "*") return true;
    const auto entry = entry_of(text);
    if (entry.port && *entry.port != url.port) continue;
    if (matches(entry, url.host, ip)) return true;
  }
  return false;
}

}  // namespace fg::portal
