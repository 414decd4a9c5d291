#include "control/path/pair.h"

#include <algorithm>

namespace fg::path {
namespace {

std::uint8_t rank_of(ice::CandidateKind kind) {
  if (kind == ice::CandidateKind::host) return 0;
  return kind == ice::CandidateKind::relay ? 2 : 1;
}

}  // namespace

Bucket bucket_of(const End& local, const End& remote, Family family) {
  const bool is_local_relayed = local.kind == ice::CandidateKind::relay;
  return {
      .worse_kind = std::max(rank_of(local.kind), rank_of(remote.kind)),
      .better_kind = std::min(rank_of(local.kind), rank_of(remote.kind)),
      .is_relayed_by_peer = static_cast<std::uint8_t>(is_local_relayed ? 0 : 1),
      .is_cross_family = static_cast<std::uint8_t>(is_local_relayed && local.cross_family ? 1 : 0),
      .is_v4 = static_cast<std::uint8_t>(family == Family::v4 ? 1 : 0)};
}

void Pair::restart() {
  sent_ = 0;
  last_sent_.reset();
  outstanding_.clear();
  rtt_.reset();
  verify_since_.reset();
}

std::optional<Instant> Pair::due(const Standing& standing) const {
  if (!last_sent_) return Instant::min();
  std::optional<Instant> at;
  if (sent_ < kProbeBudget || !standing.has_primary) {
    at = *last_sent_ + kProbeGaps[std::min<std::size_t>(sent_ - 1, kProbeGaps.size() - 1)];
  } else if (standing.is_primary) {
    at = *last_sent_ + kPrimaryInterval;
  }
  if (verify_since_) {
    at = std::min(at.value_or(Instant::max()), std::max(*verify_since_, *last_sent_ + kVerifyGap));
  }
  return at;
}

std::uint16_t Pair::probe(Instant now) {
  ++sent_;
  last_sent_ = now;
  if (outstanding_.size() == kOutstandingMax) outstanding_.pop_front();
  outstanding_.push_back({next_sequence_, now});
  return next_sequence_++;
}

bool Pair::on_reply(std::uint16_t sequence, Instant now) {
  const auto found = std::ranges::find(outstanding_, sequence, &Outstanding::sequence);
  if (found == outstanding_.end()) return false;
  const auto sample = now - found->at;
  rtt_ = rtt_ ? (*rtt_ + sample) / 2 : sample;
  outstanding_.erase(found);
  verify_since_.reset();
  return true;
}

void Pair::verify(Instant now) {
  if (!verify_since_) verify_since_ = now;
}

}  // namespace fg::path
