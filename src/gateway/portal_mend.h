// What to do about an end that the portal caused, by the words it ended with (spec operations 3.4).
#pragma once

#include <string>
#include <string_view>

#include "gateway/double_watch.h"

namespace fg::gateway {

// To be put behind `reason`. `id_source`: where this host's identity is from.
inline std::string mend_of_portal(std::string_view reason, bool was_joined,
                                  const std::string& id_source) {
  const auto says = [&](std::string_view words) {
    return reason.find(words) != std::string_view::npos;
  };
  if (says("max-retry limit"))
    return "; check FIREZONE_API_URL and the way to it: name resolution, TCP, proxy, certificate";
  if (says("Failed to login with portal"))
    return "; check in the portal whether the account and this gateway may connect";
  if (!says("token") && !says("authenticate")) return "";
  std::string out = "; set FIREZONE_TOKEN to a token this portal has issued";
  // spec portal 3: a portal that has two of us ends the older connection with the same words.
  if (was_joined)
    out += "; if it is valid and the gateway was not deleted, " + double_mend(id_source);
  return out;
}

}  // namespace fg::gateway
