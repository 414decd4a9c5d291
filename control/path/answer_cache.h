// Answers to handshake initiations that may come again: without ICE a client sends the same bytes
// over every relayed pair and repeats them, and each copy wants the same answer on the path it came
// by (spec connectivity 5.5). A copy is found before the rate limiter and any cryptography.
#pragma once

#include <deque>

#include "base/bytes.h"
#include "base/time.h"

namespace fg::path {

inline constexpr Duration kAnswerLife = 10s;      // spec connectivity 5.5
inline constexpr std::size_t kAnswersMax = 1024;  // the rate limit admits 100 a second

template <class Owner>
class AnswerCache {
 public:
  // Replaces what this owner was answered before.
  void put(Owner owner, Bytes initiation, Bytes response, Instant now) {
    forget(owner);
    expire(now);
    if (entries_.size() == kAnswersMax) entries_.pop_front();
    entries_.push_back({owner, copy_of(initiation), copy_of(response), now});
  }
  void forget(Owner owner) {
    std::erase_if(entries_, [&](const Entry& entry) { return entry.owner == owner; });
  }
  // Empty: never seen, or answered too long ago.
  [[nodiscard]] Bytes find(Bytes initiation, Instant now) {
    expire(now);
    for (const auto& entry : entries_) {
      if (std::ranges::equal(entry.initiation, initiation)) return entry.response;
    }
    return {};
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    Owner owner;
    ByteVector initiation;
    ByteVector response;
    Instant at;
  };
  void expire(Instant now) {
    while (!entries_.empty() && now - entries_.front().at >= kAnswerLife) entries_.pop_front();
  }

  std::deque<Entry> entries_;  // oldest first
};

}  // namespace fg::path
