#include "io/kernel/steering.h"

#include "io/kernel/udp_sender.h"
#include "tests/unit/io/kernel/network.h"

namespace fg::io::kernel {
namespace {

class SteeringTest : public NetworkTest {
 protected:
  static constexpr unsigned kWorkers = 4;

  void SetUp() override {
    NetworkTest::SetUp();
    group_.push_back(open_or_die(Family::v4));
    ASSERT_TRUE(group_[0].open_group());
    while (group_.size() < kWorkers) {
      auto next = UdpSocket::open({.port = group_[0].port(), .joins_group = true});
      ASSERT_TRUE(next) << next.error().to_string();
      group_.push_back(std::move(*next));
    }
    const auto error = attach_steering(group_[0].fd(), kWorkers);
    ASSERT_FALSE(error) << error->to_string();
  }

  // Which socket of the group receives it, whatever port it comes from.
  int receiver_of(const ByteVector& datagram) {
    int found = -1;
    for (int attempt = 0; attempt < 4; ++attempt) {
      auto from = open_or_die(Family::v4);
      UdpSender sender{from.fd(), true};
      const OutgoingDatagrams d{.to = {ip("127.0.0.1"), group_[0].port()},
                                .from = {},
                                .segment = static_cast<std::uint16_t>(datagram.size()),
                                .bytes = datagram};
      EXPECT_EQ(sender.send({&d, 1}).datagrams, 1);
      for (std::size_t i = 0; i < kWorkers; ++i) {
        std::array<ReceivedDatagrams, 2> batch{};
        int error = 0;
        if (group_[i].receive(batch, error) == 0) continue;
        EXPECT_TRUE(found == -1 || found == static_cast<int>(i));
        found = static_cast<int>(i);
      }
    }
    return found;
  }

  static ByteVector data_message(std::uint8_t worker) {
    ByteVector m(32, 0xEE);
    store_be32(m.data(), 0x04000000);
    store_le32(m.data() + 4, std::uint32_t{worker} << 28 | 0x0ABCDE07);
    return m;
  }
  static ByteVector in_channel(ByteVector inner) {
    ByteVector m{0x40, 0x01, 0, static_cast<std::uint8_t>(inner.size())};
    m.insert(m.end(), inner.begin(), inner.end());
    return m;
  }

  std::vector<UdpSocket> group_;
};

TEST_F(SteeringTest, DataGoesToTheWorkerOfItsReceiverIndex) {
  for (std::uint8_t worker = 0; worker < kWorkers; ++worker) {
    EXPECT_EQ(receiver_of(data_message(worker)), worker);
    EXPECT_EQ(receiver_of(in_channel(data_message(worker))), worker);
  }
}

TEST_F(SteeringTest, AWorkerThatDoesNotExistIsTheFirst) {
  EXPECT_EQ(receiver_of(data_message(4)), 0);
  EXPECT_EQ(receiver_of(data_message(15)), 0);
}

TEST_F(SteeringTest, EverythingElseGoesToTheFirst) {
  auto handshake = data_message(3);
  handshake[0] = 1;
  EXPECT_EQ(receiver_of(handshake), 0);
  auto lookalike = data_message(3);
  lookalike[1] = 1;
  EXPECT_EQ(receiver_of(lookalike), 0);
  EXPECT_EQ(receiver_of(in_channel(handshake)), 0);
  auto other_channel = in_channel(data_message(3));
  other_channel[0] = 0x50;
  EXPECT_EQ(receiver_of(other_channel), 0);
  EXPECT_EQ(receiver_of({0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42}), 0);
  EXPECT_EQ(receiver_of({4, 0, 0}), 0);
  EXPECT_EQ(receiver_of({4, 0, 0, 0, 1}), 0);
  EXPECT_EQ(receiver_of({0x40, 1, 0, 4, 4, 0, 0, 0}), 0);
}

}  // namespace
}  // namespace fg::io::kernel
