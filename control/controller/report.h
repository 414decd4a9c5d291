// What an operator is told of the controller: values, copied when asked for. Texts are made where
// they are shown (control/console). No secrets: neither keys, nor ICE and TURN credentials.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/drop_reason.h"
#include "base/ids.h"
#include "base/time.h"
#include "control/acl/access.h"
#include "control/portal/messages.h"
#include "packet/icmp.h"
#include "packet/inner.h"
#include "pipeline/commands.h"
#include "pipeline/refusal.h"
#include "pipeline/traffic.h"

namespace fg::controller {

inline constexpr std::size_t kEndingsMax = 1024;     // remembered, of all clients together
inline constexpr std::size_t kFiltersShownMax = 64;  // a resource
inline constexpr std::size_t kNameShownMax = 255;    // bytes
inline constexpr std::size_t kFindingsMax = 8;       // resources an explanation names

struct RelayReport {
  RelayId id;
  std::optional<SocketAddress> server;  // the socket in use, else the first told
  bool is_answering = false;            // has given us an address
  bool is_suspended = false;            // answers, and allocates nothing
  std::optional<Duration> round_trip;
};

// Why no direct path is in use, as far as this side can know.
enum class RelayedWhy : std::uint8_t {
  no_remote_address,  // the client has offered no address of its own
  no_own_address,     // we know none of ours
  no_common_family,
  unanswered,  // there are pairs, and none works
};

struct PathReport {
  pipeline::Path::Kind kind = pipeline::Path::Kind::none;
  SocketAddress local;               // of the pair: our own, or our relayed address
  SocketAddress remote;              // likewise the client's
  bool is_remote_relayed = false;    // by a relay of the client's
  std::optional<RelayReport> relay;  // ours
  std::optional<RelayedWhy> why;
  Instant since;
};

struct ResourceReport {
  ResourceId id;
  portal::Resource::Type type = portal::Resource::Type::cidr;
  std::string name;
  std::string address;                  // network or pattern; empty: the Internet
  std::vector<portal::Filter> filters;  // the first kFiltersShownMax
  std::size_t filter_count = 0;         // 0: everything is allowed
  std::optional<Instant> expires;       // none: never
  Instant since;
  Instant filters_since;
};

// Where a proxy address of the client leads.
struct TranslationReport {
  std::string name;
  IpAddress proxy;
  std::optional<IpAddress> real;      // none: the name has no address for it
  std::vector<ResourceId> resources;  // it is reached through
};

struct EndedReport {
  ResourceReport resource;
  acl::EndedWhy why = acl::EndedWhy::expired;
  Instant at;
};

struct ClientReport {
  enum class State : std::uint8_t { absent, connecting, connected, idle };
  ClientId id;
  IpAddress v4;
  IpAddress v6;
  State state = State::absent;
  bool is_legacy = false;   // generation A
  bool is_iceless = false;  // C without ICE
  std::optional<Instant> created;
  std::optional<Instant> last_handshake;
  PathReport path;
  std::optional<WorkerIndex> worker;
  std::optional<pipeline::Traffic> traffic;  // none: its worker has not answered lately
  std::size_t resources = 0;
  std::optional<Instant> expires;  // the soonest of them
};

// Which client is meant: id, the beginning of one, or a tunnel address.
struct NotFound {
  bool is_ambiguous = false;
  std::vector<ClientId> matches;  // some of them
};

// A packet of the client. The protocol decides what `port` is.
struct Question {
  ClientId client;
  std::optional<IpAddress> source;  // none: the client's own
  IpAddress destination;
  filter::ProtoKind protocol = filter::ProtoKind::echo;
  std::uint16_t port = 0;
};

struct Explanation {
  Question question;
  IpAddress source;
  std::optional<pipeline::Refusal> refusal;      // none: it passes
  std::optional<ResourceReport> resource;        // by which
  std::optional<TranslationReport> translation;  // of the destination
  bool is_for_gateway = false;                   // for the gateway's own tunnel address
  std::vector<ResourceReport> refusing;      // hold the destination, and not the protocol or port
  std::vector<EndedReport> ended;            // would have let it pass; newest first
  std::optional<EndedReport> newest_ending;  // of the client, when it has no access at all
  ClientReport client;
};

}  // namespace fg::controller
