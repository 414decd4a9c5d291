// A small integer to a small integer, without allocation after construction: open addressing,
// linear probing, deletion by shifting back. At most half full, so a probe is one cache line nearly
// always.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace fg::pipeline {

class IndexMap {
 public:
  // Keys are below 2^31.
  explicit IndexMap(std::size_t entries_max)
      : entries_max_(entries_max),
        mask_(std::bit_ceil(entries_max * 2 + 2) - 1),
        cells_(mask_ + 1) {}

  [[nodiscard]] std::size_t size() const { return size_; }

  [[nodiscard]] std::optional<std::uint32_t> find(std::uint32_t key) const noexcept {
    for (auto i = home(key);; i = (i + 1) & mask_) {
      if (cells_[i].key == key + 1) return cells_[i].value;
      if (cells_[i].key == 0) return std::nullopt;
    }
  }
  void prefetch(std::uint32_t key) const noexcept { __builtin_prefetch(&cells_[home(key)]); }

  // False when the map is full and the key is new.
  bool set(std::uint32_t key, std::uint32_t value) noexcept {
    auto i = home(key);
    while (cells_[i].key != 0 && cells_[i].key != key + 1) i = (i + 1) & mask_;
    if (cells_[i].key == 0) {
      if (size_ == entries_max_) return false;
      ++size_;
    }
    cells_[i] = {key + 1, value};
    return true;
  }

  void erase(std::uint32_t key) noexcept {
    auto i = home(key);
    while (cells_[i].key != key + 1) {
      if (cells_[i].key == 0) return;
      i = (i + 1) & mask_;
    }
    --size_;
    for (auto next = (i + 1) & mask_; cells_[next].key != 0; next = (next + 1) & mask_) {
      // A cell may move back into the hole unless its home lies behind the hole.
      if (((next - home(cells_[next].key - 1)) & mask_) >= ((next - i) & mask_)) {
        cells_[i] = cells_[next];
        i = next;
      }
    }
    cells_[i] = {};
  }

 private:
  struct Cell {
    std::uint32_t key = 0;  // plus one; 0: empty
    std::uint32_t value = 0;
  };
  [[nodiscard]] std::size_t home(std::uint32_t key) const noexcept {
    return (key * std::uint64_t{0x9E3779B97F4A7C15} >> 32) & mask_;
  }

  std::size_t entries_max_;
  std::size_t mask_;
  std::size_t size_ = 0;
  std::vector<Cell> cells_;
};

}  // namespace fg::pipeline
