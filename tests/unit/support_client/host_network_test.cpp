#include "tests/support/client/host_network.h"

#include <gtest/gtest.h>

namespace fg::client::test {
namespace {

const HostOptions kOptions{"tun-client", 0xfd002021};

NetworkSetup setup(std::initializer_list<const char*> routes) {
  NetworkSetup out{{*IpAddress::parse("100.80.3.17"), *IpAddress::parse("fd00:2021:1111::3:11")},
                   {}};
  for (const auto* route : routes) out.routes.push_back(*Cidr::parse(route, true));
  return out;
}

TEST(ClientHostNetwork, StartsWithLinkAddressRoutesAndTheRuleThatSparesMarkedSockets) {
  EXPECT_EQ(ip_commands(kOptions, Family::v4, std::nullopt, setup({"10.20.0.0/24", "fd20::/64"})),
            "link set dev tun-client mtu 1280 up\n"
            "addr replace 100.80.3.17/32 dev tun-client\n"
            "route replace 10.20.0.0/24 dev tun-client table 539098368\n"
            "rule add pref 100 not fwmark 4244643873 table 539098368\n");
  EXPECT_EQ(ip_commands(kOptions, Family::v6, std::nullopt, setup({"10.20.0.0/24", "fd20::/64"})),
            "addr replace fd00:2021:1111::3:11/128 dev tun-client nodad\n"
            "route replace fd20::/64 dev tun-client table 539098368\n"
            "rule add pref 100 not fwmark 4244643873 table 539098368\n");
}

TEST(ClientHostNetwork, ChangesOnlyWhatIsDifferent) {
  const auto before = setup({"10.20.0.0/24", "10.30.0.0/16"});
  EXPECT_EQ(ip_commands(kOptions, Family::v4, before, before), "");
  EXPECT_EQ(ip_commands(kOptions, Family::v4, before, setup({"0.0.0.0/0", "10.30.0.0/16"})),
            "route del 10.20.0.0/24 dev tun-client table 539098368\n"
            "route replace 0.0.0.0/0 dev tun-client table 539098368\n");
  auto moved = before;
  moved.interface.v4 = *IpAddress::parse("100.80.3.18");
  EXPECT_EQ(ip_commands(kOptions, Family::v4, before, moved),
            "addr del 100.80.3.17/32 dev tun-client\naddr replace 100.80.3.18/32 dev tun-client\n");
}

}  // namespace
}  // namespace fg::client::test
