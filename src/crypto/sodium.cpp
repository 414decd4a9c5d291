#include <sodium.h>

#include "crypto/providers.h"

namespace fg::crypto::providers::sodium {

void seal(const std::uint8_t* key, const Nonce& nonce, MutableBytes text,
          std::uint8_t* tag) noexcept {
  crypto_aead_chacha20poly1305_ietf_encrypt_detached(
      text.data(), tag, nullptr, text.data(), text.size(), nullptr, 0, nullptr, nonce.data(), key);
}

bool open(const std::uint8_t* key, const Nonce& nonce, MutableBytes text,
          const std::uint8_t* tag) noexcept {
  return crypto_aead_chacha20poly1305_ietf_decrypt_detached(text.data(), nullptr, text.data(),
                                                            text.size(), tag, nullptr, 0,
                                                            nonce.data(), key) == 0;
}

}  // namespace fg::crypto::providers::sodium
