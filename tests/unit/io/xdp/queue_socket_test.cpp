#include "io/xdp/queue_socket.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>

#include "tests/support/child_process.h"
#include "tests/unit/io/xdp/two_hosts.h"

namespace fg::io::xdp {
namespace {

class QueueSocketTest : public TwoHosts {
 protected:
  // A socket on the only queue, with the program in front of it.
  void open_socket(const QueueSocketOptions& options) {
    auto program = Program::attach({.interface = "wan"});
    ASSERT_TRUE(program) << program.error().to_string();
    program_ = std::move(*program);
    program_->set_tunnel_ports(kTunnelPort, kTunnelPort);
    const std::array ours{test_ip(kHere4), test_ip(kHere6)};
    ASSERT_FALSE(program_->set_addresses(ours));
    auto socket = QueueSocket::open(options);
    ASSERT_TRUE(socket) << socket.error().to_string();
    socket_ = std::move(*socket);
    ASSERT_FALSE(program_->set_socket(0, socket_->fd()));
  }
  std::size_t receive(std::size_t room = 64) {
    batch_.resize(room);
    return socket_->receive(batch_, drops_);
  }

  std::optional<Program> program_;
  std::unique_ptr<QueueSocket> socket_;
  std::vector<ReceivedDatagrams> batch_;
  DropCounters drops_;
};

TEST_F(QueueSocketTest, VethTakesCopies) {
  open_socket({.interface = "wan"});
  EXPECT_FALSE(socket_->is_zero_copy());
}

TEST_F(QueueSocketTest, FramesGoRoundManyTimes) {
  constexpr std::uint32_t kFew = 64;
  open_socket({.interface = "wan", .frames = kFew, .ring = kFew});
  auto client = socket_there(Family::v4);
  unsigned number = 0;
  for (std::uint32_t round = 0; round < 4 * kFew; round += 16) {
    for (unsigned i = 0; i < 16; ++i) send_data(client, data_message(100, number + i));
    ASSERT_EQ(receive(), 16U);
    for (unsigned i = 0; i < 16; ++i)
      ASSERT_EQ(load_be32(batch_[i].bytes.data() + 4), number + i) << "out of order, or lost";
    number += 16;
    EXPECT_TRUE(socket_->holds_frames());
    socket_->refill();
    EXPECT_FALSE(socket_->holds_frames());
  }
  EXPECT_EQ(socket_->received(), 4 * kFew);
  EXPECT_EQ(socket_->losses().no_frame, 0U);
}

TEST_F(QueueSocketTest, WithoutAFreeFrameWhatComesIsLostAndCountedAndThenItGoesOn) {
  open_socket({.interface = "wan", .frames = 64, .ring = 256});
  auto client = socket_there(Family::v4);
  for (unsigned i = 0; i < 100; ++i) send_data(client, data_message(100, i));
  EXPECT_EQ(socket_->losses().no_frame, 36U);
  EXPECT_EQ(receive(), 64U);
  socket_->refill();
  send_data(client, data_message(100, 7));
  ASSERT_EQ(receive(), 1U);
  EXPECT_EQ(load_be32(batch_[0].bytes.data() + 4), 7U);
}

TEST_F(QueueSocketTest, AFullRingIsCountedAndThenItGoesOn) {
  open_socket({.interface = "wan", .frames = 256, .ring = 64});
  auto client = socket_there(Family::v4);
  for (unsigned i = 0; i < 100; ++i) send_data(client, data_message(100, i));
  EXPECT_EQ(socket_->losses().ring_full, 36U);
  EXPECT_EQ(receive(), 64U);
  socket_->refill();
  send_data(client, data_message(100));
  EXPECT_EQ(receive(), 1U);
}

TEST_F(QueueSocketTest, EveryLengthOfATunnelPacketArrivesAsItWas) {
  open_socket({.interface = "wan"});
  for (const auto family : {Family::v4, Family::v6}) {
    auto client = socket_there(family);
    for (std::size_t size = 32; size <= 1452; size += 20) {
      const auto sent = data_message(size, static_cast<unsigned>(size));
      send_data(client, sent);
      ASSERT_EQ(receive(), 1U) << size;
      EXPECT_EQ(copy_of(batch_[0].bytes), sent);
      socket_->refill();
    }
  }
  EXPECT_EQ(drops_.total(), 0U);
}

TEST_F(QueueSocketTest, BusyPollingIsSetWhereAskedForAndStillReceives) {
  open_socket({.interface = "wan", .busy_poll_us = 50});
  int microseconds = 0;
  socklen_t size = sizeof microseconds;
  ASSERT_EQ(::getsockopt(socket_->fd(), SOL_SOCKET, SO_BUSY_POLL, &microseconds, &size), 0);
  EXPECT_EQ(microseconds, 50);
  auto client = socket_there(Family::v4);
  send_data(client, data_message(100));
  EXPECT_EQ(receive(), 1U);
}

TEST_F(QueueSocketTest, AQueueHasOneSocket) {
  open_socket({.interface = "wan"});
  const auto second = QueueSocket::open({.interface = "wan"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().error, EBUSY);
}

TEST_F(QueueSocketTest, AQueueThatIsNotThereIsRefused) {
  EXPECT_FALSE(QueueSocket::open({.interface = "wan", .queue = 3}));
  EXPECT_FALSE(QueueSocket::open({.interface = "wan9"}));
}

// In a process of its own, which gives up what passes over the limit.
TEST_F(QueueSocketTest, TooLittleLockedMemoryIsToldFromOtherRefusals) {
  const int status = test::status_in_child([] {
    const rlimit none{0, 0};
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    std::array<__user_cap_data_struct, 2> capabilities{};
    if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0 ||
        ::syscall(SYS_capget, &header, capabilities.data()) != 0)
      return 1;
    capabilities[0].effective &= ~(1U << CAP_IPC_LOCK);
    if (::syscall(SYS_capset, &header, capabilities.data()) != 0) return 2;
    const auto socket = QueueSocket::open({.interface = "wan"});
    return !socket && socket.error().error == ENOBUFS ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace fg::io::xdp
