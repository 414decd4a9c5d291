#include "control/controller/tunnel_control.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace fg::controller {

std::optional<AssignedIps> parse_assigned_ips(Bytes json) {
  // The lexer takes a NUL for the end of the text; no JSON text has one (RFC 8259 §2, §7).
  if (std::ranges::find(json, std::uint8_t{0}) != json.end()) return std::nullopt;
  const auto value = nlohmann::json::parse(json.begin(), json.end(), nullptr, false);
  if (!value.is_object()) return std::nullopt;
  const auto resource = value.find("resource");
  const auto domain = value.find("domain");
  const auto proxies = value.find("proxy_ips");
  if (resource == value.end() || domain == value.end() || proxies == value.end())
    return std::nullopt;
  if (!resource->is_string() || !domain->is_string() || !proxies->is_array()) return std::nullopt;
  if (proxies->size() > kAnnouncedProxiesMax) return std::nullopt;

  AssignedIps out;
  const auto id = ResourceId::parse(resource->get_ref<const std::string&>());
  if (!id) return std::nullopt;
  out.resource = *id;
  out.domain = domain->get<std::string>();
  if (out.domain.ends_with('.')) out.domain.pop_back();
  if (out.domain.empty() || out.domain.size() > kDomainMax) return std::nullopt;
  for (const auto& proxy : *proxies) {
    if (!proxy.is_string()) return std::nullopt;
    const auto ip = IpAddress::parse(proxy.get_ref<const std::string&>());
    if (!ip) return std::nullopt;
    out.proxy_ips.push_back(*ip);
  }
  return out;
}

std::string domain_status(const ResourceId& resource, const std::string& domain, bool active) {
  nlohmann::ordered_json out;
  out["resource"] = resource.to_string();
  out["domain"] = domain;
  out["status"] = active ? "Active" : "Inactive";
  return out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace fg::controller
