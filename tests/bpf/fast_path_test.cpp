// bpf/fast_path.bpf.c in the kernel, packet by packet. Needs root.
#include <gmock/gmock.h>

#include <cerrno>
#include <optional>

#include "io/xdp/program.h"
#include "packet/channel_data.h"
#include "packet/demux.h"
#include "tests/bpf/xdp_run.h"
#include "tests/unit/io/xdp/veth.h"

namespace fg::io::xdp {
namespace {

using test::begins;
using test::channel_data;
using test::frame_of;
using test::ip;
using test::kServiceVlan;
using test::kVlan;
using test::wireguard;

constexpr std::uint16_t kPort = 52625;
constexpr std::uint16_t kPortV6 = 52626;

test::PacketBuilder v4() { return test::udp().from("203.0.113.7", 40000).to("192.0.2.1", kPort); }
test::PacketBuilder v6() {
  return test::udp().from("2001:db8::7", 40000).to("2001:db8::1", kPortV6);
}
test::PacketBuilder from_relay() {
  return test::udp().from("198.51.100.9", 3478).to("192.0.2.1", kPort);
}
test::PacketBuilder from_relay_v6() {
  return test::udp().from("2001:db8::9", 3478).to("2001:db8::1", kPortV6);
}
const ByteVector kData = wireguard(4, 96);

ByteVector with_byte(ByteVector bytes, std::size_t at, std::uint8_t value) {
  bytes.at(at) = value;
  return bytes;
}
ByteVector padded(ByteVector frame, std::size_t by) {
  frame.resize(frame.size() + by);
  return frame;
}

class FastPathTest : public VethTest {
 protected:
  void SetUp() override {
    VethTest::SetUp();
    auto program = Program::attach({.interface = "wan"});
    ASSERT_TRUE(program) << program.error().to_string();
    program_.emplace(std::move(*program));
    configure();
  }
  void configure() {
    socket_.emplace("wan", 0);
    ASSERT_FALSE(program_->set_socket(0, socket_->fd()));
    program_->set_tunnel_ports(kPort, kPortV6);
    ASSERT_FALSE(program_->set_addresses(std::vector{ip("192.0.2.1"), ip("2001:db8::1")}));
    ASSERT_FALSE(program_->set_relays(
        std::vector<SocketAddress>{{ip("198.51.100.9"), 3478}, {ip("2001:db8::9"), 3478}}));
  }
  void TearDown() override {
    program_.reset();
    socket_.reset();
    VethTest::TearDown();
  }

  // The one counter that moved; checks that the action is that of the verdict.
  fg_xdp_verdict verdict_of(const ByteVector& frame, unsigned queue = 0) {
    const auto before = program_->counters();
    const auto result = test::run_xdp(program_->descriptor(), frame, "wan", queue);
    const auto after = program_->counters();
    std::optional<fg_xdp_verdict> moved;
    for (std::size_t i = 0; i < VerdictCounters::kCount; ++i) {
      if (after.of[i] == before.of[i]) continue;
      EXPECT_EQ(after.of[i], before.of[i] + 1);
      EXPECT_FALSE(moved) << "two counters";
      moved = static_cast<fg_xdp_verdict>(i);
    }
    EXPECT_TRUE(moved) << "no counter";
    const auto verdict = moved.value_or(fg_xdp_truncated);
    EXPECT_EQ(result.action, verdict <= fg_xdp_channel_data ? XDP_REDIRECT : XDP_PASS);
    return verdict;
  }
  static std::string name(fg_xdp_verdict v) { return std::string(VerdictCounters::name(v)); }

  std::optional<Program> program_;
  std::optional<test::BoundSocket> socket_;
};

struct Case {
  const char* what;
  ByteVector frame;
  fg_xdp_verdict verdict;
};

std::vector<Case> taken() {
  return {
      {"data", frame_of(v4().payload(kData).build()), fg_xdp_data},
      {"data over IPv6", frame_of(v6().payload(kData).build()), fg_xdp_data},
      {"a keepalive", frame_of(v4().payload(wireguard(4, 32)).build()), fg_xdp_data},
      {"data behind a VLAN tag", frame_of(v4().payload(kData).build(), {kVlan}), fg_xdp_data},
      {"data behind two", frame_of(v6().payload(kData).build(), {kServiceVlan, kVlan}),
       fg_xdp_data},
      {"data in a padded frame", padded(frame_of(v4().payload(kData).build()), 11), fg_xdp_data},
      {"data marked as congested", frame_of(v4().ecn(3).payload(kData).build()), fg_xdp_data},
      {"data that may not be fragmented", frame_of(v4().dont_fragment().payload(kData).build()),
       fg_xdp_data},
      {"data whose checksum is unfinished",
       frame_of(v4().with_wrong_checksum().payload(kData).build()), fg_xdp_data},
      {"data without checksum", frame_of(v4().without_checksum().payload(kData).build()),
       fg_xdp_data},
      {"data of a full frame", frame_of(v4().payload(wireguard(4, 1472)).build(), {kVlan, kVlan}),
       fg_xdp_data},
      {"data of as much as a frame of the socket",
       frame_of(v4().payload(wireguard(4, 1750)).build()), fg_xdp_data},
      {"the lowest channel", frame_of(from_relay().payload(channel_data(0x4000, kData)).build()),
       fg_xdp_channel_data},
      {"the highest channel", frame_of(from_relay().payload(channel_data(0x4FFF, kData)).build()),
       fg_xdp_channel_data},
      {"a channel over IPv6",
       frame_of(from_relay_v6().payload(channel_data(0x4123, kData)).build()), fg_xdp_channel_data},
      {"a keepalive in a channel",
       frame_of(from_relay().payload(channel_data(0x4000, wireguard(4, 32))).build()),
       fg_xdp_channel_data},
  };
}

std::vector<Case> other_packets() {
  const auto tcp = test::tcp().from("203.0.113.7", 40000).to("192.0.2.1", kPort);
  return {
      {"ARP", frame_of(begins({0, 1, 8, 0}, 28), {}, 0x0806), fg_xdp_other_protocol},
      {"ARP behind a tag", frame_of(begins({0, 1, 8, 0}, 28), {kVlan}, 0x0806),
       fg_xdp_other_protocol},
      {"three VLAN tags", frame_of(v4().payload(kData).build(), {kVlan, kVlan, kVlan}),
       fg_xdp_other_protocol},
      {"IPv4 with options", frame_of(v4().ip_options({1, 1, 1, 1}).payload(kData).build()),
       fg_xdp_ip_options},
      {"IPv4 with a header too short", with_byte(frame_of(v4().payload(kData).build()), 14, 0x44),
       fg_xdp_ip_options},
      {"IPv4 of another version", with_byte(frame_of(v4().payload(kData).build()), 14, 0x65),
       fg_xdp_ip_options},
      {"another version than the frame says", frame_of(v6().payload(kData).build(), {}, 0x0800),
       fg_xdp_ip_options},
      {"and the other way round", frame_of(v4().payload(kData).build(), {}, 0x86DD),
       fg_xdp_ip_options},
      {"a first fragment", frame_of(v4().more_fragments().payload(kData).build()), fg_xdp_fragment},
      {"a later fragment",
       frame_of(v4().more_fragments().fragment_offset(100).payload(kData).build()),
       fg_xdp_fragment},
      {"the last fragment", frame_of(v4().fragment_offset(100).payload(kData).build()),
       fg_xdp_fragment},
      {"a first fragment over IPv6", frame_of(v6().fragment_header(0, true).payload(kData).build()),
       fg_xdp_fragment},
      {"a later fragment over IPv6",
       frame_of(v6().fragment_header(100, false).payload(kData).build()), fg_xdp_fragment},
      {"hop-by-hop options", frame_of(v6().extension(0).payload(kData).build()), fg_xdp_not_udp},
      {"destination options", frame_of(v6().extension(60).payload(kData).build()), fg_xdp_not_udp},
      {"TCP to our port", frame_of(tcp.build()), fg_xdp_not_udp},
      {"a neighbour solicitation",
       frame_of(test::icmp(135).from("2001:db8::7").to("2001:db8::1").build()), fg_xdp_not_udp},
      {"another port", frame_of(v4().to("192.0.2.1", kPort + 1).payload(kData).build()),
       fg_xdp_other_port},
      {"the other family's port", frame_of(v4().to("192.0.2.1", kPortV6).payload(kData).build()),
       fg_xdp_other_port},
      {"our port as the source",
       frame_of(v4().from("203.0.113.7", kPort).to("192.0.2.1", 53).payload(kData).build()),
       fg_xdp_other_port},
      {"somebody else's same port", frame_of(v4().to("192.0.2.2", kPort).payload(kData).build()),
       fg_xdp_other_address},
      {"the same over IPv6", frame_of(v6().to("2001:db8::2", kPortV6).payload(kData).build()),
       fg_xdp_other_address},
      {"our address written as IPv6",
       frame_of(v6().to("c000:201::", kPortV6).payload(kData).build()), fg_xdp_other_address},
      {"a broadcast", frame_of(v4().to("255.255.255.255", kPort).payload(kData).build()),
       fg_xdp_other_address},
      {"IP shorter than UDP says", with_byte(frame_of(v4().payload(kData).build()), 17, 28 + 95),
       fg_xdp_length_mismatch},
      {"IP longer than UDP says",
       padded(with_byte(frame_of(v4().payload(kData).build()), 17, 28 + 97), 1),
       fg_xdp_length_mismatch},
      {"IP shorter than its header", with_byte(frame_of(v4().payload(kData).build()), 17, 19),
       fg_xdp_length_mismatch},
      {"UDP shorter than its header",
       with_byte(with_byte(frame_of(v6().payload_size(0).build()), 14 + 40 + 5, 7), 14 + 5, 7),
       fg_xdp_length_mismatch},
      {"a byte more than a frame of the socket", frame_of(v4().payload(wireguard(4, 1751)).build()),
       fg_xdp_too_long},
      {"longer than a frame of the socket", frame_of(v4().payload(wireguard(4, 1792)).build()),
       fg_xdp_too_long},
      {"a multi-buffer frame", frame_of(v4().payload(wireguard(4, 8000)).build()),
       fg_xdp_length_mismatch},
  };
}

std::vector<Case> our_packets() {
  const ByteVector stun = begins({0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}, 20);
  const auto relayed = [](const ByteVector& payload) {
    return frame_of(from_relay().payload(payload).build());
  };
  const auto direct = [](const ByteVector& payload) {
    return frame_of(v4().payload(payload).build());
  };
  return {
      {"an empty datagram", direct({}), fg_xdp_not_data},
      {"an empty datagram in a padded frame", padded(direct({}), 18), fg_xdp_not_data},
      {"three bytes", direct({4, 0, 0}), fg_xdp_not_data},
      {"three bytes and padding", padded(direct({4, 0, 0}), 40), fg_xdp_not_data},
      {"an initiation", direct(wireguard(1, 148)), fg_xdp_not_data},
      {"a response", direct(wireguard(2, 92)), fg_xdp_not_data},
      {"a cookie", direct(wireguard(3, 64)), fg_xdp_not_data},
      {"data one byte too short", direct(wireguard(4, 31)), fg_xdp_not_data},
      {"that in a padded frame", padded(direct(wireguard(4, 31)), 9), fg_xdp_not_data},
      {"data with a reserved bit", direct(with_byte(kData, 3, 1)), fg_xdp_not_data},
      {"STUN", direct(stun), fg_xdp_not_data},
      {"STUN of a relay", relayed(stun), fg_xdp_not_data},
      {"noise", direct(begins({0xFF}, 100)), fg_xdp_not_data},
      {"a channel of the upper range", relayed(channel_data(0x5000, kData)), fg_xdp_not_data},
      {"channel data longer than it says", relayed(channel_data(0x4000, kData, -1)),
       fg_xdp_not_data},
      {"channel data shorter than it says", relayed(channel_data(0x4000, kData, 1)),
       fg_xdp_not_data},
      {"channel data with its padding", relayed(padded(channel_data(0x4000, wireguard(4, 33)), 3)),
       fg_xdp_not_data},
      {"channel data of three bytes in a padded frame", padded(relayed({0x40, 0, 0}), 40),
       fg_xdp_not_data},
      {"channel data of four bytes", relayed(channel_data(0x4000, {})), fg_xdp_not_data},
      {"channel data of a stranger", direct(channel_data(0x4000, kData)), fg_xdp_not_a_relay},
      {"of the relay's other port",
       frame_of(
           from_relay().from("198.51.100.9", 3479).payload(channel_data(0x4000, kData)).build()),
       fg_xdp_not_a_relay},
      {"of a stranger over IPv6", frame_of(v6().payload(channel_data(0x4000, kData)).build()),
       fg_xdp_not_a_relay},
      {"a handshake in a channel", relayed(channel_data(0x4000, wireguard(1, 148))),
       fg_xdp_channel_not_data},
      {"a short message in a channel", relayed(channel_data(0x4000, wireguard(4, 31))),
       fg_xdp_channel_not_data},
      {"STUN in a channel", relayed(channel_data(0x4000, stun)), fg_xdp_channel_not_data},
  };
}

TEST_F(FastPathTest, EachPacketGoesWhereItsRowSays) {
  std::array<bool, VerdictCounters::kCount> is_covered{};
  for (const auto& cases : {taken(), other_packets(), our_packets()}) {
    for (const auto& c : cases) {
      EXPECT_EQ(name(verdict_of(c.frame)), name(c.verdict)) << c.what;
      is_covered.at(c.verdict) = true;
    }
  }
  for (const auto elsewhere : {fg_xdp_truncated, fg_xdp_no_socket, fg_xdp_unfinished})
    is_covered.at(elsewhere) = true;  // in a test of its own
  for (std::size_t i = 0; i < is_covered.size(); ++i)
    EXPECT_TRUE(is_covered[i]) << VerdictCounters::name(i) << " has no row";
}

TEST_F(FastPathTest, AFrameThatEndsTooEarlyIsNeverTaken) {
  for (const auto& c : taken()) {
    if (c.frame.size() > 200) continue;
    const bool is_padded = std::string_view{c.what}.find("padded") != std::string_view::npos;
    const auto whole = c.frame.size() - (is_padded ? 11 : 0);
    for (std::size_t size = 14; size < whole; ++size) {  // the kernel refuses less
      const auto verdict = verdict_of(begins(c.frame, size));
      EXPECT_THAT(verdict, ::testing::AnyOf(fg_xdp_truncated, fg_xdp_length_mismatch))
          << c.what << " cut to " << size << ": " << name(verdict);
    }
  }
}

TEST_F(FastPathTest, InGenericModeAnUnfinishedChecksumIsTheKernels) {
  // Where the pseudo-header's sum is left for a device to finish.
  const auto unfinished = [](test::PacketBuilder packet, std::size_t ip_header) {
    auto bytes = packet.payload(kData).build();
    const auto of = ip_header == 20 ? Bytes{bytes}.subspan(12, 8) : Bytes{bytes}.subspan(8, 32);
    const std::array<std::uint8_t, 4> tail{0, 17, 0, 8 + 96};
    store_be16(bytes.data() + ip_header + 6,
               static_cast<std::uint16_t>(test::naive_sum(tail, test::naive_sum(of))));
    return frame_of(bytes);
  };
  const std::vector frames{unfinished(v4(), 20), unfinished(v6(), 40)};
  for (const auto& frame : frames) EXPECT_EQ(name(verdict_of(frame)), "data") << "in native mode";

  socket_.reset();
  program_.reset();
  auto generic = Program::attach({.interface = "wan", .only = AttachMode::generic});
  ASSERT_TRUE(generic) << generic.error().to_string();
  program_.emplace(std::move(*generic));
  configure();
  for (const auto& frame : frames) EXPECT_EQ(name(verdict_of(frame)), "unfinished");
  for (const auto& c : taken()) EXPECT_EQ(name(verdict_of(c.frame)), name(c.verdict)) << c.what;
}

TEST_F(FastPathTest, AQueueWithoutASocketLeavesItsPacketsToTheKernel) {
  const auto data = frame_of(v4().payload(kData).build());
  program_->clear_socket(0);
  EXPECT_EQ(name(verdict_of(data)), "no_socket");
  EXPECT_FALSE(program_->set_socket(0, socket_->fd()));
  EXPECT_EQ(name(verdict_of(data)), "data");
}

TEST_F(FastPathTest, AClosedSocketLeavesItsQueueToTheKernel) {
  socket_.reset();
  EXPECT_EQ(name(verdict_of(frame_of(v4().payload(kData).build()))), "no_socket");
}

TEST_F(FastPathTest, AQueueBeyondTheLimitIsRefused) {
  EXPECT_FALSE(program_->set_socket(Program::kQueuesMax - 1, socket_->fd()));
  const auto refused = program_->set_socket(Program::kQueuesMax, socket_->fd());
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error, E2BIG);
}

TEST_F(FastPathTest, NothingIsTakenBeforeThePortIsKnown) {
  program_->set_tunnel_ports(0, 0);
  EXPECT_EQ(name(verdict_of(frame_of(v4().payload(kData).build()))), "other_port");
  EXPECT_EQ(name(verdict_of(frame_of(v4().to("192.0.2.1", 0).payload(kData).build()))),
            "other_port");
}

TEST_F(FastPathTest, OnlyTheLatestAddressesAndRelaysCount) {
  const auto direct = frame_of(v4().payload(kData).build());
  const auto relayed = frame_of(from_relay().payload(channel_data(0x4000, kData)).build());
  ASSERT_FALSE(program_->set_addresses(std::vector{ip("192.0.2.2")}));
  EXPECT_EQ(name(verdict_of(direct)), "other_address");
  ASSERT_FALSE(program_->set_addresses(std::vector{ip("192.0.2.2"), ip("192.0.2.1")}));
  EXPECT_EQ(name(verdict_of(direct)), "data");
  ASSERT_FALSE(program_->set_relays(std::vector<SocketAddress>{{ip("198.51.100.8"), 3478}}));
  EXPECT_EQ(name(verdict_of(relayed)), "not_a_relay");
}

TEST_F(FastPathTest, AddressesAndRelaysBeyondTheLimitAreLeftToTheKernel) {
  std::vector<IpAddress> addresses;
  for (unsigned i = 0; i <= Program::kAddressesMax; ++i)
    addresses.push_back(
        IpAddress::v4(10, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)));
  const auto refused = program_->set_addresses(addresses);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->error, E2BIG);
  const auto to = [](const IpAddress& address) {
    return frame_of(v4().to(address, kPort).payload(kData).build());
  };
  EXPECT_EQ(name(verdict_of(to(addresses[Program::kAddressesMax - 1]))), "data");
  EXPECT_EQ(name(verdict_of(to(addresses[Program::kAddressesMax]))), "other_address");
  addresses.pop_back();
  EXPECT_FALSE(program_->set_addresses(addresses));

  std::vector<SocketAddress> relays;
  for (unsigned i = 0; i <= Program::kRelaysMax; ++i)
    relays.push_back({ip("198.51.100.9"), static_cast<std::uint16_t>(3478 + i)});
  ASSERT_TRUE(program_->set_relays(relays));
  relays.pop_back();
  EXPECT_FALSE(program_->set_relays(relays));
}

// The program and the gateway's own demultiplexer are of one mind.
TEST_F(FastPathTest, WhatIsTakenIsWhatTheGatewayCallsData) {
  const auto is_data = [](Bytes datagram) {
    return packet::classify(datagram) == packet::DatagramKind::wireguard_data;
  };
  const auto is_channel_data = [&](Bytes datagram) {
    if (packet::classify(datagram) != packet::DatagramKind::channel_data) return false;
    return is_data(packet::ChannelData::parse(datagram)->payload);
  };
  std::size_t redirected = 0;
  const std::vector<ByteVector> seeds{wireguard(4, 32), channel_data(0x4000, wireguard(4, 32)),
                                      wireguard(1, 148)};
  for (const auto& seed : seeds) {
    for (std::size_t at = 0; at < 9; ++at) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        for (const int cut : {0, 1, 4}) {
          auto datagram = with_byte(seed, at, static_cast<std::uint8_t>(seed[at] ^ (1U << bit)));
          datagram.erase(datagram.end() - cut, datagram.end());
          const auto verdict = verdict_of(frame_of(from_relay().payload(datagram).build()));
          EXPECT_EQ(verdict == fg_xdp_data, is_data(datagram))
              << ::testing::PrintToString(datagram);
          EXPECT_EQ(verdict == fg_xdp_channel_data, is_channel_data(datagram))
              << ::testing::PrintToString(datagram);
          redirected += verdict <= fg_xdp_channel_data ? 1 : 0;
        }
      }
    }
  }
  EXPECT_GT(redirected, 50) << "the seeds prove nothing";
}

TEST_F(FastPathTest, WhatItCostsIsPrintedAndItsSizeIsBounded) {
  bpf_prog_info info{};
  std::uint32_t size = sizeof info;
  ASSERT_EQ(::bpf_obj_get_info_by_fd(program_->descriptor(), &info, &size), 0);
  EXPECT_LT(info.verified_insns, 5000);
  std::printf("firegate_xdp: %u instructions verified, %u bytes of machine code\n",
              info.verified_insns, info.jited_prog_len);
  for (const auto& [what, frame] :
       {std::pair{"data", frame_of(v4().payload(kData).build())},
        std::pair{"channel data",
                  frame_of(from_relay().payload(channel_data(0x4000, kData)).build())},
        std::pair{"TCP",
                  frame_of(test::tcp().from("203.0.113.7", 1).to("192.0.2.1", 2).build())}}) {
    const auto result = test::run_xdp(program_->descriptor(), frame, "wan", 0, 200'000);
    std::printf("  %s: %u ns\n", what, result.nanoseconds);
  }
}

}  // namespace
}  // namespace fg::io::xdp
