// Asked of a kernel with a real pair of devices; what a socket would do is the measure.
#include "gateway/next_hop_resolver.h"

#include <net/if.h>

#include <ctime>

#include "tests/unit/gateway/own_namespace.h"

namespace fg::gateway {
namespace {

using io::xdp::NextHop;

constexpr const char* kMac = "02:00:00:00:00:02";

class NextHopResolverTest : public OwnNamespace {
 protected:
  void SetUp() override {
    OwnNamespace::SetUp();
    run("ip link set lo up && ip link add wan type veth peer name far && "
        "for i in wan far; do echo 0 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; "
        "echo 0 >/proc/sys/net/ipv6/conf/$i/accept_ra; ip link set $i up; done && "
        "ip link set wan address 02:00:00:00:00:01 && ip addr add 192.0.2.1/24 dev wan && "
        "ip addr add 2001:db8::1/64 dev wan nodad && "
        "ip route add 198.51.100.0/24 via 192.0.2.254 && "
        "ip -6 route add 2001:db8:1::/48 via 2001:db8::fe");
    auto netlink = Netlink::open();
    ASSERT_TRUE(netlink);
    netlink_ = std::move(*netlink);
    resolver_.emplace(*netlink_, NextHopResolver::Socket{52625, 52625, kMark});
    attached_ = {::if_nametoindex("wan")};
  }
  static void run(const std::string& command) { ASSERT_EQ(output_of(command), "") << command; }
  static void know(const std::string& address, const std::string& dev = "wan",
                   const std::string& mac = kMac) {
    run("ip neigh replace " + address + " lladdr " + mac + " dev " + dev + " nud reachable");
  }
  // Afresh, like in a new epoch.
  std::optional<NextHop> resolve(const char* to, const char* from = nullptr) {
    resolver_->forget();
    io::xdp::Destination destination{{IpAddress::parse(to).value(), 4500}, std::nullopt};
    if (from != nullptr) destination.from = IpAddress::parse(from);
    return resolver_->resolve(destination, attached_);
  }
  static std::string source(const std::optional<NextHop>& hop) {
    return hop ? hop->source.to_string() : "none";
  }

  static constexpr std::uint32_t kMark = 0xfd002021;
  std::unique_ptr<Netlink> netlink_;
  std::optional<NextHopResolver> resolver_;
  std::vector<unsigned> attached_;
};

TEST_F(NextHopResolverTest, ByAGatewayOrOnTheLinkOfEitherFamily) {
  for (const auto* neighbour : {"192.0.2.254", "192.0.2.9", "2001:db8::fe", "2001:db8::9"})
    know(neighbour);
  for (const auto* to : {"198.51.100.7", "192.0.2.9", "2001:db8:1::7", "2001:db8::9"}) {
    const auto hop = resolve(to);
    ASSERT_TRUE(hop) << to;
    EXPECT_EQ(hop->interface, attached_[0]);
    EXPECT_EQ(hop->source_mac, (io::xdp::MacAddress{2, 0, 0, 0, 0, 1}));
    EXPECT_EQ(hop->destination_mac, (io::xdp::MacAddress{2, 0, 0, 0, 0, 2}));
    EXPECT_EQ(hop->source,
              hop->source.is_v4() ? IpAddress::v4(192, 0, 2, 1) : IpAddress::parse("2001:db8::1"));
    EXPECT_EQ(hop->mtu, 1500);
    EXPECT_EQ(hop->hop_limit, 64);
    EXPECT_FALSE(hop->vlan);
  }
}

TEST_F(NextHopResolverTest, AnUnknownOrFailedNeighbourHasNoAnswerAndItsComingConcerns) {
  EXPECT_FALSE(resolve("198.51.100.7"));
  HostChange change{.kind = HostChange::Kind::neighbour,
                    .index = attached_[0],
                    .address = IpAddress::v4(192, 0, 2, 254)};
  EXPECT_FALSE(resolver_->concerns(change)) << "still unknown";
  know("192.0.2.254");
  EXPECT_TRUE(resolver_->concerns(change));
  EXPECT_TRUE(resolve("198.51.100.7"));
  EXPECT_FALSE(resolver_->concerns(change)) << "announced again as it was";
  know("192.0.2.254", "wan", "02:00:00:00:00:03");
  EXPECT_TRUE(resolver_->concerns(change));
  ASSERT_TRUE(resolve("198.51.100.7"));
  run("ip neigh replace 192.0.2.254 dev wan nud failed");
  EXPECT_TRUE(resolver_->concerns(change));
  EXPECT_FALSE(resolve("198.51.100.7"));
  change.address = IpAddress::v4(192, 0, 2, 77);
  EXPECT_FALSE(resolver_->concerns(change)) << "nobody's";
  change = {.kind = HostChange::Kind::unknown};
  EXPECT_TRUE(resolver_->concerns(change)) << "announcements were lost";
}

// Not asked of the kernel: the one of the tests may have no VLANs.
TEST(EgressOf, AVlanIsATagOnItsParentAndTwoTagsAreTheKernels) {
  using Mac = std::array<std::uint8_t, 6>;
  std::vector<Interface> all{{.index = 2, .name = "wan", .is_up = true, .mtu = 1500, .mac = Mac{2}},
                             {.index = 3,
                              .name = "wan.7",
                              .kind = "vlan",
                              .parent = 2,
                              .is_up = true,
                              .mtu = 1400,
                              .mac = Mac{3},
                              .vlan_protocol = 0x88A8,
                              .vlan_id = 7},
                             {.index = 4,
                              .name = "wan.7.8",
                              .kind = "vlan",
                              .parent = 3,
                              .is_up = true,
                              .mac = Mac{3},
                              .vlan_protocol = 0x8100,
                              .vlan_id = 8},
                             {.index = 5, .name = "tun", .kind = "tun", .is_up = true}};
  const auto plain = egress_of(all, 2);
  ASSERT_TRUE(plain);
  EXPECT_EQ(plain->device, plain->interface);
  EXPECT_FALSE(plain->vlan);
  const auto vlan = egress_of(all, 3);
  ASSERT_TRUE(vlan);
  EXPECT_EQ(vlan->interface, &all[1]);
  EXPECT_EQ(vlan->device, &all[0]);
  EXPECT_EQ(vlan->vlan, (io::xdp::VlanTag{0x88A8, 7}));
  EXPECT_FALSE(egress_of(all, 4)) << "two tags";
  EXPECT_FALSE(egress_of(all, 5)) << "no Ethernet";
  EXPECT_FALSE(egress_of(all, 6)) << "no such interface";
  all[0].is_up = false;
  EXPECT_FALSE(egress_of(all, 3)) << "the device under it is down";
}

TEST_F(NextHopResolverTest, MtuAndHopLimitAreTheRoutes) {
  know("192.0.2.254");
  know("2001:db8::fe");
  run("ip route replace 198.51.100.0/24 via 192.0.2.254 mtu 1300 hoplimit 33");
  EXPECT_EQ(resolve("198.51.100.7")->mtu, 1300);
  EXPECT_EQ(resolve("198.51.100.7")->hop_limit, 33);
  run("echo 99 >/proc/sys/net/ipv6/conf/wan/hop_limit");
  EXPECT_EQ(resolve("2001:db8:1::7")->hop_limit, 99);
  run("ip link set wan mtu 9000 && ip link set far mtu 9000");
  EXPECT_EQ(resolve("2001:db8:1::7")->mtu, io::xdp::kIpPacketMax) << "no more than a frame holds";
}

TEST_F(NextHopResolverTest, TheSourceIsTheOneAskedForOrTheOneASocketWouldTake) {
  know("192.0.2.254");
  know("2001:db8::fe");
  run("ip addr add 192.0.2.5/24 dev wan && ip addr add 2001:db8::5/64 dev wan nodad && "
      "ip -6 route replace 2001:db8:1::/48 via 2001:db8::fe src 2001:db8::5");
  EXPECT_EQ(source(resolve("198.51.100.7")), "192.0.2.1");
  EXPECT_EQ(source(resolve("198.51.100.7", "192.0.2.5")), "192.0.2.5");
  EXPECT_EQ(source(resolve("2001:db8:1::7")), "2001:db8::5");
  EXPECT_EQ(source(resolve("2001:db8:1::7", "2001:db8::1")), "2001:db8::1");
  EXPECT_FALSE(resolve("198.51.100.7", "192.0.2.6")) << "not this host's";
  EXPECT_FALSE(resolve("2001:db8:1::7", "2001:db8::6"));
}

TEST_F(NextHopResolverTest, RulesForTheMarkTheSourceAndThePortsAreFollowed) {
  know("192.0.2.254");
  know("192.0.2.253", "wan", "02:00:00:00:00:53");
  run("ip route add 198.51.100.0/24 via 192.0.2.253 table 7 && "
      "ip addr add 192.0.2.5/24 dev wan");
  const auto last_byte = [&](const char* from = nullptr) {
    const auto hop = resolve("198.51.100.7", from);
    return hop ? hop->destination_mac[5] : 0;
  };
  EXPECT_EQ(last_byte(), 2);
  for (const auto* selector :
       {"fwmark 0xfd002021", "ipproto udp sport 52625", "ipproto udp dport 4500"}) {
    run("ip rule add priority 9 " + std::string(selector) + " lookup 7");
    EXPECT_EQ(last_byte(), 0x53) << selector;
    run("ip rule del priority 9");
  }
  run("ip rule add priority 9 from 192.0.2.5 lookup 7");
  EXPECT_EQ(last_byte(), 2);
  EXPECT_EQ(last_byte("192.0.2.5"), 0x53);
}

TEST_F(NextHopResolverTest, TheSourceOverIpv6IsTheOneOfTheRouteForTheMark) {
  know("2001:db8::fe");
  run("ip addr add 2001:db8::5/64 dev wan nodad && "
      "ip -6 route add 2001:db8:1::/48 via 2001:db8::fe src 2001:db8::1 metric 1 && "
      "ip -6 route add 2001:db8:1::/48 via 2001:db8::fe src 2001:db8::5 table 7");
  EXPECT_EQ(source(resolve("2001:db8:1::7")), "2001:db8::1");
  run("ip -6 rule add priority 9 fwmark 0xfd002021 lookup 7");
  EXPECT_EQ(source(resolve("2001:db8:1::7")), "2001:db8::5");
}

TEST_F(NextHopResolverTest, WhatIsNoPlainFrameFromAnAttachedDeviceHasNoAnswer) {
  know("192.0.2.254");
  know("192.0.2.9");
  ASSERT_TRUE(resolve("198.51.100.7"));
  for (const auto* to : {"192.0.2.1", "127.0.0.1", "192.0.2.255", "255.255.255.255", "224.0.0.5",
                         "169.254.1.1", "fe80::1", "ff02::1", "::1", "203.0.113.9"})
    EXPECT_FALSE(resolve(to)) << to;
  run("ip route add blackhole 198.51.100.8 && ip route add unreachable 198.51.100.9");
  EXPECT_FALSE(resolve("198.51.100.8"));
  EXPECT_FALSE(resolve("198.51.100.9"));
  run("ip link set tun-test up && ip route add 198.51.100.10 dev tun-test");
  EXPECT_FALSE(resolve("198.51.100.10"));
  attached_ = {::if_nametoindex("far")};
  EXPECT_FALSE(resolve("198.51.100.7"));
  attached_ = {::if_nametoindex("wan")};
  run("ip link set wan down");
  EXPECT_FALSE(resolve("192.0.2.9"));
}

TEST_F(NextHopResolverTest, ANeighbourNobodyHasHeardOfIsAskedFor) {
  run("ip neigh replace 192.0.2.254 lladdr 02:00:00:00:00:02 dev wan nud stale");
  EXPECT_TRUE(resolve("198.51.100.7"));
  const auto state = output_of("ip neigh show 192.0.2.254 dev wan");
  EXPECT_EQ(state.find("STALE"), std::string::npos) << state;
}

// As after a change of the host's routing; the figure is for docs/performance.md.
TEST_F(NextHopResolverTest, AThousandDestinationsAreAskedForAgain) {
  know("192.0.2.254");
  know("2001:db8::fe");
  for (const auto* prefix : {"198.51.100.", "2001:db8:1::"}) {
    std::timespec began{};
    std::timespec ended{};
    resolver_->forget();
    std::timespec_get(&began, TIME_UTC);
    for (int i = 0; i < 1000; ++i) {
      const auto to = IpAddress::parse(prefix + std::to_string(1 + i % 250)).value();
      ASSERT_TRUE(resolver_->resolve({{to, static_cast<std::uint16_t>(1000 + i)}, std::nullopt},
                                     attached_));
    }
    std::timespec_get(&ended, TIME_UTC);
    const auto ns = (ended.tv_sec - began.tv_sec) * 1'000'000'000 + ended.tv_nsec - began.tv_nsec;
    std::printf("%s0: %.1f us each\n", prefix, static_cast<double>(ns) / 1e6);
  }
}

TEST_F(NextHopResolverTest, WhatTcAndIpsecHaveOnTheWayOutIsSeen) {
  const auto index = attached_[0];
  const auto control = [&] { return netlink_->egress_control(index).value(); };
  EXPECT_EQ(control(), "");
  run("tc qdisc add dev wan root pfifo");
  EXPECT_EQ(control(), "");
  run("tc qdisc replace dev wan root tbf rate 1gbit burst 1mb latency 50ms");
  EXPECT_EQ(control(), "tc has tbf");
  run("tc qdisc del dev wan root && tc qdisc add dev wan clsact");
  EXPECT_EQ(control(), "");
  run("tc filter add dev wan ingress bpf da bytecode '1,6 0 0 0,'");
  EXPECT_EQ(control(), "");
  run("tc filter add dev wan egress bpf da bytecode '1,6 0 0 0,'");
  EXPECT_EQ(control(), "tc has egress filters");

  EXPECT_FALSE(Netlink::has_ipsec_policies().value());
  run("ip xfrm policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir out tmpl src 192.0.2.1 "
      "dst 192.0.2.9 proto esp mode tunnel");
  EXPECT_TRUE(Netlink::has_ipsec_policies().value());
}

}  // namespace
}  // namespace fg::gateway
