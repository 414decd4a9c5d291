// Randomness as an argument. Secrets come from crypto's generator; jitter and ids may come from a
// seeded one. A test replaces both through this one interface.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace fg {

class Random {
 public:
  virtual ~Random() = default;
  virtual void fill(MutableBytes out) = 0;

  std::uint64_t u64() {
    std::array<std::uint8_t, 8> b{};
    fill(b);
    return load_le64(b.data());
  }
  std::uint32_t u32() { return static_cast<std::uint32_t>(u64()); }
  // Uniform in [0, n); n > 0. The bias of the multiplication is below 2^-32 for the n used here.
  std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>((std::uint64_t{u32()} * n) >> 32);
  }
};

// Repeatable: splitmix64. For tests, simulations and jitter, never for secrets.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(std::uint64_t seed) : state_(seed) {}
  void fill(MutableBytes out) override {
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (i % 8 == 0) word_ = next();
      out[i] = static_cast<std::uint8_t>(word_ >> (8 * (i % 8)));
    }
  }

 private:
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::uint64_t state_;
  std::uint64_t word_ = 0;
};

}  // namespace fg
