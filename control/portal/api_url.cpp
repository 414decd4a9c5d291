#include "control/portal/api_url.h"

#include <algorithm>
#include <charconv>

#include "base/address.h"

namespace fg::portal {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lowered(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool is_host_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

void append_percent(std::string& out, char c) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  const auto byte = static_cast<unsigned char>(c);
  out += '%';
  out += kDigits[byte >> 4];
  out += kDigits[byte & 15];
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.front()) <= ' ') text.remove_prefix(1);
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ') text.remove_suffix(1);
  return text;
}

// host, host:port, [v6], [v6]:port
bool read_authority(std::string_view authority, ApiUrl& url) {
  if (const auto at = authority.rfind('@'); at != std::string_view::npos)
    authority.remove_prefix(at + 1);
  std::string_view host = authority;
  std::string_view rest;
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) return false;
    host = authority.substr(1, end - 1);
    rest = authority.substr(end + 1);
    const auto address = IpAddress::parse(host);
    if (!address || !address->is_v6()) return false;
    url.host = address->to_string();
  } else {
    const auto colon = authority.find(':');
    host = authority.substr(0, colon);
    rest = colon == std::string_view::npos ? std::string_view{} : authority.substr(colon);
    url.host = lowered(host);
    if (url.host.empty() || !std::all_of(url.host.begin(), url.host.end(), is_host_character))
      return false;
  }
  if (rest.empty() || rest == ":") return true;
  if (!rest.starts_with(':')) return false;
  rest.remove_prefix(1);
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), url.port);
  return error == std::errc{} && end == rest.data() + rest.size();
}

}  // namespace

Result<ApiUrl, UrlError> ApiUrl::parse(std::string_view text) {
  text = trimmed(text);
  const auto colon = text.find("://");
  if (colon == std::string_view::npos || colon == 0) return fail(UrlError::not_a_url);
  const auto scheme = lowered(text.substr(0, colon));
  ApiUrl url;
  if (scheme == "wss" || scheme == "https") {
    url.is_tls = true;
  } else if (scheme == "ws" || scheme == "http") {
    url.is_tls = false;
  } else {
    return fail(UrlError::wrong_scheme);
  }
  url.port = url.is_tls ? 443 : 80;
  text.remove_prefix(colon + 3);
  const auto authority = text.substr(0, text.find_first_of("/?#"));
  if (!read_authority(authority, url)) return fail(UrlError::not_a_url);
  text.remove_prefix(authority.size());
  auto path = text.substr(0, text.find_first_of("?#"));
  if (path.ends_with('/')) path.remove_suffix(1);
  for (const char c : path) {
    if (c <= ' ' || c > '~' || c == '"' || c == '<' || c == '>' || c == '`') {
      append_percent(url.path, c);
    } else {
      url.path += c;
    }
  }
  return url;
}

std::string form_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ') {
      out += '+';
    } else if (is_alphanumeric(c) || c == '*' || c == '-' || c == '.' || c == '_') {
      out += c;
    } else {
      append_percent(out, c);
    }
  }
  return out;
}

}  // namespace fg::portal
