// How often a client is told by ICMP that its packet was refused (spec policy 3.7, HARDEN): so many
// a second, and of these half for flows that were not told for a second. Newer clients ask for
// access again when they are told, so that one refused stream must not silence the others.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/time.h"
#include "base/token_bucket.h"
#include "packet/inner.h"

namespace fg::pipeline {

class AnswerLimit {
 public:
  static constexpr Duration kInterval = 10ms;
  static constexpr int kBurst = 200;
  static constexpr Duration kFlowInterval = 1s;

  [[nodiscard]] bool take(const IpAddress& destination, const packet::ProtoClass& proto,
                          Instant now) noexcept {
    auto& told = told_[cell_of(destination, proto)];
    if (!bucket_.has(kBurst / 2, now) && told && now - *told < kFlowInterval) return false;
    if (!bucket_.take(now)) return false;
    told = now;
    return true;
  }

 private:
  static constexpr std::size_t kCells = 64;  // flows that meet in one share their second; 2^6

  static std::size_t cell_of(const IpAddress& destination,
                             const packet::ProtoClass& proto) noexcept {
    std::uint64_t h = static_cast<std::uint64_t>(proto.kind) << 32 |
                      std::uint64_t{proto.source} << 16 | proto.destination;
    for (const auto byte : destination.raw()) h = (h ^ byte) * 0x100000001B3ULL;
    return static_cast<std::size_t>((h ^ h >> 29) * 0x9E3779B97F4A7C15ULL >> 58);
  }

  TokenBucket bucket_{kInterval, kBurst};
  std::array<std::optional<Instant>, kCells> told_{};
};

}  // namespace fg::pipeline
