#include "pipeline/tunnel_address.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::pipeline {
namespace {

using test::ip;

// spec policy 1.1 and the boundaries of its test catalogue, 10.1.
TEST(TunnelAddress, TheRangesEndWhereTheSpecificationSays) {
  for (const auto* inside : {"100.64.0.0", "100.64.0.3", "100.95.255.255",
                             "fd00:2021:1111::", "fd00:2021:1111::3", "fd00:2021:1111::1f:ffff"}) {
    EXPECT_TRUE(is_tunnel_address(ip(inside))) << inside;
  }
  for (const auto* outside : {"100.63.255.255", "100.96.0.0", "100.96.0.1", "fd00:2021:1111::20:0",
                              "fd00:2021:1111:8000::1", "fd00:2021:1111:0:1::", "fd00:2021:1110::1",
                              "::", "0.0.0.0", "ff02::16"}) {
    EXPECT_FALSE(is_tunnel_address(ip(outside))) << outside;
  }
}

TEST(TunnelAddress, EachHasANumberOfItsOwn) {
  EXPECT_EQ(tunnel_number(ip("100.64.0.0")), 0U);
  EXPECT_EQ(tunnel_number(ip("100.95.255.255")), 0x1FFFFFU);
  EXPECT_EQ(tunnel_number(ip("fd00:2021:1111::")), 0x200000U);
  EXPECT_EQ(tunnel_number(ip("fd00:2021:1111::1f:ffff")), 0x3FFFFFU);
}

}  // namespace
}  // namespace fg::pipeline
