// Where clients may be: addresses the portal named as candidates or somebody authenticated from.
// What they send is looked at before what strangers send. A set of fixed size that forgets: a new
// entry may push out an old one, which costs that source its precedence and nothing else. Ports are
// left out, because behind a NAT they change.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/address.h"

namespace fg::pipeline {

class ExpectedSources {
 public:
  static constexpr std::size_t kSets = 8192;
  static constexpr std::size_t kWays = 4;

  void add(const IpAddress& address) noexcept {
    auto& set = set_of(address);
    if (std::ranges::find(set.ways, address) != set.ways.end()) return;
    set.ways[set.next++ % kWays] = address;
  }
  [[nodiscard]] bool contains(const IpAddress& address) const noexcept {
    const auto& ways = set_of(address).ways;
    // What no entry has been written to says 0.0.0.0, which sends nothing.
    return std::ranges::find(ways, address) != ways.end();
  }

 private:
  struct Set {
    std::array<IpAddress, kWays> ways{};
    std::uint8_t next = 0;
  };
  [[nodiscard]] static std::size_t index_of(const IpAddress& address) noexcept {
    return (std::hash<IpAddress>{}(address) * 0x9E3779B97F4A7C15ULL >> 40) % kSets;
  }
  [[nodiscard]] Set& set_of(const IpAddress& address) noexcept { return sets_[index_of(address)]; }
  [[nodiscard]] const Set& set_of(const IpAddress& address) const noexcept {
    return sets_[index_of(address)];
  }

  std::vector<Set> sets_ = std::vector<Set>(kSets);
};

}  // namespace fg::pipeline
