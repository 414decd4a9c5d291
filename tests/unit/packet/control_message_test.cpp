#include "packet/control_message.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "tests/support/packets.h"

namespace fg::packet {
namespace {

ByteVector control(std::string_view source, std::string_view destination, ByteVector payload) {
  return test::other_ip(255)
      .from(source)
      .to(destination)
      .ttl(0)
      .payload(std::move(payload))
      .build();
}

TEST(ControlMessage, WritesTheGoodbyeOfTheSpec) {
  // spec policy 4.6, connectivity 10.5
  EXPECT_EQ(hex(goodbye_packet()),
            "600000000008ff00"
            "0000000000000000000000000000000000000000000000000000000000000000"
            "0200000000000000");
}

TEST(ControlMessage, WritesTheDomainStatusOfTheSpec) {
  // spec policy 4.6
  const std::string_view json =
      R"({"resource":"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35","domain":"wiki.lab.test","status":"Active"})";
  std::array<std::uint8_t, 1280> out{};
  const auto size = ControlMessage{.type = 1, .payload = as_bytes(json)}.write(out);
  ASSERT_EQ(size, 48U + 94);
  EXPECT_EQ(hex(Bytes{out}.first(8)), "600000000066ff00");
  EXPECT_EQ(hex(Bytes{out}.subspan(8, 40)), std::string(64, '0') + "0100000000000000");
  const auto packet = InnerPacket::parse(Bytes{out}.first(size));
  ASSERT_TRUE(packet);
  ASSERT_TRUE(packet->is_control());
  const auto parsed = ControlMessage::parse(*packet);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->type, 1);
  EXPECT_EQ(as_text(parsed->payload), json);
}

TEST(ControlMessage, FitsTwelveHundredThirtyTwoBytesAndNotOneMore) {
  std::array<std::uint8_t, 1300> out{};
  EXPECT_EQ((ControlMessage{.type = 0, .payload = ByteVector(1232)}.write(out)), 1280U);
  EXPECT_EQ((ControlMessage{.type = 0, .payload = ByteVector(1233)}.write(out)), 0U);
  EXPECT_EQ(
      (ControlMessage{.type = 0, .payload = ByteVector(8)}.write(MutableBytes{out}.first(55))), 0U);
}

TEST(ControlMessage, IsRecognisedByNextHeaderAndBothAddresses) {
  const auto is_control = [](const ByteVector& bytes) {
    return InnerPacket::parse(bytes)->is_control();
  };
  EXPECT_TRUE(is_control(control("::", "::", ByteVector(8))));
  EXPECT_FALSE(is_control(control("fd00:2021:1111::1", "::", ByteVector(8))));
  EXPECT_FALSE(is_control(control("::", "::1", ByteVector(8))));
  EXPECT_FALSE(is_control(test::other_ip(254 - 3).from("::").to("::").payload_size(8).build()));
  EXPECT_FALSE(
      is_control(test::other_ip(255).from("0.0.0.0").to("0.0.0.0").payload_size(8).build()));
}

TEST(ControlMessage, LessThanEightBytesIsMalformed) {
  for (std::size_t n = 0; n <= 8; ++n) {
    const auto bytes = control("::", "::", ByteVector(n, 2));
    const auto packet = InnerPacket::parse(bytes);
    ASSERT_TRUE(packet);
    EXPECT_TRUE(packet->is_control());
    const auto parsed = ControlMessage::parse(*packet);
    EXPECT_EQ(parsed.has_value(), n == 8) << n;
    if (!parsed) {
      EXPECT_EQ(parsed.error(), DropReason::control_malformed);
    }
  }
}

TEST(ControlMessage, IgnoresReservedBytesClassAndHopLimit) {
  auto bytes = control("::", "::", ByteVector{2, 1, 2, 3, 4, 5, 6, 7});
  bytes[0] = 0x6F;
  bytes[1] = 0xFF;
  bytes[7] = 99;
  const auto packet = InnerPacket::parse(bytes);
  ASSERT_TRUE(packet && packet->is_control());
  EXPECT_EQ(ControlMessage::parse(*packet)->type, 2);
  EXPECT_TRUE(ControlMessage::parse(*packet)->payload.empty());
}

}  // namespace
}  // namespace fg::packet
