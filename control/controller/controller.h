// The control thread's one machine: joins the portal's messages, the relays, ICE, WireGuard
// handshakes and the access list, and commands the workers. Sans-IO: one input, then drain every
// output, then sleep until wakeup(). One engine for all three generations; what differs is a field
// of the connection (spec connectivity 1.8, policy 0.6).
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/drop_reason.h"
#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "base/token_bucket.h"
#include "control/acl/access.h"
#include "control/controller/command_queue.h"
#include "control/controller/connection.h"
#include "control/controller/endings.h"
#include "control/controller/report.h"
#include "control/controller/slots.h"
#include "control/controller/tunnel_control.h"
#include "control/dns/resolutions.h"
#include "control/flow_log/book.h"
#include "control/ice/dispatch.h"
#include "control/path/answer_cache.h"
#include "control/portal/login.h"
#include "control/portal/messages.h"
#include "control/turn/relay_set.h"
#include "filter/policy.h"
#include "flow/tracker.h"
#include "nat/translations.h"
#include "pipeline/commands.h"
#include "wireguard/cookie.h"

namespace fg::controller {

inline constexpr std::size_t kClientsMax = 8192;
inline constexpr std::size_t kHeldRequestsMax =
    1024;  // requests waiting for the first relay to be measured
// Waiting for a worker whose ring is full: above what all held requests cause at once.
inline constexpr std::size_t kCommandsMax = 8192;
inline constexpr std::size_t kAttributionsMax = 65'536;  // grants whose flows are recorded
inline constexpr Duration kHoldMax = 10s;
// Questions to clients that are not heard, when very many fall silent at once: the portal is
// others' way, too.
inline constexpr Duration kPromptInterval = 10ms;
inline constexpr int kPromptBurst = 100;
inline constexpr Duration kRelayRetry = 1s;  // of relays that were given up; doubles
inline constexpr Duration kRelayRetryMax = 4min;
// A portal that is told that none is left may name the one that refused us again, at once.
inline constexpr Duration kNoRelaysInterval = 1s;

struct Options {
  unsigned workers = 1;
  std::size_t clients_max = kClientsMax;
  std::size_t commands_max = kCommandsMax;  // times workers
  std::size_t attributions_max = kAttributionsMax;
  bool track_flows = false;  // also when the portal does not ask for it
  turn::Options turn;
  // poll_reachable() of a process that ended without a word: withdrawn from its clients, so that
  // they ask anew instead of waiting for their checks to fail (17 s and more, spec connectivity
  // 2.18).
  std::vector<std::string> left_behind;
};

struct Datagram {
  SocketAddress to;
  std::optional<IpAddress> from;  // none: routing decides (relays)
  ByteVector bytes;
};
// The connection of this client is gone: candidates held for it have no reader.
struct ForgetClient {
  ClientId client;
};
using PortalOutput = std::variant<portal::Egress, ForgetClient>;
// The portal told our tunnel addresses: the host is to carry them.
struct SetInterface {
  IpAddress v4;
  IpAddress v6;
};

// The grant's flows are to be told to the ingest server, with its token: an Ingest.
struct FlowLogToken {
  std::shared_ptr<const flow_log::Attribution> whose;
};
using FlowLogNews = std::variant<portal::FlowLogs, FlowLogToken>;

struct Summary {
  std::size_t clients = 0;
  std::size_t connections = 0;
  std::size_t direct = 0;
  std::size_t relayed = 0;
  std::size_t relays = 0;
  std::size_t relays_answering = 0;
};

class Controller {
 public:
  // identity and random outlive the controller.
  Controller(Options options, const wireguard::Identity& identity, Random& random, Log log,
             Instant now, WallTime wall);

  // ---- inputs ----
  void on_portal_joined(portal::Generation generation);
  void on_portal(portal::Ingress message, Instant now, WallTime wall);
  void on_punt(const pipeline::Punt& punt, Instant now, WallTime wall);
  void on_event(const pipeline::Event& event, Instant now, WallTime wall);
  // What a poll_query() brought.
  void on_resolved(dns::ResolutionId id, dns::Resolved resolved, Instant now, WallTime wall);
  // The host's addresses or routes are others than before, perhaps.
  void on_network_changed(Instant now);
  // Something leaves on every path in use and to every relay.
  void send_keepalives(Instant now);
  void on_timeout(Instant now, WallTime wall);
  // Says goodbye to every connected client and withdraws our candidates from it: clients of
  // generation A know no goodbye, and a datagram can be lost. Afterwards only outputs are drained.
  void shut_down(Instant now);

  // ---- outputs ----
  std::optional<Datagram> poll_datagram();
  // Put back what a full ring refused with unpoll_command().
  std::optional<WorkerCommand> poll_command(const WorkerSet& busy = {});
  void unpoll_command(WorkerCommand command) { commands_.put_back(std::move(command)); }
  std::optional<PortalOutput> poll_portal();
  std::optional<SetInterface> poll_interface();
  // Candidate lines of every address clients may reach us at, each time it has changed.
  std::optional<std::vector<std::string>> poll_reachable();
  std::optional<dns::Resolutions::Query> poll_query() { return resolutions_.poll_query(); }
  std::optional<FlowLogNews> poll_flow_log_news();
  // Whose a flow is that began just now, and by which name.
  [[nodiscard]] flow_log::Book::Beginning beginning_of(const flow::Started& started) const;
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  [[nodiscard]] bool is_tracking_flows() const { return is_tracking_flows_; }
  [[nodiscard]] Summary summary() const;
  [[nodiscard]] const DropCounters& drops() const { return drops_; }

  // ---- what an operator asks: report.h ----
  [[nodiscard]] std::vector<RelayReport> relay_reports() const;
  // By id, the beginning of one, or a tunnel address; those lately gone are found too.
  [[nodiscard]] Result<ClientId, NotFound> find_client(std::string_view text) const;
  // In the order of their ids.
  [[nodiscard]] std::vector<ClientId> clients_after(const std::optional<ClientId>& after,
                                                    std::size_t count) const;
  [[nodiscard]] ClientReport client_report(const ClientId& client) const;
  [[nodiscard]] std::vector<ResourceReport> resource_reports(const ClientId& client,
                                                             std::size_t count) const;
  [[nodiscard]] std::vector<TranslationReport> translation_reports(const ClientId& client,
                                                                   std::size_t count) const;
  // What the client's applications are given for the name; empty: nothing.
  [[nodiscard]] std::vector<IpAddress> proxies_of(const ClientId& client,
                                                  std::string_view name) const;
  [[nodiscard]] Explanation explain(const Question& question) const;
  // Asks the workers what these clients' tunnels have carried; client_report() tells it afterwards.
  void read_traffic(const std::vector<ClientId>& clients);
  [[nodiscard]] bool is_reading_traffic() const { return !pages_.empty(); }

 private:
  // In the tunnel: the client uses the name.
  struct Announced {
    ClientId client;
    AssignedIps what;
  };
  // A: nothing answers under the addresses known.
  struct Refresh {
    ClientId client;
    nat::NameId name{};
  };
  using Asked = std::variant<portal::RequestConnection, portal::AllowAccess, Announced, Refresh>;
  using Held = std::variant<portal::Authorize, portal::RequestConnection>;
  struct HeldRequest {
    Held request;
    dns::Resolved resolved;  // of a RequestConnection
    Instant until;
  };

  // Portal messages: controller_portal.cpp.
  void on(const portal::Init& message, Instant now);
  void on(portal::RequestConnection&& message, Instant now);
  void on(portal::AllowAccess&& message, Instant now);
  void on(portal::Authorize&& message, Instant now);
  void on(const portal::RejectAccess& message, Instant now);
  void on(const portal::ResourceUpdated& message, Instant now);
  void on(const portal::ExpiryUpdated& message, Instant now);
  void on(const portal::IceCandidates& message, Instant now);
  void on(const portal::RelaysPresence& message, Instant now);
  void update_relays(const std::vector<RelayId>& removed, const std::vector<portal::Relay>& added,
                     Instant now);
  void retry_relays(Instant now);
  void withdraw_left_behind(const std::vector<portal::AuthorizationEntry>& authorizations);
  void retry_relays_later(Instant now);
  // Resolves the name a request carries, if it does, before accept().
  template <class Request>
  void resolve_then_accept(const ClientId& client, Request&& request, Instant now);
  void accept(const portal::Authorize& message, Instant now);
  void accept(const portal::RequestConnection& message, const dns::Resolved& resolved, Instant now);
  void accept(const portal::AllowAccess& message, const dns::Resolved& resolved, Instant now);
  [[nodiscard]] bool must_wait_for_relay() const;
  bool hold(Held request, dns::Resolved resolved, Instant now);
  void release_held(Instant now);
  // Logs and counts why a grant cannot be kept, before anything of the client is touched.
  [[nodiscard]] bool refuses(const acl::Grant& grant);
  void answer_no_relays();
  void apply(const acl::Change& change, Instant now);
  void drain_resolutions(Instant now);

  // Flow logs: controller_flows.cpp.
  void configure_flow_logs(const std::optional<portal::FlowLogs>& told);
  [[nodiscard]] std::shared_ptr<const flow_log::Attribution> attribution_of(
      const portal::Authorize& message);
  void announce_token(const std::shared_ptr<const flow_log::Attribution>& whose);
  void attribute(const ClientId& client, const portal::Resource& resource,
                 std::shared_ptr<const flow_log::Attribution> whose);
  // Generation A: no more is told than who asked and what for.
  void attribute_known(const ClientId& client, const portal::Resource& resource);
  void forget_attributions(const ClientId& client);

  // Connections: controller_connections.cpp.
  struct NewConnection {
    ClientId client;
    const portal::PublicKey& public_key;
    const Secret<32>& preshared;
    IpAddress v4;
    IpAddress v6;
    ice::Credentials local;
    ice::Credentials remote;
    bool is_legacy = false;
    bool use_iceless = false;
    std::optional<RelayId> relay;
  };
  Connection* create(NewConnection request, Instant now);
  void remove(Connection& connection, bool goodbye, Instant now);
  void give_up(Connection& connection, const char* reason, Instant now);
  void seed_candidates(Connection& connection, Instant now);
  void add_local(Connection& connection, const turn::Candidate& candidate, Instant now);
  void wake(Connection& connection, Instant now);
  void take_back_answers(Connection& connection);
  void migrate_orphans(Instant now);
  void set_relay(Connection& connection, std::optional<RelayId> relay);
  void set_relayed_peer(Connection& connection, std::optional<SocketAddress> peer);
  [[nodiscard]] std::vector<Connection*> with_relay(const RelayId& relay);
  void bind_channels(Connection& connection, Instant now);
  void pump(Connection& connection, Instant now);
  void pump_agent(Connection& connection, ice::Agent& agent, Instant now);
  void pump_agent(Connection& connection, path::Agent& agent, Instant now);
  void prompt(Connection& connection, Instant now);
  void transmit(Connection& connection, ice::Transmit transmit, Instant now);
  [[nodiscard]] std::optional<pipeline::Path> way_over(const ice::Path& route, Instant now);
  void update_path(Connection& connection, Instant now);
  void send_handshake(Connection& connection, Bytes message, Instant now);
  void flush_signals(Connection& connection);
  void on_connection_timeout(Connection& connection, Instant now, WallTime wall);
  void reschedule(Connection& connection);
  void set_policy(Connection& connection);
  [[nodiscard]] std::unique_ptr<const filter::Policy> compile_policy(const ClientId& client) const;
  [[nodiscard]] const filter::Policy* borrow_policy(const ClientId& client);
  [[nodiscard]] Connection* find(const ClientId& client);
  [[nodiscard]] Connection* find(ClientSlot slot);
  [[nodiscard]] Connection* find(ConnectionKey key);

  // Reports: controller_report.cpp.
  [[nodiscard]] RelayReport report_of(const RelayId& id) const;
  [[nodiscard]] PathReport path_report(const Connection& connection) const;
  [[nodiscard]] std::set<ClientId> known_clients() const;
  void take_traffic(const pipeline::TrafficPage* page, Instant now);
  void note_endings();

  // Names of DNS resources: controller_names.cpp.
  void on_announcement(Connection& connection, AssignedIps assigned, Instant now);
  void on_name_silent(const pipeline::NameSilent& silent, Instant now);
  void accept(const Announced& announced, const dns::Resolved& resolved, Instant now);
  void accept(const Refresh& refresh, const dns::Resolved& resolved, Instant now);
  void tell_names(Connection& connection, Instant now);
  void set_translations(Connection& connection, bool forget_flows);
  void send_status(const Connection& connection, const std::string& json);

  // Relays and datagrams: controller_network.cpp.
  void on_datagram(const SocketAddress& local, const SocketAddress& from, Bytes bytes, Instant now);
  struct Arrival {
    SocketAddress local;  // our address, or our relayed one
    SocketAddress from;
    std::optional<RelayId> relay;  // came as channel data
  };
  void on_stun(const Arrival& arrival, Bytes bytes, Instant now);
  void leave_to_worker(Connection& connection, const stun::Message& request, const Arrival& arrival,
                       Bytes bytes, Instant now);
  void on_check_answered(const pipeline::CheckAnswered& answered);
  void on_handshake(const Arrival& arrival, Bytes bytes, Instant now);
  void on_initiation(const Arrival& arrival, Bytes bytes, Instant now);
  [[nodiscard]] std::optional<path::Path> path_of(const pipeline::Route& route, Instant now) const;
  void reply(const Arrival& arrival, Bytes bytes, Instant now);
  void install(Connection& connection, wireguard::SessionKeys keys);
  void on_route_activity(Connection& connection, const pipeline::RouteActivity& heard, Instant now);
  void on_control_packet(ClientSlot slot, Bytes packet, Instant now);
  void pump_relays(Instant now);
  void on_relay_event(const turn::RelayEvent& event, Instant now);
  void send_inner(const Connection& connection, Bytes packet);
  template <class Command>
  void tell_all(const Command& command) {
    for (unsigned i = 0; i < options_.workers; ++i)
      tell(WorkerIndex{static_cast<std::uint8_t>(i)}, command);
  }
  template <class Command>
  void tell(WorkerIndex worker, Command command) {
    enqueue({worker, pipeline::Command{std::move(command)}});
  }
  void enqueue(WorkerCommand command);
  void release_policy(const filter::Policy* policy);
  // Counts and logs that no connection can be made, before anything of the client is touched.
  [[nodiscard]] bool refuses_connections();
  void drop(DropReason reason) { drops_.count(reason); }

  Options options_;
  const wireguard::Identity& identity_;
  Random& random_;
  Log log_;
  portal::Generation generation_ = portal::Generation::c;

  turn::RelaySet relays_;
  acl::AccessList access_;
  dns::Resolutions resolutions_;
  std::map<dns::ResolutionId, Asked> asked_;
  std::deque<HeldRequest> held_;
  ice::Dispatch<ConnectionKey> dispatch_;
  path::AnswerCache<ConnectionKey> answers_;
  wireguard::HandshakeLimiter limiter_;

  SlotTable slots_;
  std::unordered_map<ConnectionKey, std::unique_ptr<Connection>> connections_;
  std::map<ClientId, ConnectionKey> by_client_;
  std::unordered_map<ClientSlot, ConnectionKey> by_slot_;
  std::map<portal::PublicKey, ConnectionKey> by_public_key_;
  std::set<std::pair<Instant, ConnectionKey>> deadlines_;
  std::map<std::optional<RelayId>, std::set<ConnectionKey>> by_relay_;
  std::map<SocketAddress, std::set<ConnectionKey>> by_relayed_peer_;
  std::array<std::size_t, 3> by_path_kind_{};
  // Not given out again before their time, which is in their order (spec connectivity 4.3).
  std::deque<std::pair<Instant, ConnectionKey>> retired_;
  std::set<ConnectionKey> retired_keys_;
  std::vector<ConnectionKey> dirty_;  // touched by this input, to be pumped

  struct BorrowedPolicy {
    std::unique_ptr<const filter::Policy> policy;
    unsigned borrows = 0;
  };
  std::map<const filter::Policy*, BorrowedPolicy> policies_;
  std::map<const nat::Translations*, std::unique_ptr<const nat::Translations>>
      translations_;  // lent

  Endings endings_;
  std::map<WorkerIndex, std::unique_ptr<pipeline::TrafficPage>> pages_;  // lent to the workers
  std::map<std::pair<ClientId, ResourceId>, std::shared_ptr<const flow_log::Attribution>>
      attributions_;
  bool is_tracking_flows_ = false;

  std::vector<portal::Relay> told_relays_;  // the portal's newest word on each relay
  std::optional<Instant> retry_relays_at_;
  Duration relay_retry_ = kRelayRetry;
  Instant relay_lost_at_{};
  Instant no_relays_at_{};
  // Host and reflexive addresses as last learnt, whatever became of the relay that showed them.
  std::map<std::pair<Family, turn::Candidate::Kind>, turn::Candidate> own_addresses_;
  std::optional<SetInterface> interface_;  // as told by the newest init
  std::deque<Datagram> datagrams_;
  CommandQueue commands_;
  std::deque<PortalOutput> portal_;
  std::deque<SetInterface> interfaces_;
  std::deque<FlowLogNews> flow_log_news_;
  bool is_reachable_news_ = false;
  TokenBucket prompts_{kPromptInterval, kPromptBurst};
  DropCounters drops_;
  Instant last_now_;
};

}  // namespace fg::controller
