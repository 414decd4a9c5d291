#include "crypto/random.h"

#include <gtest/gtest.h>

namespace fg::crypto {
namespace {

TEST(SystemRandom, FillsDifferentlyEachTime) {
  SystemRandom random;
  std::array<std::uint8_t, 32> a{}, b{};
  random.fill(a);
  random.fill(b);
  EXPECT_NE(a, b);
  random.fill({});
}

}  // namespace
}  // namespace fg::crypto
