#include "crypto/random.h"

#include <sodium.h>

#include "crypto/crypto.h"

namespace fg::crypto {

SystemRandom::SystemRandom() { init(); }

void SystemRandom::fill(MutableBytes out) {
  if (!out.empty()) randombytes_buf(out.data(), out.size());
}

}  // namespace fg::crypto
