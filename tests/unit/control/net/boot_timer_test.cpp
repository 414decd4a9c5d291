#include "control/net/boot_timer.h"

#include <gtest/gtest.h>

namespace fg::net {
namespace {

class BootTimerTest : public testing::Test {
 protected:
  boost::asio::io_context context;
  int expired = 0;
  BootTimer timer{context, [this] { ++expired; }};
};

TEST_F(BootTimerTest, ExpiresOnceAndNotEarly) {
  const auto at = boot_now() + 20ms;
  timer.set(at);
  context.run();
  EXPECT_EQ(expired, 1);
  EXPECT_GE(boot_now(), at);
}

TEST_F(BootTimerTest, ADeadlineInThePastExpiresAtOnce) {
  timer.set(Instant{});
  context.run();
  EXPECT_EQ(expired, 1);
}

TEST_F(BootTimerTest, ALaterDeadlineReplacesAnEarlierOne) {
  const auto later = boot_now() + 30ms;
  timer.set(boot_now() + 5ms);
  timer.set(later);
  context.run();
  EXPECT_EQ(expired, 1);
  EXPECT_GE(boot_now(), later);
}

TEST_F(BootTimerTest, NoDeadlineMeansNoExpiry) {
  timer.set(boot_now() + 5ms);
  timer.set(std::nullopt);
  context.poll();
  EXPECT_EQ(expired, 0);
}

TEST(BootTimer, MaySetItselfAgainAndMayBeDestroyedByItsCallback) {
  boost::asio::io_context context;
  std::optional<BootTimer> timer;
  int expired = 0;
  timer.emplace(context, [&] {
    if (++expired < 3) {
      timer->set(boot_now() + 1ms);
    } else {
      timer.reset();
    }
  });
  timer->set(boot_now());
  context.run();
  EXPECT_EQ(expired, 3);
}

}  // namespace
}  // namespace fg::net
