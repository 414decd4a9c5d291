// X25519 (RFC 7748). Private keys are kept clamped.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/random.h"
#include "base/secret.h"

namespace fg::crypto {

using PublicKey = std::array<std::uint8_t, 32>;
using PrivateKey = Secret<32>;

struct KeyPair {
  PrivateKey private_key;
  PublicKey public_key{};
};

[[nodiscard]] KeyPair generate_key_pair(Random& random);
[[nodiscard]] PublicKey public_from_private(const PrivateKey& key);
// None when the result is all zero: the other side sent a point of low order.
[[nodiscard]] std::optional<Secret<32>> shared_secret(const PrivateKey& ours,
                                                      const PublicKey& theirs);

}  // namespace fg::crypto
