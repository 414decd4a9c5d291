#include "crypto/aead.h"

#include "tests/unit/crypto/vector_file.h"

namespace fg::crypto {
namespace {

using test::to_hex;
const test::VectorFile& rfc() {
  static const test::VectorFile file("crypto/rfc.txt");
  return file;
}

TEST(Aead, OneShotMatchesThePublishedAnswerAndRejectsEveryChange) {
  const ByteVector key = rfc().bytes("chacha_key"), nonce = rfc().bytes("chacha_nonce"),
                   associated = rfc().bytes("chacha_associated"), text = rfc().bytes("chacha_text");
  ByteVector sealed(text.size() + 16);
  aead_seal(key, {.nonce = nonce, .associated = associated, .text = text}, sealed);
  EXPECT_EQ(to_hex(sealed), rfc().hex("chacha_sealed"));

  ByteVector out(text.size(), 0xEE);
  const ByteVector untouched = out;
  ByteVector wrong = associated;
  wrong[0] ^= 1;
  EXPECT_FALSE(aead_open(key, {.nonce = nonce, .associated = wrong, .text = sealed}, out));
  wrong = nonce;
  wrong[0] ^= 1;
  EXPECT_FALSE(aead_open(key, {.nonce = wrong, .associated = associated, .text = sealed}, out));
  wrong = sealed;
  wrong.back() ^= 1;
  EXPECT_FALSE(aead_open(key, {.nonce = nonce, .associated = associated, .text = wrong}, out));
  EXPECT_EQ(out, untouched);
  EXPECT_TRUE(aead_open(key, {.nonce = nonce, .associated = associated, .text = sealed}, out));
  EXPECT_EQ(out, text);
}

TEST(Aead, XchachaMatchesThePublishedAnswerAndRejectsEveryChange) {
  const ByteVector key = rfc().bytes("chacha_key"), nonce = rfc().bytes("xchacha_nonce"),
                   associated = rfc().bytes("chacha_associated"), text = rfc().bytes("chacha_text");
  ByteVector sealed(text.size() + 16);
  xchacha_seal(key, {.nonce = nonce, .associated = associated, .text = text}, sealed);
  EXPECT_EQ(to_hex(sealed), rfc().hex("xchacha_sealed"));
  ByteVector out(text.size(), 0xEE);
  const ByteVector untouched = out;
  ByteVector wrong = sealed;
  wrong[3] ^= 1;
  EXPECT_FALSE(xchacha_open(key, {.nonce = nonce, .associated = associated, .text = wrong}, out));
  EXPECT_FALSE(xchacha_open(key, {.nonce = nonce, .associated = {}, .text = sealed}, out));
  EXPECT_FALSE(xchacha_open(
      key, {.nonce = nonce, .associated = associated, .text = Bytes{sealed}.first(15)}, out));
  EXPECT_EQ(out, untouched);
  EXPECT_TRUE(xchacha_open(key, {.nonce = nonce, .associated = associated, .text = sealed}, out));
  EXPECT_EQ(out, text);
}

TEST(Aead, ProviderNamesRoundTrip) {
  for (const AeadProvider p : kAeadProviders) EXPECT_EQ(parse_aead_provider(name_of(p)), p);
  EXPECT_FALSE(parse_aead_provider("rot13"));
}

}  // namespace
}  // namespace fg::crypto
