#include "io/xdp/queue_socket.h"

#include <bpf/bpf.h>
#include <linux/capability.h>
#include <linux/if_link.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>

#include "io/kernel/os_address.h"
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
  // The same with a program that judges nothing. Holds while the descriptor does.
  [[nodiscard]] kernel::FileDescriptor redirect_everything(const QueueSocketOptions& options) {
    auto socket = QueueSocket::open(options);
    if (!socket) return {};
    socket_ = std::move(*socket);
    const kernel::FileDescriptor map{
        ::bpf_map_create(BPF_MAP_TYPE_XSKMAP, "all", 4, 4, 1, nullptr)};
    const std::uint32_t queue = 0;
    const int fd = socket_->fd();
    EXPECT_EQ(::bpf_map_update_elem(map.get(), &queue, &fd, BPF_ANY), 0);
    constexpr std::uint8_t kPut = BPF_ALU64 | BPF_MOV | BPF_K;
    const std::array<bpf_insn, 6> code{
        bpf_insn{BPF_LD | BPF_DW | BPF_IMM, BPF_REG_1, BPF_PSEUDO_MAP_FD, 0, map.get()},
        bpf_insn{},
        bpf_insn{kPut, BPF_REG_2, 0, 0, 0},
        bpf_insn{kPut, BPF_REG_3, 0, 0, XDP_PASS},
        bpf_insn{BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_redirect_map},
        bpf_insn{BPF_JMP | BPF_EXIT, 0, 0, 0, 0}};
    const kernel::FileDescriptor program{
        ::bpf_prog_load(BPF_PROG_TYPE_XDP, "all", "Apache-2.0", code.data(), code.size(), nullptr)};
    LIBBPF_OPTS(bpf_link_create_opts, native, .flags = XDP_FLAGS_DRV_MODE);
    return kernel::FileDescriptor{::bpf_link_create(
        program.get(), static_cast<int>(::if_nametoindex("wan")), BPF_XDP, &native)};
  }
  std::size_t receive(std::size_t room = 64) {
    batch_.resize(room);
    return socket_->receive(batch_, drops_);
  }
  // Until so many came.
  std::size_t receive_all(std::size_t wanted) {
    batch_.resize(wanted);
    std::size_t n = 0;
    while (n < wanted && kernel::wait_readable(socket_->fd()))
      n += socket_->receive(std::span{batch_}.subspan(n), drops_);
    return n;
  }

  std::optional<Program> program_;
  std::unique_ptr<QueueSocket> socket_;
  std::vector<ReceivedDatagrams> batch_;
  DropCounters drops_;
};

TEST_F(QueueSocketTest, ItHasZeroCopyWhereTheDriverHas) {
  open_socket({.interface = "wan"});
  EXPECT_EQ(socket_->is_zero_copy(), has_zero_copy());
}

TEST_F(QueueSocketTest, FramesGoRoundManyTimes) {
  constexpr std::uint32_t kFew = 64;
  open_socket({.interface = "wan", .frames = kFew, .ring = kFew});
  auto client = socket_there(Family::v4);
  unsigned number = 0;
  for (std::uint32_t round = 0; round < 4 * kFew; round += 16) {
    for (unsigned i = 0; i < 16; ++i) send_data(client, data_message(100, number + i));
    ASSERT_EQ(receive_all(16), 16U);
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

TEST_F(QueueSocketTest, WhatIsNoDatagramIsCountedAndItsFrameComesBack) {
  const auto link = redirect_everything({.interface = "wan", .frames = 64, .ring = 64});
  ASSERT_TRUE(link.is_open());
  auto client = socket_there(Family::v4);
  sockaddr_storage here{};
  const auto size = kernel::to_os({test_ip(kHere4), kTunnelPort}, here);
  for (unsigned i = 0; i < 200; ++i) {
    ASSERT_EQ(::sendto(client.fd(), nullptr, 0, 0, reinterpret_cast<sockaddr*>(&here), size), 0);
    ASSERT_TRUE(kernel::wait_readable(socket_->fd()));
    EXPECT_EQ(receive(), 0U);
    socket_->refill();
  }
  EXPECT_GE(drops_.of(DropReason::xdp_malformed), 200U);
  EXPECT_EQ(socket_->losses().no_frame, 0U);
  send_data(client, data_message(100));
  EXPECT_EQ(receive_all(1), 1U);
}

TEST_F(QueueSocketTest, AFullRingIsCountedAndThenItGoesOn) {
  open_socket({.interface = "wan", .frames = 256, .ring = 64});
  auto client = socket_there(Family::v4);
  for (unsigned i = 0; i < 100; ++i) send_data(client, data_message(100, i));
  for (int i = 0; i < 100 && socket_->losses().ring_full < 36; ++i)
    (void)::poll(nullptr, 0, 20);  // they are on their way
  EXPECT_EQ(socket_->losses().ring_full, 36U);
  EXPECT_EQ(receive(), 64U);
  socket_->refill();
  send_data(client, data_message(100));
  EXPECT_EQ(receive_all(1), 1U);
}

TEST_F(QueueSocketTest, EveryLengthOfATunnelPacketArrivesAsItWas) {
  open_socket({.interface = "wan"});
  for (const auto family : {Family::v4, Family::v6}) {
    auto client = socket_there(family);
    for (std::size_t size = 32; size <= 1452; size += 20) {
      const auto sent = data_message(size, static_cast<unsigned>(size));
      send_data(client, sent);
      ASSERT_EQ(receive_all(1), 1U) << size;
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
  EXPECT_EQ(receive_all(1), 1U);
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

// ---- sending ----

class SendingTest : public QueueSocketTest {
 protected:
  void open_sender(std::uint32_t frames = 64) {
    auto socket = QueueSocket::open({.interface = "wan", .send_frames = frames});
    ASSERT_TRUE(socket) << socket.error().to_string();
    socket_ = std::move(*socket);
    ASSERT_TRUE(socket_->can_send());
  }
  // As many as there are frames for.
  std::size_t send(kernel::UdpSocket& to, std::size_t count, std::size_t size, unsigned first = 0) {
    const SocketAddress there{test_ip(to.family() == Family::v4 ? kThere4 : kThere6), to.port()};
    const FrameHeader header{hop_there(to.family()), kTunnelPort, there};
    if (!socket_->begin_sending(drops_)) return 0;
    std::size_t sent = 0;
    for (; sent < count; ++sent) {
      const auto frame = socket_->next_frame();
      if (frame.empty()) break;
      const auto message = data_message(size, first + static_cast<unsigned>(sent));
      socket_->commit_frame(header.write(message, 0, frame.data()));
    }
    socket_->flush(drops_);
    return sent;
  }
};

TEST_F(SendingTest, ASocketWithoutSendFramesSendsNothing) {
  open_socket({.interface = "wan"});
  EXPECT_FALSE(socket_->can_send());
  EXPECT_FALSE(socket_->begin_sending(drops_));
  EXPECT_TRUE(socket_->finish_sending(drops_));
}

TEST_F(SendingTest, FramesArriveOnceInOrderAndGoRoundManyTimes) {
  open_sender(64);
  for (const auto family : {Family::v4, Family::v6}) {
    auto there = socket_there(family);
    for (unsigned round = 0; round < 10; ++round) {
      ASSERT_EQ(send(there, 50, 1400, round * 50), 50U);
      const auto got = kernel::collect(there, 50);
      ASSERT_EQ(got.size(), 50U);
      for (unsigned i = 0; i < 50; ++i) ASSERT_EQ(got[i].bytes, data_message(1400, round * 50 + i));
      EXPECT_FALSE(socket_->has_unsent());
    }
    EXPECT_FALSE(kernel::wait_readable(there.fd(), 20)) << "sent twice";
  }
  EXPECT_EQ(drops_.total(), 0U);
}

// More than a kernel takes in one call, in one burst.
TEST_F(SendingTest, ABurstOfAllFramesLeavesAtOnceAndNoMoreThanThereAreAreTaken) {
  open_sender(1024);
  auto there = socket_there(Family::v4);
  EXPECT_EQ(send(there, 1500, 200), 1024U);
  const auto got = kernel::collect(there, 1024);
  ASSERT_EQ(got.size(), 1024U);
  for (unsigned i = 0; i < 1024; ++i) ASSERT_EQ(load_be32(got[i].bytes.data() + 4), i);
  EXPECT_EQ(send(there, 1500, 200), 1024U) << "frames that left are free again";
}

// A receiver that takes its time holds the copies; they are the socket's to pay for.
TEST_F(SendingTest, ItsBufferHoldsAllItsCopies) {
  open_sender(kSendFrames);
  int bytes = 0;
  socklen_t size = sizeof bytes;
  ASSERT_EQ(::getsockopt(socket_->fd(), SOL_SOCKET, SO_SNDBUF, &bytes, &size), 0);
  EXPECT_GE(bytes, static_cast<int>(kSendFrames * 4096));
}

TEST_F(SendingTest, WhatTheDriverThrowsAwayIsCountedAndItsFramesAreFreeAgain) {
  if (has_real_devices()) return;  // those have queues of their own
  open_sender(64);
  auto there = socket_there(Family::v4);
  over_there([] { output_of("ip link set far down"); });
  for (unsigned round = 1; round <= 3; ++round) {
    EXPECT_EQ(send(there, 60, 100), 60U);
    EXPECT_EQ(drops_.of(DropReason::xdp_unsent), 60 * round);
    EXPECT_FALSE(socket_->has_unsent());
  }
}

TEST_F(SendingTest, ADeviceThatIsDownTakesNothingSpinsNobodyAndGoesOnLater) {
  open_sender(64);
  auto there = socket_there(Family::v4);
  output_of("ip link set wan down");
  EXPECT_EQ(send(there, 10, 100), 10U) << "before it is noticed";
  EXPECT_TRUE(socket_->has_unsent());
  // Without copies they are the driver's, which knows.
  const auto more = send(there, 10, 100, 10);
  EXPECT_EQ(more, has_zero_copy() ? 10U : 0U) << "left to the sockets";
  for (int i = 0; i < 100; ++i) socket_->flush(drops_);
  EXPECT_FALSE(socket_->has_unsent());
  output_of("ip link set wan up");
  wait_up("wan");
  EXPECT_EQ(send(there, 10, 100, 20), 10U);
  EXPECT_EQ(kernel::collect(there, 20 + more).size(), 20 + more);
}

TEST_F(SendingTest, WhatIsUnderWayIsWaitedFor) {
  open_sender(64);
  auto there = socket_there(Family::v4);
  EXPECT_TRUE(socket_->finish_sending(drops_));
  ASSERT_EQ(send(there, 30, 100), 30U);
  while (!socket_->finish_sending(drops_)) {
  }
  EXPECT_EQ(drops_.total(), 0U);
  EXPECT_EQ(kernel::collect(there, 30).size(), 30U);
}

TEST_F(SendingTest, WhatCannotLeaveIsWaitedForAWhileAndThenCounted) {
  open_sender(64);
  auto there = socket_there(Family::v4);
  output_of("ip link set wan down");
  ASSERT_EQ(send(there, 7, 100), 7U);
  int looks = 0;
  while (!socket_->finish_sending(drops_)) ++looks;
  EXPECT_GT(looks, 100);
  EXPECT_EQ(drops_.of(DropReason::xdp_unsent), 7U);
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
