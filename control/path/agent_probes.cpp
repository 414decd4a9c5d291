// Bootstrap, probes, the choice of the primary, distress (spec connectivity 5.4 to 5.8).
#include <algorithm>
#include <utility>

#include "control/path/agent.h"

namespace fg::path {

Pair* Agent::find(const Path& path) {
  const auto found = std::ranges::find(pairs_, path, &Pair::path);
  return found == pairs_.end() ? nullptr : &*found;
}

// ---- handshakes ----

void Agent::on_initiation(const Path& arrival, Instant now) {
  last_now_ = now;
  if (learn_remote(arrival.remote)) update_pairs(now);
  if (!has_session_) {
    end_bootstrap();
    if (const auto* pair = find(arrival); pair != nullptr && !primary_) set_primary(*pair, now);
    return;
  }
  if (++peer_rekeys_ >= kRekeysOfDistress && primary_) {
    clear_and_reprobe();
  } else {
    // A peer that re-keys may do so because it does not hear us.
    verify_primary(now);
  }
}

void Agent::on_response(const Path& arrival, Instant now) {
  last_now_ = now;
  own_rekeys_ = 0;
  end_bootstrap();
  is_usable_ = true;
  const auto* pair = find(arrival);
  const auto* current = primary_pair();
  if (pair != nullptr && (current == nullptr || pair->bucket() < current->bucket()))
    set_primary(*pair, now);
}

void Agent::on_own_initiation(Bytes message, Instant now) {
  last_now_ = now;
  if (!has_session_) {
    if (role_ == Role::controlled) return;
    initiation_ = copy_of(message);
    for (const auto& [path, ladder] : ladders_) push({path, initiation_});
    run_ladders(now);
    return;
  }
  if (!primary_) return;
  push({*primary_, copy_of(message)});
  if (++own_rekeys_ == kRekeysOfDistress) clear_and_reprobe();
}

void Agent::on_usable(Instant now) {
  last_now_ = now;
  end_bootstrap();
  is_usable_ = true;
}

void Agent::end_bootstrap() {
  has_session_ = true;
  ladders_.clear();
  initiation_.clear();
}

// Starts a ladder for each relayed pair that has none and climbs those that are due.
void Agent::run_ladders(Instant now) {
  if (initiation_.empty() || has_session_) return;
  for (const auto& pair : pairs_) {
    if (pair.has_relay()) ladders_.try_emplace(pair.path(), Ladder{.step = 0, .next = now});
  }
  for (auto& [path, ladder] : ladders_) {
    while (ladder.step <= kLadder.size() && ladder.next <= now) {
      push({path, initiation_});
      if (ladder.step < kLadder.size()) ladder.next += kLadder[ladder.step];
      ++ladder.step;
    }
  }
}

// ---- data ----

void Agent::on_data(const Path& arrival, Instant now) {
  last_now_ = now;
  peer_rekeys_ = 0;
  note_arrival(arrival, now);
}

void Agent::note_arrival(const Path& arrival, Instant now) {
  if (primary_ == arrival) {
    primary_heard_ = now;
    return;
  }
  if (learn_remote(arrival.remote)) {
    update_pairs(now);
  } else if (primary_ && now - primary_heard_ >= kPrimaryQuiet) {
    verify_primary(now);
  }
}

void Agent::on_probe(const Path& arrival, const packet::Probe& probe, Instant now) {
  last_now_ = now;
  peer_rekeys_ = 0;
  if (probe.is_reply)
    on_reply(arrival, probe, now);
  else
    on_request(arrival, probe, now);
  note_arrival(arrival, now);
}

void Agent::on_request(const Path& arrival, const packet::Probe& probe, Instant) {
  push({arrival, packet::Probe{.is_reply = true, .id = probe.id, .sequence = probe.sequence}});
  auto* pair = find(arrival);
  if (pair != nullptr && !pair->rtt() && !pair->due(standing_of(*pair))) pair->restart();
}

void Agent::on_reply(const Path& arrival, const packet::Probe& probe, Instant now) {
  auto* pair = find(arrival);
  if (pair == nullptr || pair->id() != PairId{probe.id} || !pair->on_reply(probe.sequence, now))
    return;
  select(now);
}

// ---- the primary ----

// Only ever promotes.
void Agent::select(Instant now) {
  const Pair* best = nullptr;
  for (const auto& pair : pairs_) {
    if (!pair.rtt()) continue;
    if (best == nullptr || pair.bucket() < best->bucket() ||
        (pair.bucket() == best->bucket() && *pair.rtt() < *best->rtt())) {
      best = &pair;
    }
  }
  const auto* current = primary_pair();
  if (best == nullptr || best == current) return;
  if (current != nullptr) {
    if (current->bucket() < best->bucket()) return;
    const bool is_faster =
        current->rtt() &&
        *best->rtt() + std::max(kHysteresis, *current->rtt() / 5) < *current->rtt();
    if (current->bucket() == best->bucket() && !is_faster) return;
  }
  set_primary(*best, now);
}

void Agent::set_primary(const Pair& pair, Instant now) {
  if (auto* former = primary_pair()) former->stop_verifying();
  primary_ = pair.path();
  primary_heard_ = now;
  peer_rekeys_ = 0;
  own_rekeys_ = 0;
  tell_primary_ = true;
}

void Agent::verify_primary(Instant now) {
  if (auto* pair = primary_pair(); pair != nullptr && is_usable_) pair->verify(now);
}

void Agent::clear_and_reprobe() {
  // Before the session may send there is nothing to probe with, and what the first initiation
  // showed is all that is known.
  if (!is_usable_) return;
  for (auto& pair : pairs_) {
    if (!pair.is_in_first_round() || primary_ == pair.path()) pair.restart();
  }
  primary_.reset();
}

// ---- time ----

void Agent::on_timeout(Instant now) {
  last_now_ = now;
  if (give_up_at_ && *give_up_at_ <= now) {
    give_up_at_.reset();
    has_failed_ = true;
    tell_failed_ = true;
  }
  if (has_failed_) return;
  run_ladders(now);
  if (!is_usable_) return;
  if (auto* pair = primary_pair();
      pair != nullptr && pair->verify_until() && *pair->verify_until() <= now) {
    clear_and_reprobe();
  }
  for (auto& pair : pairs_) {
    const auto standing = standing_of(pair);
    const auto due = pair.due(standing);
    if (!due || *due > now) continue;
    // The keepalive of the primary asks for its answer, and one that a handshake chose has to earn
    // its place.
    if (standing.is_primary && pair.must_answer()) pair.verify(now);
    push({pair.path(), packet::Probe{.is_reply = false,
                                     .id = static_cast<std::uint16_t>(pair.id()),
                                     .sequence = pair.probe(now)}});
  }
}

void Agent::push(Transmit transmit) {
  if (transmits_.size() == kTransmitsMax) {
    ++overflows_;
    return;
  }
  transmits_.push_back(std::move(transmit));
}

std::optional<Transmit> Agent::poll_transmit() {
  if (transmits_.empty()) return std::nullopt;
  auto out = std::move(transmits_.front());
  transmits_.pop_front();
  return out;
}

std::optional<Event> Agent::poll_event() {
  if (std::exchange(tell_failed_, false)) return Failed{};
  if (std::exchange(tell_primary_, false)) return PrimaryChosen{};
  return std::nullopt;
}

std::optional<Wakeup> Agent::wakeup() const {
  if (!transmits_.empty() || tell_primary_ || tell_failed_)
    return Wakeup{last_now_, "path agent output"};
  if (has_failed_) return std::nullopt;
  std::optional<Wakeup> out;
  if (give_up_at_) out = Wakeup{*give_up_at_, "no candidate of the peer"};
  for (const auto& [path, ladder] : ladders_) {
    if (ladder.step <= kLadder.size()) out = earlier(out, Wakeup{ladder.next, "initiation ladder"});
  }
  for (const auto& pair : pairs_) {
    if (!is_usable_) break;
    if (const auto due = pair.due(standing_of(pair)))
      out = earlier(out, Wakeup{*due, "path probe"});
    if (pair.verify_until() && primary_ == pair.path())
      out = earlier(out, Wakeup{*pair.verify_until(), "primary does not answer"});
  }
  if (out) out->at = std::max(out->at, last_now_);
  return out;
}

}  // namespace fg::path
