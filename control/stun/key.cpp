#include "control/stun/key.h"

#include <openssl/evp.h>

#include <string>

namespace fg::stun {

Secret<16> long_term_key(std::string_view username, std::string_view realm, const SecretText& password) {
  std::string text;
  text.append(username).append(":").append(realm).append(":").append(password.expose());
  Secret<16> key;
  EVP_Digest(text.data(), text.size(), key.data(), nullptr, EVP_md5(), nullptr);
  wipe({reinterpret_cast<std::uint8_t*>(text.data()), text.size()});
  return key;
}

}  // namespace fg::stun
