#include "base/ids.h"

#include <gtest/gtest.h>

namespace fg {
namespace {

TEST(Uuid, ParsesEveryFormPortalsAreKnownToAccept) {
  constexpr auto kText = "7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11";
  for (const auto* text :
       {"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11", "7D0F1C52-9B1E-4C63-8A57-2F6D3F0B9E11",
        "7d0f1c529b1e4c638a572f6d3f0b9e11", "{7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11}",
        "urn:uuid:7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11"}) {
    ASSERT_TRUE(ClientId::parse(text)) << text;
    EXPECT_EQ(ClientId::parse(text)->to_string(), kText);
  }
}

TEST(Uuid, RefusesOtherText) {
  for (const auto* text :
       {"", "7d0f1c52", "7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e1",
        "7d0f1c52x9b1e-4c63-8a57-2f6d3f0b9e11", "{7d0f1c529b1e4c638a572f6d3f0b9e11}",
        "gd0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11"}) {
    EXPECT_FALSE(ClientId::parse(text)) << text;
  }
}

}  // namespace
}  // namespace fg
