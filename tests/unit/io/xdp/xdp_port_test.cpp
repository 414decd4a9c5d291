#include "io/xdp/xdp_port.h"

#include <linux/if_ether.h>
#include <linux/if_packet.h>

#include "tests/unit/io/xdp/two_hosts.h"

namespace fg::io::xdp {
namespace {

class XdpPortTest : public TwoHosts {
 protected:
  void SetUp() override {
    TwoHosts::SetUp();
    open();
  }
};

TEST_F(XdpPortTest, WithoutAQueueItIsTheKernelsPort) {
  auto client = socket_there(Family::v4);
  send_data(client, data_message(100, 1));
  const auto got = collect_here(1);
  ASSERT_EQ(got.size(), 1U);
  EXPECT_EQ(got[0].local, (SocketAddress{test_ip(kHere4), kTunnelPort}));
  EXPECT_EQ(port().counters().data_by_socket.load(), 1U);
  EXPECT_EQ(port().counters().data_by_xdp.load(), 0U);
}

TEST_F(XdpPortTest, WhatIsNotReadyIsNotAsked) {
  auto link = attach(options());
  auto client = socket_there(Family::v4);
  send_data(client, data_message(100, 1));
  EXPECT_TRUE(port().receive(0).empty());
  EXPECT_EQ(collect_here(1).size(), 1U);
}

TEST_F(XdpPortTest, DataComesByItsQueueAndTheRestByTheSocketInOneBatch) {
  auto link = attach(options());
  (void)receive(port());  // takes the queue up
  auto client = socket_there(Family::v4);
  const ByteVector other(40, 0xAA);
  send_data(client, data_message(100, 1));
  send_data(client, other);
  const auto batch = port().receive(kAllReady);
  ASSERT_EQ(batch.size(), 2U);
  EXPECT_EQ(copy_of(batch[0].bytes), other);
  EXPECT_EQ(copy_of(batch[1].bytes), data_message(100, 1));
  EXPECT_EQ(port().counters().data_by_xdp.load(), 1U);
  EXPECT_EQ(port().counters().data_by_socket.load(), 0U);
  EXPECT_EQ(port().counters().datagrams_received.load(), 2U);
}

TEST_F(XdpPortTest, AQueueThatIsGivenUpIsEmptiedFirst) {
  auto link = attach(options());
  auto client = socket_there(Family::v4);
  constexpr unsigned kMany = 3 * kReceiveBatch;
  for (unsigned i = 0; i < kMany; ++i) send_data(client, data_message(100, i));
  for (int i = 0; i < 100 && link->socket(0)->waiting() < kMany; ++i)
    (void)::poll(nullptr, 0, 20);  // they are on their way
  link->leave();
  EXPECT_FALSE(link->is_done()) << "nobody has taken what waits";
  const auto got = collect_here(kMany);
  ASSERT_EQ(got.size(), kMany);
  for (unsigned i = 0; i < kMany; ++i) EXPECT_EQ(load_be32(got[i].bytes.data() + 4), i);
  (void)receive(port(), 100);
  EXPECT_TRUE(link->is_done());
  link.reset();
  send_data(client, data_message(100, 9));
  EXPECT_EQ(collect_here(1).size(), 1U);
  EXPECT_EQ(port().counters().data_by_socket.load(), 1U);
}

TEST_F(XdpPortTest, ABusyQueueLeavesRoomForTheOthers) {
  output_of("ip link add b0 type veth peer name b1 && ip link set b0 up && ip link set b1 up");
  auto link = attach(options());
  auto other = QueueSocket::open({.interface = "b0"});
  ASSERT_TRUE(other) << other.error().to_string();
  ASSERT_TRUE(port().add(**other));
  (void)receive(port());
  auto client = socket_there(Family::v4);
  for (unsigned i = 0; i < kReceiveBatch; ++i) send_data(client, data_message(100, i));
  EXPECT_EQ(port().receive(kAllReady).size(), kReceiveBatch / 2);
  ASSERT_TRUE(port().remove(**other));
  while (!(*other)->is_released()) (void)receive(port(), 100);
}

TEST_F(XdpPortTest, NoMoreQueuesThanItsLimitAreTaken) {
  auto socket = QueueSocket::open({.interface = "wan"});
  ASSERT_TRUE(socket) << socket.error().to_string();
  for (std::size_t i = 0; i < kQueuesMax; ++i) ASSERT_TRUE(port().add(**socket));
  EXPECT_FALSE(port().add(**socket));
  EXPECT_EQ(port().queues(), kQueuesMax);
}

// ---- sending ----

class XdpPortSendTest : public XdpPortTest {
 protected:
  void SetUp() override { TwoHosts::SetUp(); }
  void begin(SendMode mode) {
    open(1, mode);
    auto wanted = options();
    wanted.sends = true;
    link_ = attach(wanted);
    ASSERT_TRUE(link_);
    (void)receive(port());
  }
  static OutgoingDatagrams to(const kernel::UdpSocket& there, Bytes bytes, std::uint16_t segment) {
    return {.to = {test_ip(there.family() == Family::v4 ? kThere4 : kThere6), there.port()},
            .from = {},
            .segment = segment,
            .bytes = bytes};
  }
  [[nodiscard]] std::uint64_t by_xdp() { return port().counters().sent_by_xdp.load(); }

  std::unique_ptr<Link> link_;
};

TEST_F(XdpPortSendTest, WhatIsUnknownGoesByTheSocketAndWhatIsKnownByTheQueue) {
  begin(SendMode::on);
  for (const auto family : {Family::v4, Family::v6}) {
    auto there = socket_there(family);
    const auto bytes = kernel::datagrams(30, 1200, 700);
    const auto d = to(there, bytes, 1200);
    const auto before = by_xdp();
    port().send({&d, 1});
    EXPECT_TRUE(kernel::wait_readable(port().question_fd(), 0));
    EXPECT_EQ(kernel::collect(there, 30).size(), 30U);
    EXPECT_EQ(by_xdp(), before);
    EXPECT_EQ(answer_questions(), 1U);
    port().send({&d, 1});
    const auto got = kernel::collect(there, 30);
    ASSERT_EQ(got.size(), 30U);
    for (unsigned i = 0; i < 30; ++i)
      EXPECT_EQ(got[i].bytes, ByteVector(i == 29 ? 700 : 1200, static_cast<std::uint8_t>(i)));
    EXPECT_EQ(got[0].from,
              (SocketAddress{test_ip(family == Family::v4 ? kHere4 : kHere6), kTunnelPort}));
    EXPECT_EQ(by_xdp(), before + 30);
  }
  EXPECT_EQ(port().counters().datagrams_sent.load(), 120U);
  EXPECT_EQ(port().counters().bytes_sent.load(), 4U * (29 * 1200 + 700));
  EXPECT_EQ(port().drops().total(), 0U);
}

TEST_F(XdpPortSendTest, OneBatchMayLeaveByBothWays) {
  begin(SendMode::on);
  auto known = socket_there(Family::v4);
  auto unknown = socket_there(Family::v4);
  const auto bytes = data_message(100, 1);
  const auto d = to(known, bytes, 100);
  port().send({&d, 1});
  (void)answer_questions();
  const std::array batch{d, to(unknown, bytes, 100), d, to(unknown, bytes, 100)};
  port().send(batch);
  EXPECT_EQ(kernel::collect(known, 3).size(), 3U);
  EXPECT_EQ(kernel::collect(unknown, 2).size(), 2U);
  EXPECT_EQ(by_xdp(), 2U);
}

TEST_F(XdpPortSendTest, WhatExceedsTheMtuIsTheKernelsToJudge) {
  begin(SendMode::on);
  auto there = socket_there(Family::v4);
  const auto bytes = data_message(1300, 1);
  const auto d = to(there, bytes, 1300);
  port().send({&d, 1});
  EXPECT_EQ(answer_questions(1327), 1U);
  port().send({&d, 1});
  EXPECT_EQ(kernel::collect(there, 2).size(), 2U);
  EXPECT_EQ(by_xdp(), 0U);
}

TEST_F(XdpPortSendTest, WhatLeavesByAnotherInterfaceIsNoneOfTheQueues) {
  begin(SendMode::on);
  auto there = socket_there(Family::v4);
  const auto bytes = data_message(100, 1);
  const auto d = to(there, bytes, 100);
  port().send({&d, 1});
  const auto question = port().next_hops().next_question();
  ASSERT_TRUE(question);
  auto hop = hop_there(Family::v4);
  hop.interface += 1000;
  ASSERT_TRUE(port().next_hops().answer({question->destination, question->epoch, hop}));
  port().send({&d, 1});
  EXPECT_EQ(kernel::collect(there, 2).size(), 2U);
  EXPECT_EQ(by_xdp(), 0U);
}

TEST_F(XdpPortSendTest, WhatADeviceDidNotTakeLeavesInALaterTurn) {
  if (has_real_devices()) return;  // what waits there is the driver's
  begin(SendMode::on);
  auto there = socket_there(Family::v4);
  const auto bytes = kernel::datagrams(10, 400, 400);
  const auto d = to(there, bytes, 400);
  port().send({&d, 1});
  (void)answer_questions();
  ASSERT_EQ(kernel::collect(there, 10).size(), 10U);
  output_of("ip link set wan down");
  port().send({&d, 1});
  EXPECT_EQ(by_xdp(), 10U);
  output_of("ip link set wan up");
  wait_up("wan");
  for (int i = 0; i < 20 && !kernel::wait_readable(there.fd(), 0); ++i) (void)receive(port(), 100);
  EXPECT_TRUE(kernel::wait_readable(there.fd(), 0));
  EXPECT_EQ(kernel::collect(there, 10).size(), 10U);
}

TEST_F(XdpPortSendTest, InANewEpochTheSocketServesUntilThereIsAnAnswer) {
  begin(SendMode::on);
  auto there = socket_there(Family::v4);
  const auto bytes = data_message(100, 1);
  const auto d = to(there, bytes, 100);
  for (unsigned i = 0; i < 3; ++i) {
    port().send({&d, 1});
    EXPECT_EQ(answer_questions(), 1U);
    port().send({&d, 1});
    EXPECT_EQ(by_xdp(), i + 1);
    port().next_hops().begin_epoch();
  }
  EXPECT_EQ(kernel::collect(there, 6).size(), 6U);
}

TEST_F(XdpPortSendTest, MoreThanItsFramesLosesNothing) {
  begin(SendMode::on);
  auto there = socket_there(Family::v4);
  const auto bytes = kernel::datagrams(64, 400, 400);
  const auto d = to(there, bytes, 400);
  port().send({&d, 1});
  (void)answer_questions();
  const std::vector<OutgoingDatagrams> batch(24, d);
  port().send(batch);
  EXPECT_EQ(kernel::collect(there, 25 * 64).size(), 25U * 64U);
  EXPECT_EQ(by_xdp() + port().counters().send_frames_short.load(), 24U * 64U);
}

TEST_F(XdpPortSendTest, AQueueThatIsGivenUpWhileItSendsLosesNothing) {
  begin(SendMode::on);
  auto there = socket_there(Family::v4);
  const auto bytes = kernel::datagrams(10, 400, 400);
  const auto d = to(there, bytes, 400);
  port().send({&d, 1});
  (void)answer_questions();
  for (unsigned i = 0; i < 20; ++i) port().send({&d, 1});
  link_->leave();
  port().send({&d, 1});
  while (!link_->is_done()) {
    (void)receive(port(), 100);
    port().send({&d, 1});
  }
  link_.reset();
  port().send({&d, 1});
  const auto sent = port().counters().datagrams_sent.load();
  EXPECT_EQ(kernel::collect(there, sent).size(), sent);
  EXPECT_FALSE(kernel::wait_readable(there.fd(), 20)) << "sent twice";
  EXPECT_GE(by_xdp(), 200U);
  EXPECT_EQ(port().drops().total(), 0U);
}

TEST_F(XdpPortSendTest, AQueueThatIsGivenUpUnsentIsWaitedForAWhileAndThenCounted) {
  begin(SendMode::on);
  auto there = socket_there(Family::v4);
  const auto bytes = kernel::datagrams(10, 400, 400);
  const auto d = to(there, bytes, 400);
  port().send({&d, 1});
  (void)answer_questions();
  output_of("ip link set wan down");
  port().send({&d, 1});
  link_->leave();
  (void)receive(port(), 100);
  EXPECT_FALSE(link_->is_done()) << "it could still leave";
  while (!link_->is_done()) (void)receive(port(), 100);
  EXPECT_EQ(port().drops().of(DropReason::xdp_unsent), 10U);
}

// With what it costs here; which way that decides for is the machine's.
TEST_F(XdpPortSendTest, MeasuredItTriesBothWaysAndSaysWhatTheyCost) {
  begin(SendMode::measured);
  auto there = socket_there(Family::v4);
  const auto single = data_message(200, 1);
  const auto run = kernel::datagrams(20, 200, 200);
  auto* socket = link_->socket(0);
  std::uint64_t sent = 0;
  for (const auto& [bytes, shape] :
       {std::pair{&single, BurstShape::single}, {&run, BurstShape::long_run}}) {
    const auto d = to(there, *bytes, 200);
    for (std::size_t i = 0; i < 2 * SendChoice::kSamples + 1; ++i) {
      port().send({&d, 1});
      (void)answer_questions();
      sent += d.count();
      ASSERT_EQ(kernel::collect(there, d.count()).size(), d.count());
    }
    const auto verdict = socket->verdict(shape);
    ASSERT_TRUE(verdict);
    std::printf("%zu a destination: socket %u ns, AF_XDP %u ns\n", d.count(), verdict->costs.socket,
                verdict->costs.xdp);
    EXPECT_GT(verdict->costs.socket, 0U);
    EXPECT_GT(verdict->costs.xdp, 0U);
  }
  EXPECT_FALSE(socket->verdict(BurstShape::short_run));
  EXPECT_EQ(port().counters().datagrams_sent.load(), sent);
  EXPECT_GE(by_xdp(), SendChoice::kSamples);
}

// Read as it lies on the wire: the kernel of the tests may know no VLANs.
TEST_F(XdpPortSendTest, AFrameForAVlanHasItsTag) {
  begin(SendMode::on);
  auto there = socket_there(Family::v4);
  kernel::FileDescriptor wire;
  over_there([&] {
    output_of("ip link set far promisc on");  // a device may let only its own VLANs in
    wire = kernel::FileDescriptor{::socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL))};
    const int wanted = 1;
    ASSERT_EQ(::setsockopt(wire.get(), SOL_PACKET, PACKET_AUXDATA, &wanted, sizeof wanted), 0);
  });
  const auto bytes = data_message(100, 1);
  const auto d = to(there, bytes, 100);
  port().send({&d, 1});
  auto question = port().next_hops().next_question();
  ASSERT_TRUE(question);
  auto hop = hop_there(Family::v4);
  hop.vlan = VlanTag{.id = 77};
  ASSERT_TRUE(port().next_hops().answer({question->destination, question->epoch, hop}));
  port().send({&d, 1});
  EXPECT_EQ(by_xdp(), 1U);
  // The kernel takes the tag off and tells it beside.
  bool is_seen = false;
  while (!is_seen && kernel::wait_readable(wire.get(), 2000)) {
    std::array<std::uint8_t, 2048> frame{};
    alignas(cmsghdr) std::array<char, 256> control{};
    iovec part{frame.data(), frame.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ASSERT_GT(::recvmsg(wire.get(), &message, 0), 0);
    const auto* c = CMSG_FIRSTHDR(&message);
    if (c == nullptr || c->cmsg_type != PACKET_AUXDATA) continue;
    tpacket_auxdata told{};
    std::memcpy(&told, CMSG_DATA(c), sizeof told);
    is_seen = (told.tp_status & TP_STATUS_VLAN_VALID) != 0 && told.tp_vlan_tci == 77;
  }
  EXPECT_TRUE(is_seen);
}

TEST_F(XdpPortSendTest, SwitchedOffItAsksForNothing) {
  begin(SendMode::off);
  auto there = socket_there(Family::v4);
  const auto bytes = data_message(100, 1);
  const auto d = to(there, bytes, 100);
  port().send({&d, 1});
  EXPECT_EQ(kernel::collect(there, 1).size(), 1U);
  EXPECT_FALSE(port().next_hops().next_question());
}

}  // namespace
}  // namespace fg::io::xdp
