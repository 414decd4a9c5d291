// When a pair is checked (spec connectivity 2.15, 2.18). Every check is a transaction of its own;
// the pair keeps the last few and derives the next instant from how many there are and how long
// none was answered.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/time.h"
#include "control/stun/message.h"

namespace fg::ice {

// Spec connectivity 2.18.
struct Profile {
  Duration initial_rto;
  Duration max_rto;
  std::uint32_t attempts_max;
  Duration recent_request = 15s;  // a pair the peer asked about that lately is not pruned (2.15)
  Duration grace = 2s;            // without any pair, before failure (2.16)
  // Of the path in use, before it is doubted; controlled side only. None: nothing is watched.
  std::optional<Duration> patience = std::nullopt;
  // While idle, controlled side only: a pair the peer asked about within max_rto is kept alive by
  // its question and our answer, and one that never worked is left alone.
  bool relies_on_peer = false;
  friend bool operator==(const Profile&, const Profile&) = default;

  // Pause after the n-th check in a row.
  [[nodiscard]] Duration delay(std::size_t n) const;
};

inline constexpr Profile kServerDefault{250ms, 15s, 45, 15s, 2s, 3s};
inline constexpr Profile kServerIdle{25s, 25s, 40, 15s, 2s, std::nullopt, true};
inline constexpr Profile kClientDefault{250ms, 1500ms, 12};
inline constexpr Profile kClientIdle{25s, 25s, 4};
inline constexpr Profile kGenerationA{250ms, 1500ms, 8, 0s, 0s};  // both sides of generation A

class CheckSchedule {
 public:
  void on_sent(const stun::TransactionId& transaction, const Profile& profile, Instant now);
  // False: never sent, too long ago, or answered already.
  bool on_success(const stun::TransactionId& transaction);
  [[nodiscard]] bool has(const stun::TransactionId& transaction) const {
    return find(transaction) != nullptr;
  }

  [[nodiscard]] bool has_begun() const { return !attempts_.empty(); }

  // Next check is due at once, ahead of all others.
  void hurry() { hurry_ = true; }
  [[nodiscard]] bool is_hurried() const { return hurry_; }
  // Cached until something is sent or answered.
  [[nodiscard]] Instant next(const Profile& profile, Instant now);
  [[nodiscard]] const std::optional<Instant>& cached_next() const { return next_; }
  // Timing changed: what was cached does not hold.
  void on_profile(const Profile& profile);

  // All kept checks unanswered, as many as the profile allows, and the pause after the last is
  // over.
  [[nodiscard]] bool is_exhausted(const Profile& profile, Instant now) const;

 private:
  struct Attempt {
    stun::TransactionId transaction;
    Instant sent;
    bool answered = false;
  };
  [[nodiscard]] const Attempt* find(const stun::TransactionId& transaction) const;
  [[nodiscard]] std::size_t unanswered_run() const;
  void keep_last(std::size_t n);

  std::vector<Attempt> attempts_;  // oldest first, at most profile.attempts_max
  std::optional<Instant> next_;
  bool hurry_ = false;
};

}  // namespace fg::ice
