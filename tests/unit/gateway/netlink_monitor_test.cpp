#include "gateway/netlink_monitor.h"

#include <linux/rtnetlink.h>
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "tests/unit/gateway/own_namespace.h"

namespace fg::gateway {
namespace {

using Kind = HostChange::Kind;
using Topic = NetlinkMonitor::Topic;

class NetlinkMonitorTest : public OwnNamespace {
 protected:
  // What a command changes, the kernel's own consequences included.
  static std::vector<HostChange> changes(NetlinkMonitor& monitor, const std::string& command) {
    EXPECT_EQ(output_of(command), "");
    std::vector<HostChange> out;
    pollfd p{monitor.fd(), POLLIN, 0};
    while (::poll(&p, 1, 200) == 1)
      monitor.read([&](const HostChange& change) { out.push_back(change); });
    return out;
  }
  template <class Matches>
  static bool any(const std::vector<HostChange>& all, Matches matches) {
    return std::any_of(all.begin(), all.end(), matches);
  }
};

TEST_F(NetlinkMonitorTest, SaysWhichLinkAddressRouteAndRuleChanged) {
  auto monitor = NetlinkMonitor::open(Topic::routing);
  ASSERT_TRUE(monitor) << monitor.error().to_string();
  EXPECT_TRUE(any(changes(*monitor, "ip link set tun-test up"), [](const HostChange& c) {
    return c.kind == Kind::link && c.interface == "tun-test" && c.is_up && !c.removed &&
           c.index > 0;
  }));
  EXPECT_TRUE(any(changes(*monitor, "ip addr add 192.0.2.7/24 dev tun-test"), [](const auto& c) {
    return c.kind == Kind::address && c.address == IpAddress::parse("192.0.2.7") && c.prefix == 24;
  }));
  EXPECT_TRUE(
      any(changes(*monitor, "ip addr add 2001:db8::7/64 dev tun-test nodad"), [](const auto& c) {
        return c.kind == Kind::address && c.address == IpAddress::parse("2001:db8::7");
      }));
  EXPECT_TRUE(any(changes(*monitor, "ip route add default dev tun-test"), [](const auto& c) {
    return c.kind == Kind::route && c.family == Family::v4 && c.prefix == 0 && c.table == 254;
  }));
  EXPECT_TRUE(
      any(changes(*monitor, "ip -6 rule add priority 7 lookup 539098368"), [](const auto& c) {
        return c.kind == Kind::rule && c.family == Family::v6 && c.table == 0x2021fd00;
      }));
  const auto gone = changes(*monitor, "ip link del tun-test");
  EXPECT_TRUE(any(gone, [](const auto& c) {
    return c.kind == Kind::link && c.removed && c.interface == "tun-test";
  }));
  EXPECT_TRUE(any(gone, [](const auto& c) {
    return c.kind == Kind::address && c.removed && c.address == IpAddress::parse("192.0.2.7");
  }));
}

TEST_F(NetlinkMonitorTest, SaysWhichNeighbourChanged) {
  auto monitor = NetlinkMonitor::open(Topic::neighbours);
  ASSERT_TRUE(monitor) << monitor.error().to_string();
  ASSERT_EQ(output_of("ip link add v0 type veth peer name v1 && ip link set v0 up"), "");
  const auto is_that = [](const HostChange& c) {
    return c.kind == Kind::neighbour && c.index > 0 && c.address == IpAddress::parse("192.0.2.9") &&
           c.family == Family::v4;
  };
  const std::string entry = " 192.0.2.9 lladdr 02:00:00:00:00:09 dev v0";
  EXPECT_TRUE(any(changes(*monitor, "ip neigh replace" + entry), is_that));
  EXPECT_TRUE(any(changes(*monitor, "ip neigh del" + entry), is_that));
}

TEST_F(NetlinkMonitorTest, SaysThatTheFirewallChanged) {
  auto monitor = NetlinkMonitor::open(Topic::firewall);
  ASSERT_TRUE(monitor) << monitor.error().to_string();
  const auto made = changes(*monitor, "nft add table ip some");
  EXPECT_TRUE(any(made, [](const auto& c) { return c.kind == Kind::firewall; }));
  EXPECT_FALSE(changes(*monitor, "nft flush ruleset").empty());
}

TEST_F(NetlinkMonitorTest, LostAnnouncementsAreSaidToBeLost) {
  auto monitor = NetlinkMonitor::open(Topic::routing);
  ASSERT_TRUE(monitor) << monitor.error().to_string();
  const int least = 0;
  ASSERT_EQ(::setsockopt(monitor->fd(), SOL_SOCKET, SO_RCVBUF, &least, sizeof least), 0);
  const auto all =
      changes(*monitor, "for i in $(seq 50); do ip rule add priority $i lookup 7; done");
  EXPECT_TRUE(any(all, [](const auto& c) { return c.kind == Kind::unknown; }));
}

TEST(ParseChanges, EndsAtTheFirstLengthThatLies) {
  struct {
    nlmsghdr header;
    ifinfomsg body;
    rtattr name;
    std::array<char, 4> text;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = RTM_NEWLINK;
  message.body.ifi_index = 3;
  message.name.rta_len = 60000;
  message.name.rta_type = IFLA_IFNAME;
  ByteVector bytes(sizeof message);
  std::memcpy(bytes.data(), &message, sizeof message);
  int seen = 0;
  const auto count = [&](const HostChange& change) {
    EXPECT_EQ(change.index, 3U);
    EXPECT_EQ(change.interface, "");
    ++seen;
  };
  parse_changes(Topic::routing, bytes, count);
  EXPECT_EQ(seen, 1);
  for (std::size_t length = 0; length < bytes.size(); ++length)
    parse_changes(Topic::routing, Bytes{bytes}.first(length), count);
  EXPECT_EQ(seen, 1) << "a message that was cut short";
}

}  // namespace
}  // namespace fg::gateway
