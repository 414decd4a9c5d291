#include "pipeline/expected_sources.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::pipeline {
namespace {

using test::ip;

IpAddress numbered(std::uint32_t n) {
  return IpAddress::v4(203, static_cast<std::uint8_t>(n >> 16), static_cast<std::uint8_t>(n >> 8),
                       static_cast<std::uint8_t>(n));
}

TEST(ExpectedSources, KnowsWhatWasAddedInBothFamilies) {
  ExpectedSources sources;
  EXPECT_FALSE(sources.contains(ip("203.0.113.1")));
  sources.add(ip("203.0.113.1"));
  sources.add(ip("2001:db8::1"));
  EXPECT_TRUE(sources.contains(ip("203.0.113.1")));
  EXPECT_TRUE(sources.contains(ip("2001:db8::1")));
  EXPECT_FALSE(sources.contains(ip("203.0.113.2")));
}

TEST(ExpectedSources, HoldsAsManyAsThereAreClients) {
  ExpectedSources sources;
  constexpr std::uint32_t kClients = 8192;
  for (std::uint32_t i = 0; i < kClients; ++i) sources.add(numbered(i));
  std::uint32_t known = 0;
  for (std::uint32_t i = 0; i < kClients; ++i) known += sources.contains(numbered(i)) ? 1U : 0U;
  EXPECT_GT(known, kClients * 99 / 100);
}

TEST(ExpectedSources, ForgetsTheOldestOfASetWhenItIsFull) {
  ExpectedSources sources;
  constexpr std::uint32_t kMany = ExpectedSources::kSets * ExpectedSources::kWays * 8;
  for (std::uint32_t i = 0; i < kMany; ++i) sources.add(numbered(i));
  EXPECT_FALSE(sources.contains(numbered(0)));
  EXPECT_TRUE(sources.contains(numbered(kMany - 1)));
}

}  // namespace
}  // namespace fg::pipeline
