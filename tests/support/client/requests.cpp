#include <span>

#include "base/encoding.h"
#include "tests/support/client/messages.h"

namespace fg::client {
namespace {

std::string quoted(std::string_view text) {
  std::string out;
  portal::append_json_text(out, text);
  return out;
}

template <class Tag>
std::string quoted(const Uuid<Tag>& id) {
  return quoted(std::string_view{id.to_string()});
}

template <class T>
std::string list_of(std::span<const T> values) {
  std::string out = "[";
  for (const auto& value : values) {
    if (out.size() > 1) out += ',';
    out += quoted(value);
  }
  return out + ']';
}

std::string access_of(const ResourceId& resource, const std::vector<GatewayId>& connected) {
  return R"({"resource_id":)" + quoted(resource) + R"(,"connected_gateway_ids":)" +
         list_of(std::span{connected}) + '}';
}

std::string list_of(const std::vector<IpAddress>& addresses) {
  std::vector<std::string_view> out;
  std::vector<std::string> texts;
  for (const auto& address : addresses) texts.push_back(address.to_string());
  out.assign(texts.begin(), texts.end());
  return list_of(std::span<const std::string_view>{out});
}

std::string domain_of(const std::string& name, const std::vector<IpAddress>& proxies) {
  if (name.empty()) return "null";
  return R"({"name":)" + quoted(std::string_view{name}) + R"(,"proxy_ips":)" + list_of(proxies) +
         '}';
}

}  // namespace

std::string assigned_ips(const ResourceId& resource, const std::string& name,
                         const std::vector<IpAddress>& proxies) {
  return R"({"resource":)" + quoted(resource) + R"(,"domain":)" + quoted(std::string_view{name}) +
         R"(,"proxy_ips":)" + list_of(proxies) + '}';
}

portal::Message request_access(Generation generation, const ResourceId& resource,
                               const std::vector<GatewayId>& connected) {
  return {generation == Generation::c ? "request_authorization" : "create_flow",
          access_of(resource, connected)};
}

portal::Message prepare_connection(const ResourceId& resource,
                                   const std::vector<GatewayId>& connected) {
  return {"prepare_connection", access_of(resource, connected)};
}

portal::Message request_connection(const Offer& offer) {
  return {"request_connection", R"({"gateway_id":)" + quoted(offer.gateway) + R"(,"resource_id":)" +
                                    quoted(offer.resource) + R"(,"client_preshared_key":)" +
                                    quoted(base64(offer.preshared.expose())) +
                                    R"(,"client_payload":{"ice_parameters":{"username":)" +
                                    quoted(offer.ours.ufrag) + R"(,"password":)" +
                                    quoted(offer.ours.password.expose()) + R"(},"domain":)" +
                                    domain_of(offer.name, offer.proxies) + "}}"};
}

portal::Message reuse_connection(const ResourceId& resource, const GatewayId& gateway,
                                 const std::string& name, const std::vector<IpAddress>& proxies) {
  return {"reuse_connection", R"({"resource_id":)" + quoted(resource) + R"(,"gateway_id":)" +
                                  quoted(gateway) + R"(,"payload":)" + domain_of(name, proxies) +
                                  '}'};
}

portal::Message candidates(Generation generation, const GatewayId& gateway,
                           const std::vector<std::string>& lines, bool invalidated) {
  std::string list = "[";
  for (const auto& line : lines) {
    if (list.size() > 1) list += ',';
    list += quoted(std::string_view{line});
  }
  list += ']';
  if (generation == Generation::a) {
    return {invalidated ? "broadcast_invalidated_ice_candidates" : "broadcast_ice_candidates",
            R"({"gateway_ids":[)" + quoted(gateway) + R"(],"candidates":)" + list + '}'};
  }
  return {invalidated ? "invalidate_gateway_ice_candidates" : "new_gateway_ice_candidates",
          R"({"gateway_id":)" + quoted(gateway) + R"(,"candidates":)" + list + '}'};
}

portal::Message no_relays() { return {"no_relays", "{}"}; }

portal::Message capabilities() { return {"set_snownet_capabilities", R"({"iceless":true})"}; }

}  // namespace fg::client
