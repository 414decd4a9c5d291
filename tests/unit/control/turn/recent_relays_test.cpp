#include "control/turn/recent_relays.h"

#include <gtest/gtest.h>

namespace fg::turn {
namespace {

IpAddress ip(std::uint8_t n) { return IpAddress::v4(198, 51, 100, n); }

TEST(TurnRecentRelays, RemembersTheLastSixtyFour) {
  RecentRelays recent;
  EXPECT_FALSE(recent.contains(IpAddress{}));
  for (std::uint8_t n = 1; n <= 64; ++n) recent.remember(ip(n));
  EXPECT_TRUE(recent.contains(ip(1)));
  recent.remember(ip(65));
  EXPECT_FALSE(recent.contains(ip(1)));
  EXPECT_TRUE(recent.contains(ip(2)));
  recent.remember(ip(66));
  EXPECT_FALSE(recent.contains(ip(2)));
  EXPECT_TRUE(recent.contains(ip(66)));
}

TEST(TurnRecentRelays, AKnownAddressTakesNoSecondPlace) {
  RecentRelays recent;
  for (int i = 0; i < 100; ++i) recent.remember(ip(1));
  for (std::uint8_t n = 2; n <= 64; ++n) recent.remember(ip(n));
  EXPECT_TRUE(recent.contains(ip(1)));
}

}  // namespace
}  // namespace fg::turn
