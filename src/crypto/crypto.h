// One call before anything else of this room. Thin wrappers over libsodium, OpenSSL, libgcrypt and
// ipsec-mb: nothing here invents an algorithm. Guide performance 8 says why there are several
// providers of one cipher.
#pragma once

namespace fg::crypto {

// Prepares the libraries; stops the process when one refuses. Idempotent and thread-safe.
void init();

}  // namespace fg::crypto
