// The answers the gateway makes itself against those of a Linux router that refuses the same random
// packets by a `prohibit` route, for want of a route, or of a neighbour. In a network namespace of
// its own; needs root.
#include <fcntl.h>
#include <linux/if_tun.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "io/kernel/file_descriptor.h"
#include "packet/icmp.h"
#include "tests/support/packets.h"
#include "tests/unit/io/kernel/network.h"

namespace fg::packet {
namespace {

using io::kernel::FileDescriptor;
using test::ip;

const auto kClient6 = ip("fd00:2021:1111::65");
const auto kProhibited4 = ip("192.0.2.1");
const auto kProhibited6 = ip("2001:db8:1::1");
const auto kUnreachable4 = ip("198.51.100.1");   // no route
const auto kUnreachable6 = ip("2001:db8:2::1");  // no neighbour

class IcmpAnswerOracle : public io::kernel::NetworkTest {
 protected:
  static constexpr const char* kTun = "tun-client";

  // A router: the clients are behind a TUN device, whose other end is this test.
  void SetUp() override {
    NetworkTest::SetUp();
    device_ = FileDescriptor{::open("/dev/net/tun", O_RDWR | O_CLOEXEC)};
    auto request = io::kernel::interface_request(kTun);
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    ASSERT_EQ(::ioctl(device_.get(), TUNSETIFF, &request), 0);
    set("ipv4/ip_forward", 1);
    set("ipv6/conf/all/forwarding", 1);
    // Every packet is answered, but see compare().
    set("ipv4/icmp_ratelimit", 0);
    set("ipv4/icmp_msgs_per_sec", 1'000'000);
    set("ipv4/icmp_msgs_burst", 1'000'000);
    set("ipv6/icmp/ratelimit", 0);
    run("ip link set tun-client up");
    run("ip address add 100.64.0.1/10 dev tun-client");
    run("ip address add fd00:2021:1111::1/64 dev tun-client nodad");
    run("ip route add prohibit 192.0.2.0/24");
    run("ip -6 route add prohibit 2001:db8:1::/48");
    // Nobody answers neighbour discovery there, and that is soon found out.
    run("ip link add gone type veth peer name nobody && ip link set nobody up && ip link set gone "
        "up");
    run("ip -6 route add 2001:db8:2::/48 dev gone");
    set("ipv6/neigh/gone/retrans_time_ms", 20);
    set("ipv6/neigh/gone/mcast_solicit", 1);
    // Another run: --gtest_random_seed=N.
    seed_ = static_cast<unsigned>(GTEST_FLAG_GET(random_seed));
    random_.seed(seed_);
  }

  unsigned below(unsigned n) { return std::uniform_int_distribution<unsigned>{0, n - 1}(random_); }
  std::uint16_t port() { return static_cast<std::uint16_t>(below(65'536)); }

  ByteVector random_packet(const IpAddress& source, const IpAddress& destination) {
    const bool v4 = source.is_v4();
    const auto transport = below(3);
    auto p = transport == 0 ? test::tcp() : transport == 1 ? test::udp() : test::echo(port());
    p.from(source, port()).to(destination, port());
    p.traffic_class(static_cast<std::uint8_t>(below(256)));
    p.ttl(static_cast<std::uint8_t>(2 + below(254))).id(port()).flow_label(below(1 << 20));
    p.dont_fragment(below(2) == 0).sequence(port());
    std::size_t header = (v4 ? 20U : 40U) + (transport == 0 ? 20U : 8U);
    if (v4 && below(2) == 0) {
      const std::size_t options = 4 * (1 + std::size_t{below(10)});
      p.ip_options(ByteVector(options, 1));  // "no operation": others a router would answer in kind
      header += options;
    }
    const auto room = static_cast<unsigned>(kPacketMax - header);
    const std::size_t size = below(4) == 0 ? 0 : below(4) == 0 ? room : below(room);
    ByteVector payload(size);
    for (auto& b : payload) b = static_cast<std::uint8_t>(below(256));
    return p.payload(std::move(payload)).build();
  }

  void compare(IcmpAnswer answer, const IpAddress& destination, unsigned packets) {
    const bool v4 = destination.is_v4();
    const std::size_t header = v4 ? 20 : 40;
    std::size_t quoted = 0;
    for (unsigned i = 0; i < packets; ++i) {
      // The kernel answers no IPv4 host more than five times in a row, and no namespace can tell it
      // otherwise.
      const auto source = v4 ? IpAddress::v4(100, 65, static_cast<std::uint8_t>(i >> 8),
                                             static_cast<std::uint8_t>(i))
                             : kClient6;
      const auto original = random_packet(source, destination);
      const auto what = "seed " + std::to_string(seed_) + ", packet " + std::to_string(i) + "\n" +
                        test::describe(original);
      ASSERT_EQ(::write(device_.get(), original.data(), original.size()),
                static_cast<ssize_t>(original.size()));
      const auto theirs = next_error(v4);
      ASSERT_GE(theirs.size(), header + 8) << "the router says nothing to " << what;
      ByteVector ours(kPacketMax);
      ours.resize(write_icmp_answer(answer, InnerPacket::parse(original).value(), ours));
      ASSERT_GE(ours.size(), header + 8) << what;

      // The source differs: a router's own address, here the one that was asked for (spec policy
      // 5.6). So do hop limit (20, spec policy 0.5), traffic class, flow label and identification.
      ASSERT_TRUE(parses(ours)) << what;
      ASSERT_EQ(destination_of(ours), destination_of(theirs)) << what;
      ASSERT_EQ(ours[0] >> 4, theirs[0] >> 4);
      ASSERT_EQ(ours[0] & 0xF, v4 ? 5 : 0);
      ASSERT_EQ(ours[v4 ? 9 : 6], theirs[v4 ? 9 : 6]) << what;
      ASSERT_TRUE(test::has_right_checksums(theirs)) << what;
      ASSERT_TRUE(test::has_right_checksums(ours)) << what;
      const auto ours_icmp = Bytes{ours}.subspan(header);
      const auto theirs_icmp =
          Bytes{theirs}.subspan((theirs[0] & 0xF) * (v4 ? 4U : 0U) + (v4 ? 0U : 40U));
      ASSERT_EQ(hex(ours_icmp.first(2)), hex(theirs_icmp.first(2))) << "type and code of " << what;
      ASSERT_EQ(hex(ours_icmp.subspan(4, 4)), hex(theirs_icmp.subspan(4, 4))) << what;

      const auto ours_quote = ours_icmp.subspan(8);
      auto theirs_quote = copy_of(theirs_icmp.subspan(8));
      // The router was already passing it on when the neighbour did not answer.
      if (!v4 && answer == IcmpAnswer::network_unreachable) ++theirs_quote[7];
      if (v4) {
        // The kernel quotes what fits in 576 bytes (RFC 1812 4.3.2.3), ours header and eight bytes
        // (RFC 792).
        const auto wanted = std::min<std::size_t>(original.size(), (original[0] & 0xFU) * 4U + 8U);
        ASSERT_EQ(ours_quote.size(), wanted) << what;
        ASSERT_GE(theirs_quote.size(), ours_quote.size()) << what;
        theirs_quote.resize(ours_quote.size());
      }
      ASSERT_EQ(hex(ours_quote), hex(theirs_quote)) << what;
      quoted += ours_quote.size();
    }
    std::cout << packets << " answers, " << quoted << " quoted bytes; seed " << seed_ << '\n';
  }

 private:
  static void run(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0); }
  static void set(const std::string& key, int value) {
    std::ofstream file{"/proc/sys/net/" + key};
    file << value << std::flush;
    ASSERT_TRUE(file) << key;
  }
  static bool parses(Bytes p) { return InnerPacket::parse(p).has_value(); }
  static IpAddress destination_of(Bytes p) {
    const bool v4 = p[0] >> 4 == 4;
    return IpAddress::from_bytes(p.subspan(v4 ? 16 : 24, v4 ? 4 : 16));
  }
  // The next ICMP error out of the device; the kernel's neighbour and group messages are passed
  // over.
  ByteVector next_error(bool v4) {
    while (io::kernel::wait_readable(device_.get())) {
      ByteVector out(kSuperPacketMax);
      const auto n = ::read(device_.get(), out.data(), out.size());
      if (n < 48) continue;
      out.resize(static_cast<std::size_t>(n));
      if (out[0] >> 4 != (v4 ? 4 : 6) || out[v4 ? 9 : 6] != (v4 ? kIcmpV4 : kIcmpV6)) continue;
      const auto type = out[v4 ? (out[0] & 0xFU) * 4 : 40];
      if (v4 ? type == 3 : type < 128) return out;
    }
    return {};
  }

  FileDescriptor device_;
  unsigned seed_ = 0;
  std::mt19937 random_;
};

TEST_F(IcmpAnswerOracle, ProhibitedIpv4IsAnsweredAsByARouter) {
  compare(IcmpAnswer::prohibited, kProhibited4, 2000);
}

TEST_F(IcmpAnswerOracle, ProhibitedIpv6IsAnsweredAsByARouter) {
  compare(IcmpAnswer::prohibited, kProhibited6, 2000);
}

TEST_F(IcmpAnswerOracle, Ipv4WithoutRouteIsAnsweredAsByARouter) {
  compare(IcmpAnswer::network_unreachable, kUnreachable4, 2000);
}

TEST_F(IcmpAnswerOracle, Ipv6WithoutNeighbourIsAnsweredAsByARouter) {
  compare(IcmpAnswer::network_unreachable, kUnreachable6, 50);
}

}  // namespace
}  // namespace fg::packet
