// What every fuzz target starts from: laws that stop the process with their text and place, and an
// input read as a sequence of decisions. Reading too far, undefined behaviour and leaks are for the
// sanitizers.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/time.h"

#define FG_LAW(expression) FG_ASSERT(expression)

namespace fg::fuzz {

inline constexpr Instant kStart{1000h};
inline constexpr WallTime kWallStart{1'700'000'000s};

// Decisions from the front of the input; zeros when it is used up, so every input means something.
class Choices {
 public:
  explicit Choices(Bytes input) : rest_(input) {}

  [[nodiscard]] bool empty() const { return rest_.empty(); }
  std::uint8_t u8() {
    if (rest_.empty()) return 0;
    const auto out = rest_.front();
    rest_ = rest_.subspan(1);
    return out;
  }
  std::uint16_t u16() {
    const auto high = u8();
    return static_cast<std::uint16_t>(high << 8 | u8());
  }
  std::uint32_t u32() {
    const auto high = u16();
    return std::uint32_t{high} << 16 | u16();
  }
  std::uint64_t u64() {
    const auto high = u32();
    return std::uint64_t{high} << 32 | u32();
  }
  bool flag() { return (u8() & 1) != 0; }
  std::size_t below(std::size_t n) { return u8() % n; }
  template <class T>
  const T& one_of(const std::vector<T>& values) {
    return values[below(values.size())];
  }
  // A length byte, then as many bytes as there are.
  Bytes bytes() { return take(u8()); }
  Bytes take(std::size_t n) {
    n = std::min(n, rest_.size());
    const auto out = rest_.first(n);
    rest_ = rest_.subspan(n);
    return out;
  }
  std::string_view text() { return as_text(bytes()); }
  Bytes rest() { return take(rest_.size()); }
  // From nothing over milliseconds to an hour: small steps find races of timers, large ones find
  // catching up.
  Duration pause() {
    const auto value = u8();
    constexpr std::array<Duration, 4> kUnits{1ms, 100ms, 1s, 60s};
    return kUnits[value >> 6] * (value & 63);
  }

 private:
  Bytes rest_;
};

}  // namespace fg::fuzz

#define FG_FUZZ_TARGET(function)                                                      \
  extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { \
    function(::fg::Bytes{data, size});                                                \
    return 0;                                                                         \
  }
