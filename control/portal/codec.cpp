#include "control/portal/codec.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/encoding.h"
#include "control/portal/json.h"

namespace fg::portal {
namespace {

constexpr std::size_t kNameMax = 255;  // for display only, so what is longer is cut
constexpr std::size_t kUrlMax = 2'048;
constexpr std::size_t kTokenMax = 16'384;

// Every reader rejects through its ObjectReader or returns none; the message is dropped as a whole
// either way.

template <class Id>
Id id_of(ObjectReader& from, std::string_view name) {
  const auto id = Id::parse(from.text(name));
  if (!id) from.reject();
  return id.value_or(Id{});
}

IpAddress address_of(ObjectReader& from, std::string_view name, Family family) {
  const auto address = IpAddress::parse(from.text(name));
  if (!address || address->family() != family) {
    from.reject();
    return {};
  }
  return *address;
}

std::array<std::uint8_t, 32> key_of(ObjectReader& from, std::string_view name) {
  std::array<std::uint8_t, 32> key{};
  auto bytes = decode_base64(from.text(name));
  if (!bytes || bytes->size() != key.size()) {
    from.reject();
    return key;
  }
  std::copy(bytes->begin(), bytes->end(), key.begin());
  wipe(*bytes);
  return key;
}

const Json* list_of(ObjectReader& from, const Json* json, std::size_t size_max) {
  if (json == nullptr) return nullptr;
  if (json->is_list() && json->list.size() <= size_max) return json;
  from.reject();
  return nullptr;
}

// Whole seconds since 1970 and not before. What int64 cannot hold is as far away as what it can.
UnixSeconds seconds_of(ObjectReader& from, const Json& json) {
  if (json.kind != Json::Kind::integer || json.is_negative) {
    from.reject();
    return 0;
  }
  return as_integer(json).value_or(std::numeric_limits<UnixSeconds>::max());
}

std::optional<UnixSeconds> nullable_expiry(ObjectReader& from, const Json* json) {
  if (json == nullptr || json->is_null()) return std::nullopt;
  return seconds_of(from, *json);
}

UnixSeconds expiry_of(ObjectReader& from) {
  const Json* json = from.require("expires_at");
  return json == nullptr ? 0 : seconds_of(from, *json);
}

std::uint16_t port_of(ObjectReader& from, std::string_view name, std::uint16_t fallback) {
  const Json* json = from.find(name);
  if (json == nullptr) return fallback;
  const auto port = as_integer(*json);
  if (!port || *port < 0 || *port > 65535) {
    from.reject();
    return fallback;
  }
  return static_cast<std::uint16_t>(*port);
}

std::optional<Filter> filter_of(const Json& json) {
  ObjectReader from(json);
  const auto protocol = from.text("protocol");
  Filter filter;
  if (protocol == "tcp" || protocol == "udp") {
    filter.protocol = protocol == "tcp" ? Filter::Protocol::tcp : Filter::Protocol::udp;
    filter.first_port = port_of(from, "port_range_start", 0);
    filter.last_port = port_of(from, "port_range_end", 65535);
  } else if (protocol == "icmp") {
    filter.protocol = Filter::Protocol::icmp;
  } else {
    from.reject();  // skipping it would turn a list of one into "everything is allowed"
  }
  if (!from.ok()) return std::nullopt;
  return filter;
}

std::optional<Resource> resource_of(const Json* json) {
  if (json == nullptr) return std::nullopt;
  ObjectReader from(*json);
  Resource resource;
  resource.id = id_of<ResourceId>(from, "id");
  const auto type = from.text("type");
  if (type == "internet") {
    resource.type = Resource::Type::internet;
    return from.ok() ? std::optional(std::move(resource)) : std::nullopt;
  }
  if (type == "dns") {
    resource.type = Resource::Type::dns;
    resource.pattern = from.text("address");
  } else if (type == "cidr") {
    const auto network = Cidr::parse(from.text("address"), true);
    if (!network) return std::nullopt;
    resource.network = *network;
  } else {
    return std::nullopt;
  }
  resource.name = from.optional_text("name", false).value_or("").substr(0, kNameMax);
  const Json* filters = list_of(from, from.require("filters"), kFiltersMax);
  if (filters == nullptr || !from.ok()) return std::nullopt;
  for (const auto& entry : filters->list) {
    const auto filter = filter_of(entry);
    if (!filter) return std::nullopt;
    resource.filters.push_back(*filter);
  }
  return resource;
}

// Adds one entry to the relays so far: an entry of a known id completes or replaces that relay
// (spec portal 2.2).
bool add_relay(const Json& json, std::vector<Relay>& relays) {
  ObjectReader from(json);
  const auto type = from.text("type");
  if (!from.ok()) return false;
  if (type != "turn" && type != "stun") return true;
  const auto id = id_of<RelayId>(from, "id");
  const auto address = SocketAddress::parse(from.text("addr"));
  if (!from.ok() || !address) return false;
  if (type == "stun") return true;
  const auto username = from.text("username");
  const auto password = from.text("password");
  (void)from.integer("expires_at");
  if (!from.ok()) return false;
  auto relay =
      std::find_if(relays.begin(), relays.end(), [&](const Relay& r) { return r.id == id; });
  if (relay == relays.end()) {
    relays.emplace_back().id = id;
    relay = std::prev(relays.end());
  }
  (address->ip.is_v4() ? relay->v4 : relay->v6) = *address;
  relay->username = username;
  relay->password = SecretText{std::string{password}};
  return true;
}

std::vector<Relay> relays_of(ObjectReader& from, const Json* json) {
  std::vector<Relay> relays;
  const Json* list = list_of(from, json, kRelaysMax);
  if (list == nullptr) return relays;
  for (const auto& entry : list->list) {
    if (!add_relay(entry, relays)) from.reject();
  }
  return relays;
}

std::optional<IceCredentials> credentials_of(const Json* json) {
  if (json == nullptr) return std::nullopt;
  ObjectReader from(*json);
  IceCredentials ice;
  ice.username = from.text("username");
  ice.password = SecretText{std::string{from.text("password")}};
  if (!from.ok()) return std::nullopt;
  return ice;
}

IceCredentials required_credentials(ObjectReader& from, std::string_view name) {
  auto ice = credentials_of(from.require(name));
  if (!ice) from.reject();
  return ice.value_or(IceCredentials{});
}

Resource required_resource(ObjectReader& from) {
  auto resource = resource_of(from.require("resource"));
  if (!resource) from.reject();
  return resource.value_or(Resource{});
}

// null and absent: none. The legacy form is the bare name.
std::optional<Domain> domain_of(ObjectReader& outer, std::string_view name) {
  const Json* json = outer.find(name);
  if (json == nullptr || json->is_null()) return std::nullopt;
  Domain domain;
  if (json->kind == Json::Kind::text) {
    domain.name = json->text;
    return domain;
  }
  ObjectReader from(*json);
  domain.name = from.text("name");
  const Json* ips = list_of(from, from.require("proxy_ips"), kProxyIpsMax);
  if (ips != nullptr) {
    for (const auto& entry : ips->list) {
      const auto ip = entry.kind == Json::Kind::text ? IpAddress::parse(entry.text) : std::nullopt;
      if (ip) {
        domain.proxy_ips.push_back(*ip);
      } else {
        from.reject();
      }
    }
  }
  if (!from.ok()) outer.reject();
  return domain;
}

// Addresses and keys; the id is read by the caller because A keeps it one level up.
void read_peer(ObjectReader& from, Peer& peer) {
  peer.public_key = key_of(from, "public_key");
  auto preshared_key = key_of(from, "preshared_key");
  peer.preshared_key = Secret<32>{preshared_key};
  wipe(preshared_key);
  peer.v4 = address_of(from, "ipv4", Family::v4);
  peer.v6 = address_of(from, "ipv6", Family::v6);
}

// A member that must be an object, read by `read`; whatever it rejects rejects the outer one.
template <class Read>
void nested(ObjectReader& outer, std::string_view name, Read read) {
  const Json* json = outer.require(name);
  if (json == nullptr) return;
  ObjectReader from(*json);
  if (from.ok()) read(from);
  if (!from.ok()) outer.reject();
}

std::vector<AuthorizationEntry> authorizations_of(ObjectReader& outer, const Json& list) {
  std::vector<AuthorizationEntry> entries;
  entries.reserve(list.list.size());
  for (const auto& json : list.list) {
    ObjectReader from(json);
    if (from.ok()) {
      entries.push_back({id_of<ClientId>(from, "client_id"), id_of<ResourceId>(from, "resource_id"),
                         expiry_of(from)});
    }
    if (!from.ok()) outer.reject();
  }
  return entries;
}

// What is not as it should be means no uploads: access does not depend on it.
std::optional<FlowLogs> flow_logs_of(const Json* json) {
  if (json == nullptr) return std::nullopt;
  ObjectReader from(*json);
  const auto whole = [&](std::string_view name) -> std::uint64_t {
    const Json* value = from.require(name);
    if (value != nullptr && value->kind == Json::Kind::integer && !value->is_negative)
      return value->magnitude;
    from.reject();
    return 0;
  };
  FlowLogs out;
  out.api_url = from.text("api_url");
  out.interval_s = whole("upload_interval_secs");
  out.batch_size = whole("upload_batch_size");
  if (!from.ok() || out.api_url.size() > kUrlMax) return std::nullopt;
  return out;
}

// For display: what is no text is left out.
std::optional<std::string> fact_of(const Json& object, std::string_view name) {
  if (!object.is_object()) return std::nullopt;
  for (const auto& member : object.members) {
    if (member.name == name && member.value.kind == Json::Kind::text)
      return member.value.text.substr(0, kNameMax);
  }
  return std::nullopt;
}

ClientFacts facts_of(const Json* client, const Json* subject) {
  ClientFacts out;
  if (client != nullptr) {
    out.version = fact_of(*client, "version");
    out.device_os_name = fact_of(*client, "device_os_name");
    out.device_os_version = fact_of(*client, "device_os_version");
    out.device_serial = fact_of(*client, "device_serial");
    out.device_uuid = fact_of(*client, "device_uuid");
    out.identifier_for_vendor = fact_of(*client, "identifier_for_vendor");
    out.firebase_installation_id = fact_of(*client, "firebase_installation_id");
  }
  if (subject != nullptr) {
    out.auth_provider_id = fact_of(*subject, "auth_provider_id");
    out.actor_name = fact_of(*subject, "actor_name");
    out.actor_id = fact_of(*subject, "actor_id");
    out.actor_email = fact_of(*subject, "actor_email");
  }
  return out;
}

Ingress read_init(ObjectReader& from) {
  Init init;
  nested(from, "interface", [&](ObjectReader& interface) {
    init.v4 = address_of(interface, "ipv4", Family::v4);
    init.v6 = address_of(interface, "ipv6", Family::v6);
  });
  init.relays = relays_of(from, from.find("relays"));
  const Json* authorizations = list_of(from, from.find("authorizations"), kAuthorizationsMax);
  if (authorizations != nullptr) init.authorizations = authorizations_of(from, *authorizations);
  (void)from.find("config");        // unused, but a doubled one still rejects
  (void)from.find("account_slug");  // telemetry of the original
  init.flow_logs = flow_logs_of(from.find("flow_logs"));
  return init;
}

Ingress read_request_connection(ObjectReader& from) {
  RequestConnection request;
  request.ref = from.text("ref");
  request.resource = required_resource(from);
  request.expires_at = nullable_expiry(from, from.require("expires_at"));
  nested(from, "client", [&](ObjectReader& client) {
    request.client.id = id_of<ClientId>(client, "id");
    nested(client, "peer", [&](ObjectReader& peer) {
      read_peer(peer, request.client);
      const Json* keepalive = peer.find("persistent_keepalive");
      if (keepalive != nullptr && !keepalive->is_null())
        (void)port_of(peer, "persistent_keepalive", 0);
    });
    nested(client, "payload", [&](ObjectReader& payload) {
      request.client_ice = required_credentials(payload, "ice_parameters");
      request.domain = domain_of(payload, "domain");
    });
  });
  return request;
}

Ingress read_allow_access(ObjectReader& from) {
  AllowAccess access;
  access.ref = from.text("ref");
  access.client = id_of<ClientId>(from, "client_id");
  access.client_v4 = address_of(from, "client_ipv4", Family::v4);
  access.client_v6 = address_of(from, "client_ipv6", Family::v6);
  access.resource = required_resource(from);
  access.expires_at = nullable_expiry(from, from.require("expires_at"));
  access.domain = domain_of(from, "payload");
  return access;
}

Ingress read_authorize(ObjectReader& from, Authorize::Dialect dialect) {
  Authorize authorize;
  authorize.dialect = dialect;
  authorize.ref = from.text("ref");
  authorize.resource = required_resource(from);
  authorize.expires_at = nullable_expiry(from, from.find("expires_at"));
  nested(from, "client", [&](ObjectReader& client) {
    authorize.client.id = id_of<ClientId>(client, "id");
    read_peer(client, authorize.client);
  });
  authorize.client_ice = required_credentials(from, "client_ice_credentials");
  authorize.gateway_ice = required_credentials(from, "gateway_ice_credentials");
  if (dialect == Authorize::Dialect::create_authorization) {
    authorize.use_iceless = from.optional_boolean("use_iceless", false);
    const Json* token = from.find("flow_logs_ingest_token");
    if (token != nullptr && token->kind == Json::Kind::text && token->text.size() <= kTokenMax)
      authorize.ingest_token = SecretText{token->text};
  } else {
    authorize.facts = facts_of(from.find("client"), from.find("subject"));
  }
  return authorize;
}

Ingress read_authorize_flow(ObjectReader& from) {
  return read_authorize(from, Authorize::Dialect::authorize_flow);
}
Ingress read_create_authorization(ObjectReader& from) {
  return read_authorize(from, Authorize::Dialect::create_authorization);
}

Ingress read_reject_access(ObjectReader& from) {
  return RejectAccess{id_of<ClientId>(from, "client_id"), id_of<ResourceId>(from, "resource_id")};
}

Ingress read_expiry_updated(ObjectReader& from) {
  return ExpiryUpdated{id_of<ClientId>(from, "client_id"), id_of<ResourceId>(from, "resource_id"),
                       expiry_of(from)};
}

Ingress read_candidates(ObjectReader& from, bool invalidated) {
  IceCandidates message;
  message.invalidated = invalidated;
  message.client = id_of<ClientId>(from, "client_id");
  if (const Json* list = list_of(from, from.require("candidates"), kCandidatesMax)) {
    for (const auto& entry : list->list) {
      if (entry.kind == Json::Kind::text) message.candidates.push_back(entry.text);
    }
  }
  return message;
}

Ingress read_ice_candidates(ObjectReader& from) { return read_candidates(from, false); }
Ingress read_invalidate_ice_candidates(ObjectReader& from) { return read_candidates(from, true); }

Ingress read_relays_presence(ObjectReader& from) {
  RelaysPresence presence;
  if (const Json* list = list_of(from, from.require("disconnected_ids"), kRelaysMax)) {
    for (const auto& entry : list->list) {
      const auto id = entry.kind == Json::Kind::text ? RelayId::parse(entry.text) : std::nullopt;
      if (id) {
        presence.disconnected.push_back(*id);
      } else {
        from.reject();
      }
    }
  }
  presence.connected = relays_of(from, from.require("connected"));
  return presence;
}

struct EventReader {
  std::string_view event;
  Ingress (*read)(ObjectReader&);
};

constexpr std::array kReaders{
    EventReader{"init", read_init},
    EventReader{"request_connection", read_request_connection},
    EventReader{"allow_access", read_allow_access},
    EventReader{"authorize_flow", read_authorize_flow},
    EventReader{"create_authorization", read_create_authorization},
    EventReader{"reject_access", read_reject_access},
    EventReader{"access_authorization_expiry_updated", read_expiry_updated},
    EventReader{"ice_candidates", read_ice_candidates},
    EventReader{"invalidate_ice_candidates", read_invalidate_ice_candidates},
    EventReader{"relays_presence", read_relays_presence},
};

}  // namespace

Result<Ingress, ParseError> parse_ingress(std::string_view event, const Json& payload) {
  if (event == "resource_updated") {
    auto resource = resource_of(&payload);
    if (!resource) return fail(ParseError::malformed);
    return Ingress{ResourceUpdated{std::move(*resource)}};
  }
  const auto reader = std::find_if(kReaders.begin(), kReaders.end(),
                                   [&](const auto& r) { return r.event == event; });
  if (reader == kReaders.end()) return fail(ParseError::unknown_event);
  ObjectReader from(payload);
  if (!from.ok()) return fail(ParseError::malformed);
  Ingress ingress = reader->read(from);
  if (!from.ok()) return fail(ParseError::malformed);
  return ingress;
}

Result<Ingress, ParseError> parse_ingress(std::string_view event, std::string_view payload) {
  if (payload.size() > kMessageBytesMax) return fail(ParseError::malformed);
  const auto json = parse_json(payload);
  if (!json) return fail(ParseError::malformed);
  return parse_ingress(event, *json);
}

}  // namespace fg::portal
