// Candidates of both sides and the pairs that follow from them (spec connectivity 2.5–2.11).
#include <algorithm>

#include "control/ice/agent.h"

namespace fg::ice {
namespace {

// A remote address as it was learnt from a request; never in a line (spec connectivity 2.8).
constexpr std::string_view kPrflxFoundation = "tmp_prflx";
// Between host candidates and signalled srflx ones, as the originals rank theirs on the wire.
constexpr std::uint32_t kOptimisticPreference = 65534;

}  // namespace

std::optional<Candidate> Agent::add_local(const LocalAddress& offered, Instant now) {
  if (failed_ || !is_valid_address(offered.address.ip) || !is_valid_address(offered.base.ip) ||
      offered.address.family() != offered.base.family()) {
    return std::nullopt;
  }
  const LocalRank rank{.family = offered.address.family(),
                       .earlier = count_local(offered.kind, offered.address.family()),
                       .cross_family = offered.cross_family};
  const auto priority = candidate_priority(offered.kind, local_preference(offered.kind, rank));
  Local* lost = nullptr;
  std::vector<Local*> worse;
  for (auto& local : locals_) {
    const auto& known = local.candidate;
    if (known.address != offered.address || known.base != offered.base) continue;
    if (local.discarded) {
      if (known.kind == offered.kind) lost = &local;
      continue;
    }
    // A prflx is known to nobody but this agent, so it does not make a candidate to be signalled
    // redundant.
    if (known.kind != CandidateKind::prflx && known.priority >= priority) return std::nullopt;
    worse.push_back(&local);
  }
  for (auto* local : worse) local->discarded = true;
  if (lost != nullptr) {
    lost->discarded = false;
    form_pairs(*lost);
    settle(now);
    return lost->candidate;
  }
  if (!make_room_local()) return std::nullopt;

  const Candidate candidate{.kind = offered.kind,
                            .address = offered.address,
                            .base = offered.base,
                            .raddr = std::nullopt,
                            .priority = priority,
                            .foundation = make_foundation(offered.kind, offered.base.ip, priority)};
  had_local_ = true;
  form_pairs(
      locals_.emplace_back(Local{.id = CandidateId{next_candidate_++}, .candidate = candidate}));
  settle(now);
  return candidate;
}

std::optional<Candidate> Agent::remove_local(const SocketAddress& address, Instant now) {
  const auto at = std::find_if(locals_.begin(), locals_.end(), [&](const Local& l) {
    return !l.discarded && l.candidate.kind != CandidateKind::prflx &&
           l.candidate.address == address;
  });
  if (at == locals_.end()) return std::nullopt;
  at->discarded = true;
  // What can no longer be sent from makes no pair, whichever candidate stands for it.
  const bool is_base = at->candidate.base == address;
  for (auto& local : locals_) {
    if (is_base && local.candidate.kind == CandidateKind::prflx && local.candidate.base == address)
      local.discarded = true;
  }
  checklist_.remove_if([&, id = at->id](const Pair& pair) {
    return pair.local.id == id || (is_base && pair.local.address == address);
  });
  auto gone = at->candidate;
  forget_unpaired_prflx();
  settle(now);
  return gone;
}

RemoteAddition Agent::add_remote(std::string_view text, Instant now) {
  const auto line = parse_line(text);
  if (!line) return {};
  if (line->ufrag && remote_credentials_ && *line->ufrag != remote_credentials_->ufrag) {
    return {RemoteAddition::Outcome::foreign_ufrag, line->candidate};
  }
  return add_remote(line->candidate, now);
}

RemoteAddition Agent::add_remote(const Candidate& candidate, Instant now) {
  const auto result = insert_remote(candidate, Remote::Origin::signalled);
  if (result.outcome == RemoteAddition::Outcome::added ||
      result.outcome == RemoteAddition::Outcome::revived) {
    add_optimistic();
  }
  settle(now);
  return result;
}

bool Agent::invalidate_remote(std::string_view text, Instant now) {
  const auto line = parse_line(text);
  if (!line || (line->ufrag && remote_credentials_ && *line->ufrag != remote_credentials_->ufrag))
    return false;
  return invalidate_remote(line->candidate, now);
}

bool Agent::invalidate_remote(const Candidate& candidate, Instant now) {
  const auto at = std::find_if(remotes_.begin(), remotes_.end(), [&](const Remote& r) {
    return !r.discarded && r.origin == Remote::Origin::signalled && is_same(r.candidate, candidate);
  });
  if (at == remotes_.end()) return false;
  discard(*at);
  settle(now);
  return true;
}

std::vector<Candidate> Agent::local_candidates() const {
  std::vector<Candidate> out;
  for (const auto& local : locals_) {
    if (!local.discarded && local.candidate.kind != CandidateKind::prflx)
      out.push_back(local.candidate);
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Candidate& a, const Candidate& b) { return a.priority > b.priority; });
  return out;
}

std::vector<Candidate> Agent::remote_candidates() const {
  std::vector<Candidate> out;
  for (const auto& remote : remotes_) {
    if (!remote.discarded) out.push_back(remote.candidate);
  }
  return out;
}

// ---- remote ----

RemoteAddition Agent::insert_remote(const Candidate& candidate, Remote::Origin origin) {
  using Outcome = RemoteAddition::Outcome;
  if (failed_) return {Outcome::full, candidate};
  if (!is_valid_address(candidate.address.ip)) return {Outcome::unusable_address, candidate};

  for (auto& remote : remotes_) {
    // Our own guess or discovery gets its true kind and priority; its pairs stay.
    if (remote.discarded || remote.origin == Remote::Origin::signalled ||
        remote.candidate.address != candidate.address) {
      continue;
    }
    remote.candidate = candidate;
    remote.origin = origin;
    checklist_.update_remote(end_of(remote));
    form_pairs(remote);
    return {Outcome::added, candidate};
  }
  for (auto& remote : remotes_) {
    if (!is_same(remote.candidate, candidate)) continue;
    const auto outcome = remote.discarded ? Outcome::revived : Outcome::known;
    if (remote.discarded) {
      remote.discarded = false;
      remote.candidate = candidate;
    } else if (has_pair_to(candidate.address)) {
      return {outcome, candidate};
    }
    form_pairs(remote);
    return {outcome, candidate};
  }
  if (!make_room_remote()) return {Outcome::full, candidate};
  had_remote_ = true;
  timers_.stop(Timer::candidates);
  form_pairs(remotes_.emplace_back(
      Remote{.id = CandidateId{next_candidate_++}, .candidate = candidate, .origin = origin}));
  return {Outcome::added, candidate};
}

// Spec connectivity 2.10: a port forwarded by hand on the peer's NAT.
void Agent::add_optimistic() {
  std::vector<Candidate> reflexive;
  std::vector<std::uint16_t> ports;
  for (const auto& remote : remotes_) {
    if (remote.discarded || remote.origin != Remote::Origin::signalled ||
        !remote.candidate.address.ip.is_v4())
      continue;
    if (remote.candidate.kind == CandidateKind::srflx) reflexive.push_back(remote.candidate);
    if (remote.candidate.kind == CandidateKind::host)
      ports.push_back(remote.candidate.address.port);
  }
  std::size_t added = 0;
  for (const auto& behind_nat : reflexive) {
    for (const auto port : ports) {
      Candidate guess = behind_nat;
      guess.address.port = port;
      const bool is_known = std::any_of(remotes_.begin(), remotes_.end(), [&](const Remote& r) {
        return r.candidate.address == guess.address;
      });
      if (is_known) continue;
      guess.base = guess.address;
      guess.raddr.reset();
      guess.priority = candidate_priority(CandidateKind::srflx, kOptimisticPreference);
      if (!insert_remote(guess, Remote::Origin::optimistic).is_accepted() ||
          ++added == kOptimisticMax)
        return;
    }
  }
}

Agent::Remote* Agent::insert_prflx(const SocketAddress& source, std::uint32_t priority) {
  if (!make_room_remote()) return nullptr;
  had_remote_ = true;
  timers_.stop(Timer::candidates);
  return &remotes_.emplace_back(Remote{.id = CandidateId{next_candidate_++},
                                       .candidate = {.kind = CandidateKind::prflx,
                                                     .address = source,
                                                     .base = source,
                                                     .raddr = std::nullopt,
                                                     .priority = priority,
                                                     .foundation = std::string{kPrflxFoundation}},
                                       .origin = Remote::Origin::request});
}

void Agent::discard(Remote& remote) {
  remote.discarded = true;
  checklist_.remove_if([id = remote.id](const Pair& pair) { return pair.remote.id == id; });
  // Another candidate with the same address was redundant until this moment.
  for (const auto& other : remotes_) {
    if (!other.discarded && other.candidate.address == remote.candidate.address) form_pairs(other);
  }
}

// Nobody will ask for them by name, and a peer behind a restless NAT makes many.
void Agent::forget_unpaired_prflx() {
  std::erase_if(remotes_, [this](const Remote& remote) {
    return remote.origin == Remote::Origin::request &&
           std::none_of(checklist_.pairs().begin(), checklist_.pairs().end(),
                        [&](const Pair& pair) { return pair.remote.id == remote.id; });
  });
}

bool Agent::make_room_remote() {
  if (remotes_.size() < kRemoteCandidatesMax) return true;
  const auto at =
      std::find_if(remotes_.begin(), remotes_.end(), [](const Remote& r) { return r.discarded; });
  if (at == remotes_.end()) {
    ++overflows_;
    return false;
  }
  remotes_.erase(at);
  return true;
}

// ---- local ----

std::uint32_t Agent::count_local(CandidateKind kind, Family family) const {
  return static_cast<std::uint32_t>(
      std::count_if(locals_.begin(), locals_.end(), [&](const Local& l) {
        return l.candidate.kind == kind && l.candidate.address.family() == family;
      }));
}

Agent::Local* Agent::find_local(const SocketAddress& address) {
  const auto at = std::find_if(locals_.begin(), locals_.end(), [&](const Local& l) {
    return !l.discarded && l.candidate.address == address &&
           (l.candidate.kind == CandidateKind::host || l.candidate.kind == CandidateKind::relay);
  });
  return at == locals_.end() ? nullptr : &*at;
}

// RFC 8445 §7.2.5.3.1. Never paired and never signalled; it marks the mapped address as known.
void Agent::learn_local_prflx(const PairEnd& sender, const SocketAddress& mapped) {
  const bool is_known = std::any_of(locals_.begin(), locals_.end(),
                                    [&](const Local& l) { return l.candidate.address == mapped; });
  if (is_known || !make_room_local()) return;
  const auto priority = check_priority(sender.priority);
  locals_.push_back({.id = CandidateId{next_candidate_++},
                     .candidate = {.kind = CandidateKind::prflx,
                                   .address = mapped,
                                   .base = sender.address,
                                   .raddr = std::nullopt,
                                   .priority = priority,
                                   .foundation = make_foundation(CandidateKind::prflx,
                                                                 sender.address.ip, priority)}});
}

bool Agent::make_room_local() {
  if (locals_.size() < kLocalCandidatesMax) return true;
  const auto at = std::find_if(locals_.begin(), locals_.end(), [](const Local& l) {
    return l.discarded || l.candidate.kind == CandidateKind::prflx;
  });
  if (at == locals_.end()) {
    ++overflows_;
    return false;
  }
  locals_.erase(at);
  return true;
}

// ---- pairs ----

PairEnd Agent::end_of(const Local& local) {
  return {local.id, local.candidate.base, local.candidate.priority, local.candidate.kind};
}
PairEnd Agent::end_of(const Remote& remote) {
  return {remote.id, remote.candidate.address, remote.candidate.priority, remote.candidate.kind};
}

void Agent::form_pairs(const Local& local) {
  for (const auto& remote : remotes_) form_pair(local, remote);
}

void Agent::form_pairs(const Remote& remote) {
  for (const auto& local : locals_) form_pair(local, remote);
}

void Agent::form_pair(const Local& local, const Remote& remote) {
  if (local.discarded || remote.discarded) return;
  if (local.candidate.kind == CandidateKind::prflx) return;
  // Known only from a request, so paired only where that request arrived (spec connectivity 2.13).
  if (remote.origin == Remote::Origin::request) return;
  if (local.candidate.address.family() != remote.candidate.address.family()) return;
  checklist_.add(end_of(local), end_of(remote));
}

bool Agent::has_pair_to(const SocketAddress& remote) const {
  return std::any_of(checklist_.pairs().begin(), checklist_.pairs().end(),
                     [&](const Pair& pair) { return pair.remote.address == remote; });
}

}  // namespace fg::ice
