#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/assert.h"
#include "crypto/providers.h"

namespace fg::crypto::providers::openssl {
namespace {

EVP_CIPHER* cipher() {
  static EVP_CIPHER* const fetched = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  return fetched;
}

}  // namespace

bool is_available() { return cipher() != nullptr; }

void* make(AeadDirection direction, Bytes key) {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  FG_ASSERT(context != nullptr);
  const int encrypt = direction == AeadDirection::seal ? 1 : 0;
  FG_ASSERT(EVP_CipherInit_ex2(context, cipher(), key.data(), nullptr, encrypt, nullptr) == 1);
  return context;
}

void free(void* context) noexcept { EVP_CIPHER_CTX_free(static_cast<EVP_CIPHER_CTX*>(context)); }

void seal(void* context, const Nonce& nonce, MutableBytes text, std::uint8_t* tag) noexcept {
  auto* c = static_cast<EVP_CIPHER_CTX*>(context);
  int written = 0;
  bool ok = EVP_EncryptInit_ex2(c, nullptr, nullptr, nonce.data(), nullptr) == 1;
  if (!text.empty()) {
    ok = ok && EVP_EncryptUpdate(c, text.data(), &written, text.data(),
                                 static_cast<int>(text.size())) == 1;
  }
  std::uint8_t rest[1];
  ok = ok && EVP_EncryptFinal_ex(c, rest, &written) == 1;
  ok = ok && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kTagSize), tag) == 1;
  FG_ASSERT(ok);
}

bool open(void* context, const Nonce& nonce, MutableBytes text, const std::uint8_t* tag) noexcept {
  auto* c = static_cast<EVP_CIPHER_CTX*>(context);
  int written = 0;
  Tag expected;
  std::memcpy(expected.data(), tag, kTagSize);
  bool ok = EVP_DecryptInit_ex2(c, nullptr, nullptr, nonce.data(), nullptr) == 1;
  ok = ok && EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kTagSize),
                                 expected.data()) == 1;
  if (!text.empty()) {
    ok = ok && EVP_DecryptUpdate(c, text.data(), &written, text.data(),
                                 static_cast<int>(text.size())) == 1;
  }
  std::uint8_t rest[1];
  ok = ok && EVP_DecryptFinal_ex(c, rest, &written) == 1;
  if (!ok) ERR_clear_error();
  return ok;
}

}  // namespace fg::crypto::providers::openssl
