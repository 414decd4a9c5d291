#include "base/spsc_ring.h"

#include <gtest/gtest.h>

#include <deque>
#include <thread>

namespace fg {
namespace {

// Every sequence of ten operations on a four-slot ring against a plain queue.
TEST(SpscRing, AgreesWithANaiveQueueForEverySequence) {
  for (unsigned script = 0; script < (1U << 10); ++script) {
    SpscRing<int> ring{4};
    std::deque<int> model;
    for (int step = 0; step < 10; ++step) {
      if ((script >> step & 1) != 0) {
        const bool pushed = ring.push(step);
        ASSERT_EQ(pushed, model.size() < 4);
        if (pushed) model.push_back(step);
      } else {
        auto* front = ring.front();
        ASSERT_EQ(front != nullptr, !model.empty());
        if (front != nullptr) {
          ASSERT_EQ(*front, model.front());
          ring.pop();
          model.pop_front();
        }
      }
    }
  }
}

TEST(SpscRing, ReservedSlotsAreInvisibleUntilPublished) {
  SpscRing<int> ring{4};
  *ring.reserve() = 1;
  *ring.reserve() = 2;
  EXPECT_TRUE(ring.is_empty());
  ring.publish();
  EXPECT_EQ(*ring.front(), 1);
}

TEST(SpscRing, KeepsOrderBetweenTwoThreads) {
  SpscRing<std::uint32_t> ring{64};
  constexpr std::uint32_t kCount = 200'000;
  std::thread producer{[&] {
    for (std::uint32_t i = 0; i < kCount;) {
      if (ring.push(i))
        ++i;
      else
        std::this_thread::yield();
    }
  }};
  for (std::uint32_t expected = 0; expected < kCount;) {
    if (auto* front = ring.front()) {
      ASSERT_EQ(*front, expected);
      ring.pop();
      ++expected;
    } else {
      std::this_thread::yield();
    }
  }
  producer.join();
}

}  // namespace
}  // namespace fg
