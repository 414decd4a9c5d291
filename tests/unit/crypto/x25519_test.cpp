#include "crypto/x25519.h"

#include "tests/unit/crypto/vector_file.h"

namespace fg::crypto {
namespace {

using test::to_hex;
const test::VectorFile& rfc() {
  static const test::VectorFile file("crypto/rfc.txt");
  return file;
}
PrivateKey secret(const std::string& name) { return PrivateKey{rfc().array<32>(name)}; }

TEST(X25519, MatchesThePublishedProducts) {
  for (const std::string n : {"1", "2"}) {
    const auto out =
        shared_secret(secret("x25519_scalar" + n), rfc().array<32>("x25519_point" + n));
    ASSERT_TRUE(out);
    EXPECT_EQ(to_hex(out->expose()), rfc().hex("x25519_out" + n));
  }
}

TEST(X25519, MatchesTheIteratedVector) {
  PublicKey k{9}, u{9};
  for (int i = 1; i <= 1000; ++i) {
    const auto out = shared_secret(PrivateKey{k}, u);
    ASSERT_TRUE(out);
    u = k;
    std::copy_n(out->data(), 32, k.begin());
    if (i == 1) {
      EXPECT_EQ(to_hex(k), rfc().hex("x25519_after1"));
    }
  }
  EXPECT_EQ(to_hex(k), rfc().hex("x25519_after1000"));
}

TEST(X25519, MatchesThePublishedAgreement) {
  const PrivateKey bob = secret("x25519_bob_private");
  EXPECT_EQ(to_hex(public_from_private(bob)), rfc().hex("x25519_bob_public"));
  EXPECT_EQ(to_hex(shared_secret(bob, rfc().array<32>("x25519_alice_public"))->expose()),
            rfc().hex("x25519_shared"));
}

// The points of small order and their other encodings; each gives zero with every clamped key.
TEST(X25519, RefusesPointsOfLowOrder) {
  SeededRandom random(1);
  const KeyPair pair = generate_key_pair(random);
  for (const char* point : {"0000000000000000000000000000000000000000000000000000000000000000",
                            "0100000000000000000000000000000000000000000000000000000000000000",
                            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
    EXPECT_FALSE(shared_secret(pair.private_key, test::array_from_hex<32>(point))) << point;
  }
}

TEST(X25519, GeneratesClampedKeysThatAgree) {
  SeededRandom random(7);
  const KeyPair a = generate_key_pair(random), b = generate_key_pair(random);
  EXPECT_EQ(a.private_key.data()[0] & 7, 0);
  EXPECT_EQ(a.private_key.data()[31] & 0xC0, 0x40);
  EXPECT_NE(a.public_key, b.public_key);
  EXPECT_EQ(*shared_secret(a.private_key, b.public_key),
            *shared_secret(b.private_key, a.public_key));
}

}  // namespace
}  // namespace fg::crypto
