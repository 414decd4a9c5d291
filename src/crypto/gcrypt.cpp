#include "base/assert.h"
#include "crypto/providers.h"

#ifdef FG_HAVE_GCRYPT
#include <gcrypt.h>
#endif

namespace fg::crypto::providers::gcrypt {

#ifdef FG_HAVE_GCRYPT

bool is_available() {
  static const bool ready = [] {
    if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P) == 0) {
      if (gcry_check_version(nullptr) == nullptr) return false;
      // Keys lie in memory of ours anyway; the library's locked pool would be too small for
      // thousands of contexts.
      gcry_control(GCRYCTL_DISABLE_SECMEM, 0);
      gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
    }
    return gcry_cipher_algo_info(GCRY_CIPHER_CHACHA20, GCRYCTL_TEST_ALGO, nullptr, nullptr) == 0;
  }();
  return ready;
}

void* make(Bytes key) {
  gcry_cipher_hd_t handle = nullptr;
  FG_ASSERT(gcry_cipher_open(&handle, GCRY_CIPHER_CHACHA20, GCRY_CIPHER_MODE_POLY1305, 0) == 0);
  FG_ASSERT(gcry_cipher_setkey(handle, key.data(), key.size()) == 0);
  return handle;
}

void free(void* context) noexcept { gcry_cipher_close(static_cast<gcry_cipher_hd_t>(context)); }

void seal(void* context, const Nonce& nonce, MutableBytes text, std::uint8_t* tag) noexcept {
  auto* handle = static_cast<gcry_cipher_hd_t>(context);
  bool ok = gcry_cipher_setiv(handle, nonce.data(), nonce.size()) == 0;
  if (!text.empty())
    ok = ok && gcry_cipher_encrypt(handle, text.data(), text.size(), nullptr, 0) == 0;
  ok = ok && gcry_cipher_gettag(handle, tag, kTagSize) == 0;
  FG_ASSERT(ok);
}

bool open(void* context, const Nonce& nonce, MutableBytes text, const std::uint8_t* tag) noexcept {
  auto* handle = static_cast<gcry_cipher_hd_t>(context);
  bool ok = gcry_cipher_setiv(handle, nonce.data(), nonce.size()) == 0;
  if (!text.empty())
    ok = ok && gcry_cipher_decrypt(handle, text.data(), text.size(), nullptr, 0) == 0;
  return ok && gcry_cipher_checktag(handle, tag, kTagSize) == 0;
}

#else

bool is_available() { return false; }
void* make(Bytes) { return nullptr; }
void free(void*) noexcept {}
void seal(void*, const Nonce&, MutableBytes, std::uint8_t*) noexcept { FG_ASSERT(false); }
bool open(void*, const Nonce&, MutableBytes, const std::uint8_t*) noexcept { return false; }

#endif

}  // namespace fg::crypto::providers::gcrypt
