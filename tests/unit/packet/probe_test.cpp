#include "packet/probe.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace fg::packet {
namespace {

// Spec connectivity 10.5.
constexpr std::string_view kRequest =
    "6000000000083a4001000000000000000000dead01ce000101000000000000000000dead01ce0002"
    "8000541612345678";
constexpr std::string_view kReply =
    "6000000000083a4001000000000000000000dead01ce000101000000000000000000dead01ce0002"
    "8100531612345678";

ByteVector bytes_of(std::string_view text) { return *decode_hex(text); }

TEST(Probe, IsWrittenAsTheSpecHasIt) {
  EXPECT_EQ(hex((Probe{.is_reply = false, .id = 0x1234, .sequence = 0x5678}.write())), kRequest);
  EXPECT_EQ(hex((Probe{.is_reply = true, .id = 0x1234, .sequence = 0x5678}.write())), kReply);
}

TEST(Probe, IsReadAsTheSpecHasIt) {
  EXPECT_EQ(Probe::parse(bytes_of(kRequest)),
            (Probe{.is_reply = false, .id = 0x1234, .sequence = 0x5678}));
  EXPECT_EQ(Probe::parse(bytes_of(kReply)),
            (Probe{.is_reply = true, .id = 0x1234, .sequence = 0x5678}));
}

TEST(Probe, ComesBackForEveryIdAndSequenceNumber) {
  for (std::uint32_t id = 0; id <= 0xFFFF; id += 257) {
    const Probe probe{.is_reply = (id & 1) != 0,
                      .id = static_cast<std::uint16_t>(id),
                      .sequence = static_cast<std::uint16_t>(~id * 31)};
    EXPECT_EQ(Probe::parse(probe.write()), probe);
  }
}

TEST(Probe, IsOnlyWhatCarriesBothAddressesAndAnEchoType) {
  for (const std::size_t changed : {0U, 6U, 8U, 23U, 24U, 39U}) {
    auto packet = bytes_of(kRequest);
    packet[changed] ^= 0x40;
    EXPECT_FALSE(Probe::is_addressed_like_one(packet)) << changed;
    EXPECT_FALSE(Probe::parse(packet)) << changed;
  }
  auto other_type = bytes_of(kRequest);
  other_type[40] = 1;
  EXPECT_FALSE(Probe::is_addressed_like_one(other_type));
  EXPECT_FALSE(Probe::is_addressed_like_one(bytes_of(kRequest.substr(0, 80))));
}

TEST(Probe, WithAnotherLengthCodeOrChecksumIsAddressedLikeOneAndRefused) {
  auto longer = bytes_of(kRequest);
  longer.push_back(0);
  auto code = bytes_of(kRequest);
  code[41] = 1;
  auto checksum = bytes_of(kRequest);
  checksum[47] ^= 1;
  for (const auto& packet : {longer, code, checksum, bytes_of(kRequest.substr(0, 90))}) {
    EXPECT_TRUE(Probe::is_addressed_like_one(packet));
    EXPECT_FALSE(Probe::parse(packet));
  }
}

}  // namespace
}  // namespace fg::packet
