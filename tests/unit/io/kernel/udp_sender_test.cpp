#include "io/kernel/udp_sender.h"

#include <cerrno>

#include "tests/unit/io/kernel/network.h"

namespace fg::io::kernel {
namespace {

class UdpSenderTest : public NetworkTest {
 protected:
  [[nodiscard]] OutgoingDatagrams to(const UdpSocket& socket, const ByteVector& bytes,
                                     std::uint16_t segment) const {
    return {.to = {ip("127.0.0.1"), socket.port()}, .from = {}, .segment = segment, .bytes = bytes};
  }
};

TEST_F(UdpSenderTest, AClosedPortCostsTheNextDatagramNothing) {
  auto open = open_or_die(Family::v4);
  auto from = open_or_die(Family::v4);
  std::uint16_t closed_port = 0;
  {
    const auto closed = open_or_die(Family::v4);
    closed_port = closed.port();
  }
  UdpSender sender{from.fd(), true};
  const ByteVector payload{7};
  const OutgoingDatagrams refused{
      .to = {ip("127.0.0.1"), closed_port}, .from = {}, .segment = 1, .bytes = payload};
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(sender.send({&refused, 1}).failed, 0);
    const auto good = to(open, payload, 1);
    EXPECT_EQ(sender.send({&good, 1}).datagrams, 1);
  }
  EXPECT_EQ(collect(open, 10).size(), 10);
  std::array<ReceivedDatagrams, 4> batch{};
  int error = 0;
  EXPECT_EQ(from.receive(batch, error), 0);
  EXPECT_EQ(error, 0) << "reading is not disturbed either";
}

TEST_F(UdpSenderTest, ADestinationWithoutARouteCostsTheOthersNothing) {
  auto open = open_or_die(Family::v4);
  auto from = open_or_die(Family::v4);
  UdpSender sender{from.fd(), true};
  const auto bytes = datagrams(3, 100, 100);
  const OutgoingDatagrams unreachable{
      .to = {ip("203.0.113.1"), 1}, .from = {}, .segment = 100, .bytes = bytes};
  const std::array batch{to(open, bytes, 100), unreachable, to(open, bytes, 100), unreachable,
                         to(open, bytes, 100)};
  const auto outcome = sender.send(batch);
  EXPECT_EQ(outcome.datagrams, 9);
  EXPECT_EQ(outcome.failed, 6);
  EXPECT_EQ(outcome.error, ENETUNREACH);
  EXPECT_TRUE(sender.segments());
  EXPECT_EQ(collect(open, 9).size(), 9);
}

TEST_F(UdpSenderTest, ASourceThatIsNotOursIsRefusedAndSegmentationStays) {
  auto open = open_or_die(Family::v4);
  auto from = open_or_die(Family::v4);
  UdpSender sender{from.fd(), true};
  const auto bytes = datagrams(3, 100, 100);
  auto d = to(open, bytes, 100);
  d.from = ip("192.0.2.7");
  EXPECT_EQ(sender.send({&d, 1}).failed, 3);
  EXPECT_TRUE(sender.segments());
}

TEST_F(UdpSenderTest, WithoutSegmentationTheSameDatagramsLeaveSingly) {
  auto open = open_or_die(Family::v4);
  auto from = open_or_die(Family::v4);
  UdpSender sender{from.fd(), false};
  const auto bytes = datagrams(5, 1312, 32);
  const std::array batch{to(open, bytes, 1312), to(open, bytes, 1312)};
  EXPECT_EQ(sender.send(batch).datagrams, 10);
  const auto got = collect(open, 10);
  ASSERT_EQ(got.size(), 10);
  for (std::size_t i = 0; i < 10; ++i) EXPECT_EQ(got[i].bytes.size(), i % 5 == 4 ? 32 : 1312);
}

TEST_F(UdpSenderTest, ALinkTooSmallForASegmentDoesNotSwitchSegmentationOff) {
  auto open = open_or_die(Family::v4);
  auto from = open_or_die(Family::v4);
  auto request = interface_request("lo");
  request.ifr_mtu = 1200;
  ASSERT_EQ(::ioctl(from.fd(), SIOCSIFMTU, &request), 0);
  UdpSender sender{from.fd(), true};
  const auto large = datagrams(3, 1312, 1312);
  const auto d = to(open, large, 1312);
  EXPECT_EQ(sender.send({&d, 1}).failed, 3);
  const auto small = datagrams(3, 500, 500);
  const auto fits = to(open, small, 500);
  EXPECT_EQ(sender.send({&fits, 1}).datagrams, 3);
  EXPECT_TRUE(sender.segments());
}

TEST_F(UdpSenderTest, MoreMessagesThanOneCallTakesAreAllSent) {
  auto open = open_or_die(Family::v4);
  auto from = open_or_die(Family::v4);
  UdpSender sender{from.fd(), true};
  const ByteVector payload(64, 1);
  const std::vector batch(100, to(open, payload, 64));
  EXPECT_EQ(sender.send(batch).datagrams, 100);
  EXPECT_EQ(collect(open, 100).size(), 100);
}

TEST_F(UdpSenderTest, SixtyFourSegmentsGoInOneCall) {
  auto open = open_or_die(Family::v4);
  auto from = open_or_die(Family::v4);
  UdpSender sender{from.fd(), true};
  const auto bytes = datagrams(kSegmentsMax, 1023, 1023);
  ASSERT_LE(bytes.size(), kUdpPayloadMax);
  const auto d = to(open, bytes, 1023);
  const auto outcome = sender.send({&d, 1});
  EXPECT_EQ(outcome.datagrams, 64);
  EXPECT_EQ(outcome.calls, 1);
  EXPECT_EQ(collect(open, 64).size(), 64);
}

}  // namespace
}  // namespace fg::io::kernel
