#include "io/kernel/upkeep.h"

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "io/kernel/os_address.h"
#include "tests/unit/io/kernel/network.h"

namespace fg::io::kernel {
namespace {

class UpkeepTest : public NetworkTest {
 protected:
  static void run(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0); }
  void open_steered(unsigned queues) {
    const TunOptions options{.name = "tun-test", .queues = queues};
    auto device = open_tun(options);
    ASSERT_TRUE(device) << device.error().to_string();
    device_ = std::move(*device);
    upkeep_.emplace(options, device_.queues);
    auto steering = TunSteering::load();
    ASSERT_TRUE(steering) << steering.error().to_string();
    ASSERT_FALSE(upkeep_->add(std::move(*steering)));
  }

  TunDevice device_;
  std::optional<Upkeep> upkeep_;
};

TEST_F(UpkeepTest, ADeletedDeviceIsMadeAgainOnTheSameQueues) {
  for (const unsigned queues : {1U, 3U}) {
    const TunOptions options{.name = "tun-test", .queues = queues};
    auto device = open_tun(options);
    ASSERT_TRUE(device) << device.error().to_string();
    Upkeep upkeep{options, device->queues};
    EXPECT_EQ(upkeep.tun_name(), "tun-test");
    run("ip link delete tun-test");
    EXPECT_EQ(upkeep.tun_name(), std::nullopt);
    const auto error = upkeep.make_tun();
    ASSERT_FALSE(error) << error->to_string();
    EXPECT_EQ(upkeep.tun_name(), "tun-test");
    EXPECT_FALSE(upkeep.make_tun()) << "what is there is left alone";
    EXPECT_EQ(open_tun(options).error().error, EBUSY) << "nobody else gets it";

    ASSERT_TRUE(set_up("tun-test"));
    ASSERT_TRUE(set_address("tun-test", "100.64.0.1", "255.224.0.0"));
    auto socket = open_or_die(Family::v4);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(9);
    to.sin_addr.s_addr = htonl(0x64400009);
    ASSERT_EQ(::sendto(socket.fd(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to),
              1);
    bool arrived = false;
    for (int i = 0; i < 50 && !arrived; ++i) {
      for (auto& queue : device->queues) {
        int failed = 0;
        for (const auto& read : queue.read(failed)) {
          arrived |= read.bytes[kVnetHeaderSize] == 0x45;
          EXPECT_GE(read.bytes.size(), kVnetHeaderSize + 28);
        }
        EXPECT_EQ(failed, 0);
      }
      pollfd nothing{-1, 0, 0};
      if (!arrived) (void)::poll(&nothing, 1, 20);
    }
    EXPECT_TRUE(arrived) << queues;
  }
}

TEST_F(UpkeepTest, ADeviceThatIsMadeAgainIsSteeredAsBefore) {
  ASSERT_NO_FATAL_FAILURE(open_steered(3));
  upkeep_->steer(ip("100.64.0.9"), WorkerIndex{2});
  run("ip link delete tun-test");
  ASSERT_FALSE(upkeep_->make_tun());
  ASSERT_TRUE(set_up("tun-test"));
  ASSERT_TRUE(set_address("tun-test", "100.64.0.1", "255.224.0.0"));
  auto socket = open_or_die(Family::v4);
  for (std::uint16_t port = 1; port <= 20; ++port) {
    sockaddr_storage to{};
    const auto length = to_os(SocketAddress{ip("100.64.0.9"), port}, to);
    ASSERT_EQ(::sendto(socket.fd(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), length), 1);
  }
  for (const unsigned q : {0U, 1U}) {
    int error = 0;
    for (auto reads = device_.queues[q].read(error); !reads.empty();
         reads = device_.queues[q].read(error)) {
      for (const auto& read : reads)
        EXPECT_NE(read.bytes[kVnetHeaderSize], 0x45) << "in queue " << q;
    }
  }
  EXPECT_TRUE(wait_readable(device_.queues[2].fd()));
}

TEST_F(UpkeepTest, AnAddressTheSteeringHasNoRoomForIsCounted) {
  ASSERT_NO_FATAL_FAILURE(open_steered(2));
  const auto address = [](unsigned n) {
    return IpAddress::v4(10, static_cast<std::uint8_t>(n >> 16), static_cast<std::uint8_t>(n >> 8),
                         static_cast<std::uint8_t>(n));
  };
  const auto refused = [&] { return upkeep_->drops().of(DropReason::tun_unsteered); };
  for (unsigned n = 0; n < TunSteering::kOwnersMax; ++n) upkeep_->steer(address(n), WorkerIndex{0});
  EXPECT_EQ(refused(), 0U);
  upkeep_->steer(address(TunSteering::kOwnersMax), WorkerIndex{0});
  EXPECT_EQ(refused(), 1U);
  upkeep_->steer(address(0), std::nullopt);
  upkeep_->steer(address(TunSteering::kOwnersMax), WorkerIndex{0});
  EXPECT_EQ(refused(), 1U);
}

TEST_F(UpkeepTest, ARenamedDeviceTellsItsNewName) {
  const TunOptions options{.name = "tun-test"};
  auto device = open_tun(options);
  ASSERT_TRUE(device) << device.error().to_string();
  Upkeep upkeep{options, device->queues};
  run("ip link set tun-test name other");
  EXPECT_EQ(upkeep.tun_name(), "other");
}

TEST_F(UpkeepTest, ANameThatSomebodyElseTookMeanwhileIsAnError) {
  const TunOptions options{.name = "tun-test"};
  auto device = open_tun(options);
  ASSERT_TRUE(device) << device.error().to_string();
  Upkeep upkeep{options, device->queues};
  run("ip link delete tun-test && ip tuntap add tun-test mode tun multi_queue");
  EXPECT_TRUE(upkeep.make_tun());
}

TEST_F(UpkeepTest, SocketsThatHaveTheirPortAreLeftAlone) {
  const TunOptions options{.name = "tun-test"};
  auto device = open_tun(options);
  ASSERT_TRUE(device) << device.error().to_string();
  Upkeep upkeep{options, device->queues};
  auto socket = open_or_die(Family::v4);
  upkeep.add(socket);
  const auto done = upkeep.rebind();
  EXPECT_EQ(done.count, 0U);
  EXPECT_FALSE(done.error);
}

TEST_F(UpkeepTest, ASocketThatLostItsPortGetsItBack) {
  const TunOptions options{.name = "tun-test"};
  auto device = open_tun(options);
  ASSERT_TRUE(device) << device.error().to_string();
  Upkeep upkeep{options, device->queues};
  auto socket = open_or_die(Family::v4);  // any port: the kernel lets go of it when disconnected
  upkeep.add(socket);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(9);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  to.sin_family = AF_UNSPEC;
  ASSERT_EQ(::connect(socket.fd(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  const auto done = upkeep.rebind();
  EXPECT_EQ(done.count, 1U);
  EXPECT_FALSE(done.error);
  sockaddr_in name{};
  socklen_t length = sizeof name;
  ASSERT_EQ(::getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&name), &length), 0);
  EXPECT_EQ(ntohs(name.sin_port), socket.port());
}

}  // namespace
}  // namespace fg::io::kernel
