#include "wireguard/identity.h"

#include "base/secret.h"
#include "crypto/hash.h"

namespace fg::wireguard {

MacKeys MacKeys::of(const crypto::PublicKey& receiver) {
  return {.mac1 = crypto::blake2s({as_bytes("mac1----"), receiver}),
          .cookie = crypto::blake2s({as_bytes("cookie--"), receiver})};
}

Identity::Identity(crypto::KeyPair keys)
    : keys_(std::move(keys)), mac_keys_(MacKeys::of(keys_.public_key)) {}

bool Identity::verify_mac1(Bytes message) const {
  if (message.size() < kMacsSize) return false;
  return equal_constant_time(crypto::blake2s_mac(mac_keys_.mac1, {before_mac1(message)}),
                             mac1_of(message));
}

}  // namespace fg::wireguard
