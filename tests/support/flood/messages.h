// Datagrams of somebody who knows no secret: public key and ufrags at most.
#pragma once

#include <string>

#include "base/address.h"
#include "base/bytes.h"
#include "base/random.h"
#include "crypto/x25519.h"

namespace fg::flood {

struct Knowledge {
  std::string kind;
  crypto::PublicKey gateway_key{};  // kinds "initiation", "cookied"
  std::string username;             // kinds "stun", "fingerprint"
};

// One message of the kind; empty when there is no such kind.
//   initiation   WireGuard type 1 with right MAC1
//   cookied      the same with a MAC2 that no cookie made
//   stun         binding request for a live ufrag, wrong MESSAGE-INTEGRITY
//   fingerprint  the same with wrong FINGERPRINT
//   index        data for a random receiver index
//   channel      channel data with a random number
//   random       anything
[[nodiscard]] ByteVector make_message(const Knowledge& knowledge, Random& random);

// Initiations of strangers that one core checks to the end in a second: MAC1 and the first
// Diffie-Hellman.
[[nodiscard]] double checks_per_second(Random& random);

}  // namespace fg::flood
