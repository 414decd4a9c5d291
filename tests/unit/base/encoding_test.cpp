#include "base/encoding.h"

#include <gtest/gtest.h>

namespace fg {
namespace {

// RFC 4648 §10.
TEST(Base64, KnowsThePublishedVectors) {
  const std::pair<const char*, const char*> vectors[] = {
      {"", ""},        {"f", "Zg=="},        {"fo", "Zm8="},
      {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, text] : vectors) {
    EXPECT_EQ(base64(as_bytes(plain)), text);
    EXPECT_EQ(as_text(*decode_base64(text)), plain);
  }
}

TEST(Base64, RefusesWhatThePortalsParserRefuses) {
  for (const auto* text : {"Zg", "Zg=", "Zh==", "Zm9v\n", "Zm-_", "Z===", "=Zg=", "Zg==Zg=="}) {
    EXPECT_FALSE(decode_base64(text)) << text;
  }
}

TEST(Base32, IsLowerCaseWithoutPadding) {
  EXPECT_EQ(base32_lower(as_bytes("foobar")), "mzxw6ytboi");
  EXPECT_EQ(base32_lower(as_bytes("f")), "my");
}

TEST(Hex, RoundTrips) {
  EXPECT_EQ(hex(*decode_hex("00ffA1")), "00ffa1");
  EXPECT_FALSE(decode_hex("0"));
  EXPECT_FALSE(decode_hex("0g"));
}

}  // namespace
}  // namespace fg
