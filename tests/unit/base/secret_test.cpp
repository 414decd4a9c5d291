#include "base/secret.h"

#include <gtest/gtest.h>

namespace fg {
namespace {

TEST(Secret, IsWipedWhenMovedFrom) {
  Secret<4> a{{1, 2, 3, 4}};
  const Secret<4> b{std::move(a)};
  EXPECT_TRUE(equal(
      a.expose(),
      std::array<std::uint8_t, 4>{}));  // NOLINT(bugprone-use-after-move): that is the promise
  EXPECT_TRUE(equal(b.expose(), std::array<std::uint8_t, 4>{1, 2, 3, 4}));
}

TEST(Secret, IsWipedOnDestruction) {
  alignas(Secret<8>) std::array<std::uint8_t, sizeof(Secret<8>)> storage{};
  auto* secret = new (storage.data()) Secret<8>{{1, 2, 3, 4, 5, 6, 7, 8}};
  secret->~Secret();
  // Volatile: the compiler knows that the object is dead and would not look.
  const volatile auto* bytes = storage.data();
  for (std::size_t i = 0; i < storage.size(); ++i) EXPECT_EQ(bytes[i], 0);
}

TEST(Secret, ComparesByValue) {
  EXPECT_EQ((Secret<2>{{1, 2}}), (Secret<2>{{1, 2}}));
  EXPECT_FALSE((Secret<2>{{1, 2}}) == (Secret<2>{{1, 3}}));
  EXPECT_FALSE(Secret<2>::from_bytes(as_bytes("abc")).has_value());
}

TEST(SecretText, AssignmentReplacesAndMoveEmpties) {
  SecretText a{"password"};
  SecretText b{"x"};
  b = a;
  EXPECT_EQ(a, b);
  const SecretText c{std::move(b)};
  EXPECT_TRUE(b.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(c.expose(), "password");
}

}  // namespace
}  // namespace fg
