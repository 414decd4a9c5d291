// One ICE agent (RFC 8445, spec connectivity 2): candidates of both sides, checks, nomination,
// failure. Both roles: the gateway is controlled, the test client controlling. Sans-IO.
//
// States, evaluated after every input ("possible": a pair that is not nominated may still succeed,
// or no candidate of one side is known yet):
//   initial       -> first on_timeout                    -> checking
//   checking      nothing nominated, something possible
//   connected     a pair is nominated, others possible
//   completed     a pair is nominated, no other possible
//   disconnected  nothing nominated, nothing possible; after the profile's grace: Failed. Any other
//   state stops that timer.
// No remote candidate 10 s after creation: Failed. After Failed the agent does nothing.
//
// The controlled side watches (an addition of ours, profile.patience): a path in use that died
// alone is given up and its candidates are withdrawn, so that the peer leaves it, too
// (path_watch.h); they are announced again after a while, or when the peer is heard by it. A peer
// that is not heard at all is reported.
//
// Left out: foundations and frozen pairs, several components, ICE restart (new credentials mean a
// new agent), queueing of requests that come too early, consent (every surviving pair is checked
// for ever instead).
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/drop_reason.h"
#include "base/random.h"
#include "base/time.h"
#include "base/timers.h"
#include "control/ice/candidate.h"
#include "control/ice/checklist.h"
#include "control/ice/credentials.h"
#include "control/ice/path_watch.h"
#include "control/ice/schedule.h"
#include "control/stun/message.h"

namespace fg::stun {
class Builder;
}

namespace fg::ice {

enum class AgentState : std::uint8_t { initial, checking, connected, completed, disconnected };
[[nodiscard]] std::string_view name_of(AgentState state);

// A local candidate to offer; the agent gives it priority and foundation.
struct LocalAddress {
  CandidateKind kind = CandidateKind::host;
  SocketAddress address;
  SocketAddress base;
  bool cross_family = false;  // relay: its family is not the one used to reach the relay

  static LocalAddress host(const SocketAddress& address) {
    return {CandidateKind::host, address, address, false};
  }
  static LocalAddress server_reflexive(const SocketAddress& mapped, const SocketAddress& base) {
    return {CandidateKind::srflx, mapped, base, false};
  }
  static LocalAddress relayed(const SocketAddress& address, Family transport) {
    return {CandidateKind::relay, address, address, address.family() != transport};
  }
};

// A datagram to send. When `relayed`, `local` is one of our relayed addresses and the owner wraps
// it in channel data.
struct Transmit {
  SocketAddress local;
  SocketAddress remote;
  bool relayed = false;
  std::optional<stun::TransactionId> transaction;  // of a check: to be registered with the dispatch
  ByteVector bytes;
};

// The way to the peer. Equality decides whether it is a new one.
struct Path {
  SocketAddress local;  // base
  SocketAddress remote;
  bool local_relayed = false;
  bool remote_relayed = false;
  friend bool operator==(const Path&, const Path&) = default;
};

struct StateChanged {
  AgentState from = AgentState::initial;
  AgentState to = AgentState::initial;
};
struct Nominated {
  Path path;
};
struct Failed {
  enum class Reason : std::uint8_t { no_remote_candidate, disconnected };
  Reason reason = Reason::disconnected;
};
// To be told to the peer: these lead nowhere, or may be tried again.
struct Reconsidered {
  std::vector<Candidate> candidates;
  bool is_withdrawn = false;
};
// Nothing authentic came from the peer, by whatever path, since then.
struct Unheard {
  Instant since;
};
using AgentEvent = std::variant<StateChanged, Nominated, Failed, Reconsidered, Unheard>;

// A check that may be answered again and again without asking the agent each time.
struct Repeatable {
  PairId pair{};
  bool nominates = false;
  friend bool operator==(const Repeatable&, const Repeatable&) = default;
};

// What became of a signalled candidate.
struct RemoteAddition {
  enum class Outcome : std::uint8_t {
    added,
    revived,
    known,
    foreign_ufrag,
    unusable_address,
    unparsable,
    full
  };
  Outcome outcome = Outcome::unparsable;
  Candidate candidate;  // unless unparsable
  [[nodiscard]] bool is_accepted() const { return outcome <= Outcome::known; }
};

inline constexpr std::size_t kLocalCandidatesMax = 100;
inline constexpr std::size_t kRemoteCandidatesMax = 100;
inline constexpr std::size_t kTransmitsMax = 64;
inline constexpr std::size_t kEventsMax = 64;
inline constexpr std::size_t kOptimisticMax = 2;    // per added candidate, spec connectivity 2.10
inline constexpr Duration kCandidateTimeout = 10s;  // spec connectivity 2.16
inline constexpr Duration kUnheardAfter = 2500ms;   // a check of each pair of an active client lost
inline constexpr Duration kUnheardAtFirst = 4s;     // it is told of the connection later than we
inline constexpr Duration kUnheardAgain = 2s;  // the first few times: the peer may come back to
inline constexpr unsigned kUnheardOften = 10;  // the portal, which is to tell it, any moment
inline constexpr Duration kUnheardRarely = 10s;
inline constexpr Duration kPeerIsLate = 2s;     // its check while idle, before ours is sent
inline constexpr Duration kRestoreAfter = 30s;  // what was withdrawn; doubles each time
inline constexpr Duration kRestoreAfterMax = 4min;
inline constexpr std::size_t kEmittedUsernameMax = 128;  // spec connectivity 2.1

class Agent {
 public:
  struct Options {
    Role role = Role::controlled;
    Credentials local;
    std::optional<Credentials> remote;  // none: no checks and no answers until they come
    Profile profile = kServerDefault;
    LineForm form = LineForm::standard;
  };
  // `random` outlives the agent; transaction ids and the tie-breaker come from it.
  Agent(Options options, Random& random, Instant now);

  // ---- inputs ----

  void set_remote_credentials(Credentials remote, Instant now);
  void set_profile(const Profile& profile, Instant now);

  // The candidate to signal, nothing when it is redundant, unusable or one too many.
  std::optional<Candidate> add_local(const LocalAddress& address, Instant now);
  // A relayed address is lost, or an own one replaced by another. Yields the candidate whose line
  // invalidates it; nothing when it was not known.
  std::optional<Candidate> remove_local(const SocketAddress& address, Instant now);

  RemoteAddition add_remote(std::string_view line, Instant now);
  RemoteAddition add_remote(const Candidate& candidate, Instant now);
  // False: no such candidate. A nomination lost by it is re-evaluated at once.
  bool invalidate_remote(std::string_view line, Instant now);
  bool invalidate_remote(const Candidate& candidate, Instant now);

  // A binding request or success that arrived at `local` (for channel data: our relayed address)
  // from `remote`. A reason means it was dropped without any effect but a role given up on the way
  // (spec connectivity 2.13, step 3). Everything else that is STUN is refused as unknown.
  std::optional<DropReason> on_message(const stun::Message& message, const SocketAddress& local,
                                       const SocketAddress& remote, Instant now);
  // Authentic data of the peer arrived. Need not be told but while is_doubting().
  void on_data(const SocketAddress& local, const SocketAddress& remote, Instant now);
  // A repeatable check was answered for us. False: it no longer should be.
  bool on_repeated(const Repeatable& check, Instant at);
  // At most one check each call; wakeup() is at once while more are due.
  void on_timeout(Instant now);

  // ---- outputs ----

  std::optional<Transmit> poll_transmit();
  std::optional<AgentEvent> poll_event();
  [[nodiscard]] bool has_output() const { return !transmits_.empty() || !events_.empty(); }
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  // ---- queries ----

  // Of a request that on_message() just took: as long as no path is in doubt or withdrawn, all
  // there is to do about the same request is to answer and to be told.
  [[nodiscard]] std::optional<Repeatable> repeatable(const stun::Message& request,
                                                     const SocketAddress& local,
                                                     const SocketAddress& remote);
  // The answer to it, with transaction id zero.
  [[nodiscard]] std::optional<ByteVector> standing_answer(const SocketAddress& remote) const;

  [[nodiscard]] AgentState state() const { return state_; }
  [[nodiscard]] Role role() const { return role_; }
  [[nodiscard]] bool has_failed() const { return failed_; }
  // Connected or completed.
  [[nodiscard]] bool is_connected() const {
    return state_ == AgentState::connected || state_ == AgentState::completed;
  }
  [[nodiscard]] const std::optional<Path>& nominated() const { return path_; }
  [[nodiscard]] const Profile& profile() const { return profile_; }
  [[nodiscard]] const Credentials& local_credentials() const { return local_credentials_; }
  [[nodiscard]] const std::optional<Credentials>& remote_credentials() const {
    return remote_credentials_;
  }
  // What a peer must know, highest priority first: everything live but prflx.
  [[nodiscard]] std::vector<Candidate> local_candidates() const;
  [[nodiscard]] std::vector<Candidate> remote_candidates() const;  // live ones, in order of arrival
  [[nodiscard]] std::string line_of(const Candidate& local) const {
    return to_line(local, local_credentials_.ufrag, form_);
  }
  [[nodiscard]] bool has_pair(const SocketAddress& local, const SocketAddress& remote) const;
  [[nodiscard]] std::size_t pair_count() const { return checklist_.pairs().size(); }
  [[nodiscard]] std::uint64_t overflows() const { return overflows_ + checklist_.overflows(); }
  // Any pair alive, or candidates still to come.
  [[nodiscard]] bool is_possible() const;
  [[nodiscard]] bool is_doubting() const { return watch_.is_doubting(); }
  // Of anything authentic; of the agent, when there was nothing yet.
  [[nodiscard]] Instant last_heard() const { return last_heard_; }

 private:
  enum class Timer : std::uint8_t { candidates, grace, unheard, restore, count_ };
  struct Local {
    CandidateId id{};
    Candidate candidate;
    bool discarded = false;
  };
  struct Remote {
    enum class Origin : std::uint8_t { signalled, optimistic, request };
    CandidateId id{};
    Candidate candidate;
    Origin origin = Origin::signalled;
    bool discarded = false;
  };

  // Candidates: agent_candidates.cpp.
  RemoteAddition insert_remote(const Candidate& candidate, Remote::Origin origin);
  void add_optimistic();
  Remote* insert_prflx(const SocketAddress& source, std::uint32_t priority);
  void discard(Remote& remote);
  void forget_unpaired_prflx();
  [[nodiscard]] bool make_room_remote();
  [[nodiscard]] std::uint32_t count_local(CandidateKind kind, Family family) const;
  [[nodiscard]] std::uint32_t priority_in_check(const Pair& pair) const;
  [[nodiscard]] Local* find_local(const SocketAddress& address);  // host or relay
  void learn_local_prflx(const PairEnd& sender, const SocketAddress& mapped);
  [[nodiscard]] bool make_room_local();
  [[nodiscard]] static PairEnd end_of(const Local& local);
  [[nodiscard]] static PairEnd end_of(const Remote& remote);
  void form_pairs(const Local& local);
  void form_pairs(const Remote& remote);
  void form_pair(const Local& local, const Remote& remote);
  [[nodiscard]] bool has_pair_to(const SocketAddress& remote) const;

  // Messages: agent_messages.cpp.
  std::optional<DropReason> on_request(const stun::Message& message, const SocketAddress& local,
                                       const SocketAddress& remote, Instant now);
  std::optional<DropReason> on_success(const stun::Message& message, Instant now);
  [[nodiscard]] std::optional<DropReason> authenticate(const stun::Message& request) const;
  [[nodiscard]] bool resolve_conflict(const stun::Message& request);
  Pair* pair_of_request(const Local& local, const SocketAddress& source, std::uint32_t priority);
  void send_check(Pair& pair, Instant now);
  void send_success(const stun::Message& request, const Local& local, const SocketAddress& remote);
  void send_conflict(const stun::Message& request, const Local& local, const SocketAddress& remote);
  void reply(stun::Builder& builder, const Local& local, const SocketAddress& remote);

  // Decisions: agent.cpp.
  void settle(Instant now);
  void nominate_best(Instant now);
  void select_path(Instant now);
  void evaluate_state(Instant now);
  void set_state(AgentState state, Instant now);
  void fail(Failed::Reason reason);
  [[nodiscard]] bool is_watching() const {
    return role_ == Role::controlled && profile_.patience.has_value();
  }
  void on_heard(Pair& pair, Instant now);
  void watch(Instant now);
  void withdraw(LostPaths lost, Instant now);
  void restore();
  [[nodiscard]] std::vector<Candidate> candidates_of(const std::vector<SocketAddress>& bases) const;
  void prune(Instant now);
  [[nodiscard]] Pair* due_pair(Instant now);
  [[nodiscard]] std::optional<Instant> check_due(const Pair& pair) const;  // none: left alone
  void push_transmit(Transmit transmit);
  void push_event(AgentEvent event);

  Role role_;
  Credentials local_credentials_;
  std::optional<Credentials> remote_credentials_;
  Profile profile_;
  LineForm form_;
  Random& random_;
  std::uint64_t tie_breaker_;

  std::vector<Local> locals_;
  std::vector<Remote> remotes_;
  std::uint32_t next_candidate_ = 1;
  bool had_local_ = false;  // discarded ones count: "none yet" is hope, "none left" is not
  bool had_remote_ = false;
  Checklist checklist_;

  AgentState state_ = AgentState::initial;
  bool failed_ = false;
  std::optional<Path> path_;
  bool is_nominated_ = false;  // path_, by the peer
  TimerTable<Timer> timers_;
  PathWatch watch_;
  std::optional<LostPaths> withdrawn_;
  Duration restore_after_ = kRestoreAfter;
  Instant last_heard_;
  unsigned unheard_told_ = 0;  // since then
  Instant last_now_;
  std::deque<Transmit> transmits_;
  std::deque<AgentEvent> events_;
  std::uint64_t overflows_ = 0;
};

}  // namespace fg::ice
