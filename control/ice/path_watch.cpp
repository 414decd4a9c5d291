#include "control/ice/path_watch.h"

#include <algorithm>

namespace fg::ice {
namespace {

// An active client checks each pair every 1.5 s (spec connectivity 2.18): by then it should have
// been heard here, too.
constexpr Duration kRound = 1500ms;
// Heard no longer before the path in use than this, a pair was alive with it.
constexpr Duration kTogether = 5s;

bool is_heard_after(const Pair& pair, Instant moment) {
  return pair.last_request && *pair.last_request > moment;
}

}  // namespace

std::optional<LostPaths> PathWatch::advance(Checklist& checklist, const Pair* in_use,
                                            Duration patience, Instant now) {
  if (in_use == nullptr || !in_use->last_heard ||
      (doubt_ && (doubt_->pair != in_use->id || *in_use->last_heard > doubt_->since))) {
    doubt_.reset();
    return std::nullopt;
  }
  if (!doubt_) {
    if (!may_doubt(checklist, *in_use, patience, now)) return std::nullopt;
    doubt_ = Doubt{.pair = in_use->id, .since = now, .next = now};
  }
  if (now < doubt_->next) return std::nullopt;
  if (doubt_->asked < kDoubtQuestions) {
    const auto alive_since = *in_use->last_heard - kTogether;
    for (auto& pair : checklist.pairs()) {
      if (pair.last_heard && *pair.last_heard >= alive_since) pair.checks.hurry();
    }
    ++doubt_->asked;
    doubt_->next += kDoubtInterval;
    return std::nullopt;
  }
  auto lost = lost_with(checklist, *in_use, *doubt_);
  const bool is_elsewhere =
      std::any_of(checklist.pairs().begin(), checklist.pairs().end(), [&](const Pair& pair) {
        return is_heard_after(pair, doubt_->since) && pair.last_answer &&
               *pair.last_answer > doubt_->since &&
               std::find(lost.bases.begin(), lost.bases.end(), pair.local.address) ==
                   lost.bases.end();
      });
  doubt_.reset();
  if (is_elsewhere) return lost;
  rest_until_ = now + kDoubtRest;
  return std::nullopt;
}

bool PathWatch::may_doubt(const Checklist& checklist, const Pair& in_use, Duration patience,
                          Instant now) const {
  if (now < rest_until_ || now - *in_use.last_heard < patience) return false;
  const auto& pairs = checklist.pairs();
  return std::any_of(pairs.begin(), pairs.end(), [&](const Pair& pair) {
    return pair.local.address != in_use.local.address &&
           is_heard_after(pair, *in_use.last_heard + kRound) && now - *pair.last_request < kRound;
  });
}

LostPaths PathWatch::lost_with(const Checklist& checklist, const Pair& in_use, const Doubt& doubt) {
  LostPaths lost;
  for (const auto& pair : checklist.pairs()) {
    if (!pair.last_heard || *pair.last_heard > doubt.since ||
        *pair.last_heard < *in_use.last_heard - kTogether)
      continue;
    lost.pairs.push_back(pair.id);
    if (std::find(lost.bases.begin(), lost.bases.end(), pair.local.address) == lost.bases.end())
      lost.bases.push_back(pair.local.address);
  }
  return lost;
}

}  // namespace fg::ice
