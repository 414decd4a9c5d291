#include "io/kernel/tun_device.h"

#include <sys/stat.h>

#include <cerrno>

#include "io/kernel/udp_sender.h"
#include "packet/checksum.h"
#include "packet/inner.h"
#include "packet/vnet_header.h"
#include "tests/unit/io/kernel/network.h"

namespace fg::io::kernel {
namespace {

using packet::VnetHeader;

// A device whose network is 100.64/11; the host is 100.64.0.1, everybody else is behind the device.
class TunDeviceTest : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    auto device = open_tun({.name = "tun-test"});
    ASSERT_TRUE(device) << device.error().to_string();
    device_ = std::move(*device);
    ASSERT_TRUE(set_up_quietly("tun-test"));
    ASSERT_TRUE(set_address("tun-test", "100.64.0.1", "255.224.0.0"));
  }
  TunQueue& queue() { return device_.queues[0]; }

  // UDP packets from 100.64.0.9:1000 to 100.64.0.1:port, as one of `size` bytes of payload.
  static ByteVector udp_packet(std::uint16_t port, const ByteVector& payload) {
    ByteVector p(28, 0);
    const auto total = static_cast<std::uint16_t>(28 + payload.size());
    p[0] = 0x45;
    store_be16(p.data() + 2, total);
    p[8] = 64;
    p[9] = 17;
    store_be32(p.data() + 12, 0x64400009);
    store_be32(p.data() + 16, 0x64400001);
    store_be16(p.data() + 10, packet::finish(packet::sum_of(Bytes{p}.first(20))));
    store_be16(p.data() + 20, 1000);
    store_be16(p.data() + 22, port);
    store_be16(p.data() + 24, static_cast<std::uint16_t>(total - 20));
    p.insert(p.end(), payload.begin(), payload.end());
    return p;
  }

  TunDevice device_;
};

TEST_F(TunDeviceTest, TheInterfaceHasOurMtuAndQueue) {
  const FileDescriptor control{::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  auto request = interface_request("tun-test");
  ASSERT_EQ(::ioctl(control.get(), SIOCGIFMTU, &request), 0);
  EXPECT_EQ(request.ifr_mtu, 1280);
  ASSERT_EQ(::ioctl(control.get(), SIOCGIFTXQLEN, &request), 0);
  EXPECT_EQ(request.ifr_qlen, 10'000);
  EXPECT_EQ(device_.capabilities.queue_length, 10'000);
  EXPECT_EQ(device_.capabilities.index, ::if_nametoindex("tun-test"));
  EXPECT_TRUE(device_.capabilities.tcp_segmentation);
}

TEST_F(TunDeviceTest, NobodyElseGetsTheDevice) {
  const auto second = open_tun({.name = "tun-test"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().error, EBUSY);
}

TEST_F(TunDeviceTest, NobodyElseGetsADeviceOfSeveralQueues) {
  const auto several = open_tun({.name = "tun-many", .queues = 3});
  ASSERT_TRUE(several) << several.error().to_string();
  EXPECT_EQ(several->queues.size(), 3);
  const auto second = open_tun({.name = "tun-many", .queues = 3});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().error, EBUSY);
}

TEST_F(TunDeviceTest, APacketReachesTheHost) {
  auto socket = open_or_die(Family::v4);
  const ByteVector payload{1, 2, 3};
  const auto p = udp_packet(socket.port(), payload);  // checksum 0: not computed
  const std::array<Bytes, 1> parts{Bytes{p}};
  EXPECT_EQ(queue().write({.header = {}, .parts = parts}), 1);
  const auto got = collect(socket, 1);
  ASSERT_EQ(got.size(), 1);
  EXPECT_EQ(got[0].bytes, payload);
  EXPECT_EQ(got[0].from, (SocketAddress{ip("100.64.0.9"), 1000}));
}

TEST_F(TunDeviceTest, APacketReachesTheHostWhetherItIsJoinedWithItsHeaderOrNot) {
  auto socket = open_or_die(Family::v4);
  for (const auto size : {29UL, TunQueue::kCopiedMax, TunQueue::kCopiedMax + 1, 1280UL}) {
    ByteVector payload(size - 28);
    for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<std::uint8_t>(i * 7);
    const auto p = udp_packet(socket.port(), payload);
    const std::array<Bytes, 1> parts{Bytes{p}};
    EXPECT_EQ(queue().write({.header = {}, .parts = parts}), 1);
    const auto got = collect(socket, 1);
    ASSERT_EQ(got.size(), 1);
    EXPECT_EQ(got[0].bytes, payload);
  }
}

TEST_F(TunDeviceTest, ASuperPacketReachesTheHostAsItsDatagrams) {
  if (!queue().offloads().udp) return;  // Linux before 6.2
  auto socket = open_or_die(Family::v4);
  const auto payload = datagrams(10, 1000, 100);
  auto p = udp_packet(socket.port(), payload);
  store_be16(p.data() + 26, packet::pseudo_header(Bytes{p}.subspan(12, 4), Bytes{p}.subspan(16, 4),
                                                  17, p.size() - 20));
  TunWrite write;
  write.packets = 10;
  VnetHeader{.flags = VnetHeader::kNeedsChecksum,
             .gso_type = VnetHeader::kGsoUdp,
             .header_length = 28,
             .gso_size = 1000,
             .checksum_start = 20,
             .checksum_offset = 6}
      .store(write.header.data());
  const std::array<Bytes, 2> parts{Bytes{p}.first(1028), Bytes{p}.subspan(1028)};
  write.parts = parts;
  EXPECT_EQ(queue().write(write), 10);
  const auto got = collect(socket, 10);
  ASSERT_EQ(got.size(), 10);
  for (std::size_t i = 0; i < 10; ++i)
    EXPECT_EQ(got[i].bytes, ByteVector(i == 9 ? 100 : 1000, static_cast<std::uint8_t>(i)));
}

TEST_F(TunDeviceTest, ARefusedSuperPacketIsWrittenInItsPartsAndTheKindIsGivenUp) {
  auto socket = open_or_die(Family::v4);
  const auto payload = datagrams(4, 1000, 1000);
  auto p = udp_packet(socket.port(), payload);
  store_be16(p.data() + 26, packet::pseudo_header(Bytes{p}.subspan(12, 4), Bytes{p}.subspan(16, 4),
                                                  17, p.size() - 20));
  TunWrite write;
  write.packets = 4;
  VnetHeader{
      .flags = VnetHeader::kNeedsChecksum,
      .gso_type = VnetHeader::kGsoUdp,
      .header_length = 0xFFFF,  // more than there is: EINVAL, as from a kernel without the kind
      .gso_size = 1000,
      .checksum_start = 20,
      .checksum_offset = 6}
      .store(write.header.data());
  const std::array<Bytes, 1> parts{Bytes{p}};
  write.parts = parts;
  EXPECT_EQ(queue().write(write), 4);
  EXPECT_EQ(collect(socket, 4).size(), 4);
  EXPECT_FALSE(queue().offloads().udp);
  EXPECT_TRUE(queue().offloads().tcp);
}

TEST_F(TunDeviceTest, SegmentedTrafficOfTheHostIsReadAsOneSuperPacket) {
  if (!queue().offloads().udp) return;  // Linux before 6.2
  auto socket = open_or_die(Family::v4);
  UdpSender sender{socket.fd(), true};
  const auto payload = datagrams(20, 1200, 7);
  const OutgoingDatagrams d{
      .to = {ip("100.64.0.9"), 53}, .from = {}, .segment = 1200, .bytes = payload};
  ASSERT_EQ(sender.send({&d, 1}).datagrams, 20);
  ASSERT_TRUE(wait_readable(queue().fd()));
  int error = 0;
  const auto reads = queue().read(error);
  ASSERT_EQ(reads.size(), 1);
  const auto header = VnetHeader::load(reads[0].bytes.data());
  EXPECT_EQ(header.gso_type, VnetHeader::kGsoUdp);
  EXPECT_EQ(header.gso_size, 1200);
  EXPECT_EQ(reads[0].bytes.size(), kVnetHeaderSize + 28 + payload.size());
}

TEST_F(TunDeviceTest, WhatWaitsIsReadAtOnceUpToALimitAndInOrder) {
  auto socket = open_or_die(Family::v4);
  UdpSender sender{socket.fd(), true};
  for (std::uint8_t i = 0; i < 100; ++i) {
    const ByteVector payload(100, i);
    const OutgoingDatagrams d{
        .to = {ip("100.64.0.9"), 53}, .from = {}, .segment = 100, .bytes = payload};
    ASSERT_EQ(sender.send({&d, 1}).datagrams, 1);
  }
  std::vector<std::uint8_t> seen;
  std::size_t calls = 0;
  while (seen.size() < 100 && ++calls < 100) {
    int error = 0;
    for (const auto& r : queue().read(error)) seen.push_back(r.bytes.back());
    ASSERT_EQ(error, 0);
  }
  ASSERT_EQ(seen.size(), 100);
  for (std::uint8_t i = 0; i < 100; ++i) EXPECT_EQ(seen[i], i);
  EXPECT_EQ(calls, 2);  // of TunQueue::kReadsMax at most
}

}  // namespace
}  // namespace fg::io::kernel
