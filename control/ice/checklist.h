// The pairs of one connection, best first, and which nominated one counts (spec
// connectivity 2.11, 2.16). A pair is identified by the address it is sent from and the remote
// address: candidates that lead to the same two addresses share one. No foundations, no frozen
// state (RFC 8445 §6.1.2.6 has one stream with one component here).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/time.h"
#include "control/ice/candidate.h"
#include "control/ice/schedule.h"

namespace fg::ice {

enum class Role : std::uint8_t { controlled, controlling };
enum class PairId : std::uint32_t {};
enum class CandidateId : std::uint32_t {};

inline constexpr std::size_t kPairsMax = 100;            // spec connectivity 2.11
inline constexpr std::uint32_t kStaleAfterRequests = 6;  // spec connectivity 2.16
inline constexpr Duration kLeftAfter = 4s;  // two requests of an active client lost, 2.18

// One side of a pair, as the checklist needs it.
struct PairEnd {
  CandidateId id{};
  SocketAddress address;  // local: the base
  std::uint32_t priority = 0;
  CandidateKind kind = CandidateKind::host;
};

struct Pair {
  PairId id{};
  PairEnd local;
  PairEnd remote;
  std::uint64_t priority = 0;
  CheckSchedule checks;
  bool succeeded = false;
  std::uint64_t nominated = 0;  // 0: no; else its place in the order of nominations
  Instant nominated_at;
  std::optional<Instant> last_request;
  std::optional<Instant> last_answer;
  std::optional<Instant> last_heard;  // either of them, or data
  // Requests with USE-CANDIDATE that other nominated pairs received since the last one here.
  std::map<PairId, std::uint32_t> requests_elsewhere;
};

class Checklist {
 public:
  explicit Checklist(Role role) : role_(role) {}

  // The pair of these two, new or not; the better candidate of two with one address represents it.
  // Null when the list is full of better ones. Pointers are good until the next call that is not
  // const.
  Pair* add(const PairEnd& local, const PairEnd& remote);
  [[nodiscard]] Pair* find(const SocketAddress& local, const SocketAddress& remote);
  [[nodiscard]] Pair* find(const stun::TransactionId& transaction);
  [[nodiscard]] Pair* find(PairId id);
  // A remote candidate learnt its true kind and priority.
  void update_remote(const PairEnd& remote);
  void set_role(Role role);

  template <class Predicate>
  void remove_if(Predicate predicate) {
    for (std::size_t i = 0; i < pairs_.size();) {
      if (predicate(std::as_const(pairs_[i]))) {
        remove_at(i);
      } else {
        ++i;
      }
    }
  }

  void nominate(Pair& pair, Instant now);
  // Until the peer says so again.
  void withdraw_nomination(PairId id);
  // A request with USE-CANDIDATE arrived on a nominated pair.
  void on_use_candidate(Pair& pair);
  // Six requests with USE-CANDIDATE elsewhere since the last one here; or the peer nominated
  // another after it was last heard here, and was heard there when this one had been silent for a
  // while: it has given this one up, and six more of its requests would tell nothing new.
  [[nodiscard]] bool is_stale(const Pair& pair) const;
  // Highest priority among the nominated ones that are not stale; the latest nomination among
  // equals. Differs from the originals, which stay on the first of equals and never give a pair up.
  [[nodiscard]] Pair* best_nominated();
  [[nodiscard]] Pair* best_succeeded();
  // Succeeded; if possible one that was heard since then.
  [[nodiscard]] Pair* best_heard(Instant since);

  [[nodiscard]] std::vector<Pair>& pairs() { return pairs_; }  // best first
  [[nodiscard]] const std::vector<Pair>& pairs() const { return pairs_; }
  [[nodiscard]] std::uint64_t overflows() const { return overflows_; }

 private:
  [[nodiscard]] std::uint64_t priority_of(const PairEnd& local, const PairEnd& remote) const;
  void sort();
  void remove_at(std::size_t i);

  Role role_;
  std::vector<Pair> pairs_;
  std::uint32_t next_id_ = 1;
  std::uint64_t nominations_ = 0;
  std::uint64_t overflows_ = 0;
};

}  // namespace fg::ice
