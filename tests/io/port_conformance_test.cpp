// What a worker may expect of its port, whichever way datagrams come in and leave: by the kernel's
// sockets, or by AF_XDP in native and in generic mode, which sends as well or does not. Two hosts
// on a pair of Ethernet devices, and on real ones in a VLAN as well; needs root.
#include <netinet/in.h>

#include "tests/support/packets.h"
#include "tests/unit/io/xdp/two_hosts.h"

namespace fg::io::xdp {
namespace {

enum class Way : std::uint8_t { kernel, native, generic, sending, vlan, vlan_generic };

class PortConformance : public TwoHosts, public ::testing::WithParamInterface<Way> {
 protected:
  static constexpr const char* kTun = "tun-test";

  void SetUp() override {
    if (GetParam() >= Way::vlan) vlan_ = VlanTag{.id = 100};
    TwoHosts::SetUp();
    finish_checksums();
    if (GetParam() == Way::kernel) {
      auto opened = kernel::open_kernel_backend({.tun_name = kTun});
      ASSERT_TRUE(opened) << opened.error().to_string();
      kernel_ = std::move(*opened);
      port_ = kernel_.backend.ports[0].get();
    } else {
      open(1, is_sending() ? SendMode::on : SendMode::off);
      port_ = &port();
      auto wanted = options();
      wanted.sends = is_sending();
      if (GetParam() == Way::generic || GetParam() == Way::vlan_generic)
        wanted.program.only = AttachMode::generic;
      link_ = attach(wanted);
      ASSERT_TRUE(link_);
      (void)receive(*port_);  // takes the queue up
    }
    ASSERT_TRUE(kernel::set_up_quietly(kTun));
    ASSERT_TRUE(kernel::set_address(kTun, "100.64.0.1", "255.224.0.0"));
  }
  static bool is_sending() { return GetParam() == Way::sending || GetParam() == Way::vlan; }
  std::vector<kernel::Arrived> collect(std::size_t wanted) { return collect_from(*port_, wanted); }
  static void allow_fragments(const kernel::UdpSocket& socket) {
    const int allowed = IP_PMTUDISC_DONT;
    ASSERT_EQ(::setsockopt(socket.fd(), IPPROTO_IP, IP_MTU_DISCOVER, &allowed, sizeof allowed), 0);
  }
  // By the way that is tested, none by the other one.
  void expect_all_by_this_way(std::uint64_t count) {
    const bool is_kernel = GetParam() == Way::kernel;
    EXPECT_EQ(port_->counters().data_by_xdp.load(), is_kernel ? 0 : count);
    EXPECT_EQ(port_->counters().data_by_socket.load(), 0U);
  }

  kernel::KernelBackend kernel_;
  std::unique_ptr<Link> link_;
  Port* port_ = nullptr;
};

std::string name_of_way(const ::testing::TestParamInfo<Way>& way) {
  static constexpr std::array<const char*, 6> kNames{
      "Kernel", "XdpNative", "XdpGeneric", "XdpSending", "XdpSendingInAVlan", "XdpGenericInAVlan"};
  return kNames[static_cast<std::size_t>(way.param)];
}
std::vector<Way> ways() {
  std::vector out{Way::kernel, Way::native, Way::generic, Way::sending};
  if (has_real_devices()) out.insert(out.end(), {Way::vlan, Way::vlan_generic});
  return out;
}
INSTANTIATE_TEST_SUITE_P(Ports, PortConformance, ::testing::ValuesIn(ways()), name_of_way);

TEST_P(PortConformance, DatagramsOfBothFamiliesArriveWithTheirBytesAndAddresses) {
  std::uint64_t sent = 0;
  for (const auto family : {Family::v4, Family::v6}) {
    auto client = socket_there(family);
    const bool is_v4 = family == Family::v4;
    for (std::size_t size = 32; size <= 1452; size += 71) {
      const auto message = data_message(size, static_cast<unsigned>(size));
      send_data(client, message);
      ++sent;
      const auto got = collect(1);
      ASSERT_EQ(got.size(), 1U) << size;
      EXPECT_EQ(got[0].bytes, message);
      EXPECT_EQ(got[0].from, (SocketAddress{test_ip(is_v4 ? kThere4 : kThere6), client.port()}));
      EXPECT_EQ(got[0].local, (SocketAddress{test_ip(is_v4 ? kHere4 : kHere6), kTunnelPort}));
    }
  }
  EXPECT_EQ(port_->counters().datagrams_received.load(), sent);
  expect_all_by_this_way(sent);
}

TEST_P(PortConformance, MarksOfCongestionArrive) {
  for (const auto family : {Family::v4, Family::v6}) {
    auto client = socket_there(family);
    for (std::uint8_t ecn = 0; ecn < 4; ++ecn) {
      send_data(client, data_message(64), ecn);
      const auto got = collect(1);
      ASSERT_EQ(got.size(), 1U);
      EXPECT_EQ(got[0].ecn, ecn);
    }
  }
}

TEST_P(PortConformance, ABurstKeepsItsOrderAndLosesNothing) {
  constexpr unsigned kBurst = 1500;
  auto client = socket_there(Family::v4);
  for (unsigned i = 0; i < kBurst; ++i) send_data(client, data_message(200, i));
  const auto got = collect(kBurst);
  ASSERT_EQ(got.size(), kBurst);
  for (unsigned i = 0; i < kBurst; ++i) ASSERT_EQ(load_be32(got[i].bytes.data() + 4), i);
  expect_all_by_this_way(kBurst);
}

TEST_P(PortConformance, TwoSendersAreToldApart) {
  auto one = socket_there(Family::v4);
  auto other = socket_there(Family::v6);
  for (unsigned i = 0; i < 20; ++i) send_data(i % 2 == 0 ? one : other, data_message(100, i));
  const auto got = collect(20);
  ASSERT_EQ(got.size(), 20U);
  for (const auto& d : got) {
    const auto number = load_be32(d.bytes.data() + 4);
    EXPECT_EQ(d.from.family(), number % 2 == 0 ? Family::v4 : Family::v6);
    EXPECT_EQ(d.from.port, number % 2 == 0 ? one.port() : other.port());
  }
}

TEST_P(PortConformance, TheBytesMayBeChangedInPlace) {
  auto client = socket_there(Family::v4);
  for (unsigned round = 0; round < 50; ++round) {
    for (unsigned i = 0; i < 100; ++i) send_data(client, data_message(300, i));
    for (unsigned seen = 0; seen < 100;) {
      const auto batch = receive(*port_);
      ASSERT_FALSE(batch.empty());
      for (const auto& d : batch) {
        for (std::size_t at = 0; at < d.bytes.size(); at += d.segment, ++seen)
          ASSERT_EQ(copy_of(d.bytes.subspan(at, d.segment)), data_message(300, seen));
        std::ranges::fill(d.bytes, std::uint8_t{0xEE});
      }
    }
  }
}

TEST_P(PortConformance, WhatIsNoTunnelDataArrivesAsWell) {
  auto client = socket_there(Family::v4);
  ByteVector stun(28, 0);
  store_be32(stun.data(), 0x00010008);
  store_be32(stun.data() + 4, 0x2112A442);
  ByteVector initiation(148, 3);
  store_be32(initiation.data(), 0x01000000);
  const ByteVector cut{4, 0, 0};
  const ByteVector jumbo(4000, 9);  // fragments
  allow_fragments(client);
  for (const auto& bytes : {stun, initiation, cut, ByteVector{7}, jumbo}) {
    send_data(client, bytes);
    const auto got = collect(1);
    ASSERT_EQ(got.size(), 1U) << bytes.size();
    EXPECT_EQ(got[0].bytes, bytes);
  }
}

TEST_P(PortConformance, DataInFragmentsOrBehindOptionsArrives) {
  auto client = socket_there(Family::v4);
  allow_fragments(client);
  const auto large = data_message(3000, 1);
  send_data(client, large);
  auto got = collect(1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].bytes, large);

  const std::array<std::uint8_t, 4> options{1, 1, 1, 0};
  ASSERT_EQ(::setsockopt(client.fd(), IPPROTO_IP, IP_OPTIONS, options.data(), options.size()), 0);
  send_data(client, data_message(100, 2));
  got = collect(1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].bytes, data_message(100, 2));
}

TEST_P(PortConformance, ChannelDataOfARelayArrivesWithItsHeader) {
  auto relay = socket_there(Family::v4);
  const SocketAddress server{test_ip(kThere4), relay.port()};
  if (link_) {
    ASSERT_FALSE(link_->program()->set_relays({&server, 1}));
  }
  const auto inner = data_message(96, 5);
  ByteVector framed(4 + inner.size());
  store_be16(framed.data(), 0x4001);
  store_be16(framed.data() + 2, static_cast<std::uint16_t>(inner.size()));
  std::ranges::copy(inner, framed.begin() + 4);
  send_data(relay, framed);
  const auto got = collect(1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].bytes, framed);
  expect_all_by_this_way(1);
}

TEST_P(PortConformance, ABatchForBothFamiliesIsSentFromTheTunnelsPort) {
  auto v4 = socket_there(Family::v4);
  auto v6 = socket_there(Family::v6);
  const auto bytes = kernel::datagrams(30, 1200, 700);
  const std::array batch{
      OutgoingDatagrams{
          .to = {test_ip(kThere4), v4.port()}, .from = {}, .segment = 1200, .bytes = bytes},
      OutgoingDatagrams{.to = {test_ip(kThere6), v6.port()},
                        .from = test_ip(kHere6),
                        .ecn = 1,
                        .segment = 1200,
                        .bytes = bytes}};
  port_->send(batch);
  for (auto* socket : {&v4, &v6}) {
    const bool is_v4 = socket->family() == Family::v4;
    const auto got = kernel::collect(*socket, 30);
    ASSERT_EQ(got.size(), 30U);
    EXPECT_EQ(got[29].bytes, ByteVector(700, 29));
    EXPECT_EQ(got[0].from, (SocketAddress{test_ip(is_v4 ? kHere4 : kHere6), kTunnelPort}));
    EXPECT_EQ(got[0].ecn, is_v4 ? 0 : 1);
  }
  EXPECT_EQ(port_->counters().datagrams_sent.load(), 60U);
  EXPECT_EQ(port_->drops().total(), 0U);
}

TEST_P(PortConformance, WhatIsSentArrivesOnceInOrderWithItsBytesMarksAndAddresses) {
  for (const auto family : {Family::v4, Family::v6}) {
    const bool is_v4 = family == Family::v4;
    auto there = socket_there(family);
    OutgoingDatagrams d;
    d.to = {test_ip(is_v4 ? kThere4 : kThere6), there.port()};
    for (unsigned round = 0; round < 40; ++round) {
      d.ecn = round % 4;
      d.segment = static_cast<std::uint16_t>(32 + 36 * round);
      const auto count = 1 + round % 20;
      const auto bytes = kernel::datagrams(count, d.segment, 1 + d.segment / 2U);
      d.bytes = bytes;
      port_->send({&d, 1});
      if (is_sending() && round == 0) {
        EXPECT_EQ(answer_questions(), 1U);
      }
      const auto got = kernel::collect(there, count);
      ASSERT_EQ(got.size(), count);
      for (unsigned i = 0; i < count; ++i) {
        const auto size = i + 1 == count ? 1U + d.segment / 2U : d.segment;
        ASSERT_EQ(got[i].bytes, ByteVector(size, static_cast<std::uint8_t>(i)));
        ASSERT_EQ(got[i].from, (SocketAddress{test_ip(is_v4 ? kHere4 : kHere6), kTunnelPort}));
        ASSERT_EQ(got[i].ecn, d.ecn);
      }
    }
    EXPECT_FALSE(kernel::wait_readable(there.fd(), 20)) << "sent twice";
  }
  const auto& counters = port_->counters();
  EXPECT_EQ(counters.sent_by_xdp.load(), is_sending() ? counters.datagrams_sent.load() - 2 : 0U);
  EXPECT_EQ(port_->drops().total(), 0U);
}

TEST_P(PortConformance, TheTunDeviceIsReadAndWritten) {
  auto local = kernel::open_or_die(Family::v4);
  const ByteVector payload(50, 1);
  const OutgoingDatagrams d{
      .to = {test_ip("100.64.0.9"), 53}, .from = {}, .segment = 50, .bytes = payload};
  ASSERT_EQ((kernel::UdpSender{local.fd(), true}.send({&d, 1}).datagrams), 1U);
  EXPECT_EQ(port_->read_tun(kAllReady).size(), 1U);

  const auto packet = test::udp()
                          .from("100.64.0.9", 53)
                          .to("100.64.0.1", local.port())
                          .payload(ByteVector(60, 2))
                          .build();
  const std::array<Bytes, 1> parts{Bytes{packet}};
  EXPECT_TRUE(port_->write_tun({.header = {}, .parts = parts}));
  const auto got = kernel::collect(local, 1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].bytes, ByteVector(60, 2));
}

TEST_P(PortConformance, NothingIsReadableWhenAllWasTaken) {
  auto client = socket_there(Family::v4);
  for (unsigned i = 0; i < 300; ++i) send_data(client, data_message(100, i));
  EXPECT_EQ(collect(300).size(), 300U);
  (void)port_->receive(kAllReady);
  // Read like the worker reads them; the TUN device announces nothing of its own.
  for (const int fd : port_->wait_fds()) {
    while (!port_->read_tun(kAllReady).empty()) {
    }
    EXPECT_FALSE(kernel::wait_readable(fd, 0));
  }
}

TEST_P(PortConformance, MoreThanItHoldsIsCountedAndThenItGoesOn) {
  constexpr unsigned kMany = 5000;
  auto client = socket_there(Family::v4);
  for (unsigned i = 0; i < kMany; ++i) send_data(client, data_message(32, i));
  const auto got = collect(kMany);
  DropCounters drops;
  if (link_) {
    EXPECT_EQ(link_->check(drops), Link::Fault::none);
  }
  EXPECT_EQ(got.size() + drops.total(), kMany);
  EXPECT_GE(got.size(), GetParam() == Way::kernel ? kMany : kReceiveRing);
  send_data(client, data_message(100, 1));
  EXPECT_EQ(collect(1).size(), 1U);
}

TEST_P(PortConformance, ItCanBeClosedWithPacketsInFlight) {
  auto client = socket_there(Family::v4);
  for (unsigned i = 0; i < 100; ++i) send_data(client, data_message(100, i));
  (void)receive(*port_);
  for (unsigned i = 0; i < 100; ++i) send_data(client, data_message(100, i));
  kernel_ = {};
  backend_ = {};
  link_.reset();
  EXPECT_EQ(output_of("ip -d link show dev wan").find("xdp"), std::string::npos);
}

}  // namespace
}  // namespace fg::io::xdp
