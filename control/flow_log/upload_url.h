// Where records are posted: HTTPS on port 443 and nowhere else (spec policy 6.7). Left out:
// internationalised names, dot segments.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fg::flow_log {

struct UploadUrl {
  std::string host;    // lower case, IPv6 literals without brackets
  std::string target;  // path and query
  friend bool operator==(const UploadUrl&, const UploadUrl&) = default;

  // None: another scheme, another port, or credentials in it.
  static std::optional<UploadUrl> parse(std::string_view text);
  // The ingest endpoint of the API the portal named, whatever path that has.
  static std::optional<UploadUrl> of_api(std::string_view api_url);
  // What the value of a Location header means here; none when it must not be followed.
  [[nodiscard]] std::optional<UploadUrl> redirected(std::string_view location) const;
};

}  // namespace fg::flow_log
