#include "control/ice/agent.h"

#include <algorithm>

namespace fg::ice {

std::string_view name_of(AgentState state) {
  switch (state) {
    case AgentState::initial:
      return "initial";
    case AgentState::checking:
      return "checking";
    case AgentState::connected:
      return "connected";
    case AgentState::completed:
      return "completed";
    case AgentState::disconnected:
      return "disconnected";
  }
  return {};
}

Agent::Agent(Options options, Random& random, Instant now)
    : role_(options.role),
      local_credentials_(std::move(options.local)),
      remote_credentials_(std::move(options.remote)),
      profile_(options.profile),
      form_(options.form),
      random_(random),
      tie_breaker_(random.u64()),
      checklist_(options.role),
      last_heard_(now),
      last_now_(now) {
  timers_.set(Timer::candidates, now + kCandidateTimeout);
  if (is_watching()) timers_.set(Timer::unheard, now + kUnheardAtFirst);
}

void Agent::set_remote_credentials(Credentials remote, Instant now) {
  remote_credentials_ = std::move(remote);
  settle(now);
}

void Agent::set_profile(const Profile& profile, Instant now) {
  if (profile != profile_) {
    profile_ = profile;
    for (auto& pair : checklist_.pairs()) pair.checks.on_profile(profile_);
    timers_.stop(Timer::unheard);
    unheard_told_ = 0;
    if (is_watching()) timers_.set(Timer::unheard, now + kUnheardAfter);
  }
  settle(now);
}

void Agent::on_timeout(Instant now) {
  if (failed_) return;
  if (state_ == AgentState::initial) set_state(AgentState::checking, now);
  if (timers_.take_expired(Timer::candidates, now))
    return fail(Failed::Reason::no_remote_candidate);
  if (timers_.take_expired(Timer::grace, now)) return fail(Failed::Reason::disconnected);
  if (timers_.take_expired(Timer::unheard, now)) {
    push_event(Unheard{last_heard_});
    timers_.set(Timer::unheard,
                now + (++unheard_told_ < kUnheardOften ? kUnheardAgain : kUnheardRarely));
  }
  if (timers_.take_expired(Timer::restore, now)) restore();
  prune(now);
  if (remote_credentials_) {
    if (auto* pair = due_pair(now)) send_check(*pair, now);
  }
  settle(now);
}

std::optional<Transmit> Agent::poll_transmit() {
  if (transmits_.empty()) return std::nullopt;
  auto transmit = std::move(transmits_.front());
  transmits_.pop_front();
  return transmit;
}

std::optional<AgentEvent> Agent::poll_event() {
  if (events_.empty()) return std::nullopt;
  auto event = events_.front();
  events_.pop_front();
  return event;
}

std::optional<Wakeup> Agent::wakeup() const {
  if (has_output()) return Wakeup{last_now_, "ICE output queued"};
  if (failed_) return std::nullopt;
  if (state_ == AgentState::initial) return Wakeup{last_now_, "ICE start"};
  std::optional<Wakeup> first;
  if (const auto at = timers_.at(Timer::candidates))
    first = earlier(first, Wakeup{*at, "ICE candidate timeout"});
  if (const auto at = timers_.at(Timer::grace))
    first = earlier(first, Wakeup{*at, "ICE disconnect grace"});
  if (const auto at = timers_.at(Timer::unheard))
    first = earlier(first, Wakeup{*at, "peer unheard"});
  if (const auto at = timers_.at(Timer::restore))
    first = earlier(first, Wakeup{*at, "ICE candidates to restore"});
  if (const auto at = watch_.due()) first = earlier(first, Wakeup{*at, "path in doubt"});
  if (remote_credentials_) {
    for (const auto& pair : checklist_.pairs()) {
      if (const auto at = check_due(pair)) first = earlier(first, Wakeup{*at, "ICE check"});
    }
  }
  if (first) first->at = std::max(first->at, last_now_);
  return first;
}

bool Agent::has_pair(const SocketAddress& local, const SocketAddress& remote) const {
  return std::any_of(checklist_.pairs().begin(), checklist_.pairs().end(), [&](const Pair& p) {
    return p.local.address == local && p.remote.address == remote;
  });
}

bool Agent::is_possible() const {
  return !checklist_.pairs().empty() || !had_local_ || !had_remote_;
}

// ---- decisions ----

// Runs at the end of every input: what follows from the changed facts, and when to look again.
void Agent::settle(Instant now) {
  last_now_ = std::max(last_now_, now);
  if (failed_) return;
  if (role_ == Role::controlling) nominate_best(now);
  select_path(now);
  watch(now);
  evaluate_state(now);
  for (auto& pair : checklist_.pairs()) (void)pair.checks.next(profile_, now);
}

// Controlling: the best pair that works, as soon as it works (spec connectivity 2.16).
void Agent::nominate_best(Instant now) {
  auto* best = checklist_.best_succeeded();
  if (best == nullptr || best->nominated != 0) return;
  const auto* present = checklist_.best_nominated();
  if (present != nullptr && present->priority >= best->priority) return;
  checklist_.nominate(*best, now);
}

// A peer that does not know that what it nominated is gone goes on for twelve checks (spec
// connectivity 2.18); it takes data from whatever has answered its checks (2.17).
void Agent::select_path(Instant now) {
  const auto* best = checklist_.best_nominated();
  is_nominated_ = best != nullptr;
  if (best == nullptr && path_ && role_ == Role::controlled)
    best = checklist_.best_heard(now - kLeftAfter);
  if (best == nullptr) {
    path_.reset();
    return;
  }
  const Path path{.local = best->local.address,
                  .remote = best->remote.address,
                  .local_relayed = best->local.kind == CandidateKind::relay,
                  .remote_relayed = best->remote.kind == CandidateKind::relay};
  if (path_ == path) return;
  path_ = path;
  push_event(Nominated{path});
}

void Agent::evaluate_state(Instant now) {
  if (state_ == AgentState::initial) return;
  const auto& pairs = checklist_.pairs();
  const bool possible =
      !had_local_ || !had_remote_ ||
      std::any_of(pairs.begin(), pairs.end(), [](const Pair& p) { return p.nominated == 0; });
  if (is_nominated_) {
    set_state(possible ? AgentState::connected : AgentState::completed, now);
  } else {
    set_state(possible ? AgentState::checking : AgentState::disconnected, now);
  }
}

void Agent::set_state(AgentState state, Instant now) {
  if (state == state_) return;
  push_event(StateChanged{state_, state});
  state_ = state;
  // Differs from the originals, whose timer survives a change to completed.
  timers_.stop(Timer::grace);
  if (state == AgentState::disconnected) timers_.set(Timer::grace, now + profile_.grace);
}

void Agent::fail(Failed::Reason reason) {
  failed_ = true;
  timers_.clear();
  path_.reset();
  push_event(Failed{reason});
}

// ---- watching ----

void Agent::on_heard(Pair& pair, Instant now) {
  pair.last_heard = last_heard_ = now;
  unheard_told_ = 0;
  if (is_watching()) timers_.set(Timer::unheard, now + kUnheardAfter);
}

void Agent::watch(Instant now) {
  const auto* in_use = path_ ? checklist_.find(path_->local, path_->remote) : nullptr;
  if (!is_watching()) in_use = nullptr;
  if (auto lost = watch_.advance(checklist_, in_use, profile_.patience.value_or(Duration{}), now))
    withdraw(std::move(*lost), now);
}

void Agent::withdraw(LostPaths lost, Instant now) {
  for (const auto id : lost.pairs) checklist_.withdraw_nomination(id);
  select_path(now);
  push_event(Reconsidered{candidates_of(lost.bases), true});
  if (withdrawn_) {
    lost.bases.insert(lost.bases.end(), withdrawn_->bases.begin(), withdrawn_->bases.end());
    lost.pairs.insert(lost.pairs.end(), withdrawn_->pairs.begin(), withdrawn_->pairs.end());
  }
  withdrawn_ = std::move(lost);
  timers_.set(Timer::restore, now + restore_after_);
  restore_after_ = std::min(2 * restore_after_, kRestoreAfterMax);
}

void Agent::restore() {
  push_event(Reconsidered{candidates_of(withdrawn_->bases), false});
  withdrawn_.reset();
  timers_.stop(Timer::restore);
}

std::vector<Candidate> Agent::candidates_of(const std::vector<SocketAddress>& bases) const {
  auto candidates = local_candidates();
  std::erase_if(candidates, [&](const Candidate& candidate) {
    return std::find(bases.begin(), bases.end(), candidate.base) == bases.end();
  });
  return candidates;
}

// Spec connectivity 2.15: gone for good, unless the peer still shows interest.
void Agent::prune(Instant now) {
  bool removed = false;
  checklist_.remove_if([&](const Pair& pair) {
    if (!pair.checks.is_exhausted(profile_, now)) return false;
    if (pair.last_request && now < *pair.last_request + profile_.recent_request) return false;
    removed = true;
    return true;
  });
  if (removed) forget_unpaired_prflx();
}

Pair* Agent::due_pair(Instant now) {
  Pair* first = nullptr;
  Instant first_at;
  for (auto& pair : checklist_.pairs()) {
    if (pair.checks.is_hurried()) return &pair;
    (void)pair.checks.next(profile_, now);
    const auto at = check_due(pair);
    if (!at || *at > now || (first != nullptr && *at >= first_at)) continue;
    first = &pair;
    first_at = *at;
  }
  return first;
}

// The peer's next question comes first, unless it is lost.
std::optional<Instant> Agent::check_due(const Pair& pair) const {
  if (pair.checks.is_hurried()) return last_now_;
  const auto at = pair.checks.cached_next().value_or(last_now_);
  if (!profile_.relies_on_peer || role_ != Role::controlled) return at;
  if (pair.last_request) return std::max(at, *pair.last_request + profile_.max_rto + kPeerIsLate);
  return pair.succeeded || !pair.checks.has_begun() ? std::optional{at} : std::nullopt;
}

void Agent::push_transmit(Transmit transmit) {
  if (transmits_.size() >= kTransmitsMax) {
    ++overflows_;
    return;
  }
  transmits_.push_back(std::move(transmit));
}

void Agent::push_event(AgentEvent event) {
  // The newest facts matter most; an owner that drains after every input never gets here.
  if (events_.size() >= kEventsMax) {
    events_.pop_front();
    ++overflows_;
  }
  events_.push_back(event);
}

}  // namespace fg::ice
