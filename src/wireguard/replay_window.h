// Sliding window over message counters, as a ring of 64-bit words (RFC 6479): moving forward clears
// whole words, nothing is shifted. Check before the cryptography, commit after it. One owner, plain
// integers.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace fg::wireguard {

inline constexpr std::uint64_t kRejectAfterMessages =
    UINT64_MAX - 0x2000;  // whitepaper §6.1: 2^64 - 2^13 - 1

class ReplayWindow {
 public:
  // At least this many counters behind the newest are told apart (spec connectivity 4.5).
  static constexpr std::uint64_t kSize = 8192;

  // Neither seen, nor too old, nor beyond the last counter a key may use.
  [[nodiscard]] bool would_accept(std::uint64_t counter) const noexcept {
    if (counter >= kRejectAfterMessages) return false;
    if (counter >= next_) return true;
    if (next_ - counter > kSize) return false;
    return (words_[word_of(counter)] >> (counter % kBits) & 1) == 0;
  }
  // The counter was authenticated and would be accepted.
  void commit(std::uint64_t counter) noexcept {
    if (counter >= next_) advance_to(counter);
    words_[word_of(counter)] |= std::uint64_t{1} << (counter % kBits);
  }
  [[nodiscard]] std::uint64_t next() const noexcept { return next_; }
  // Where the bit of this counter lies, for prefetching.
  [[nodiscard]] const void* address_of(std::uint64_t counter) const noexcept {
    return &words_[word_of(counter)];
  }

 private:
  static constexpr std::uint64_t kBits = 64;
  // One word more than the window needs is in flux at the leading edge; a power of two keeps the
  // index a mask.
  static constexpr std::uint64_t kWords = 2 * kSize / kBits;
  static std::size_t word_of(std::uint64_t counter) noexcept { return counter / kBits % kWords; }

  void advance_to(std::uint64_t counter) noexcept {
    const std::uint64_t last = next_ == 0 ? 0 : (next_ - 1) / kBits;  // word of the newest counter
    const std::uint64_t steps = std::min(counter / kBits - last, kWords);
    for (std::uint64_t i = 1; i <= steps; ++i) words_[(last + i) % kWords] = 0;
    next_ = counter + 1;
  }

  std::uint64_t next_ = 0;  // one past the highest counter seen
  std::array<std::uint64_t, kWords> words_{};
};

}  // namespace fg::wireguard
