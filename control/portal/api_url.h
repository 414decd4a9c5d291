// The portal's address as the operator writes it (spec portal 1.2). Left out: internationalised
// names, dot segments.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fg::portal {

// Errors of start-up: the second ends the original with status 1, the first with status 2.
enum class UrlError : std::uint8_t { not_a_url, wrong_scheme };

struct ApiUrl {
  bool is_tls = true;
  std::string host;  // lower case, IPv6 literals without brackets
  std::uint16_t port = 443;
  std::string path;  // prefix of the portal's paths: empty or "/…" without the one trailing "/"

  static Result<ApiUrl, UrlError> parse(std::string_view text);
};

// application/x-www-form-urlencoded: space is "+".
[[nodiscard]] std::string form_encode(std::string_view text);

}  // namespace fg::portal
