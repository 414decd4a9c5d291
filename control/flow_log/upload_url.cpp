#include "control/flow_log/upload_url.h"

#include <algorithm>

#include "control/portal/api_url.h"

namespace fg::flow_log {
namespace {

constexpr std::size_t kUrlMax = 4'096;
constexpr std::uint16_t kHttps = 443;
constexpr std::string_view kIngest = "/ingestion/flow_logs";

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F; });
}

bool has_scheme(std::string_view text) {
  const auto colon = text.find(':');
  return colon != std::string_view::npos && text.find_first_of("/?#") > colon;
}

}  // namespace

std::optional<UploadUrl> UploadUrl::parse(std::string_view text) {
  const auto begin = text.find("://");
  if (text.size() > kUrlMax || !is_printable(text) || begin == std::string_view::npos)
    return std::nullopt;
  const auto url = portal::ApiUrl::parse(text);
  const auto rest = text.substr(begin + 3);
  const auto authority = rest.substr(0, rest.find_first_of("/?#"));
  const bool is_https = text[0] == 'h' || text[0] == 'H';  // and not wss
  if (!url || !url->is_tls || !is_https || url->port != kHttps ||
      authority.find('@') != std::string_view::npos) {
    return std::nullopt;
  }
  auto target = std::string{rest.substr(authority.size())};
  target.resize(std::min(target.size(), target.find('#')));
  if (!target.starts_with('/')) target.insert(0, "/");
  return UploadUrl{url->host, std::move(target)};
}

std::optional<UploadUrl> UploadUrl::of_api(std::string_view api_url) {
  auto url = parse(api_url);
  if (url) url->target = kIngest;
  return url;
}

std::optional<UploadUrl> UploadUrl::redirected(std::string_view location) const {
  if (location.empty() || location.size() > kUrlMax || !is_printable(location)) return std::nullopt;
  if (has_scheme(location)) return parse(location);
  if (location.starts_with("//")) return parse("https:" + std::string{location});
  auto out = *this;
  if (location.starts_with('/')) {
    out.target = location;
  } else {
    out.target.resize(out.target.find_last_of('/', out.target.find('?')) + 1);
    out.target += location;
  }
  out.target.resize(std::min(out.target.size(), out.target.find('#')));
  return out;
}

}  // namespace fg::flow_log
