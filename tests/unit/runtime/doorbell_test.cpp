#include "runtime/doorbell.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

namespace fg::runtime {
namespace {

bool is_readable(const Doorbell& bell, int milliseconds = 0) {
  pollfd p{bell.fd(), POLLIN, 0};
  return ::poll(&p, 1, milliseconds) == 1;
}

TEST(Doorbell, RingsOnlyWhenSomebodySleepsAndOnlyOnce) {
  Doorbell bell;
  ASSERT_FALSE(bell.open());
  bell.ring();
  EXPECT_FALSE(is_readable(bell));
  bell.announce();
  EXPECT_FALSE(is_readable(bell));
  bell.ring();
  EXPECT_TRUE(is_readable(bell));
  bell.awake(true);
  EXPECT_FALSE(is_readable(bell));
  bell.ring();
  EXPECT_FALSE(is_readable(bell));
}

TEST(Doorbell, ARingThatComesAfterAwakeIsTakenByTheNext) {
  Doorbell bell;
  ASSERT_FALSE(bell.open());
  bell.announce();
  bell.ring();
  bell.awake(false);
  bell.announce();
  EXPECT_TRUE(is_readable(bell));
  bell.awake(true);
  EXPECT_FALSE(is_readable(bell));
}

TEST(Doorbell, NoWorkIsSleptThrough) {
  constexpr int kRounds = 20'000;
  Doorbell bell;
  ASSERT_FALSE(bell.open());
  SpscRing<int> ring{16};
  std::thread producer{[&] {
    for (int i = 0; i < kRounds;) {
      if (ring.push(i)) ++i;
      bell.ring();
    }
  }};
  int seen = 0;
  while (seen < kRounds) {
    bell.announce();
    const bool rung = ring.is_empty() && is_readable(bell, 10'000);
    if (ring.is_empty() && !rung) {
      ADD_FAILURE() << "slept through after " << seen;
      break;
    }
    bell.awake(rung);
    while (ring.front() != nullptr) {
      EXPECT_EQ(*ring.front(), seen++);
      ring.pop();
    }
  }
  while (seen < kRounds) {  // after a failure
    if (ring.front() != nullptr) ring.pop(), ++seen;
  }
  producer.join();
}

}  // namespace
}  // namespace fg::runtime
