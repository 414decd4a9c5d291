// Our static key pair with everything derived from it once: the keys of MAC1 and of cookie replies
// for messages to us.
#pragma once

#include "base/bytes.h"
#include "crypto/x25519.h"
#include "wireguard/message.h"

namespace fg::wireguard {

// Keys derived from the public key of whoever receives a handshake message (whitepaper §5.4.4).
struct MacKeys {
  std::array<std::uint8_t, 32> mac1{};
  std::array<std::uint8_t, 32> cookie{};
  static MacKeys of(const crypto::PublicKey& receiver);
};

class Identity {
 public:
  explicit Identity(crypto::KeyPair keys);

  [[nodiscard]] const crypto::PrivateKey& private_key() const { return keys_.private_key; }
  [[nodiscard]] const crypto::PublicKey& public_key() const { return keys_.public_key; }
  [[nodiscard]] const MacKeys& mac_keys() const { return mac_keys_; }
  // MAC1 of a whole message of type 1 or 2. Check it before any Diffie-Hellman.
  [[nodiscard]] bool verify_mac1(Bytes message) const;

 private:
  crypto::KeyPair keys_;
  MacKeys mac_keys_;
};

}  // namespace fg::wireguard
