#include "base/bytes.h"

#include <gtest/gtest.h>

namespace fg {
namespace {

TEST(ByteReader, FailureIsStickyAndNeverMovesPastTheEnd) {
  const std::array<std::uint8_t, 5> bytes{1, 2, 3, 4, 5};
  for (std::size_t length = 0; length <= bytes.size(); ++length) {
    ByteReader in{Bytes{bytes}.first(length)};
    const auto value = in.be32();
    EXPECT_EQ(in.ok(), length >= 4);
    EXPECT_EQ(value, length >= 4 ? 0x01020304U : 0U);
    if (length < 4) {
      EXPECT_EQ(in.u8(), 0) << "a reader that failed stays failed";
      EXPECT_EQ(in.remaining(), length);
    }
  }
}

TEST(ByteReader, ReadsBothByteOrders) {
  const std::array<std::uint8_t, 12> bytes{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  ByteReader in{bytes};
  EXPECT_EQ(in.le64(), 0x0807060504030201ULL);
  EXPECT_EQ(in.le32(), 0x0C0B0A09U);
  ByteReader again{bytes};
  EXPECT_EQ(again.be64(), 0x0102030405060708ULL);
  EXPECT_EQ(again.be16(), 0x090AU);
  EXPECT_EQ(again.rest().size(), 2U);
}

TEST(ByteWriter, SaysWhenSomethingDidNotFitAndWritesNothingMore) {
  std::array<std::uint8_t, 6> buffer{};
  ByteWriter out{buffer};
  out.be32(0xAABBCCDD);
  out.be32(1);
  EXPECT_FALSE(out.ok());
  out.u8(7);
  EXPECT_EQ(out.size(), 4U);
  EXPECT_EQ(buffer[4], 0);
}

}  // namespace
}  // namespace fg
