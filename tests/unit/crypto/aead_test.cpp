#include "crypto/aead.h"

#include "crypto/random.h"
#include "tests/unit/crypto/vector_file.h"

namespace fg::crypto {
namespace {

using test::to_hex;
const test::VectorFile& rfc() {
  static const test::VectorFile file("crypto/rfc.txt");
  return file;
}

Secret<32> test_key(std::uint64_t seed) {
  SeededRandom random(seed);
  Secret<32> key;
  random.fill(key.expose_mutable());
  return key;
}
ByteVector test_text(std::size_t size) {
  ByteVector text(size);
  SeededRandom(size + 99).fill(text);
  return text;
}

// The portable double: nonce and empty associated data spelled out.
ByteVector reference_seal(const Secret<32>& key, std::uint64_t counter, Bytes text) {
  std::array<std::uint8_t, 12> nonce{};
  for (std::size_t i = 0; i < 8; ++i) nonce[4 + i] = static_cast<std::uint8_t>(counter >> (8 * i));
  ByteVector out(text.size() + 16);
  aead_seal(key.expose(), {.nonce = nonce, .associated = {}, .text = text}, out);
  return out;
}

class AeadProviders : public testing::TestWithParam<AeadProvider> {
 protected:
  void SetUp() override { ASSERT_TRUE(is_available(GetParam())) << "the build machine has every provider"; }
  AeadEngine engine_{AeadChoice::only(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(All, AeadProviders, testing::ValuesIn(kAeadProviders), [](const auto& param) {
  return std::string(name_of(param.param) == "ipsec-mb" ? "ipsec_mb" : name_of(param.param));
});

TEST_P(AeadProviders, SealsAsThePortableOneAtEveryLength) {
  const Secret<32> key = test_key(1);
  AeadKey sealing(engine_, AeadDirection::seal, key);
  for (std::size_t size = 0; size <= 1500; ++size) {
    const std::uint64_t counter = size * 0x0123'4567'89ABULL;
    const ByteVector text = test_text(size);
    ByteVector buffer = text;
    buffer.resize(size + kTagSize);
    sealing.seal(counter, MutableBytes{buffer}.first(size), buffer.data() + size);
    ASSERT_EQ(to_hex(buffer), to_hex(reference_seal(key, counter, text))) << size;
  }
}

TEST_P(AeadProviders, OpensWhatThePortableOneSealedAtEveryLength) {
  const Secret<32> key = test_key(2);
  AeadKey opening(engine_, AeadDirection::open, key);
  for (std::size_t size = 0; size <= 1500; ++size) {
    const ByteVector text = test_text(size);
    ByteVector buffer = reference_seal(key, size, text);
    ASSERT_TRUE(opening.open(size, MutableBytes{buffer}.first(size), buffer.data() + size)) << size;
    buffer.resize(size);
    ASSERT_EQ(buffer, text) << size;
  }
}

TEST_P(AeadProviders, RejectsAnyFlippedBitOfTheTagAndOfTheText) {
  const Secret<32> key = test_key(3);
  AeadKey opening(engine_, AeadDirection::open, key);
  for (const std::size_t size : {0U, 1U, 16U, 64U, 511U, 512U, 1280U}) {
    const ByteVector sealed = reference_seal(key, 5, test_text(size));
    for (std::size_t bit = 0; bit < sealed.size() * 8; bit += size < 100 ? 1 : 61) {
      ByteVector buffer = sealed;
      buffer[bit / 8] = static_cast<std::uint8_t>(buffer[bit / 8] ^ (1U << (bit % 8)));
      ASSERT_FALSE(opening.open(5, MutableBytes{buffer}.first(size), buffer.data() + size)) << size << " bit " << bit;
    }
    ByteVector buffer = sealed;
    EXPECT_TRUE(opening.open(5, MutableBytes{buffer}.first(size), buffer.data() + size)) << "still works after failures";
  }
}

TEST_P(AeadProviders, RejectsAnotherCounterAndAnotherKey) {
  const Secret<32> key = test_key(4);
  AeadKey opening(engine_, AeadDirection::open, key);
  AeadKey other(engine_, AeadDirection::open, test_key(5));
  const ByteVector sealed = reference_seal(key, 5, test_text(100));
  for (const std::uint64_t counter : {0ULL, 4ULL, 6ULL, 5ULL << 32}) {
    ByteVector buffer = sealed;
    EXPECT_FALSE(opening.open(counter, MutableBytes{buffer}.first(100), buffer.data() + 100)) << counter;
  }
  ByteVector buffer = sealed;
  EXPECT_FALSE(other.open(5, MutableBytes{buffer}.first(100), buffer.data() + 100));
}

TEST_P(AeadProviders, KeysKeepWorkingAfterAMove) {
  const Secret<32> key = test_key(6);
  AeadKey first(engine_, AeadDirection::open, key);
  AeadKey second(engine_, AeadDirection::open, test_key(7));
  second = std::move(first);
  AeadKey third(std::move(second));
  ByteVector buffer = reference_seal(key, 9, test_text(50));
  EXPECT_TRUE(third.open(9, MutableBytes{buffer}.first(50), buffer.data() + 50));
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
  EXPECT_FALSE(xchacha_open(key, {.nonce = nonce, .associated = associated, .text = Bytes{sealed}.first(15)}, out));
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
