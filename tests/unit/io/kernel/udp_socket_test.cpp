#include "io/kernel/udp_socket.h"

#include <cerrno>

#include "io/kernel/udp_sender.h"
#include "tests/unit/io/kernel/network.h"

namespace fg::io::kernel {
namespace {

class UdpSocketTest : public NetworkTest {};

TEST_F(UdpSocketTest, APortIsHadOnceAFamily) {
  for (const auto family : {Family::v4, Family::v6}) {
    const auto first = UdpSocket::open({.family = family, .port = 52625});
    ASSERT_TRUE(first) << first.error().to_string();
    EXPECT_EQ(first->port(), 52625);
    const auto second = UdpSocket::open({.family = family, .port = 52625});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().error, EADDRINUSE);
  }
}

TEST_F(UdpSocketTest, SomebodyElsesSharedPortIsNotJoined) {
  const auto theirs = UdpSocket::open({.port = 52625, .joins_group = true});
  ASSERT_TRUE(theirs);
  EXPECT_FALSE(UdpSocket::open({.port = 52625}));
}

TEST_F(UdpSocketTest, SocketsOfAGroupShareThePortInTheOrderTheyCame) {
  auto first = open_or_die(Family::v4, 52625);
  ASSERT_TRUE(first.open_group());
  const auto second = UdpSocket::open({.port = 52625, .joins_group = true});
  ASSERT_TRUE(second) << second.error().to_string();
  EXPECT_EQ(second->port(), 52625);
}

TEST_F(UdpSocketTest, TheMarkIsSet) {
  const auto socket = UdpSocket::open({.mark = 0xfd002021});
  ASSERT_TRUE(socket);
  EXPECT_FALSE(socket->capabilities().mark_error);
  std::uint32_t mark = 0;
  socklen_t length = sizeof mark;
  ASSERT_EQ(::getsockopt(socket->fd(), SOL_SOCKET, SO_MARK, &mark, &length), 0);
  EXPECT_EQ(mark, 0xfd002021);
}

TEST_F(UdpSocketTest, BuffersAreGrantedBeyondTheSystemsLimit) {
  const auto socket = UdpSocket::open({.receive_buffer = 16U << 20, .send_buffer = 2U << 20});
  ASSERT_TRUE(socket);
  EXPECT_EQ(socket->capabilities().receive_buffer, 16U << 20);
  EXPECT_EQ(socket->capabilities().send_buffer, 2U << 20);
}

TEST_F(UdpSocketTest, ADatagramTellsItsSourceDestinationAndCongestionMark) {
  auto to = open_or_die(Family::v4);
  auto from = open_or_die(Family::v4);
  UdpSender sender{from.fd(), true};
  const ByteVector payload{1, 2, 3};
  const OutgoingDatagrams d{.to = {ip("127.0.0.9"), to.port()},
                            .from = ip("127.0.0.3"),
                            .ecn = 1,
                            .segment = 3,
                            .bytes = payload};
  EXPECT_EQ(sender.send({&d, 1}).datagrams, 1);
  const auto got = collect(to, 1);
  ASSERT_EQ(got.size(), 1);
  EXPECT_EQ(got[0].bytes, payload);
  EXPECT_EQ(got[0].from, (SocketAddress{ip("127.0.0.3"), from.port()}));
  EXPECT_EQ(got[0].local, (SocketAddress{ip("127.0.0.9"), to.port()}));
  EXPECT_EQ(got[0].ecn, 1);
}

TEST_F(UdpSocketTest, TheSameHoldsForIpv6) {
  auto to = open_or_die(Family::v6);
  auto from = open_or_die(Family::v6);
  UdpSender sender{from.fd(), true};
  const ByteVector payload{1, 2, 3};
  const OutgoingDatagrams d{
      .to = {ip("::1"), to.port()}, .from = ip("::1"), .ecn = 3, .segment = 3, .bytes = payload};
  EXPECT_EQ(sender.send({&d, 1}).datagrams, 1);
  const auto got = collect(to, 1);
  ASSERT_EQ(got.size(), 1);
  EXPECT_EQ(got[0].from, (SocketAddress{ip("::1"), from.port()}));
  EXPECT_EQ(got[0].local, (SocketAddress{ip("::1"), to.port()}));
  EXPECT_EQ(got[0].ecn, 3);
}

TEST_F(UdpSocketTest, SegmentsArriveTogetherAndKeepTheirBorders) {
  for (const auto family : {Family::v4, Family::v6}) {
    auto to = open_or_die(family);
    auto from = open_or_die(family);
    ASSERT_TRUE(to.capabilities().receive_offload);
    ASSERT_TRUE(from.capabilities().segmentation);
    UdpSender sender{from.fd(), true};
    const auto bytes = datagrams(40, 1312, 60);
    const auto host = family == Family::v4 ? ip("127.0.0.1") : ip("::1");
    const OutgoingDatagrams d{.to = {host, to.port()}, .from = {}, .segment = 1312, .bytes = bytes};
    EXPECT_EQ(sender.send({&d, 1}).datagrams, 40);
    const auto got = collect(to, 40);
    ASSERT_EQ(got.size(), 40);
    EXPECT_EQ(got[0].segments_beside, 40) << "receive offload did not merge";
    for (std::size_t i = 0; i < 40; ++i) {
      EXPECT_EQ(got[i].bytes, ByteVector(i == 39 ? 60 : 1312, static_cast<std::uint8_t>(i)));
    }
  }
}

TEST_F(UdpSocketTest, NothingWaitingIsNoError) {
  auto socket = open_or_die(Family::v4);
  std::array<ReceivedDatagrams, 4> batch{};
  int error = 1;
  EXPECT_EQ(socket.receive(batch, error), 0);
  EXPECT_EQ(error, 0);
}

}  // namespace
}  // namespace fg::io::kernel
