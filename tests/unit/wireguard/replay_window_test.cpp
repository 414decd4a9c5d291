#include "wireguard/replay_window.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace fg::wireguard {
namespace {

constexpr std::uint64_t kWindow = 8192;                     // spec connectivity 6
constexpr std::uint64_t kLimit = 0xFFFF'FFFF'FFFF'DFFFULL;  // whitepaper §6.1: 2^64 - 2^13 - 1

bool take(ReplayWindow& window, std::uint64_t counter) {
  if (!window.would_accept(counter)) return false;
  window.commit(counter);
  return true;
}

TEST(ReplayWindow, FollowsTheTable) {
  ReplayWindow window;
  const struct {
    std::uint64_t counter;
    bool accepted;
  } kTable[] = {
      {0, true},
      {0, false},
      {1, true},
      {1, false},
      {9, true},
      {8, true},
      {7, true},
      {7, false},
      {kWindow, true},
      {kWindow - 1, true},
      {kWindow - 1, false},
      {2, true},
      {2, false},
      {kWindow + 16, true},
      {17, true},   // the oldest inside
      {16, false},  // one behind it
      {3, false},   // far behind
      {kWindow + 16, false},
      {kWindow * 4, true},  // a jump beyond all words
      {kWindow * 3 + 1, true},
      {kWindow * 3, false},
      {kLimit - 1, true},
      {kLimit - 1, false},
      {kLimit - kWindow, true},
      {kLimit - kWindow - 1, false},
      {kLimit, false},
      {kLimit + 1, false},
      {UINT64_MAX, false},
  };
  for (const auto& row : kTable) EXPECT_EQ(take(window, row.counter), row.accepted) << row.counter;
}

TEST(ReplayWindow, CheckingAloneChangesNothing) {
  ReplayWindow window;
  EXPECT_TRUE(window.would_accept(5));
  EXPECT_TRUE(window.would_accept(5));
  EXPECT_EQ(window.next(), 0U);
}

TEST(ReplayWindow, AgreesWithASetOnRandomWalks) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SeededRandom random(seed);
    ReplayWindow window;
    std::set<std::uint64_t> seen;
    std::uint64_t top = 0;
    for (int i = 0; i < 5000; ++i) {
      const std::uint64_t back = random.below(2 * kWindow);
      const std::uint64_t counter = random.below(4) == 0
                                        ? top + random.below(random.below(8) == 0 ? 30000 : 80)
                                        : top - std::min(top, back);
      const bool too_old = !seen.empty() && counter + kWindow <= top;
      ASSERT_EQ(take(window, counter), !too_old && !seen.contains(counter))
          << "seed " << seed << " step " << i;
      seen.insert(counter);
      top = std::max(top, counter);
    }
  }
}

}  // namespace
}  // namespace fg::wireguard
