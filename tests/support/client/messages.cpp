#include "tests/support/client/messages.h"

#include <algorithm>

#include "base/encoding.h"

namespace fg::client {
namespace {

using portal::Json;
using portal::ObjectReader;
using portal::ParseError;

constexpr std::size_t kRelaysMax = 1'024;
constexpr std::size_t kResourcesMax = 65'536;
constexpr std::size_t kCandidatesMax = 1'024;

template <class Id>
Id id_of(ObjectReader& from, std::string_view name) {
  const auto id = Id::parse(from.text(name));
  if (!id) from.reject();
  return id.value_or(Id{});
}

IpAddress address_of(ObjectReader& from, std::string_view name, Family family) {
  const auto address = IpAddress::parse(from.text(name));
  if (!address || address->family() != family) from.reject();
  return address.value_or(IpAddress{});
}

PublicKey key_of(ObjectReader& from, std::string_view name) {
  PublicKey key{};
  const auto bytes = decode_base64(from.text(name));
  if (!bytes || bytes->size() != key.size())
    from.reject();
  else
    std::copy(bytes->begin(), bytes->end(), key.begin());
  return key;
}

ice::Credentials credentials_of(const Json* json, ObjectReader& outer) {
  if (json == nullptr) return {};
  ObjectReader from(*json);
  ice::Credentials out{std::string{from.text("username")},
                       SecretText{std::string{from.text("password")}}};
  if (!from.ok()) outer.reject();
  return out;
}

// An absent list is empty.
const std::vector<Json>& list_of(ObjectReader& from, std::string_view name, std::size_t size_max,
                                 bool is_required = false) {
  static const std::vector<Json> kEmpty;
  const Json* json = is_required ? from.require(name) : from.find(name);
  if (json == nullptr) return kEmpty;
  if (json->is_list() && json->list.size() <= size_max) return json->list;
  from.reject();
  return kEmpty;
}

Interface interface_of(ObjectReader& outer) {
  const Json* json = outer.require("interface");
  if (json == nullptr) return {};
  ObjectReader from(*json);
  Interface out{address_of(from, "ipv4", Family::v4), address_of(from, "ipv6", Family::v6)};
  if (!from.ok()) outer.reject();
  return out;
}

std::optional<Resource> resource_of(const Json& json) {
  ObjectReader from(json);
  Resource out;
  out.id = id_of<ResourceId>(from, "id");
  const auto type = from.text("type");
  if (type == "internet") {
    out.type = Resource::Type::internet;
  } else if (type == "dns" || type == "cidr") {
    out.type = type == "dns" ? Resource::Type::dns : Resource::Type::cidr;
    out.address = from.text("address");
  } else {
    return std::nullopt;
  }
  if (out.type == Resource::Type::cidr) {
    const auto network = Cidr::parse(out.address, true);
    if (!network) return std::nullopt;
    out.network = *network;
  }
  if (!from.ok()) return std::nullopt;
  return out;
}

// One entry a family, adjacent ones of the same id are one relay (spec portal 2.2).
std::vector<turn::Relay> relays_of(ObjectReader& outer, std::string_view name, bool is_required) {
  std::vector<turn::Relay> out;
  for (const auto& json : list_of(outer, name, kRelaysMax, is_required)) {
    ObjectReader from(json);
    if (from.text("type") != "turn") continue;
    const auto id = id_of<RelayId>(from, "id");
    const auto address = SocketAddress::parse(from.text("addr"));
    const std::string username{from.text("username")};
    SecretText password{std::string{from.text("password")}};
    if (!from.ok() || !address) {
      outer.reject();
      continue;
    }
    if (out.empty() || out.back().id != id)
      out.push_back({.id = id, .v4 = {}, .v6 = {}, .username = {}, .password = {}});
    auto& relay = out.back();
    (address->ip.is_v4() ? relay.v4 : relay.v6) = *address;
    relay.username = username;
    relay.password = std::move(password);
  }
  return out;
}

Init init_of(ObjectReader& from) {
  Init out;
  out.interface = interface_of(from);
  for (const auto& json : list_of(from, "resources", kResourcesMax)) {
    if (auto resource = resource_of(json)) out.resources.push_back(std::move(*resource));
  }
  out.relays = relays_of(from, "relays", false);
  return out;
}

RelaysPresence presence_of(ObjectReader& from) {
  RelaysPresence out;
  for (const auto& json : list_of(from, "disconnected_ids", kRelaysMax, true)) {
    const auto id = RelayId::parse(json.text);
    if (id)
      out.disconnected.push_back(*id);
    else
      from.reject();
  }
  out.connected = relays_of(from, "connected", true);
  return out;
}

Candidates candidates_of(ObjectReader& from, bool invalidated) {
  Candidates out{
      .gateway = id_of<GatewayId>(from, "gateway_id"), .lines = {}, .invalidated = invalidated};
  for (const auto& json : list_of(from, "candidates", kCandidatesMax, true)) {
    if (json.kind == Json::Kind::text) out.lines.push_back(json.text);
  }
  return out;
}

Granted granted_of(ObjectReader& from) {
  Granted out;
  out.resource = id_of<ResourceId>(from, "resource_id");
  out.gateway = id_of<GatewayId>(from, "gateway_id");
  out.gateway_key = key_of(from, "gateway_public_key");
  out.preshared = Secret<32>{key_of(from, "preshared_key")};
  (void)address_of(from, "gateway_ipv4", Family::v4);
  (void)address_of(from, "gateway_ipv6", Family::v6);
  out.ours = credentials_of(from.require("client_ice_credentials"), from);
  out.theirs = credentials_of(from.require("gateway_ice_credentials"), from);
  out.use_iceless = from.optional_boolean("use_iceless", false);
  return out;
}

Refused refused_of(ObjectReader& from) {
  return {id_of<ResourceId>(from, "resource_id"), std::string{from.text("reason")}};
}

}  // namespace

std::string_view name_of(Resource::Type type) {
  switch (type) {
    case Resource::Type::cidr:
      return "cidr";
    case Resource::Type::dns:
      return "dns";
    case Resource::Type::internet:
      return "internet";
  }
  return "";
}

Result<Message, ParseError> parse(std::string_view event, const Json& payload) {
  if (event == "resource_deleted") {  // a bare string (spec portal 5.3)
    const auto id =
        payload.kind == Json::Kind::text ? ResourceId::parse(payload.text) : std::nullopt;
    if (!id) return fail(ParseError::malformed);
    return Message{ResourceDeleted{*id}};
  }
  if (event == "resource_created_or_updated") {
    auto resource = resource_of(payload);
    if (!resource) return fail(ParseError::malformed);
    return Message{ResourceChanged{std::move(*resource)}};
  }
  ObjectReader from(payload);
  std::optional<Message> out;
  if (event == "init")
    out = init_of(from);
  else if (event == "config_changed")
    out = ConfigChanged{interface_of(from)};
  else if (event == "relays_presence")
    out = presence_of(from);
  else if (event == "ice_candidates" || event == "gateway_ice_candidates")
    out = candidates_of(from, false);
  else if (event == "invalidate_ice_candidates" || event == "invalidate_gateway_ice_candidates")
    out = candidates_of(from, true);
  else if (event == "flow_created" || event == "authorization_created")
    out = granted_of(from);
  else if (event == "flow_creation_failed" || event == "authorization_creation_failed")
    out = refused_of(from);
  else if (event == "reject_access")
    out = RejectAccess{id_of<ResourceId>(from, "resource_id")};
  if (!out) return fail(ParseError::unknown_event);
  if (!from.ok()) return fail(ParseError::malformed);
  return std::move(*out);
}

std::optional<Prepared> parse_prepared(const Json& response) {
  ObjectReader from(response);
  const Prepared out{id_of<GatewayId>(from, "gateway_id")};
  if (!from.ok()) return std::nullopt;
  return out;
}

std::optional<Accepted> parse_accepted(const Json& response) {
  ObjectReader from(response);
  Accepted out;
  out.gateway_key = key_of(from, "gateway_public_key");
  const Json* payload = from.require("gateway_payload");
  if (!from.ok()) return std::nullopt;
  ObjectReader kind(*payload);
  if (const Json* accepted = kind.find("ConnectionAccepted")) {
    ObjectReader inner(*accepted);
    out.theirs = credentials_of(inner.require("ice_parameters"), inner);
    if (!inner.ok()) return std::nullopt;
  }
  if (!kind.ok()) return std::nullopt;
  return out;
}

}  // namespace fg::client
