#include "crypto/hash.h"

#include "tests/unit/crypto/vector_file.h"

namespace fg::crypto {
namespace {

using test::to_hex;
const test::VectorFile& rfc() {
  static const test::VectorFile file("crypto/rfc.txt");
  return file;
}

TEST(Hash, MatchesThePublishedAnswers) {
  EXPECT_EQ(to_hex(blake2s({as_bytes("abc")})), rfc().hex("blake2s_abc"));
  EXPECT_EQ(to_hex(md5({as_bytes("message digest")})), rfc().hex("md5_message_digest"));
  EXPECT_EQ(to_hex(sha1({as_bytes("abc")})), rfc().hex("sha1_abc"));
  EXPECT_EQ(to_hex(sha256({as_bytes("abc")})), rfc().hex("sha256_abc"));
}

TEST(Hash, PartsAreConcatenated) {
  EXPECT_EQ(blake2s({as_bytes("a"), {}, as_bytes("bc")}), blake2s({as_bytes("abc")}));
  EXPECT_EQ(blake2s_mac(as_bytes("k"), {as_bytes("a"), as_bytes("bc")}),
            blake2s_mac(as_bytes("k"), {as_bytes("abc")}));
}

TEST(Hash, Blake2sOfEveryLengthInThreeForms) {
  ByteVector key(32), data(256);
  for (std::size_t i = 0; i < key.size(); ++i) key[i] = static_cast<std::uint8_t>(0x80 + i);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i);
  std::ifstream in(std::string(FG_SOURCE_DIR) + "/tests/vectors/crypto/blake2s.txt");
  std::size_t lines = 0;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with('#')) continue;
    std::istringstream words(line);
    std::size_t length = 0;
    std::string unkeyed, keyed, mac;
    words >> length >> unkeyed >> keyed >> mac;
    const Bytes input = Bytes{data}.first(length);
    EXPECT_EQ(to_hex(blake2s({input})), unkeyed) << length;
    EXPECT_EQ(to_hex(blake2s_mac(key, {input})), keyed) << length;
    EXPECT_EQ(to_hex(hmac_blake2s(key, {input})), mac) << length;
    ++lines;
  }
  EXPECT_EQ(lines, 257U);
}

TEST(Hash, HmacMatchesThePublishedAnswers) {
  const Bytes data = as_bytes("what do ya want for nothing?");
  EXPECT_EQ(to_hex(hmac_sha1(as_bytes("Jefe"), {data})), rfc().hex("hmac_sha1_jefe"));
  EXPECT_EQ(to_hex(hmac_sha256(as_bytes("Jefe"), {data})), rfc().hex("hmac_sha256_jefe"));
}

TEST(Hash, HmacHashesKeysLongerThanABlock) {
  const ByteVector key(80, 0xAA);
  EXPECT_EQ(
      to_hex(hmac_sha1(key, {as_bytes("Test Using Larger Than Block-Size Key - Hash Key First")})),
      rfc().hex("hmac_sha1_long_key"));
}

TEST(Hash, Pbkdf2MatchesThePublishedAnswer) {
  ByteVector out(32);
  pbkdf2_hmac_sha256(as_bytes("passwd"), as_bytes("salt"), 1, out);
  EXPECT_EQ(to_hex(out), rfc().hex("pbkdf2_passwd"));
}

TEST(Hash, Crc32MatchesItsCheckValue) {
  EXPECT_EQ(crc32(as_bytes("123456789")), 0xCBF43926U);
  EXPECT_EQ(crc32({}), 0U);
}

}  // namespace
}  // namespace fg::crypto
