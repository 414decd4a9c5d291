// What a portal and its clients say to each other (spec portal 5), as values and as text. The
// gateway's half of the protocol is control/portal; only JSON reading and framing are shared with
// it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/secret.h"
#include "control/ice/credentials.h"
#include "control/portal/codec.h"
#include "control/portal/json.h"
#include "control/portal/login.h"
#include "control/turn/allocation.h"

namespace fg::client {

using GatewayId = Uuid<struct GatewayTag>;
using PublicKey = std::array<std::uint8_t, 32>;
using portal::Generation;

struct Resource {
  enum class Type : std::uint8_t { cidr, dns, internet };
  ResourceId id;
  Type type = Type::cidr;
  std::string address;  // as the portal wrote it; empty for internet
  Cidr network;         // cidr
  friend bool operator==(const Resource&, const Resource&) = default;
};
[[nodiscard]] std::string_view name_of(Resource::Type type);

// ---- portal -> client ----

struct Interface {
  IpAddress v4;
  IpAddress v6;
  friend bool operator==(const Interface&, const Interface&) = default;
};
struct Init {
  Interface interface;
  std::vector<Resource> resources;
  std::vector<turn::Relay> relays;
};
struct ConfigChanged {
  Interface interface;
};
struct ResourceChanged {
  Resource resource;
};
struct ResourceDeleted {
  ResourceId resource;
};
struct RelaysPresence {
  std::vector<RelayId> disconnected;
  std::vector<turn::Relay> connected;
};
struct Candidates {
  GatewayId gateway;
  std::vector<std::string> lines;
  bool invalidated = false;
};
// flow_created (B), authorization_created (C).
struct Granted {
  ResourceId resource;
  GatewayId gateway;
  PublicKey gateway_key{};
  Secret<32> preshared;
  ice::Credentials ours;
  ice::Credentials theirs;
  bool use_iceless = false;
};
struct Refused {
  ResourceId resource;
  std::string reason;
};
struct RejectAccess {
  ResourceId resource;
};
using Message = std::variant<Init, ConfigChanged, ResourceChanged, ResourceDeleted, RelaysPresence,
                             Candidates, Granted, Refused, RejectAccess>;

// Resources a client does not know are skipped, everything else is refused as a whole.
[[nodiscard]] Result<Message, portal::ParseError> parse(std::string_view event,
                                                        const portal::Json& payload);

// Generation A: replies to prepare_connection and request_connection or reuse_connection.
struct Prepared {
  GatewayId gateway;
};
[[nodiscard]] std::optional<Prepared> parse_prepared(const portal::Json& response);
struct Accepted {
  PublicKey gateway_key{};
  std::optional<ice::Credentials> theirs;  // none: ResourceAccepted
};
[[nodiscard]] std::optional<Accepted> parse_accepted(const portal::Json& response);

// ---- client -> portal ----

// create_flow (B), request_authorization (C).
[[nodiscard]] portal::Message request_access(Generation generation, const ResourceId& resource,
                                             const std::vector<GatewayId>& connected);
[[nodiscard]] portal::Message prepare_connection(const ResourceId& resource,
                                                 const std::vector<GatewayId>& connected);
struct Offer {
  GatewayId gateway;
  ResourceId resource;
  Secret<32> preshared;
  ice::Credentials ours;
  std::string name = {};  // of a DNS resource
  std::vector<IpAddress> proxies = {};
};
[[nodiscard]] portal::Message request_connection(const Offer& offer);
[[nodiscard]] portal::Message reuse_connection(const ResourceId& resource, const GatewayId& gateway,
                                               const std::string& name = {},
                                               const std::vector<IpAddress>& proxies = {});
// AssignedIps, in the tunnel (spec policy 4.6).
[[nodiscard]] std::string assigned_ips(const ResourceId& resource, const std::string& name,
                                       const std::vector<IpAddress>& proxies);
// The legacy form names several gateways, the later ones name one.
[[nodiscard]] portal::Message candidates(Generation generation, const GatewayId& gateway,
                                         const std::vector<std::string>& lines, bool invalidated);
[[nodiscard]] portal::Message no_relays();
[[nodiscard]] portal::Message capabilities();

}  // namespace fg::client
