// The libraries behind AeadKey, one small set of functions each. Inside the room only. A key
// context is an opaque pointer the provider made from a key, or null when the provider needs none;
// all functions work in place with empty associated data.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/secret.h"
#include "crypto/aead.h"

namespace fg::crypto::providers {

using Nonce = std::array<std::uint8_t, 12>;

// Whitepaper §5.4.6: 32 zero bits, then the counter, little-endian.
[[nodiscard]] inline Nonce nonce_of(std::uint64_t counter) noexcept {
  Nonce nonce{};
  store_le64(nonce.data() + 4, counter);
  return nonce;
}

namespace sodium {
void seal(const std::uint8_t* key, const Nonce& nonce, MutableBytes text,
          std::uint8_t* tag) noexcept;
[[nodiscard]] bool open(const std::uint8_t* key, const Nonce& nonce, MutableBytes text,
                        const std::uint8_t* tag) noexcept;
}  // namespace sodium

namespace openssl {
[[nodiscard]] bool is_available();
[[nodiscard]] void* make(AeadDirection direction, Bytes key);
void free(void* context) noexcept;
void seal(void* context, const Nonce& nonce, MutableBytes text, std::uint8_t* tag) noexcept;
[[nodiscard]] bool open(void* context, const Nonce& nonce, MutableBytes text,
                        const std::uint8_t* tag) noexcept;
}  // namespace openssl

namespace gcrypt {
[[nodiscard]] bool is_available();
[[nodiscard]] void* make(Bytes key);
void free(void* context) noexcept;
void seal(void* context, const Nonce& nonce, MutableBytes text, std::uint8_t* tag) noexcept;
[[nodiscard]] bool open(void* context, const Nonce& nonce, MutableBytes text,
                        const std::uint8_t* tag) noexcept;
}  // namespace gcrypt

namespace ipsec_mb {
[[nodiscard]] bool is_available();
[[nodiscard]] void* make_manager();
void free_manager(void* manager) noexcept;
// The library computes a tag and compares nothing (guide performance 8.1): open does it.
void seal(void* manager, const std::uint8_t* key, const Nonce& nonce, MutableBytes text,
          std::uint8_t* tag) noexcept;
[[nodiscard]] bool open(void* manager, const std::uint8_t* key, const Nonce& nonce,
                        MutableBytes text, const std::uint8_t* tag) noexcept;
}  // namespace ipsec_mb

}  // namespace fg::crypto::providers
