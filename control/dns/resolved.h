// What looking a name up brought, by family.
#pragma once

#include <optional>
#include <vector>

#include "base/address.h"

namespace fg::dns {

// No list: no name server answered the question. An empty one: the name has no such address.
struct Resolved {
  std::optional<std::vector<IpAddress>> v4;
  std::optional<std::vector<IpAddress>> v6;

  [[nodiscard]] bool is_failed() const { return !v4 && !v6; }
  // IPv6 first, then IPv4, each as the name server ordered them (spec policy 4.2, A).
  [[nodiscard]] std::vector<IpAddress> all() const {
    auto out = v6.value_or(std::vector<IpAddress>{});
    if (v4) out.insert(out.end(), v4->begin(), v4->end());
    return out;
  }
};

}  // namespace fg::dns
