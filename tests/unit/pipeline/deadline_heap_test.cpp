#include "pipeline/deadline_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/random.h"

namespace fg::pipeline {
namespace {

Instant at(int seconds) { return Instant{std::chrono::seconds{seconds}}; }

TEST(DeadlineHeap, ANearerDeadlineMovesAnEntryAndAFartherOneDoesNot) {
  DeadlineHeap heap{2};
  heap.arm(0, at(10));
  heap.arm(0, at(20));
  EXPECT_EQ(heap.next(), at(10));
  heap.arm(0, at(5));
  EXPECT_EQ(heap.next(), at(5));
  EXPECT_EQ(heap.size(), 1U);
  EXPECT_EQ(heap.pop_due(at(4)), std::nullopt);
  EXPECT_EQ(heap.pop_due(at(5)), 0U);
  EXPECT_EQ(heap.next(), std::nullopt);
}

TEST(DeadlineHeap, AgreesWithAnOrderedMapUnderRandomChanges) {
  constexpr std::uint32_t kSlots = 50;
  DeadlineHeap heap{kSlots};
  std::map<std::uint32_t, Instant> model;
  SeededRandom random{9};
  for (int i = 0; i < 100'000; ++i) {
    const auto slot = random.below(kSlots);
    const auto when = at(static_cast<int>(random.below(1000)));
    switch (random.below(4)) {
      case 0:
        heap.disarm(slot);
        model.erase(slot);
        break;
      case 1: {
        const auto due = heap.pop_due(when);
        const auto first =
            std::ranges::min_element(model, {}, [](const auto& e) { return e.second; });
        ASSERT_EQ(due.has_value(), first != model.end() && first->second <= when);
        if (due) {
          ASSERT_EQ(model.at(*due), first->second);
          model.erase(*due);
        }
        break;
      }
      default: {
        heap.arm(slot, when);
        const auto [entry, is_new] = model.emplace(slot, when);
        if (!is_new) entry->second = std::min(entry->second, when);
      }
    }
    ASSERT_EQ(heap.size(), model.size());
  }
}

}  // namespace
}  // namespace fg::pipeline
