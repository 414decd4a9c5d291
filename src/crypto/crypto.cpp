#include "crypto/crypto.h"

#include <openssl/crypto.h>
#include <sodium.h>

#include "base/assert.h"

namespace fg::crypto {

void init() {
  static const bool ready = [] {
    return sodium_init() >= 0 && OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) == 1;
  }();
  FG_ASSERT(ready);
}

}  // namespace fg::crypto
