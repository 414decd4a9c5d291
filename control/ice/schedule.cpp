#include "control/ice/schedule.h"

#include <algorithm>

namespace fg::ice {

Duration Profile::delay(std::size_t n) const {
  if (n == 0) return Duration::zero();
  Duration pause = initial_rto;
  for (std::size_t i = 1; i < n && pause < max_rto; ++i) pause *= 2;
  return std::min(pause, max_rto);
}

void CheckSchedule::on_sent(const stun::TransactionId& transaction, const Profile& profile,
                            Instant now) {
  attempts_.push_back({.transaction = transaction, .sent = now});
  keep_last(profile.attempts_max);
  next_.reset();
  hurry_ = false;
}

bool CheckSchedule::on_success(const stun::TransactionId& transaction) {
  const auto at = std::find_if(attempts_.rbegin(), attempts_.rend(),
                               [&](const Attempt& a) { return a.transaction == transaction; });
  if (at == attempts_.rend() || at->answered) return false;
  at->answered = true;
  next_.reset();
  return true;
}

Instant CheckSchedule::next(const Profile& profile, Instant now) {
  if (hurry_) return now;
  if (next_) return *next_;
  if (attempts_.empty()) {
    next_ = now;
    return now;
  }
  // Once the present run of losses is half the longest pause old, its length counts instead of the
  // long history: probing speeds up again.
  std::size_t count = attempts_.size();
  const auto run = unanswered_run();
  if (run > 0 && now - attempts_[attempts_.size() - run].sent > profile.max_rto / 2) count = run;
  next_ = attempts_.back().sent +
          profile.delay(count);  // no pause exceeds max_rto, so none ends after now + max_rto
  return *next_;
}

void CheckSchedule::on_profile(const Profile& profile) {
  keep_last(profile.attempts_max);
  next_.reset();
}

bool CheckSchedule::is_exhausted(const Profile& profile, Instant now) const {
  return unanswered_run() >= profile.attempts_max &&
         attempts_.back().sent + profile.delay(profile.attempts_max) <= now;
}

const CheckSchedule::Attempt* CheckSchedule::find(const stun::TransactionId& transaction) const {
  const auto at = std::find_if(attempts_.rbegin(), attempts_.rend(),
                               [&](const Attempt& a) { return a.transaction == transaction; });
  return at == attempts_.rend() ? nullptr : &*at;
}

std::size_t CheckSchedule::unanswered_run() const {
  const auto answered = std::find_if(attempts_.rbegin(), attempts_.rend(),
                                     [](const Attempt& a) { return a.answered; });
  return static_cast<std::size_t>(answered - attempts_.rbegin());
}

void CheckSchedule::keep_last(std::size_t n) {
  if (attempts_.size() > n)
    attempts_.erase(attempts_.begin(), attempts_.end() - static_cast<std::ptrdiff_t>(n));
}

}  // namespace fg::ice
