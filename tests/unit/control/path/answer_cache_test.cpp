#include "control/path/answer_cache.h"

#include <gtest/gtest.h>

namespace fg::path {
namespace {

constexpr Instant kStart{1000h};

TEST(AnswerCache, RepeatsTheNewestAnswerForTenSeconds) {
  AnswerCache<int> cache;
  const ByteVector first{1, 2, 3};
  const ByteVector second{1, 2, 4};
  cache.put(7, first, ByteVector{9}, kStart);
  EXPECT_TRUE(std::ranges::equal(cache.find(first, kStart + 9s), ByteVector{9}));
  EXPECT_TRUE(cache.find(second, kStart).empty());
  cache.put(7, second, ByteVector{8}, kStart + 9s);
  EXPECT_TRUE(cache.find(first, kStart + 9s).empty());
  EXPECT_TRUE(std::ranges::equal(cache.find(second, kStart + 18s), ByteVector{8}));
  EXPECT_TRUE(cache.find(second, kStart + 19s).empty());
}

TEST(AnswerCache, ForgetsAnOwner) {
  AnswerCache<int> cache;
  cache.put(1, ByteVector{1}, ByteVector{9}, kStart);
  cache.put(2, ByteVector{2}, ByteVector{9}, kStart);
  cache.forget(1);
  EXPECT_TRUE(cache.find(ByteVector{1}, kStart).empty());
  EXPECT_FALSE(cache.find(ByteVector{2}, kStart).empty());
}

TEST(AnswerCache, LosesTheOldestWhenFull) {
  AnswerCache<std::size_t> cache;
  for (std::size_t i = 0; i <= kAnswersMax; ++i) {
    const auto low = static_cast<std::uint8_t>(i);
    cache.put(i, ByteVector{low, static_cast<std::uint8_t>(i >> 8)}, ByteVector{1}, kStart);
  }
  EXPECT_EQ(cache.size(), kAnswersMax);
  EXPECT_TRUE(cache.find(ByteVector{0, 0}, kStart).empty());
  EXPECT_FALSE(cache.find(ByteVector{1, 0}, kStart).empty());
}

}  // namespace
}  // namespace fg::path
