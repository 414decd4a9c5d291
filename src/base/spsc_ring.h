// Bounded ring between exactly one producer and one consumer thread. A full ring is an outcome the
// caller counts, never a wait. Each side caches the other's index and looks again only when the
// cached one says full or empty; a batch is published once.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <memory>
#include <utility>

#include "base/assert.h"

namespace fg {

inline constexpr std::size_t kCacheLines =
    128;  // two lines: the adjacent-line prefetcher pairs them

template <class T>
class SpscRing {
 public:
  explicit SpscRing(std::size_t capacity)
      : mask_(capacity - 1), slots_(std::make_unique<T[]>(capacity)) {
    FG_ASSERT(std::has_single_bit(capacity));
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  [[nodiscard]] std::size_t capacity() const { return mask_ + 1; }

  // Producer: a slot to fill in place, nullptr when full. Slots become visible with publish().
  T* reserve() {
    if (tail_local_ - head_cached_ > mask_) {
      head_cached_ = head_.load(std::memory_order_acquire);
      if (tail_local_ - head_cached_ > mask_) return nullptr;
    }
    return &slots_[tail_local_++ & mask_];
  }
  void publish() { tail_.store(tail_local_, std::memory_order_release); }
  // Reserve, fill and publish one element.
  bool push(T value) {
    T* slot = reserve();
    if (slot == nullptr) return false;
    *slot = std::move(value);
    publish();
    return true;
  }

  // Consumer: the oldest element, nullptr when empty; it stays until pop().
  T* front() {
    if (head_local_ == tail_cached_) {
      tail_cached_ = tail_.load(std::memory_order_acquire);
      if (head_local_ == tail_cached_) return nullptr;
    }
    return &slots_[head_local_ & mask_];
  }
  void pop() { head_.store(++head_local_, std::memory_order_release); }
  [[nodiscard]] bool is_empty() { return front() == nullptr; }

 private:
  const std::size_t mask_;
  std::unique_ptr<T[]> slots_;
  alignas(kCacheLines) std::atomic<std::size_t> tail_{0};
  alignas(kCacheLines) std::size_t tail_local_ = 0;
  std::size_t head_cached_ = 0;
  alignas(kCacheLines) std::atomic<std::size_t> head_{0};
  alignas(kCacheLines) std::size_t head_local_ = 0;
  std::size_t tail_cached_ = 0;
};

}  // namespace fg
