// The client's one machine: joins the portal's messages, the relays, ICE and WireGuard, as
// control/controller does for the gateway, in the other role (spec connectivity 8, portal 5).
// Sans-IO: inputs, then settle(), then drain outputs, sleep until wakeup(). Data packets are moved
// by traffic.h, which asks here for the connection.
//
// Names are resolved by command; what a stub DNS server would do besides is left out, as are device
// pools.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "control/ice/dispatch.h"
#include "control/turn/relay_set.h"
#include "tests/support/client/channel.h"
#include "tests/support/client/connection.h"
#include "tests/support/client/messages.h"

namespace fg::client {

inline constexpr Duration kAskInterval = 2s;        // spec portal 5.3, 5.4
inline constexpr Duration kInsistFor = 30s;         // on a resource asked for by command
inline constexpr Duration kOfferTimeout = 20s;      // spec connectivity 8.2
inline constexpr Duration kIdleAfter = 20s;         // spec connectivity 2.19
inline constexpr Duration kLegacyIdleClose = 5min;  // spec connectivity 8.2
inline constexpr std::size_t kWantsMax = 1'024;
inline constexpr std::size_t kFailuresMax = 64;
inline constexpr Duration kAnnounceInterval = 2s;  // spec policy 4.5.4
inline constexpr std::size_t kHeldForAName = 32;   // spec policy 4.5.4
inline constexpr std::uint32_t kProxiesAName = 4;  // a family, spec policy 1.1
inline constexpr std::size_t kStatusesMax = 64;

struct EngineOptions {
  Generation generation = Generation::c;
  // As the originals: a relay that fell silent is noticed by its next REFRESH.
  turn::Options turn{.ask_when_silent = false};
};

struct Datagram {
  SocketAddress to;
  std::optional<IpAddress> from;
  ByteVector bytes;
};
struct PortalMessage {
  portal::Message message;
  std::optional<Tag> tag;
};
// What the host is to carry.
struct NetworkSetup {
  Interface interface;
  std::vector<Cidr> routes;
};
struct Failure {
  GatewayId gateway;
  std::string reason;
  Instant at;
};
// What a gateway said of a name.
struct DomainStatus {
  std::string resource;
  std::string domain;
  std::string status;
};
struct EngineCounters {
  std::uint64_t requests = 0;
  std::uint64_t grants = 0;
  std::uint64_t refusals = 0;
  std::uint64_t ignored_grants = 0;
  std::uint64_t connections = 0;
  std::uint64_t failures = 0;
  std::uint64_t handshakes = 0;
  std::uint64_t prohibited = 0;  // ICMP answers that made us ask again
  std::uint64_t goodbyes = 0;    // of gateways
  std::uint64_t queue_dropped = 0;
  std::uint64_t unroutable = 0;
  std::uint64_t dropped_datagrams = 0;
  std::uint64_t announcements = 0;
  std::uint64_t statuses = 0;
};

class Engine {
 public:
  // identity, aead and random outlive the engine.
  Engine(EngineOptions options, const wireguard::Identity& identity, crypto::AeadEngine& aead,
         Random& random, Log log, Instant now);

  // ---- inputs ----
  void on_portal_joined(Instant now);
  void on_message(Message message, Instant now);
  void on_reply(const Channel::Replied& reply, Instant now);
  void connect(const ResourceId& resource, Instant now);
  // A DNS query for a name of a DNS resource: the addresses handed out for it, none for other
  // names. With `through`, that resource and no other is used from now on.
  [[nodiscard]] std::vector<IpAddress> resolve(const std::string& name,
                                               std::optional<ResourceId> through, Instant now);
  // Any packet, as it is, to the first gateway that can be sent to; false without one.
  bool send_raw(Bytes inner, Instant now);
  // Anything but WireGuard data: STUN, relays, handshakes.
  void on_datagram(const SocketAddress& local, const SocketAddress& from, Bytes bytes, Instant now);
  void on_timeout(Instant now, WallTime wall);
  // Ends every connection, with a goodbye where the generation knows it.
  void close_all(Instant now);
  // Lets the machines react to each other; after every batch of inputs.
  void settle(Instant now, WallTime wall);

  // ---- data ----
  // The connection that can send to this destination at once.
  [[nodiscard]] Connection* route(const IpAddress& destination, Instant now);
  // Otherwise: keeps the packet and does what is needed to get there.
  void hold(const IpAddress& destination, Bytes inner, Instant now, WallTime wall);
  [[nodiscard]] Connection* find(ReceiverIndex receiver);
  [[nodiscard]] turn::Classified from_relay(const SocketAddress& local, const SocketAddress& from,
                                            Bytes bytes, Instant now) {
    return relays_.on_datagram(local, from, bytes, now);
  }
  // An authentic message arrived; false when it was a path probe, and done with.
  [[nodiscard]] bool on_arrival(Connection& connection, const path::Path& path, Bytes inner,
                                Instant now);
  // A decrypted packet; true when it is for the host.
  [[nodiscard]] bool on_inner(Connection& connection, Bytes inner, Instant now);
  void mark_active(Connection& connection, Instant now);

  // ---- outputs ----
  std::optional<Datagram> poll_datagram();
  std::optional<PortalMessage> poll_portal();
  std::optional<NetworkSetup> poll_network();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  // ---- questions ----
  [[nodiscard]] Generation generation() const { return options_.generation; }
  [[nodiscard]] const std::optional<Interface>& interface() const { return interface_; }
  [[nodiscard]] const std::vector<Resource>& resources() const { return resources_; }
  [[nodiscard]] const std::map<ConnectionKey, std::unique_ptr<Connection>>& connections() const {
    return connections_;
  }
  [[nodiscard]] const std::deque<Failure>& failures() const { return failures_; }
  [[nodiscard]] const turn::RelaySet& relays() const { return relays_; }
  [[nodiscard]] const EngineCounters& counters() const { return counters_; }
  [[nodiscard]] const std::deque<DomainStatus>& statuses() const { return statuses_; }
  [[nodiscard]] std::optional<Duration> established_after() const { return established_after_; }

 private:
  // A resource without a connection, or one to be asked for again.
  struct Want {
    std::optional<Instant> first_asked;  // none: nobody has been asked yet
    std::optional<Instant> insist_until;
    std::deque<ByteVector> packets;
  };
  // A name and the addresses handed out for it.
  struct Name {
    ResourceId resource;
    std::vector<IpAddress> proxies;
    std::optional<GatewayId> settled;     // has it, and said so (B, C) or was asked for it (A)
    std::optional<Instant> announced_at;  // A: asked for
    std::deque<ByteVector> packets;
  };
  struct PrepareAsked {
    ResourceId resource;
    std::string name;
  };
  struct OfferAsked {
    Offer offer;
    // Resources and names behind the same gateway, granted with it.
    std::vector<std::pair<ResourceId, std::string>> also;
  };
  struct Asked {
    std::variant<PrepareAsked, OfferAsked> what;
    Instant until;
  };
  struct NewConnection {
    GatewayId gateway;
    PublicKey key{};
    Secret<32> preshared;
    ice::Credentials ours;
    ice::Credentials theirs;
    bool use_iceless = false;
  };

  // engine_portal.cpp
  void on(Init&& message, Instant now);
  void on(const ConfigChanged& message, Instant now);
  void on(const ResourceChanged& message, Instant now);
  void on(const ResourceDeleted& message, Instant now);
  void on(const RelaysPresence& message, Instant now);
  void on(const Candidates& message, Instant now);
  void on(Granted&& message, Instant now);
  void on(const Refused& message, Instant now);
  void on(const RejectAccess& message, Instant now);
  void on_prepared(const PrepareAsked& asked, const Channel::Replied& reply, Instant now);
  void on_offer_reply(OfferAsked asked, const Channel::Replied& reply, Instant now);
  void set_network();
  [[nodiscard]] Want* want(const ResourceId& resource);
  void ask(const ResourceId& resource, Want& wanted, Instant now);
  void refuse(const ResourceId& resource, const std::string& reason);
  void grant(const ResourceId& resource, Connection& connection);
  [[nodiscard]] std::vector<GatewayId> connected_gateways() const;
  [[nodiscard]] OfferAsked* offer_to(const GatewayId& gateway);
  Tag await_reply(std::variant<PrepareAsked, OfferAsked> what, Instant now);
  [[nodiscard]] const Resource* resource_for(const IpAddress& destination) const;

  // engine_names.cpp
  [[nodiscard]] const Resource* resource_of_name(const std::string& name) const;
  [[nodiscard]] Name* name_for(const IpAddress& destination);
  [[nodiscard]] const Name* name_for(const IpAddress& destination) const;
  [[nodiscard]] std::vector<IpAddress> next_proxies();
  void hold_for_name(Name& name, Bytes inner, Instant now, WallTime wall);
  void ask_for_name(Name& name, Instant now);
  void announce(Name& name, Connection& connection, Instant now);
  void announce_again(const ResourceId& resource, Connection& connection, Instant now);
  void settle_name(Name& name, Connection& connection, Instant now);
  void on_domain_status(Connection& connection, Bytes json, Instant now);
  void unsettle_names(const GatewayId& gateway);

  // engine_connections.cpp
  Connection& create(NewConnection request, Instant now);
  void remove(Connection& connection, bool goodbye, Instant now);
  void give_up(Connection& connection, const std::string& reason, Instant now);
  void seed_candidates(Connection& connection, Instant now);
  void add_local(Connection& connection, const turn::Candidate& candidate, Instant now);
  void choose_relay(Connection& connection, Instant now);
  void pump(Connection& connection, Instant now, WallTime wall);
  void pump_peer(Connection& connection, Instant now);
  void pump_agent(Connection& connection, path::Agent& agent, Instant now, WallTime wall);
  void transmit(Connection& connection, ice::Transmit out, Instant now);
  void send_on(const path::Path& path, Bytes message, Instant now);
  void update_way(Connection& connection, Instant now);
  void start_handshake(Connection& connection, Instant now, WallTime wall);
  void send_message(Connection& connection, Bytes message);
  void send_inner(Connection& connection, Bytes inner, Instant now);
  void flush_pending(Connection& connection, Instant now);
  void flush_signals(Connection& connection);
  void keep(std::deque<ByteVector>& queue, Bytes packet);
  [[nodiscard]] Connection* find(const GatewayId& gateway);
  [[nodiscard]] Connection* find(ConnectionKey key);

  // engine_network.cpp
  void on_stun(const SocketAddress& local, const SocketAddress& from, Bytes bytes, Instant now);
  void on_handshake(const path::Path& arrival, Bytes bytes, Instant now);
  void on_relay_event(const turn::RelayEvent& event, Instant now);
  void tell_portal(portal::Message message, std::optional<Tag> tag = std::nullopt) {
    portal_.push_back({std::move(message), tag});
  }

  EngineOptions options_;
  const wireguard::Identity& identity_;
  crypto::AeadEngine& aead_;
  Random& random_;
  Log log_;
  turn::RelaySet relays_;
  ice::Dispatch<ConnectionKey> dispatch_;

  std::optional<Interface> interface_;
  std::vector<Resource> resources_;
  std::map<ResourceId, GatewayId> gateway_of_;
  std::map<ResourceId, Want> wants_;
  std::map<ResourceId, Instant> asked_at_;  // within the last kAskInterval
  std::map<Tag, Asked> asked_;
  std::map<std::string, Name> names_;
  std::map<IpAddress, std::string> by_proxy_;
  std::uint32_t proxies_given_ = 0;  // a family
  std::deque<DomainStatus> statuses_;
  std::uint32_t next_tag_ = 0;
  std::map<ConnectionKey, std::unique_ptr<Connection>> connections_;
  std::deque<Failure> failures_;

  // The last destination routed; void after every control input.
  std::pair<IpAddress, Connection*> recent_route_{};

  std::optional<Instant> first_request_;
  std::optional<Duration> established_after_;
  std::optional<NetworkSetup> network_;
  std::deque<Datagram> datagrams_;
  std::deque<PortalMessage> portal_;
  EngineCounters counters_;
  Instant last_now_;
};

}  // namespace fg::client
