#include "io/xdp/xdp_port.h"

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

}  // namespace
}  // namespace fg::io::xdp
