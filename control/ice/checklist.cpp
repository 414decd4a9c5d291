#include "control/ice/checklist.h"

#include <algorithm>

namespace fg::ice {

Pair* Checklist::add(const PairEnd& local, const PairEnd& remote) {
  if (auto* known = find(local.address, remote.address)) {
    const auto priority = priority_of(local, remote);
    if (priority > known->priority) {
      // Same path, so nomination, history and schedule stay.
      known->local = local;
      known->remote = remote;
      known->priority = priority;
      sort();
    }
    return find(local.address, remote.address);
  }
  Pair pair;
  pair.id = PairId{next_id_++};
  pair.local = local;
  pair.remote = remote;
  pair.priority = priority_of(local, remote);
  const auto id = pair.id;
  pairs_.push_back(std::move(pair));
  sort();
  if (pairs_.size() > kPairsMax) {
    ++overflows_;
    // Lowest first, but what carries traffic is worth more than what might.
    const auto victim = std::find_if(pairs_.rbegin(), pairs_.rend(),
                                     [](const Pair& p) { return p.nominated == 0; });
    const auto last = victim == pairs_.rend()
                          ? pairs_.size() - 1
                          : static_cast<std::size_t>(pairs_.rend() - victim) - 1;
    remove_at(last);
  }
  return find(id);
}

Pair* Checklist::find(const SocketAddress& local, const SocketAddress& remote) {
  const auto at = std::find_if(pairs_.begin(), pairs_.end(), [&](const Pair& p) {
    return p.local.address == local && p.remote.address == remote;
  });
  return at == pairs_.end() ? nullptr : &*at;
}

Pair* Checklist::find(const stun::TransactionId& transaction) {
  const auto at = std::find_if(pairs_.begin(), pairs_.end(),
                               [&](const Pair& p) { return p.checks.has(transaction); });
  return at == pairs_.end() ? nullptr : &*at;
}

Pair* Checklist::find(PairId id) {
  const auto at =
      std::find_if(pairs_.begin(), pairs_.end(), [&](const Pair& p) { return p.id == id; });
  return at == pairs_.end() ? nullptr : &*at;
}

void Checklist::update_remote(const PairEnd& remote) {
  for (auto& pair : pairs_) {
    if (pair.remote.id != remote.id) continue;
    pair.remote = remote;
    pair.priority = priority_of(pair.local, pair.remote);
  }
  sort();
}

void Checklist::set_role(Role role) {
  role_ = role;
  for (auto& pair : pairs_) pair.priority = priority_of(pair.local, pair.remote);
  sort();
}

void Checklist::nominate(Pair& pair, Instant now) {
  pair.nominated = ++nominations_;
  pair.nominated_at = now;
  pair.checks.hurry();
}

void Checklist::withdraw_nomination(PairId id) {
  if (auto* pair = find(id)) pair->nominated = 0;
}

void Checklist::on_use_candidate(Pair& pair) {
  pair.requests_elsewhere.clear();
  for (auto& other : pairs_) {
    if (other.nominated != 0 && other.id != pair.id) ++other.requests_elsewhere[pair.id];
  }
}

bool Checklist::is_stale(const Pair& pair) const {
  if (std::any_of(pair.requests_elsewhere.begin(), pair.requests_elsewhere.end(),
                  [](const auto& entry) { return entry.second >= kStaleAfterRequests; }))
    return true;
  return pair.last_request && std::any_of(pairs_.begin(), pairs_.end(), [&](const Pair& other) {
           return other.nominated != 0 && other.nominated_at > *pair.last_request &&
                  other.last_request && *other.last_request - *pair.last_request >= kLeftAfter;
         });
}

Pair* Checklist::best_nominated() {
  Pair* best = nullptr;
  Pair* best_stale = nullptr;
  for (auto& pair : pairs_) {
    if (pair.nominated == 0) continue;
    auto*& slot = is_stale(pair) ? best_stale : best;
    if (slot == nullptr || pair.priority > slot->priority ||
        (pair.priority == slot->priority && pair.nominated > slot->nominated)) {
      slot = &pair;
    }
  }
  return best != nullptr ? best : best_stale;
}

Pair* Checklist::best_succeeded() {
  const auto at =
      std::find_if(pairs_.begin(), pairs_.end(), [](const Pair& p) { return p.succeeded; });
  return at == pairs_.end() ? nullptr : &*at;
}

Pair* Checklist::best_heard(Instant since) {
  const auto at = std::find_if(pairs_.begin(), pairs_.end(), [&](const Pair& p) {
    return p.succeeded && p.last_heard && *p.last_heard >= since;
  });
  return at == pairs_.end() ? best_succeeded() : &*at;
}

std::uint64_t Checklist::priority_of(const PairEnd& local, const PairEnd& remote) const {
  return role_ == Role::controlling ? pair_priority(local.priority, remote.priority)
                                    : pair_priority(remote.priority, local.priority);
}

void Checklist::sort() {
  std::stable_sort(pairs_.begin(), pairs_.end(),
                   [](const Pair& a, const Pair& b) { return a.priority > b.priority; });
}

void Checklist::remove_at(std::size_t i) {
  const auto id = pairs_[i].id;
  pairs_.erase(pairs_.begin() + static_cast<std::ptrdiff_t>(i));
  for (auto& pair : pairs_) pair.requests_elsewhere.erase(id);
}

}  // namespace fg::ice
