#include "gateway/wan_links.h"

#include <gmock/gmock.h>

#include "tests/unit/gateway/own_namespace.h"

namespace fg::gateway {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<Interface> some() {
  return {{.index = 1, .name = "lo", .is_loopback = true},
          {.index = 2, .name = "eth0"},
          {.index = 3, .name = "eth1"},
          {.index = 4, .name = "eth0.7", .kind = "vlan", .parent = 2},
          {.index = 5, .name = "inner", .kind = "vlan", .parent = 4},
          {.index = 6, .name = "bond0", .kind = "bond"},
          {.index = 7, .name = "bond0.9", .kind = "vlan", .parent = 6},
          {.index = 8, .name = "tun-firezone", .kind = "tun"}};
}
std::vector<std::string> names(const std::vector<WanLink>& links) {
  std::vector<std::string> out;
  for (const auto& link : links) out.push_back(link.name);
  return out;
}

TEST(WanLinks, ThoseOfTheRoutesOnceEach) {
  EXPECT_THAT(names(wan_links(some(), {2, 3, 2, 2}, {})), ElementsAre("eth0", "eth1"));
  EXPECT_THAT(wan_links(some(), {}, {}), IsEmpty());
}

TEST(WanLinks, AVlanStandsForTheDeviceUnderIt) {
  EXPECT_THAT(names(wan_links(some(), {4, 5}, {})), ElementsAre("eth0"));
  EXPECT_THAT(names(wan_links(some(), {}, {"inner"})), ElementsAre("eth0"));
}

TEST(WanLinks, TheTunnelItselfLoopbackAndWhatIsGoneAreNone) {
  EXPECT_THAT(wan_links(some(), {8, 1, 99}, {}), IsEmpty());
}

TEST(WanLinks, ABondIsNamedWithItsReason) {
  for (const unsigned index : {6U, 7U}) {
    const auto links = wan_links(some(), {index}, {});
    ASSERT_THAT(names(links), ElementsAre("bond0"));
    EXPECT_THAT(links[0].obstacle, HasSubstr("bond0 is a bond"));
  }
}

TEST(WanLinks, NamesTakeThePlaceOfRoutes) {
  EXPECT_THAT(names(wan_links(some(), {2}, {"eth1"})), ElementsAre("eth1"));
  const auto links = wan_links(some(), {2}, {"eth9"});
  ASSERT_THAT(names(links), ElementsAre("eth9"));
  EXPECT_THAT(links[0].obstacle, HasSubstr("`ip link`"));
}

class WanLinksOfTheHost : public OwnNamespace {};

TEST_F(WanLinksOfTheHost, RoutesKindsAndAddressesAreReadAsTheyStand) {
  output_of(
      "ip link add wan type veth peer name far; ip link set wan up; ip link set far up;"
      "ip addr add 192.0.2.1/24 dev wan; ip addr add 2001:db8::1/64 dev wan nodad;"
      "ip link add br0 type bridge; ip link set br0 up;"
      "ip route add default via 192.0.2.9 dev wan; ip -6 route add default dev far;"
      "ip route add 198.51.100.0/24 dev br0");
  const auto netlink = std::move(*Netlink::open());
  const auto all = netlink->interfaces();
  ASSERT_TRUE(all) << all.error().to_string();
  const auto routed = netlink->default_routes();
  ASSERT_TRUE(routed) << routed.error().to_string();
  EXPECT_EQ(routed->size(), 2U);
  EXPECT_THAT(names(wan_links(*all, *routed, {})), ElementsAre("wan", "far"));
  EXPECT_THAT(wan_links(*all, {}, {"br0"})[0].obstacle, HasSubstr("is a bridge"));
  const auto addresses = netlink->addresses();
  ASSERT_TRUE(addresses);
  EXPECT_THAT(*addresses, Contains(*IpAddress::parse("192.0.2.1")));
  EXPECT_THAT(*addresses, Contains(*IpAddress::parse("2001:db8::1")));
}

TEST_F(WanLinksOfTheHost, EveryWayOfAMultipathRouteCounts) {
  output_of(
      "ip link add w0 type veth peer name w1; ip link set w0 up; ip link set w1 up;"
      "ip addr add 192.0.2.1/25 dev w0; ip addr add 192.0.2.129/25 dev w1;"
      "ip route add default nexthop via 192.0.2.2 dev w0 nexthop via 192.0.2.130 dev w1");
  const auto netlink = std::move(*Netlink::open());
  EXPECT_THAT(names(wan_links(*netlink->interfaces(), *netlink->default_routes(), {})),
              UnorderedElementsAre("w0", "w1"));
}

}  // namespace
}  // namespace fg::gateway
