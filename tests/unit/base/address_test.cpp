#include "base/address.h"

#include <gtest/gtest.h>

namespace fg {
namespace {

TEST(IpAddress, PrintsTheCompressedFormItParses) {
  for (const auto* text : {"0.0.0.0", "198.51.100.7", "::", "::1", "2001:db8::1",
                           "fd00:2021:1111:8000::", "1:0:0:2::3", "::ffff:1.2.3.4",
                           "1:2:3:4:5:6:7:8", "fe80::1:0:0:1"}) {
    const auto ip = IpAddress::parse(text);
    ASSERT_TRUE(ip) << text;
    EXPECT_EQ(ip->to_string(), text);
  }
  EXPECT_EQ(IpAddress::parse("2001:DB8:0:0:0:0:0:1")->to_string(), "2001:db8::1");
}

TEST(IpAddress, RefusesEverythingElse) {
  for (const auto* text : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1.2.3.4 ", "1::2::3",
                           "1:2:3:4:5:6:7", ":1", "1:2:3:4:5:6:7:8:9", "12345::", "::g", "[::1]",
                           "fe80::1%eth0", "::1.2.3", "1:2:3:4:5:6:7::8"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
}

TEST(SocketAddress, NeedsBracketsAroundV6) {
  EXPECT_EQ(SocketAddress::parse("[2001:db8::1]:3478")->to_string(), "[2001:db8::1]:3478");
  EXPECT_EQ(SocketAddress::parse("1.2.3.4:80")->port, 80);
  for (const auto* text : {"2001:db8::1:3478", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536",
                           "[1.2.3.4]:80", "[::1]80", "[::1]"}) {
    EXPECT_FALSE(SocketAddress::parse(text)) << text;
  }
}

TEST(Cidr, StrictParsingDemandsAPrefixAndZeroHostBits) {
  EXPECT_TRUE(Cidr::parse("10.0.0.0/8", true));
  EXPECT_FALSE(Cidr::parse("10.0.0.1/8", true));
  EXPECT_FALSE(Cidr::parse("10.0.0.1", true));
  EXPECT_FALSE(Cidr::parse("10.0.0.0/33", true));
  EXPECT_EQ(Cidr::parse("10.1.2.3/8", false)->to_string(), "10.0.0.0/8");
  EXPECT_EQ(Cidr::parse("fd20::1", false)->to_string(), "fd20::1/128");
}

TEST(Cidr, ContainsExactlyItsRange) {
  const auto tunnel = *Cidr::parse("100.64.0.0/11", true);
  EXPECT_FALSE(tunnel.contains(*IpAddress::parse("100.63.255.255")));
  EXPECT_TRUE(tunnel.contains(*IpAddress::parse("100.64.0.0")));
  EXPECT_TRUE(tunnel.contains(*IpAddress::parse("100.95.255.255")));
  EXPECT_FALSE(tunnel.contains(*IpAddress::parse("100.96.0.0")));
  const auto v6 = *Cidr::parse("fd00:2021:1111::/107", true);
  EXPECT_TRUE(v6.contains(*IpAddress::parse("fd00:2021:1111::1f:ffff")));
  EXPECT_FALSE(v6.contains(*IpAddress::parse("fd00:2021:1111::20:0")));
  EXPECT_FALSE(v6.contains(*IpAddress::parse("1.2.3.4")));
  EXPECT_TRUE(Cidr::parse("0.0.0.0/0", true)->contains(tunnel));
  EXPECT_FALSE(tunnel.contains(*Cidr::parse("0.0.0.0/0", true)));
}

}  // namespace
}  // namespace fg
