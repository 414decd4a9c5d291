#include "crypto/x25519.h"

#include <sodium.h>

#include "base/assert.h"
#include "crypto/crypto.h"

namespace fg::crypto {
namespace {

// RFC 7748 §5.
void clamp(PrivateKey& key) {
  key.data()[0] &= 248;
  key.data()[31] = static_cast<std::uint8_t>((key.data()[31] & 127) | 64);
}

}  // namespace

KeyPair generate_key_pair(Random& random) {
  KeyPair pair;
  random.fill(pair.private_key.expose_mutable());
  clamp(pair.private_key);
  pair.public_key = public_from_private(pair.private_key);
  return pair;
}

PublicKey public_from_private(const PrivateKey& key) {
  init();
  PublicKey out;
  FG_ASSERT(crypto_scalarmult_base(out.data(), key.data()) == 0);
  return out;
}

std::optional<Secret<32>> shared_secret(const PrivateKey& ours, const PublicKey& theirs) {
  init();
  Secret<32> out;
  // libsodium reports the all-zero result itself; RFC 7748 §6.1 asks for the check.
  if (crypto_scalarmult(out.data(), ours.data(), theirs.data()) != 0) return std::nullopt;
  return out;
}

}  // namespace fg::crypto
