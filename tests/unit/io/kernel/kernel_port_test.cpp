#include "io/kernel/kernel_port.h"

#include "tests/unit/io/kernel/network.h"

namespace fg::io::kernel {
namespace {

class KernelPortTest : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    auto opened = open_kernel_backend({.tun_name = "tun-test", .port = 52625});
    ASSERT_TRUE(opened) << opened.error().to_string();
    backend_ = std::move(*opened);
    ASSERT_TRUE(set_up_quietly("tun-test"));
    ASSERT_TRUE(set_address("tun-test", "100.64.0.1", "255.224.0.0"));
  }
  Port& port() { return *backend_.backend.ports[0]; }

  // Descriptors that are readable, in the form the port wants.
  ReadySet ready() {
    ReadySet set = 0;
    const auto fds = port().wait_fds();
    for (std::size_t i = 0; i < fds.size(); ++i) {
      if (wait_readable(fds[i], 0)) set |= ReadySet{1} << i;
    }
    return set;
  }

  KernelBackend backend_;
};

TEST_F(KernelPortTest, BothFamiliesAreReceivedInOneBatch) {
  auto v4 = open_or_die(Family::v4);
  auto v6 = open_or_die(Family::v6);
  const ByteVector payload{9};
  const OutgoingDatagrams to4{
      .to = {ip("127.0.0.1"), 52625}, .from = {}, .segment = 1, .bytes = payload};
  const OutgoingDatagrams to6{.to = {ip("::1"), 52625}, .from = {}, .segment = 1, .bytes = payload};
  EXPECT_EQ((UdpSender{v4.fd(), true}.send({&to4, 1}).datagrams), 1);
  EXPECT_EQ((UdpSender{v6.fd(), true}.send({&to6, 1}).datagrams), 1);
  const auto got = port().receive(ready());
  ASSERT_EQ(got.size(), 2);
  EXPECT_EQ(got[0].from.family(), Family::v4);
  EXPECT_EQ(got[1].from.family(), Family::v6);
  EXPECT_EQ(port().counters().datagrams_received.load(), 2);
}

TEST_F(KernelPortTest, WhatIsNotReadyIsNotAsked) {
  EXPECT_TRUE(port().receive(0).empty());
  EXPECT_TRUE(port().read_tun(0).empty());
  EXPECT_EQ(port().counters().receive_calls.load(), 0);
}

TEST_F(KernelPortTest, ABatchOfBothFamiliesIsSentFromTheSharedPort) {
  auto v4 = open_or_die(Family::v4);
  auto v6 = open_or_die(Family::v6);
  const auto bytes = datagrams(3, 100, 50);
  const std::array batch{
      OutgoingDatagrams{
          .to = {ip("127.0.0.1"), v4.port()}, .from = {}, .segment = 100, .bytes = bytes},
      OutgoingDatagrams{.to = {ip("::1"), v6.port()}, .from = {}, .segment = 100, .bytes = bytes},
  };
  port().send(batch);
  EXPECT_EQ(collect(v4, 3).at(2).from, (SocketAddress{ip("127.0.0.1"), 52625}));
  EXPECT_EQ(collect(v6, 3).at(2).from, (SocketAddress{ip("::1"), 52625}));
  EXPECT_EQ(port().counters().datagrams_sent.load(), 6);
  EXPECT_EQ(port().drops().total(), 0);
}

TEST_F(KernelPortTest, ARefusedDatagramIsCounted) {
  const auto bytes = datagrams(3, 100, 50);
  const OutgoingDatagrams d{
      .to = {ip("203.0.113.9"), 9}, .from = {}, .segment = 100, .bytes = bytes};
  port().send({&d, 1});
  EXPECT_EQ(port().drops().of(DropReason::udp_send_failed), 3);
  EXPECT_FALSE(backend_.backend.sender->send({&d, 1}));
  EXPECT_EQ(backend_.backend.sender->drops().of(DropReason::udp_send_failed), 3);
}

TEST_F(KernelPortTest, TheControlThreadSendsFromTheSamePort) {
  auto v4 = open_or_die(Family::v4);
  auto v6 = open_or_die(Family::v6);
  const ByteVector payload{1, 2};
  const SocketAddress to4{ip("127.0.0.1"), v4.port()};
  std::vector<OutgoingDatagrams> batch(
      100, {.to = to4, .from = ip("127.0.0.5"), .segment = 2, .bytes = payload});
  batch[50] = {.to = {ip("203.0.113.9"), 9}, .from = {}, .segment = 2, .bytes = payload};
  batch.push_back({.to = {ip("::1"), v6.port()}, .from = {}, .segment = 2, .bytes = payload});
  EXPECT_FALSE(backend_.backend.sender->send(batch)) << "there is no way to one of them";
  EXPECT_EQ(backend_.backend.sender->drops().of(DropReason::udp_send_failed), 1);
  EXPECT_EQ(collect(v4, 99).at(98).from, (SocketAddress{ip("127.0.0.5"), 52625}));
  EXPECT_EQ(collect(v6, 1).at(0).from, (SocketAddress{ip("::1"), 52625}));
}

TEST_F(KernelPortTest, TheTunDeviceIsReadAndWritten) {
  auto v4 = open_or_die(Family::v4);
  const ByteVector payload{1, 2};
  const OutgoingDatagrams d{
      .to = {ip("100.64.0.9"), 53}, .from = {}, .segment = 2, .bytes = payload};
  ASSERT_EQ((UdpSender{v4.fd(), true}.send({&d, 1}).datagrams), 1);
  EXPECT_EQ(port().read_tun(ready()).size(), 1);
  const ByteVector garbage{0x45, 0};
  const std::array<Bytes, 1> parts{Bytes{garbage}};
  (void)port().write_tun({.header = {}, .parts = parts});
  EXPECT_EQ(port().counters().tun_reads.load(), 1);
  EXPECT_EQ(port().counters().tun_writes.load(), 1);
}

}  // namespace
}  // namespace fg::io::kernel
