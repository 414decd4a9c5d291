// The JSON inside the in-tunnel control packets (spec policy 4.6): what a client announces about
// the names it uses, and what we answer. The packet around it is packet/control_message.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/bytes.h"
#include "base/ids.h"

namespace fg::controller {

inline constexpr std::size_t kAnnouncedProxiesMax = 64;  // spec policy 4.5: clients send 4 or 8
inline constexpr std::size_t kDomainMax = 253;

// AssignedIps: the client maps these proxy addresses to the name.
struct AssignedIps {
  ResourceId resource;
  std::string domain;  // as received but for a trailing dot
  std::vector<IpAddress> proxy_ips;
};
// Unknown fields and any order are accepted; anything that does not fit is refused as a whole.
[[nodiscard]] std::optional<AssignedIps> parse_assigned_ips(Bytes json);

// DomainStatus, compact and in the field order of the originals.
[[nodiscard]] std::string domain_status(const ResourceId& resource, const std::string& domain,
                                        bool active);

}  // namespace fg::controller
