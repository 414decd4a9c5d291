#include "io/kernel/tun_steering.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdlib>

#include "io/kernel/os_address.h"
#include "io/kernel/tun_device.h"
#include "tests/support/child_process.h"
#include "tests/unit/io/kernel/network.h"

namespace fg::io::kernel {
namespace {

constexpr unsigned kQueues = 3;

WorkerIndex worker(unsigned i) { return WorkerIndex{static_cast<std::uint8_t>(i)}; }
IpAddress client_v4(unsigned n) {
  return IpAddress::v4(100, 64, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n));
}
IpAddress client_v6(unsigned n) {
  std::array<std::uint8_t, 16> bytes{0xFD, 0, 0x20, 0x21, 0x11, 0x11};
  bytes[14] = static_cast<std::uint8_t>(n >> 8);
  bytes[15] = static_cast<std::uint8_t>(n);
  return IpAddress::v6(bytes);
}

// A device of three queues, which carries all of 100.64/11 and fd00:2021:1111::/107.
class TunSteeringTest : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    auto device = open_tun({.name = "tun-test", .queues = kQueues});
    ASSERT_TRUE(device) << device.error().to_string();
    device_ = std::move(*device);
    auto steering = TunSteering::load();
    ASSERT_TRUE(steering) << steering.error().to_string();
    steering_.emplace(std::move(*steering));
    const auto refused = steering_->attach(device_.queues[1].fd());
    ASSERT_FALSE(refused) << refused->to_string();
    ASSERT_EQ(std::system("ip address add 100.64.250.1/11 dev tun-test && "
                          "ip address add fd00:2021:1111::fa01/107 dev tun-test nodad && "
                          "ip link set tun-test up"),
              0);
    for (const auto family : {Family::v4, Family::v6}) sockets_.push_back(open_or_die(family));
  }
  void send(const IpAddress& to, std::uint16_t port) {
    sockaddr_storage name{};
    const auto length = to_os(SocketAddress{to, port}, name);
    ASSERT_EQ(::sendto(sockets_[to.is_v4() ? 0 : 1].fd(), "x", 1, 0,
                       reinterpret_cast<const sockaddr*>(&name), length),
              1);
  }
  // Of what was sent to one address, what came out of each queue. Sending puts it there at once.
  std::array<unsigned, kQueues> arrived(const IpAddress& to) {
    std::array<unsigned, kQueues> out{};
    for (unsigned q = 0; q < kQueues; ++q) {
      int error = 0;
      for (auto reads = device_.queues[q].read(error); !reads.empty();
           reads = device_.queues[q].read(error)) {
        for (const auto& read : reads) {
          const auto packet = read.bytes.subspan(kVnetHeaderSize);
          const auto at = to.is_v4() ? packet.subspan(16, 4) : packet.subspan(24, 16);
          if (IpAddress::from_bytes(at) == to) ++out[q];
        }
      }
      EXPECT_EQ(error, 0);
    }
    return out;
  }

  TunDevice device_;
  std::optional<TunSteering> steering_;
  std::vector<UdpSocket> sockets_;
};

TEST_F(TunSteeringTest, EachClientsPacketsArriveInItsWorkersQueue) {
  for (unsigned n = 0; n < 30; ++n) {
    for (const auto& client : {client_v4(n), client_v6(n)}) {
      ASSERT_TRUE(steering_->set_owner(client, worker(n % kQueues)));
      for (std::uint16_t port = 1; port <= 20; ++port) send(client, port);
      std::array<unsigned, kQueues> wanted{};
      wanted[n % kQueues] = 20;
      EXPECT_EQ(arrived(client), wanted) << client.to_string();
    }
  }
}

TEST_F(TunSteeringTest, AClientThatMovesTakesItsPacketsAlong) {
  for (unsigned w = 0; w < kQueues; ++w) {
    ASSERT_TRUE(steering_->set_owner(client_v4(7), worker(w)));
    send(client_v4(7), 5);
    std::array<unsigned, kQueues> wanted{};
    wanted[w] = 1;
    EXPECT_EQ(arrived(client_v4(7)), wanted);
  }
}

TEST_F(TunSteeringTest, AddressesWithoutOwnerAreSpread) {
  ASSERT_TRUE(steering_->set_owner(client_v4(2), worker(1)));
  ASSERT_TRUE(steering_->set_owner(client_v4(2), std::nullopt));
  std::array<unsigned, kQueues> sum{};
  for (unsigned n = 0; n < 30; ++n) {
    for (const auto& client : {client_v4(n), client_v6(n)}) {
      send(client, 5);
      const auto got = arrived(client);
      for (unsigned q = 0; q < kQueues; ++q) sum[q] += got[q];
    }
  }
  for (const auto n : sum) EXPECT_EQ(n, 20);
}

TEST_F(TunSteeringTest, AQueueThatIsNotThereIsNoReasonToLoseAPacket) {
  ASSERT_TRUE(steering_->set_owner(client_v4(2), worker(4)));
  send(client_v4(2), 5);
  EXPECT_EQ(arrived(client_v4(2)), (std::array<unsigned, kQueues>{0, 1, 0}));
}

TEST_F(TunSteeringTest, WithoutThePrivilegeItIsRefusedAndTheDeviceWorksOn) {
  const int status = test::status_in_child([] {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> keep{};
    keep[0].effective = keep[0].permitted = 1U << CAP_NET_ADMIN;
    if (::syscall(SYS_capset, &header, keep.data()) != 0) return 2;
    const auto refused = TunSteering::load();
    return !refused && refused.error().error == EPERM ? 0 : 1;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace fg::io::kernel
