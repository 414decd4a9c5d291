// Finds the way to a peer without ICE (spec connectivity 5): pairs of both sides' addresses, probes
// sent as WireGuard data over each of them, and the choice of the primary. Both roles: the gateway
// is controlled, the test client controlling. Sans-IO; sessions, sockets and relays are the
// owner's.
//
//   bootstrap    controlling: the newest initiation goes over every pair with a relay, on a ladder
//   established  first accepted initiation or response: its path becomes the primary
//   usable       the session may send: every pair is probed, the best answered one is the primary
//   distress     re-keys without effect, or the primary does not answer when asked: no primary,
//                all pairs are probed anew; the owner goes on sending where it did
//
// No remote candidate 10 s after creation: Failed. Nothing else fails; that is WireGuard's matter.
// Stricter than the originals (spec connectivity 5.8, 5.9, G SHOULD): a primary is asked for a sign
// of life when it is due for its keepalive, when the peer re-keys, and when data arrives elsewhere
// while it is silent; and authenticated data from a new address is followed at once.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/bytes.h"
#include "base/time.h"
#include "control/path/candidate.h"
#include "control/path/pair.h"
#include "packet/probe.h"

namespace fg::path {

enum class Role : std::uint8_t { controlled, controlling };

inline constexpr std::size_t kRemotesMaxPerKind = 6;  // spec connectivity 5.2
inline constexpr std::size_t kPeerReflexiveMax = 4;   // spec connectivity 5.7
inline constexpr std::size_t kLocalsMaxPerKind = 8;
inline constexpr std::size_t kOptimisticMax = 2;  // per added candidate, spec connectivity 2.10
inline constexpr std::size_t kTransmitsMax = 1024;
inline constexpr Duration kCandidateTimeout = 10s;  // spec connectivity 2.16
inline constexpr unsigned kRekeysOfDistress = 2;    // spec connectivity 5.8
inline constexpr Duration kHysteresis = 10ms;       // spec connectivity 5.6; or a fifth
inline constexpr Duration kPrimaryQuiet = 5s;       // without which data elsewhere is no reason
// Spec connectivity 5.4: between the sends of one initiation on one pair.
inline constexpr std::array<Duration, 8> kLadder{50ms,  50ms,  50ms,  100ms,
                                                 200ms, 400ms, 800ms, 1600ms};

// To be sent over the path: a probe inside the session, or a handshake initiation as it is.
struct Transmit {
  Path path;
  std::variant<packet::Probe, ByteVector> what;
};

struct PrimaryChosen {};  // see primary()
struct Failed {};         // no candidate of the peer came
using Event = std::variant<PrimaryChosen, Failed>;

struct RemoteAddition {
  enum class Outcome : std::uint8_t { added, known, unusable_address, unparsable };
  Outcome outcome = Outcome::unparsable;
  Candidate candidate;  // unless unparsable
  [[nodiscard]] bool is_accepted() const { return outcome <= Outcome::known; }
};

class Agent {
 public:
  Agent(Role role, Instant now);

  // ---- candidates ----
  // The candidate to signal; nothing when it is known or unusable.
  std::optional<Candidate> add_local(const Candidate& candidate, Instant now);
  // A relayed address is gone, or an own one replaced; the peer is not told. Nothing when it was
  // not known.
  std::optional<Candidate> remove_local(const SocketAddress& address, Instant now);
  RemoteAddition add_remote(std::string_view line, Instant now);
  bool invalidate_remote(std::string_view line, Instant now);

  // ---- handshakes ----
  // An initiation of the peer that WireGuard accepted, so a new one. The answer goes out on the
  // path it came by.
  void on_initiation(const Path& arrival, Instant now);
  // A response that WireGuard accepted. The session is usable.
  void on_response(const Path& arrival, Instant now);
  // To be sent; where to, is decided here.
  void on_own_initiation(Bytes message, Instant now);
  // The session that answered an initiation may send.
  void on_usable(Instant now);

  // ---- data ----
  // Authenticated data arrived. Need not be told of every packet, but soon after an initiation, and
  // whenever the path changes.
  void on_data(const Path& arrival, Instant now);
  void on_probe(const Path& arrival, const packet::Probe& probe, Instant now);

  void on_timeout(Instant now);

  // ---- outputs ----
  std::optional<Transmit> poll_transmit();
  std::optional<Event> poll_event();
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

  // ---- questions ----
  [[nodiscard]] const std::optional<Path>& primary() const { return primary_; }
  [[nodiscard]] bool is_local_relayed(const SocketAddress& local) const;
  [[nodiscard]] bool is_remote_relayed(const SocketAddress& remote) const;
  [[nodiscard]] bool has_session() const { return has_session_; }
  [[nodiscard]] bool has_failed() const { return has_failed_; }
  [[nodiscard]] std::vector<Candidate> local_candidates() const { return locals_; }
  [[nodiscard]] std::vector<Candidate> remote_candidates() const;  // in order of arrival
  [[nodiscard]] const std::deque<Pair>& pairs() const { return pairs_; }
  [[nodiscard]] std::uint64_t overflows() const { return overflows_; }

 private:
  struct Remote {
    enum class Origin : std::uint8_t { signalled, optimistic, peer_reflexive };
    Candidate candidate;  // kind srflx when peer reflexive
    Origin origin = Origin::signalled;
  };
  struct Ladder {
    std::size_t step = 0;
    Instant next;
  };

  // Candidates and pairs: agent.cpp.
  void add_optimistic();
  void make_room(CandidateKind kind);
  void evict(const std::function<bool(const Remote&)>& is_eligible);
  bool learn_remote(const SocketAddress& address);
  void update_pairs(Instant now);
  [[nodiscard]] std::map<SocketAddress, End> local_ends() const;
  [[nodiscard]] std::map<SocketAddress, End> remote_ends() const;
  [[nodiscard]] PairId next_id();

  // Probes and the choice: agent_probes.cpp.
  [[nodiscard]] Pair* find(const Path& path);
  [[nodiscard]] Pair* primary_pair() { return primary_ ? find(*primary_) : nullptr; }
  [[nodiscard]] Pair::Standing standing_of(const Pair& pair) const {
    return {.is_primary = primary_ == pair.path(), .has_primary = primary_.has_value()};
  }
  void on_request(const Path& arrival, const packet::Probe& probe, Instant now);
  void on_reply(const Path& arrival, const packet::Probe& probe, Instant now);
  void note_arrival(const Path& arrival, Instant now);
  void select(Instant now);
  void set_primary(const Pair& pair, Instant now);
  void verify_primary(Instant now);
  void clear_and_reprobe();
  void end_bootstrap();
  void run_ladders(Instant now);
  void push(Transmit transmit);

  Role role_;
  std::vector<Candidate> locals_;
  std::deque<Remote> remotes_;  // oldest first
  std::deque<Pair> pairs_;
  std::uint16_t next_pair_ = 0;
  std::optional<Path> primary_;
  Instant primary_heard_{};
  bool has_session_ = false;
  bool is_usable_ = false;
  unsigned peer_rekeys_ = 0;  // without data in between
  unsigned own_rekeys_ = 0;   // without a response
  ByteVector initiation_;     // the newest, while bootstrapping
  std::map<Path, Ladder> ladders_;
  std::optional<Instant> give_up_at_;
  bool has_failed_ = false;
  bool tell_primary_ = false;
  bool tell_failed_ = false;
  std::deque<Transmit> transmits_;
  std::uint64_t overflows_ = 0;
  Instant last_now_;
};

}  // namespace fg::path
