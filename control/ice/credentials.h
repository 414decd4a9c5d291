// ICE credentials (spec connectivity 2.3). In generation A each side makes its own; later the
// portal derives both sets from the WireGuard keys, and the gateway takes them as they come. The
// derivation is here for test portals.
#pragma once

#include <string>

#include "base/random.h"
#include "base/secret.h"

namespace fg::ice {

struct Credentials {
  std::string ufrag;
  SecretText password;
  friend bool operator==(const Credentials&, const Credentials&) = default;
};

inline constexpr std::size_t kUfragSize = 4;      // spec connectivity 2.3
inline constexpr std::size_t kPasswordSize = 22;  // spec connectivity 2.3

// For secrets: the generator must be crypto's outside of tests.
[[nodiscard]] Credentials generate_credentials(Random& random);

struct Party {
  std::string id;                 // as the portal writes it
  std::string public_key_base64;  // WireGuard
};
struct DerivedCredentials {
  Credentials initiator;  // the client
  Credentials receiver;   // the gateway
};
[[nodiscard]] DerivedCredentials derive_credentials(const Party& initiator, const Party& receiver);

}  // namespace fg::ice
