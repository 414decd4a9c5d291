// Places of clients in the workers' tables: given out densely, taken again only after the worker
// said it is done with them.
#pragma once

#include <optional>
#include <set>

#include "base/ids.h"

namespace fg::controller {

class SlotTable {
 public:
  explicit SlotTable(std::size_t slots_max) : max_(slots_max) {}

  // None: all are taken.
  std::optional<ClientSlot> take() {
    if (!free_.empty()) return free_.extract(free_.begin()).value();
    if (used_ == max_) return std::nullopt;
    return ClientSlot{static_cast<std::uint32_t>(used_++)};
  }
  void give_back(ClientSlot slot) {
    if (number(slot) < used_) free_.insert(slot);
  }
  [[nodiscard]] std::size_t in_use() const { return used_ - free_.size(); }

 private:
  std::size_t max_;
  std::size_t used_ = 0;
  std::set<ClientSlot> free_;
};

}  // namespace fg::controller
