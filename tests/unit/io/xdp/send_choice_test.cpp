#include "io/xdp/send_choice.h"

#include <gtest/gtest.h>

namespace fg::io::xdp {
namespace {

// One round of samples, the ways in the order it asks for.
void measure(SendChoice& choice, std::uint32_t socket, std::uint32_t xdp) {
  while (choice.is_measuring()) {
    const auto way = choice.way();
    choice.spent(way, way == SendWay::xdp ? xdp : socket);
  }
}

TEST(SendChoice, BurstsAreToldApartByTheDatagramsOfADestination) {
  EXPECT_EQ(shape_of(1, 1), BurstShape::single);
  EXPECT_EQ(shape_of(64, 64), BurstShape::single);
  EXPECT_EQ(shape_of(127, 64), BurstShape::single);
  EXPECT_EQ(shape_of(128, 64), BurstShape::short_run);
  EXPECT_EQ(shape_of(7, 1), BurstShape::short_run);
  EXPECT_EQ(shape_of(8, 1), BurstShape::long_run);
}

TEST(SendChoice, BothWaysAreTriedInTurnAndTheCheaperIsKept) {
  SendChoice choice;
  EXPECT_TRUE(choice.is_measuring());
  std::array<std::size_t, 2> tried{};
  for (std::size_t i = 0; i < SendChoice::kSamples; ++i) {
    for (const auto way : {SendWay::socket, SendWay::xdp}) {
      ASSERT_EQ(choice.way(), way);
      ++tried[static_cast<std::size_t>(way)];
      choice.spent(way, way == SendWay::xdp ? 700 : 1000);
    }
  }
  EXPECT_FALSE(choice.is_measuring());
  EXPECT_EQ(choice.way(), SendWay::xdp);
  EXPECT_EQ(choice.costs()->socket, 1000U);
  EXPECT_EQ(choice.costs()->xdp, 700U);
}

TEST(SendChoice, WhatIsNotClearlyCheaperStaysWithTheSockets) {
  for (const std::uint32_t xdp : {900U, 950U, 1000U, 2000U}) {
    SendChoice choice;
    measure(choice, 1000, xdp);
    EXPECT_EQ(choice.decided(), SendWay::socket) << xdp;
  }
  SendChoice choice;
  measure(choice, 1000, 899);
  EXPECT_EQ(choice.decided(), SendWay::xdp);
}

TEST(SendChoice, ABurstThatWasInterruptedDecidesNothing) {
  SendChoice choice;
  for (std::size_t i = 0; choice.is_measuring(); ++i) {
    const auto way = choice.way();
    const bool is_interrupted = i % 8 < 2;
    choice.spent(way, is_interrupted ? 1'000'000 : (way == SendWay::xdp ? 500 : 1000));
  }
  EXPECT_EQ(choice.decided(), SendWay::xdp);
  EXPECT_EQ(choice.costs()->xdp, 500U);
}

TEST(SendChoice, ItIsLookedAtAgainAfterManyBurstsAndKeepsTheFormerUntilThen) {
  SendChoice choice;
  measure(choice, 1000, 500);
  for (std::uint32_t i = 1; i < SendChoice::kBurstsDecided; ++i) choice.sent();
  EXPECT_FALSE(choice.is_measuring());
  choice.sent();
  EXPECT_TRUE(choice.is_measuring());
  EXPECT_EQ(choice.decided(), SendWay::xdp);
  measure(choice, 500, 1000);
  EXPECT_EQ(choice.decided(), SendWay::socket);
}

}  // namespace
}  // namespace fg::io::xdp
