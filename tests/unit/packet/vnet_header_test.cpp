#include "packet/vnet_header.h"

#include <array>

#include <gtest/gtest.h>

namespace fg::packet {
namespace {

TEST(VnetHeader, RoundTripsThroughTenBytes) {
  const VnetHeader header{.flags = 1,
                          .gso_type = 5,
                          .header_length = 0x0102,
                          .gso_size = 0x0304,
                          .checksum_start = 0x0506,
                          .checksum_offset = 0x0708};
  std::array<std::uint8_t, 11> bytes{};
  bytes[10] = 0xEE;
  header.store(bytes.data());
  EXPECT_EQ(VnetHeader::load(bytes.data()), header);
  EXPECT_EQ(bytes[10], 0xEE);
  // Field order of struct virtio_net_hdr, native byte order.
  std::uint16_t gso_size = 0;
  std::memcpy(&gso_size, bytes.data() + 4, 2);
  EXPECT_EQ(gso_size, 0x0304);
  EXPECT_EQ(bytes[0], 1);
  EXPECT_EQ(bytes[1], 5);
}

}  // namespace
}  // namespace fg::packet
