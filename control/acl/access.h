// Who may do what until when: the grants of every client, their expiry and the index of tunnel
// addresses (spec policy 2). A model without I/O: each operation returns what the caller has to act
// on. A client without grants does not exist; the caller closes its connection (B/C, with a
// goodbye) or only forgets it (A). A client's
// names live and die with it (spec policy 4): a DNS resource reaches the proxy addresses announced
// under it and, of generation A, the real ones too. Not here: answers, connections, flow logs.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/address.h"
#include "base/drop_reason.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"
#include "control/dns/names.h"
#include "control/dns/resolved.h"
#include "control/portal/messages.h"
#include "filter/policy.h"

namespace fg::acl {

inline constexpr std::size_t kClientsMax = 8'192;
inline constexpr std::size_t kGrantsMax = 10'000;  // per client
// Of all clients together: grants and the filters they carry, so that memory is bounded whatever
// the portal says.
inline constexpr std::size_t kWeightMax = 1'000'000;
static_assert(kGrantsMax <= filter::kRulesMax);
inline constexpr std::size_t kTranslationsOfAllMax = 1'048'576;

// Both clocks read together once at process start: later jumps of the wall clock move no expiry
// (spec policy 2.5).
struct ProcessStart {
  Instant instant;
  WallTime wall;
};

// spec policy 2.4
enum class GrantStyle : std::uint8_t {
  extend,   // A: grants of one resource live side by side, each with its own expiry, their filters
            // united
  replace,  // B/C: the newest grant's filters and expiry win
};

struct Grant {
  ClientId client;
  IpAddress v4;
  IpAddress v6;
  portal::Resource resource;
  std::optional<portal::UnixSeconds> expires_at;  // none: never
  std::optional<portal::Domain> domain;           // A, DNS resources: must match the pattern
  GrantStyle style = GrantStyle::replace;
  dns::Resolved resolved{};  // of the domain
};

enum class Refusal : std::uint8_t {
  clients_full,
  grants_full,        // of the client
  access_full,        // of all clients together
  domain_missing,     // A: DNS resource without a domain
  domain_mismatch,    // A: domain outside the resource's pattern
  foreign_proxy,      // A: a proxy address that cannot be one, or too many
  translations_full,  // A
};

// What an operation changed; every list is sorted and free of duplicates.
struct Change {
  std::vector<ClientId>
      recompile;  // live clients whose rules_for() may differ; includes clients just added
  std::vector<ClientId> emptied;      // removed: their last grant is gone
  std::vector<ClientId> readdressed;  // live, but begun anew under other tunnel addresses
  std::vector<IpAddress> addresses;   // tunnel addresses whose client_for() may differ
  std::vector<ClientId> translate;    // live clients whose names may lead elsewhere
  std::vector<ClientId> renumbered;   // of these, whose flows by name are to be forgotten

  [[nodiscard]] bool empty() const {
    return recompile.empty() && emptied.empty() && readdressed.empty() && addresses.empty() &&
           translate.empty();
  }
};

struct TunnelAddresses {
  IpAddress v4;
  IpAddress v6;
  friend bool operator==(const TunnelAddresses&, const TunnelAddresses&) = default;
};

// A grant that is no more.
enum class EndedWhy : std::uint8_t {
  expired,
  rejected,     // by the portal
  unlisted,     // the portal's list has it no more
  readdressed,  // the client has other tunnel addresses
  full,         // its new filters found no room
  left,         // the client is gone with all it had
};
struct Ended {
  ClientId client;
  TunnelAddresses addresses;
  portal::Resource resource;
  EndedWhy why = EndedWhy::expired;
  Instant since;  // it was granted
};

inline constexpr std::size_t kEndedMax = 1'024;  // not yet taken; the oldest are forgotten

// One that lives, borrowed until the next operation.
struct Holding {
  const portal::Resource& resource;
  std::optional<Instant> deadline;
  Instant since;
  Instant filters_since;
};

struct Limits {
  std::size_t clients = kClientsMax;
  std::size_t grants = kGrantsMax;  // per client
  std::size_t weight = kWeightMax;
  std::size_t translations = nat::kTranslationsMax;  // per client
  std::size_t translations_of_all = kTranslationsOfAllMax;
};

// Whether a client may use these for a name: proxy addresses, not its resolver's, and neither none
// nor too many (spec policy 4.5.3, HARDEN).
[[nodiscard]] bool are_proxies(std::span<const IpAddress> addresses);

class AccessList {
 public:
  explicit AccessList(ProcessStart start, Limits limits = {}) : start_(start), limits_(limits) {}

  // Why a grant would be refused. A refusal changes nothing.
  [[nodiscard]] std::optional<Refusal> refusal_of(const Grant& grant) const;
  [[nodiscard]] Result<Change, Refusal> grant(const Grant& grant, Instant now);
  Change reject(ClientId client, ResourceId resource);
  // resource_updated: the filters of every client that holds the resource, nothing else of it.
  // Where there is no room for the new ones the grant ends: the old ones may allow too much.
  Change update_filters(const portal::Resource& resource, Instant now);
  // False when the client does not hold the resource. Past dates take effect with the next
  // expire().
  bool set_expiry(ClientId client, ResourceId resource, portal::UnixSeconds expires_at,
                  Instant now);
  // init with `authorizations`: unlisted pairs end, also of clients not mentioned; listed ones get
  // the listed expiry.
  Change retain(const std::vector<portal::AuthorizationEntry>& authorizations, Instant now);
  // Ends what has `deadline <= now`.
  Change expire(Instant now);
  // Connection failed under A, or goodbye received: the client is gone with all its grants.
  Change remove(ClientId client);

  // What the operations above ended, oldest first.
  std::optional<Ended> poll_ended();

  // ---- names: access_names.cpp ----
  // B/C, AssignedIps: why it comes to nothing, known before the name is resolved.
  [[nodiscard]] std::optional<DropReason> refusal_of(
      ClientId client, const dns::Names::Announcement& announced) const;
  [[nodiscard]] Result<Change, DropReason> announce(ClientId client,
                                                    const dns::Names::Announcement& announced,
                                                    const dns::Resolved& resolved);
  // A: a name that is not answered (spec policy 4.4). First which one, if it is to be resolved
  // again; then what that brought.
  [[nodiscard]] std::optional<std::string> start_refresh(ClientId client, dns::NameId name,
                                                         Instant now);
  Change refresh(ClientId client, dns::NameId name, const dns::Resolved& resolved);
  // Null: unknown client.
  [[nodiscard]] const dns::Names* names_of(ClientId client) const;
  [[nodiscard]] std::size_t translation_count() const { return translations_; }

  [[nodiscard]] std::optional<Wakeup> next_expiry() const;

  [[nodiscard]] filter::PolicyRules rules_for(ClientId client) const;
  [[nodiscard]] std::optional<ClientId> client_for(const IpAddress& tunnel_address) const;
  [[nodiscard]] std::optional<TunnelAddresses> addresses_of(ClientId client) const;
  [[nodiscard]] bool has(ClientId client) const { return clients_.contains(client); }
  [[nodiscard]] bool has(ClientId client, ResourceId resource) const;
  [[nodiscard]] std::size_t client_count() const { return clients_.size(); }
  [[nodiscard]] std::size_t grant_count(ClientId client) const;
  [[nodiscard]] std::vector<ClientId> clients() const;
  [[nodiscard]] std::vector<Holding> holdings_of(ClientId client) const;
  [[nodiscard]] std::size_t weight() const { return weight_; }

 private:
  struct Entry {
    portal::Resource resource;
    std::optional<portal::Domain> domain;
    std::optional<Instant> deadline;
    Instant since;
    Instant filters_since;
    std::vector<IpAddress> real;  // A: addresses of the domain
  };
  struct Client {
    TunnelAddresses addresses;
    std::map<ResourceId, std::vector<Entry>> resources;  // no empty lists
    std::size_t grants = 0;
    dns::Names names = {};
  };
  struct Deadline {
    Instant at;
    ClientId client;
    ResourceId resource;
    friend auto operator<=>(const Deadline&, const Deadline&) = default;
  };
  using Clients = std::map<ClientId, Client>;

  [[nodiscard]] std::optional<Instant> deadline_of(std::optional<portal::UnixSeconds> expires_at,
                                                   Instant now) const;
  Client& upsert(const Grant& grant, Change& change);
  void note_end(ClientId id, const Client& client, Entry& entry, EndedWhy why);
  void index_addresses(ClientId id, const TunnelAddresses& addresses, Change& change);
  void unindex_addresses(ClientId id, const TunnelAddresses& addresses, Change& change);
  static std::size_t weight_of(const Entry& entry);
  bool extend(ClientId id, Client& client, Entry entry);
  bool replace(ClientId id, Client& client, Entry entry);
  void set_deadline(ClientId id, Entry& entry, std::optional<Instant> deadline);
  // Without a reason: replaced, not ended.
  void erase_resource(ClientId id, Client& client, ResourceId resource,
                      std::optional<EndedWhy> why);
  void set_real(Entry& entry, std::vector<IpAddress> real);
  [[nodiscard]] std::size_t room_for_names(const Client& client) const;
  bool assign_names(Client& client, const Grant& grant, Change& change);
  void forget_names(Client& client);
  Clients::iterator settle(Clients::iterator at, bool changed, Change& change);

  ProcessStart start_;
  Limits limits_;
  Clients clients_;
  std::unordered_map<IpAddress, ClientId> by_address_;
  std::multiset<Deadline> deadlines_;  // one for each entry that has one
  std::size_t weight_ = 0;             // of all entries
  std::deque<Ended> ended_;
  std::size_t translations_ = 0;  // of all clients
};

[[nodiscard]] DropReason drop_reason_of(Refusal refusal);
[[nodiscard]] filter::RuleFilter rule_filter_of(const portal::Resource& resource);

}  // namespace fg::acl
