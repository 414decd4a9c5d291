#include "filter/ranges.h"

#include <gtest/gtest.h>

namespace fg::filter {
namespace {

IpAddress ip(std::string_view text) {
  const auto address = IpAddress::parse(text);
  EXPECT_TRUE(address) << text;
  return address.value_or(IpAddress{});
}

// Spec policy 1.1 and 10.1 items 1 to 3.
TEST(Ranges, TunnelAddressesEndWhereTheSpecSays) {
  for (const auto* in : {"100.64.0.0", "100.64.0.3", "100.95.255.255",
                         "fd00:2021:1111::", "fd00:2021:1111::3", "fd00:2021:1111::1f:ffff"}) {
    EXPECT_TRUE(is_tunnel(ip(in))) << in;
  }
  for (const auto* out : {"100.63.255.255", "100.96.0.0", "100.96.0.1", "fd00:2021:1111::20:0",
                          "fd00:2021:1110:ffff::", "fd00:2021:1111:8000::1", "fd00:2021:1111:1::",
                          "fd00:2021:1111:0:1::", "ff02::16", "fd01:2021:1111::3", "::"}) {
    EXPECT_FALSE(is_tunnel(ip(out))) << out;
  }
}

TEST(Ranges, ProxyAddressesEndWhereTheSpecSays) {
  for (const auto* in : {"100.96.0.0", "100.127.255.255", "100.100.111.1",
                         "fd00:2021:1111:8000::", "fd00:2021:1111:8000::1f:ffff"}) {
    EXPECT_TRUE(is_proxy(ip(in))) << in;
  }
  for (const auto* out :
       {"100.95.255.255", "100.128.0.0", "fd00:2021:1111:7fff::", "fd00:2021:1111:8000::20:0",
        "fd00:2021:1111:8000:100:100:111:1", "fd00:2021:1111::", "101.96.0.0"}) {
    EXPECT_FALSE(is_proxy(ip(out))) << out;
  }
}

TEST(Ranges, SentinelsEndWhereTheSpecSays) {
  for (const auto* in : {"100.100.111.0", "100.100.111.255", "fd00:2021:1111:8000:100:100:111:0",
                         "fd00:2021:1111:8000:100:100:111:ff"}) {
    EXPECT_TRUE(is_sentinel(ip(in))) << in;
  }
  for (const auto* out : {"100.100.110.255", "100.100.112.0", "fd00:2021:1111:8000:100:100:110:ff",
                          "fd00:2021:1111:8000:100:100:111:100", "fd00:2021:1111:8000::1"}) {
    EXPECT_FALSE(is_sentinel(ip(out))) << out;
  }
}

// Spec policy 3.5 and 10.3 item 48: first and last address of each range.
TEST(Ranges, SpecialRangesAreSpecialFromFirstToLast) {
  for (const auto* in : {"10.0.0.0",
                         "10.255.255.255",
                         "172.16.0.0",
                         "172.31.255.255",
                         "192.168.0.0",
                         "192.168.255.255",
                         "127.0.0.0",
                         "127.255.255.255",
                         "169.254.0.0",
                         "169.254.255.255",
                         "100.64.0.0",
                         "100.127.255.255",
                         "224.0.0.0",
                         "239.255.255.255",
                         "240.0.0.0",
                         "255.255.255.255",
                         "0.0.0.0",
                         "0.255.255.255",
                         "::1",
                         "::ffff:0.0.0.0",
                         "::ffff:8.8.8.8",
                         "::ffff:255.255.255.255",
                         "fc00::",
                         "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                         "fe80::",
                         "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                         "ff00::",
                         "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                         "64:ff9b::10.0.0.1",
                         "64:ff9b::0.0.0.0",
                         "64:ff9b::127.0.0.1",
                         "64:ff9b::255.255.255.255"}) {
    EXPECT_TRUE(is_special(ip(in))) << in;
  }
}

TEST(Ranges, NeighboursOfSpecialRangesAreNotSpecial) {
  for (const auto* out : {"9.255.255.255",
                          "11.0.0.0",
                          "172.15.255.255",
                          "172.32.0.0",
                          "192.167.255.255",
                          "192.169.0.0",
                          "126.255.255.255",
                          "128.0.0.0",
                          "169.253.255.255",
                          "169.255.0.0",
                          "100.63.255.255",
                          "100.128.0.0",
                          "223.255.255.255",
                          "1.0.0.0",
                          "192.0.2.1",
                          "::",
                          "::2",
                          "::fffe:ffff:ffff",
                          "::1:0:0:0",
                          "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
                          "fbff::",
                          "fe7f::",
                          "fec0::",
                          "feff::",
                          "fe00::",
                          "2001:db8::1",
                          "64:ff9b::8.8.8.8",
                          "64:ff9b::11.0.0.0",
                          "64:ff9b:1::10.0.0.1",
                          "64:ff9b::1:10.0.0.1"}) {
    EXPECT_FALSE(is_special(ip(out))) << out;
  }
}

}  // namespace
}  // namespace fg::filter
