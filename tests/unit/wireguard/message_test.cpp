#include "wireguard/message.h"

#include <gtest/gtest.h>

namespace fg::wireguard {
namespace {

ByteVector message(std::uint8_t type, std::size_t size) {
  ByteVector out(size);
  for (std::size_t i = 4; i < size; ++i) out[i] = static_cast<std::uint8_t>(i);
  if (size > 0) out[0] = type;
  return out;
}

TEST(Message, IsClassifiedByTypeAndExactSize) {
  for (std::size_t size = 0; size <= 200; ++size) {
    EXPECT_EQ(classify(message(1, size)).has_value(), size == 148) << size;
    EXPECT_EQ(classify(message(2, size)).has_value(), size == 92) << size;
    EXPECT_EQ(classify(message(3, size)).has_value(), size == 64) << size;
    EXPECT_EQ(classify(message(4, size)).has_value(), size >= 32) << size;
    for (const std::uint8_t type : std::array<std::uint8_t, 4>{0, 5, 64, 255}) {
      EXPECT_FALSE(classify(message(type, size))) << size;
    }
  }
}

TEST(Message, ReservedBytesMustBeZero) {
  for (const std::size_t at : {1U, 2U, 3U}) {
    ByteVector bytes = message(4, 32);
    bytes[at] = 1;
    EXPECT_FALSE(classify(bytes)) << at;
  }
}

TEST(Message, FieldsLieWhereTheWhitepaperPutsThem) {
  const ByteVector raw = message(1, 148), raw2 = message(2, 92), raw3 = message(3, 64),
                   raw4 = message(4, 40);
  const auto init = parse_initiation(raw);
  ASSERT_TRUE(init);
  EXPECT_EQ(init->sender, 0x07060504U);
  EXPECT_EQ(init->ephemeral[0], 8);
  EXPECT_EQ(init->encrypted_static[0], 40);
  EXPECT_EQ(init->encrypted_static.size(), 48U);
  EXPECT_EQ(init->encrypted_timestamp[0], 88);
  EXPECT_EQ(init->encrypted_timestamp.size(), 28U);
  EXPECT_EQ(mac1_of(raw)[0], 116);
  EXPECT_EQ(mac2_of(raw)[0], 132);

  const auto response = parse_response(raw2);
  ASSERT_TRUE(response);
  EXPECT_EQ(response->sender, 0x07060504U);
  EXPECT_EQ(number(response->receiver), 0x0B0A0908U);
  EXPECT_EQ(response->ephemeral[0], 12);
  EXPECT_EQ(response->encrypted_nothing[0], 44);

  const auto reply = parse_cookie_reply(raw3);
  ASSERT_TRUE(reply);
  EXPECT_EQ(number(reply->receiver), 0x07060504U);
  EXPECT_EQ(reply->nonce[0], 8);
  EXPECT_EQ(reply->nonce.size(), 24U);
  EXPECT_EQ(reply->encrypted_cookie[0], 32);

  const auto data = parse_data(raw4);
  ASSERT_TRUE(data);
  EXPECT_EQ(number(data->receiver), 0x07060504U);
  EXPECT_EQ(data->counter, 0x0F0E0D0C0B0A0908ULL);
  EXPECT_EQ(data->sealed.size(), 24U);
}

TEST(Message, OfOneTypeIsNotParsedAsAnother) {
  EXPECT_FALSE(parse_initiation(message(2, 92)));
  EXPECT_FALSE(parse_response(message(1, 148)));
  EXPECT_FALSE(parse_cookie_reply(message(4, 64)));
  EXPECT_FALSE(parse_data(message(3, 64)));
}

TEST(Message, ReceiverIsFoundInEveryTypeThatHasOne) {
  EXPECT_FALSE(receiver_of(message(1, 148)));
  EXPECT_EQ(receiver_of(message(2, 92)), ReceiverIndex{0x0B0A0908});
  EXPECT_EQ(receiver_of(message(3, 64)), ReceiverIndex{0x07060504});
  EXPECT_EQ(receiver_of(message(4, 32)), ReceiverIndex{0x07060504});
  EXPECT_FALSE(receiver_of(message(9, 32)));
}

TEST(Message, DataHeaderIsWrittenLittleEndian) {
  std::array<std::uint8_t, 16> out{};
  write_data_header(out.data(), 0x01020304, 0x1112131415161718ULL);
  EXPECT_EQ(out, (std::array<std::uint8_t, 16>{4, 0, 0, 0, 4, 3, 2, 1, 0x18, 0x17, 0x16, 0x15, 0x14,
                                               0x13, 0x12, 0x11}));
}

}  // namespace
}  // namespace fg::wireguard
