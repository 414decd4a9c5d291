// A pair of addresses and what its probes told (spec connectivity 5.2, 5.6): its rank, its round
// trip and when it is probed next. Which pairs exist and which is in use, the agent decides.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <deque>
#include <optional>

#include "base/address.h"
#include "base/time.h"
#include "control/ice/candidate.h"

namespace fg::path {

// destination and source of what arrives, source and destination of what leaves.
struct Path {
  SocketAddress local;  // ours; one of our relayed addresses when a relay carries it
  SocketAddress remote;
  friend bool operator==(const Path&, const Path&) = default;
  friend auto operator<=>(const Path&, const Path&) = default;
};

enum class PairId : std::uint16_t {};

inline constexpr unsigned kProbeBudget = 12;  // spec connectivity 5.6, these four
inline constexpr std::array<Duration, 4> kProbeGaps{200ms, 300ms, 500ms, 1s};  // the last repeats
inline constexpr Duration kPrimaryInterval = 25s;
inline constexpr std::size_t kOutstandingMax = 12;
// After which the primary is asked again, and when it counts as dead (spec connectivity 5.8, G
// SHOULD).
inline constexpr Duration kVerifyGap = 500ms;
inline constexpr Duration kVerifyTimeout = 2s;

// What an end is, for the order of pairs.
struct End {
  ice::CandidateKind kind = ice::CandidateKind::host;  // prflx does not occur
  bool cross_family = false;  // relayed address of another family than the way to its relay
};

// Smaller is better, member by member.
struct Bucket {
  std::uint8_t worse_kind = 0;
  std::uint8_t better_kind = 0;
  std::uint8_t is_relayed_by_peer = 0;  // or by nobody
  std::uint8_t is_cross_family = 0;
  std::uint8_t is_v4 = 0;
  friend auto operator<=>(const Bucket&, const Bucket&) = default;
};
[[nodiscard]] Bucket bucket_of(const End& local, const End& remote, Family family);

class Pair {
 public:
  Pair(PairId id, const Path& path, const End& local, const End& remote)
      : id_(id), path_(path), local_(local), remote_(remote) {}

  void set_ends(const End& local, const End& remote) {
    local_ = local;
    remote_ = remote;
  }
  // A fresh round of probes: what was measured is forgotten.
  void restart();
  struct Standing {
    bool is_primary = false;
    bool has_primary = false;
  };
  // When a probe is due, long ago for one that was never sent; none: silent.
  [[nodiscard]] std::optional<Instant> due(const Standing& standing) const;
  // Sequence number of a probe sent now.
  std::uint16_t probe(Instant now);
  // False: that probe is not awaited.
  bool on_reply(std::uint16_t sequence, Instant now);

  // The primary is to prove that it works: a probe at once and again every kVerifyGap until any is
  // answered.
  void verify(Instant now);
  void stop_verifying() { verify_since_.reset(); }
  [[nodiscard]] bool is_verifying() const { return verify_since_.has_value(); }
  [[nodiscard]] std::optional<Instant> verify_until() const {
    return verify_since_ ? std::optional{*verify_since_ + kVerifyTimeout} : std::nullopt;
  }

  [[nodiscard]] PairId id() const { return id_; }
  [[nodiscard]] const Path& path() const { return path_; }
  [[nodiscard]] Bucket bucket() const { return bucket_of(local_, remote_, path_.local.family()); }
  [[nodiscard]] const std::optional<Duration>& rtt() const { return rtt_; }
  [[nodiscard]] bool has_relay() const {
    return local_.kind == ice::CandidateKind::relay || remote_.kind == ice::CandidateKind::relay;
  }
  [[nodiscard]] bool is_locally_relayed() const { return local_.kind == ice::CandidateKind::relay; }
  [[nodiscard]] bool is_in_first_round() const { return sent_ < kProbeBudget; }
  // Past its first round, or a second of it without an answer.
  [[nodiscard]] bool must_answer() const {
    return !is_in_first_round() || (!rtt_ && sent_ + 1 >= kProbeGaps.size());
  }

 private:
  struct Outstanding {
    std::uint16_t sequence = 0;
    Instant at;
  };

  PairId id_;
  Path path_;
  End local_;
  End remote_;
  std::uint16_t next_sequence_ = 0;
  unsigned sent_ = 0;  // in this round
  std::optional<Instant> last_sent_;
  std::deque<Outstanding> outstanding_;
  std::optional<Duration> rtt_;
  std::optional<Instant> verify_since_;
};

}  // namespace fg::path
