// Keys of MESSAGE-INTEGRITY (RFC 8489 §9).
#pragma once

#include <string_view>

#include "base/secret.h"

namespace fg::stun {

// MD5(username ":" realm ":" password), without SASLprep (spec connectivity 3.3).
[[nodiscard]] Secret<16> long_term_key(std::string_view username, std::string_view realm,
                                       const SecretText& password);

// The password as it is. A view: valid as long as the password.
[[nodiscard]] inline Bytes short_term_key(const SecretText& password) {
  return as_bytes(password.expose());
}

}  // namespace fg::stun
