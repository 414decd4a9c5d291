// Candidates of both sides and the pairs that follow from them (spec connectivity 5.2, 5.7).
#include "control/path/agent.h"

#include <algorithm>

namespace fg::path {
namespace {

bool is_better(CandidateKind a, CandidateKind b) {
  const auto rank = [](CandidateKind kind) {
    return kind == CandidateKind::host ? 0 : kind == CandidateKind::relay ? 2 : 1;
  };
  return rank(a) < rank(b);
}

void keep_better(std::map<SocketAddress, End>& ends, const SocketAddress& key, const End& end) {
  const auto [known, is_new] = ends.emplace(key, end);
  if (!is_new && is_better(end.kind, known->second.kind)) known->second = end;
}

}  // namespace

Agent::Agent(Role role, Instant now)
    : role_(role), give_up_at_(now + kCandidateTimeout), last_now_(now) {}

// ---- local ----

std::optional<Candidate> Agent::add_local(const Candidate& candidate, Instant now) {
  last_now_ = now;
  if (has_failed_ || !ice::is_valid_address(candidate.address.ip) ||
      std::ranges::any_of(locals_, [&](const Candidate& known) { return known == candidate; })) {
    return std::nullopt;
  }
  const auto same_kind = [&](const Candidate& known) { return known.kind == candidate.kind; };
  if (static_cast<std::size_t>(std::ranges::count_if(locals_, same_kind)) >= kLocalsMaxPerKind) {
    locals_.erase(std::ranges::find_if(locals_, same_kind));
    ++overflows_;
  }
  locals_.push_back(candidate);
  update_pairs(now);
  return candidate;
}

std::optional<Candidate> Agent::remove_local(const SocketAddress& address, Instant now) {
  last_now_ = now;
  const auto known = std::ranges::find(locals_, address, &Candidate::address);
  if (known == locals_.end()) return std::nullopt;
  auto removed = std::move(*known);
  locals_.erase(known);
  update_pairs(now);
  return removed;
}

bool Agent::is_local_relayed(const SocketAddress& local) const {
  return std::ranges::any_of(locals_, [&](const Candidate& candidate) {
    return candidate.kind == CandidateKind::relay && candidate.address == local;
  });
}

bool Agent::is_remote_relayed(const SocketAddress& remote) const {
  return std::ranges::any_of(remotes_, [&](const Remote& known) {
    return known.candidate.kind == CandidateKind::relay && known.candidate.address == remote;
  });
}

// ---- remote ----

RemoteAddition Agent::add_remote(std::string_view line, Instant now) {
  using Outcome = RemoteAddition::Outcome;
  last_now_ = now;
  const auto candidate = parse_line(line);
  if (!candidate) return {};
  if (has_failed_ || !ice::is_valid_address(candidate->address.ip))
    return {Outcome::unusable_address, *candidate};
  give_up_at_.reset();

  const auto is_ours = [&](const Remote& remote) {
    return remote.origin != Remote::Origin::signalled &&
           remote.candidate.address == candidate->address;
  };
  const auto is_known = [&](const Remote& remote) {
    return remote.origin == Remote::Origin::signalled && ice::is_same(remote.candidate, *candidate);
  };
  if (std::ranges::any_of(remotes_, is_known)) return {Outcome::known, *candidate};
  if (auto guess = std::ranges::find_if(remotes_, is_ours); guess != remotes_.end()) {
    if (guess->candidate.kind != candidate->kind) {
      make_room(candidate->kind);
      guess = std::ranges::find_if(remotes_, is_ours);
    }
    // What was learnt of the address stays.
    *guess = {*candidate, Remote::Origin::signalled};
  } else {
    make_room(candidate->kind);
    remotes_.push_back({*candidate, Remote::Origin::signalled});
  }
  add_optimistic();
  update_pairs(now);
  return {Outcome::added, *candidate};
}

bool Agent::invalidate_remote(std::string_view line, Instant now) {
  last_now_ = now;
  const auto candidate = parse_line(line);
  if (!candidate) return false;
  const auto removed = std::erase_if(remotes_, [&](const Remote& remote) {
    return remote.origin == Remote::Origin::signalled && ice::is_same(remote.candidate, *candidate);
  });
  if (removed != 0) update_pairs(now);
  return removed != 0;
}

// Spec connectivity 2.10: a port forwarded by hand on the peer's NAT.
void Agent::add_optimistic() {
  std::vector<Candidate> guesses;
  for (const auto& mapped : remotes_) {
    if (mapped.origin != Remote::Origin::signalled || !mapped.candidate.address.ip.is_v4() ||
        mapped.candidate.kind != CandidateKind::srflx) {
      continue;
    }
    for (const auto& host : remotes_) {
      if (host.origin != Remote::Origin::signalled || !host.candidate.address.ip.is_v4() ||
          host.candidate.kind != CandidateKind::host) {
        continue;
      }
      const SocketAddress guess{mapped.candidate.address.ip, host.candidate.address.port};
      const auto is_it = [&](const auto& candidate) { return candidate.address == guess; };
      if (std::ranges::any_of(remotes_, is_it, &Remote::candidate) ||
          std::ranges::any_of(guesses, is_it)) {
        continue;
      }
      if (guesses.size() < kOptimisticMax)
        guesses.push_back(make_candidate(CandidateKind::srflx, guess, guess));
    }
  }
  for (const auto& guess : guesses) {
    make_room(CandidateKind::srflx);
    remotes_.push_back({guess, Remote::Origin::optimistic});
  }
}

// At most six of a kind.
void Agent::make_room(CandidateKind kind) {
  const auto is_kind = [&](const Remote& remote) { return remote.candidate.kind == kind; };
  if (static_cast<std::size_t>(std::ranges::count_if(remotes_, is_kind)) >= kRemotesMaxPerKind)
    evict(is_kind);
}

// The oldest goes, and not the one in use unless there is no other.
void Agent::evict(const std::function<bool(const Remote&)>& is_eligible) {
  ++overflows_;
  const auto is_spare = [&](const Remote& remote) {
    return is_eligible(remote) && (!primary_ || remote.candidate.address != primary_->remote);
  };
  auto victim = std::ranges::find_if(remotes_, is_spare);
  if (victim == remotes_.end()) victim = std::ranges::find_if(remotes_, is_eligible);
  if (victim != remotes_.end()) remotes_.erase(victim);
}

// An address only its packets tell of. False: it is known.
bool Agent::learn_remote(const SocketAddress& address) {
  const auto is_it = [&](const Remote& remote) { return remote.candidate.address == address; };
  if (has_failed_ || std::ranges::any_of(remotes_, is_it)) return false;
  const auto is_learnt = [&](const Remote& remote) {
    return remote.origin == Remote::Origin::peer_reflexive;
  };
  if (static_cast<std::size_t>(std::ranges::count_if(remotes_, is_learnt)) >= kPeerReflexiveMax)
    evict(is_learnt);
  make_room(CandidateKind::srflx);
  remotes_.push_back(
      {make_candidate(CandidateKind::srflx, address, address), Remote::Origin::peer_reflexive});
  give_up_at_.reset();
  return true;
}

std::vector<Candidate> Agent::remote_candidates() const {
  std::vector<Candidate> out;
  for (const auto& remote : remotes_) out.push_back(remote.candidate);
  return out;
}

// ---- pairs ----

std::map<SocketAddress, End> Agent::local_ends() const {
  std::map<SocketAddress, End> out;
  for (const auto& local : locals_) {
    const bool is_relay = local.kind == CandidateKind::relay;
    const bool is_cross_family =
        is_relay && local.raddr && local.raddr->family() != local.address.family();
    keep_better(out, local.base, {local.kind, is_cross_family});
  }
  return out;
}

std::map<SocketAddress, End> Agent::remote_ends() const {
  std::map<SocketAddress, End> out;
  for (const auto& remote : remotes_)
    keep_better(out, remote.candidate.address, {remote.candidate.kind, false});
  return out;
}

PairId Agent::next_id() {
  for (;;) {
    const PairId id{next_pair_++};
    if (std::ranges::none_of(pairs_, [&](const Pair& pair) { return pair.id() == id; })) return id;
  }
}

void Agent::update_pairs(Instant now) {
  const auto locals = local_ends();
  const auto remotes = remote_ends();
  std::erase_if(pairs_, [&](const Pair& pair) {
    return !locals.contains(pair.path().local) || !remotes.contains(pair.path().remote);
  });
  std::erase_if(ladders_, [&](const auto& entry) { return find(entry.first) == nullptr; });
  bool is_new = false;
  for (const auto& [local, local_end] : locals) {
    for (const auto& [remote, remote_end] : remotes) {
      if (local.family() != remote.family()) continue;
      if (auto* known = find({local, remote})) {
        known->set_ends(local_end, remote_end);
        continue;
      }
      pairs_.emplace_back(next_id(), Path{local, remote}, local_end, remote_end);
      is_new = true;
    }
  }
  if (primary_ && primary_pair() == nullptr) {
    primary_.reset();
    is_new = true;
  }
  if (is_new) clear_and_reprobe();
  run_ladders(now);
}

}  // namespace fg::path
