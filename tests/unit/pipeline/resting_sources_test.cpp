#include "pipeline/resting_sources.h"

#include <gtest/gtest.h>

namespace fg::pipeline {
namespace {

const Instant kStart{1000s};

SocketAddress source(std::uint32_t n) {
  return {IpAddress::v4(203, 0, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)),
          static_cast<std::uint16_t>(n * 7 + 1024)};
}

TEST(RestingSources, OneThatAsksEveryTwentyFiveSecondsRests) {
  RestingSources sources;
  EXPECT_FALSE(sources.note(source(1), {}, {}, kStart)) << "new";
  EXPECT_TRUE(sources.note(source(1), {}, {}, kStart + 25s));
  EXPECT_TRUE(sources.note(source(1), {}, {}, kStart + 50s));
}

TEST(RestingSources, OneThatAsksMoreOftenOrComesBackAfterAMinuteDoesNot) {
  RestingSources sources;
  (void)sources.note(source(1), {}, {}, kStart);
  EXPECT_FALSE(sources.note(source(1), {}, {}, kStart + 1500ms));
  EXPECT_FALSE(sources.note(source(1), {}, {}, kStart + 16500ms));
  EXPECT_FALSE(sources.note(source(1), {}, {}, kStart + 76501ms));
}

TEST(RestingSources, EachChannelOfARelayIsASourceOfItsOwn) {
  RestingSources sources;
  (void)sources.note(source(1), ChannelNumber{0x4000}, {}, kStart);
  EXPECT_FALSE(sources.note(source(1), ChannelNumber{0x4001}, {}, kStart + 25s));
  EXPECT_TRUE(sources.note(source(1), ChannelNumber{0x4000}, {}, kStart + 25s));
}

TEST(RestingSources, TellsApartWhoSharesAnAddressByTheirUfrags) {
  RestingSources sources;
  ByteVector one(92), other(92);
  one[27] = 'a';
  other[27] = 'b';
  (void)sources.note(source(1), {}, one, kStart);
  EXPECT_FALSE(sources.note(source(1), {}, other, kStart + 10s));
  EXPECT_TRUE(sources.note(source(1), {}, one, kStart + 25s));
  one[8] = 7;  // another transaction
  EXPECT_TRUE(sources.note(source(1), {}, one, kStart + 50s));
}

TEST(RestingSources, KnowsMostOfTwoThousandAndHoldsNoMoreThanItsTable) {
  RestingSources sources;
  for (std::uint32_t i = 0; i < 2000; ++i) (void)sources.note(source(i), {}, {}, kStart);
  unsigned known = 0;
  for (std::uint32_t i = 0; i < 2000; ++i)
    known += sources.note(source(i), {}, {}, kStart + 25s) ? 1U : 0U;
  EXPECT_GT(known, 1700U);
}

}  // namespace
}  // namespace fg::pipeline
