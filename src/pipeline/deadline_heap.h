// When each client wants to be looked at: a binary heap with one entry a client at most. Deadlines
// that move away are left alone and found too early, which costs one look; only nearer ones are
// moved. So traffic does not touch the heap, and a client without deadline costs nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/time.h"

namespace fg::pipeline {

class DeadlineHeap {
 public:
  explicit DeadlineHeap(std::size_t slots) : places_(slots, kNowhere) { heap_.reserve(slots); }

  // The slot is due at `at` or earlier.
  void arm(std::uint32_t slot, Instant at) noexcept {
    auto& place = places_[slot];
    if (place == kNowhere) {
      place = static_cast<std::uint32_t>(heap_.size());
      heap_.push_back({at, slot});
    } else if (at < heap_[place].at) {
      heap_[place].at = at;
    } else {
      return;
    }
    sift_up(place);
  }

  void disarm(std::uint32_t slot) noexcept {
    if (places_[slot] != kNowhere) remove(places_[slot]);
  }

  [[nodiscard]] std::optional<Instant> next() const noexcept {
    if (heap_.empty()) return std::nullopt;
    return heap_[0].at;
  }
  // Takes out a slot that is due.
  [[nodiscard]] std::optional<std::uint32_t> pop_due(Instant now) noexcept {
    if (heap_.empty() || heap_[0].at > now) return std::nullopt;
    const auto slot = heap_[0].slot;
    remove(0);
    return slot;
  }
  [[nodiscard]] std::size_t size() const { return heap_.size(); }

 private:
  static constexpr std::uint32_t kNowhere = 0xFFFFFFFF;
  struct Entry {
    Instant at;
    std::uint32_t slot = 0;
  };

  void put(std::uint32_t place, Entry entry) noexcept {
    heap_[place] = entry;
    places_[entry.slot] = place;
  }
  void sift_up(std::uint32_t place) noexcept {
    const auto entry = heap_[place];
    while (place > 0 && entry.at < heap_[(place - 1) / 2].at) {
      put(place, heap_[(place - 1) / 2]);
      place = (place - 1) / 2;
    }
    put(place, entry);
  }
  void sift_down(std::uint32_t place) noexcept {
    const auto entry = heap_[place];
    while (true) {
      auto child = 2 * place + 1;
      if (child >= heap_.size()) break;
      if (child + 1 < heap_.size() && heap_[child + 1].at < heap_[child].at) ++child;
      if (entry.at <= heap_[child].at) break;
      put(place, heap_[child]);
      place = child;
    }
    put(place, entry);
  }
  void remove(std::uint32_t place) noexcept {
    places_[heap_[place].slot] = kNowhere;
    const auto last = heap_.back();
    heap_.pop_back();
    if (place == heap_.size()) return;
    put(place, last);
    sift_up(place);
    sift_down(places_[last.slot]);
  }

  std::vector<Entry> heap_;
  std::vector<std::uint32_t> places_;
};

}  // namespace fg::pipeline
