#include "wireguard/identity.h"

#include "crypto/hash.h"
#include "tests/unit/crypto/vector_file.h"

namespace fg::wireguard {
namespace {

TEST(Identity, DerivesItsMacKeysFromLabelAndPublicKey) {
  SeededRandom random(1);
  const Identity identity(crypto::generate_key_pair(random));
  ByteVector input = copy_of(as_bytes("mac1----"));
  input.insert(input.end(), identity.public_key().begin(), identity.public_key().end());
  EXPECT_EQ(identity.mac_keys().mac1, crypto::blake2s({input}));
  std::copy_n(as_bytes("cookie--").begin(), 8, input.begin());
  EXPECT_EQ(identity.mac_keys().cookie, crypto::blake2s({input}));
}

TEST(Identity, Mac1CoversEverythingBeforeIt) {
  SeededRandom random(1);
  const Identity identity(crypto::generate_key_pair(random));
  ByteVector message(148);
  random.fill(MutableBytes{message}.first(116));
  const auto mac = crypto::blake2s_mac(identity.mac_keys().mac1, {Bytes{message}.first(116)});
  std::copy(mac.begin(), mac.end(), message.begin() + 116);
  EXPECT_TRUE(identity.verify_mac1(message));
  for (std::size_t at = 0; at < 132; ++at) {
    ByteVector changed = message;
    changed[at] ^= 1;
    EXPECT_FALSE(identity.verify_mac1(changed)) << at;
  }
  message[140] ^= 1;
  EXPECT_TRUE(identity.verify_mac1(message)) << "MAC2 is not covered";
  EXPECT_FALSE(identity.verify_mac1(Bytes{message}.first(31)));
}

}  // namespace
}  // namespace fg::wireguard
