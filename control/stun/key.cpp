#include "control/stun/key.h"

#include "crypto/hash.h"

namespace fg::stun {

Secret<16> long_term_key(std::string_view username, std::string_view realm,
                         const SecretText& password) {
  const Bytes colon = as_bytes(":");
  return Secret<16>{crypto::md5(
      {as_bytes(username), colon, as_bytes(realm), colon, as_bytes(password.expose())})};
}

}  // namespace fg::stun
