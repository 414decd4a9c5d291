// What every provider of the data cipher must do; each provider's own file instantiates this suite.
#include "crypto/providers.h"

#include "base/random.h"
#include "tests/unit/crypto/provider_suite.h"
#include "tests/unit/crypto/vector_file.h"

namespace fg::crypto {
namespace {

using test::to_hex;

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

}  // namespace

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
      ASSERT_FALSE(opening.open(5, MutableBytes{buffer}.first(size), buffer.data() + size))
          << size << " bit " << bit;
    }
    ByteVector buffer = sealed;
    EXPECT_TRUE(opening.open(5, MutableBytes{buffer}.first(size), buffer.data() + size))
        << "still works after failures";
  }
}

TEST_P(AeadProviders, RejectsAnotherCounterAndAnotherKey) {
  const Secret<32> key = test_key(4);
  AeadKey opening(engine_, AeadDirection::open, key);
  AeadKey other(engine_, AeadDirection::open, test_key(5));
  const ByteVector sealed = reference_seal(key, 5, test_text(100));
  for (const std::uint64_t counter : {0ULL, 4ULL, 6ULL, 5ULL << 32}) {
    ByteVector buffer = sealed;
    EXPECT_FALSE(opening.open(counter, MutableBytes{buffer}.first(100), buffer.data() + 100))
        << counter;
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

TEST(Providers, TheNonceIsFourZeroBytesAndTheCounterLittleEndian) {
  EXPECT_EQ(providers::nonce_of(0x0102030405060708ULL),
            (providers::Nonce{0, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1}));
}

}  // namespace fg::crypto
