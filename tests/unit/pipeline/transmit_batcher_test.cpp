#include "pipeline/transmit_batcher.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::pipeline {
namespace {

using test::ip;

class TransmitBatcherTest : public ::testing::Test {
 protected:
  static Path direct(std::uint16_t port) {
    return {Path::Kind::direct, ip("198.51.100.1"), {ip("203.0.113.1"), port}, {}};
  }
  bool put(TransmitBatcher::Mark& mark, std::size_t size, std::uint8_t ecn = 0,
           std::uint16_t port = 1) {
    auto* place = batcher_.reserve(mark, direct(port), ecn, size);
    if (place == nullptr) return false;
    std::fill_n(place, size, ++stamp_);
    return true;
  }
  // Sizes of the batches, as count × segment + rest.
  std::vector<std::pair<std::size_t, std::size_t>> take() {
    std::vector<std::pair<std::size_t, std::size_t>> out;
    for (const auto& d : batcher_.take()) out.emplace_back(d.segment, d.bytes.size());
    return out;
  }

  TransmitBatcher batcher_;
  std::uint8_t stamp_ = 0;
};

using Sizes = std::vector<std::pair<std::size_t, std::size_t>>;

TEST_F(TransmitBatcherTest, EqualSizesJoinAndAShorterOneEndsTheBatch) {
  TransmitBatcher::Mark mark;
  for (const auto size : {100U, 100U, 60U, 60U, 60U, 61U}) EXPECT_TRUE(put(mark, size));
  EXPECT_EQ(take(), (Sizes{{100, 260}, {60, 120}, {61, 61}}));
  EXPECT_TRUE(batcher_.is_empty());
}

TEST_F(TransmitBatcherTest, CongestionBitsAndDestinationsDoNotMix) {
  TransmitBatcher::Mark a;
  TransmitBatcher::Mark b;
  EXPECT_TRUE(put(a, 100, 0, 1));
  EXPECT_TRUE(put(b, 100, 0, 2));
  EXPECT_TRUE(put(a, 100, 0, 1));
  EXPECT_TRUE(put(a, 100, 1, 1));
  EXPECT_TRUE(put(a, 100, 0, 1));
  const auto out = batcher_.take();
  ASSERT_EQ(out.size(), 4U);
  EXPECT_EQ(out[0].bytes.size(), 200U);
  EXPECT_EQ(out[0].bytes[100], 3);
  EXPECT_EQ(out[1].to.port, 2);
  EXPECT_EQ(out[2].ecn, 1);
  EXPECT_EQ(out[3].ecn, 0);
}

TEST_F(TransmitBatcherTest, ABatchEndsAtSixtyFourDatagrams) {
  TransmitBatcher::Mark mark;
  for (int i = 0; i < 65; ++i) EXPECT_TRUE(put(mark, 100));
  EXPECT_EQ(take(), (Sizes{{100, 6400}, {100, 100}}));
}

TEST_F(TransmitBatcherTest, ABatchEndsBeforeTheLargestUdpPayload) {
  TransmitBatcher::Mark mark;
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(put(mark, 1316));
  EXPECT_EQ(take(), (Sizes{{1316, 49 * 1316}, {1316, 1316}}));
  static_assert(49 * 1316 <= 65'507 && 50 * 1316 > 65'507);
}

TEST_F(TransmitBatcherTest, AllBatchesCanBeUsedAndThenAFlushIsAskedFor) {
  std::vector<TransmitBatcher::Mark> marks(65);
  for (std::size_t i = 0; i < 64; ++i) EXPECT_TRUE(put(marks[i], 100));
  EXPECT_FALSE(put(marks[64], 100));
  EXPECT_TRUE(put(marks[0], 100)) << "an open batch still takes its own";
  EXPECT_EQ(take().size(), 64U);
  EXPECT_TRUE(put(marks[64], 100));
  EXPECT_TRUE(put(marks[0], 100));
  EXPECT_EQ(take().size(), 2U) << "what was open before the flush is not continued";
}

TEST_F(TransmitBatcherTest, AFlushIsAskedForWhenTheCacheIsFull) {
  TransmitBatcher::Mark mark;
  int n = 0;
  while (n < 10'000 && put(mark, 1316)) ++n;
  EXPECT_EQ(n, 9 * 49);  // the first batch boundary beyond 512 KiB
}

TEST_F(TransmitBatcherTest, AForgottenMarkBeginsAnotherBatch) {
  TransmitBatcher::Mark mark;
  EXPECT_TRUE(put(mark, 100));
  mark.forget();
  EXPECT_TRUE(put(mark, 100, 0, 9));
  const auto out = batcher_.take();
  ASSERT_EQ(out.size(), 2U);
  EXPECT_EQ(out[1].to.port, 9);
}

TEST_F(TransmitBatcherTest, OnlyADirectPathHasASource) {
  TransmitBatcher::Mark a;
  TransmitBatcher::Mark b;
  EXPECT_TRUE(put(a, 100));
  EXPECT_NE(batcher_.reserve(
                b, {Path::Kind::relayed, ip("198.51.100.1"), {ip("192.0.2.1"), 3478}, {}}, 0, 100),
            nullptr);
  const auto out = batcher_.take();
  EXPECT_EQ(out[0].from, ip("198.51.100.1"));
  EXPECT_FALSE(out[1].from);
}

}  // namespace
}  // namespace fg::pipeline
