// The portal's messages on topic "gateway" as values, for all three generations at once (spec
// portal 2). Parsed once at the edge (codec.h); everything behind works on these types. Keys and
// passwords are secrets.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/address.h"
#include "base/ids.h"
#include "base/secret.h"

namespace fg::portal {

using PublicKey = std::array<std::uint8_t, 32>;
using UnixSeconds = std::int64_t;

struct Filter {
  enum class Protocol : std::uint8_t { tcp, udp, icmp };
  Protocol protocol = Protocol::tcp;
  std::uint16_t first_port = 0;     // inclusive; first > last matches nothing
  std::uint16_t last_port = 65535;  // inclusive
  friend bool operator==(const Filter&, const Filter&) = default;
};

struct Resource {
  enum class Type : std::uint8_t { dns, cidr, internet };
  Type type = Type::cidr;
  ResourceId id;
  std::string name;             // display only
  std::string pattern;          // dns
  Cidr network;                 // cidr
  std::vector<Filter> filters;  // empty: everything is allowed
  friend bool operator==(const Resource&, const Resource&) = default;
};

struct IceCredentials {
  std::string username;
  SecretText password;
  friend bool operator==(const IceCredentials&, const IceCredentials&) = default;
};

// One relay, its entries of both families merged (spec portal 2.2; realm is always "firezone").
struct Relay {
  RelayId id;
  std::optional<SocketAddress> v4;
  std::optional<SocketAddress> v6;
  std::string username;
  SecretText password;
  friend bool operator==(const Relay&, const Relay&) = default;
};

struct AuthorizationEntry {
  ClientId client;
  ResourceId resource;
  UnixSeconds expires_at = 0;
};

// Spec portal 2.3.1, C: where records of flows go, and how often.
struct FlowLogs {
  std::string api_url;
  std::uint64_t interval_s = 0;  // 0: no uploads
  std::uint64_t batch_size = 0;  // 0: the default
  friend bool operator==(const FlowLogs&, const FlowLogs&) = default;
};

struct Init {
  IpAddress v4;
  IpAddress v6;
  std::vector<Relay> relays;
  std::optional<std::vector<AuthorizationEntry>>
      authorizations;  // absent on A portals: revoke nothing
  std::optional<FlowLogs> flow_logs;
};

struct Domain {
  std::string name;
  std::vector<IpAddress> proxy_ips;  // empty also for the legacy string form
};

// The client's tunnel and WireGuard side of a grant.
struct Peer {
  ClientId id;
  PublicKey public_key{};
  Secret<32> preshared_key;
  IpAddress v4;
  IpAddress v6;
};

// B: who and what is behind a client, for flow logs only.
struct ClientFacts {
  std::optional<std::string> version;
  std::optional<std::string> device_os_name;
  std::optional<std::string> device_os_version;
  std::optional<std::string> device_serial;
  std::optional<std::string> device_uuid;
  std::optional<std::string> identifier_for_vendor;
  std::optional<std::string> firebase_installation_id;
  std::optional<std::string> auth_provider_id;
  std::optional<std::string> actor_name;
  std::optional<std::string> actor_id;
  std::optional<std::string> actor_email;
};

// A: connection and grant in one; the answer carries our ICE credentials.
struct RequestConnection {
  std::string ref;
  Resource resource;
  std::optional<UnixSeconds> expires_at;  // none: never
  Peer client;
  IceCredentials client_ice;
  std::optional<Domain> domain;
};

// A: a grant only. May arrive before the connection.
struct AllowAccess {
  std::string ref;
  ClientId client;
  IpAddress client_v4;
  IpAddress client_v6;
  Resource resource;
  std::optional<UnixSeconds> expires_at;
  std::optional<Domain> domain;
};

// B and C: authorize_flow and create_authorization differ only in the name of the answer.
struct Authorize {
  enum class Dialect : std::uint8_t { authorize_flow, create_authorization };
  Dialect dialect = Dialect::create_authorization;
  std::string ref;
  Resource resource;
  std::optional<UnixSeconds> expires_at;
  Peer client;
  IceCredentials client_ice;
  IceCredentials gateway_ice;
  bool use_iceless = false;
  ClientFacts facts;        // B
  SecretText ingest_token;  // C; empty: none, or none that can be one
};

struct RejectAccess {
  ClientId client;
  ResourceId resource;
};
struct ResourceUpdated {
  Resource resource;
};
struct ExpiryUpdated {
  ClientId client;
  ResourceId resource;
  UnixSeconds expires_at = 0;
};
struct IceCandidates {
  ClientId client;
  std::vector<std::string> candidates;
  bool invalidated = false;
};
struct RelaysPresence {
  std::vector<RelayId> disconnected;
  std::vector<Relay> connected;
};

using Ingress = std::variant<Init, RequestConnection, AllowAccess, Authorize, RejectAccess,
                             ResourceUpdated, ExpiryUpdated, IceCandidates, RelaysPresence>;

// ---- gateway -> portal ----

struct DomainResponse {
  std::string domain;
  std::vector<IpAddress> addresses;
};
// A's answer. With credentials: ConnectionAccepted; without: ResourceAccepted.
struct ConnectionReady {
  std::string ref;
  std::optional<IceCredentials> ice;
  std::optional<DomainResponse> domain;
};
struct Authorized {
  Authorize::Dialect dialect = Authorize::Dialect::create_authorization;
  std::string ref;
};
struct BroadcastCandidates {
  ClientId client;
  std::vector<std::string> candidates;
  bool invalidated = false;
};
struct NoRelays {};

using Egress = std::variant<ConnectionReady, Authorized, BroadcastCandidates, NoRelays>;

}  // namespace fg::portal
