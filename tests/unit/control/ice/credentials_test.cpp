#include "control/ice/credentials.h"

#include <gtest/gtest.h>

#include <set>

namespace fg::ice {
namespace {

TEST(Credentials, DerivedOnesAreThoseOfTheSpec) {
  // Spec connectivity 10.1.
  const auto derived = derive_credentials(
      {"00000000-0000-0000-0000-000000000001", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="},
      {"00000000-0000-0000-0000-000000000002", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="});
  EXPECT_EQ(derived.initiator.ufrag, "mp5g");
  EXPECT_EQ(derived.initiator.password.expose(), "3bge3cho6ue5a4xiy6p34m");
  EXPECT_EQ(derived.receiver.ufrag, "qhpm");
  EXPECT_EQ(derived.receiver.password.expose(), "kvpwadif6734sdalah6lja");
}

TEST(Credentials, GeneratedOnesHaveTheSizesAndLettersOfGenerationA) {
  SeededRandom random{7};
  std::set<char> seen;
  for (int i = 0; i < 500; ++i) {
    const auto credentials = generate_credentials(random);
    ASSERT_EQ(credentials.ufrag.size(), 4U);
    ASSERT_EQ(credentials.password.expose().size(), 22U);
    for (const char c : credentials.ufrag + credentials.password.expose()) seen.insert(c);
  }
  EXPECT_EQ(seen.size(), 60U);
  EXPECT_FALSE(seen.contains('w'));
  EXPECT_FALSE(seen.contains('W'));
  for (const char c : seen) EXPECT_TRUE(std::isalnum(static_cast<unsigned char>(c)));
}

TEST(Credentials, GeneratedOnesDiffer) {
  SeededRandom random{7};
  EXPECT_NE(generate_credentials(random), generate_credentials(random));
}

}  // namespace
}  // namespace fg::ice
