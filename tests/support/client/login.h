// The upgrade request of a client (spec portal 1.2, 1.3, 5.1) and the back-off of one.
#pragma once

#include <string>

#include "base/secret.h"
#include "control/portal/api_url.h"
#include "control/portal/login.h"
#include "tests/support/client/messages.h"

namespace fg::client {

struct LoginOptions {
  portal::ApiUrl url;
  SecretText token;
  std::string id;
  std::string name;
  std::string version;  // empty: an original's of that generation
  Generation generation = Generation::c;
  portal::SystemFacts system;
};

[[nodiscard]] std::string version_of(Generation generation);
[[nodiscard]] portal::UpgradeRequest upgrade_request(const LoginOptions& options,
                                                     const PublicKey& public_key);
// Only 401 ends a client of B and C; every 4xx ends one of A (spec portal 1.5).
[[nodiscard]] bool is_fatal(Generation generation, int status);

}  // namespace fg::client
