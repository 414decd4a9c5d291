// What a finished handshake hands to whoever moves the data: the control thread makes it, one
// worker consumes it.
#pragma once

#include <cstdint>

#include "base/ids.h"
#include "base/secret.h"
#include "base/time.h"

namespace fg::wireguard {

enum class Role : std::uint8_t { initiator, responder };

struct SessionKeys {
  ReceiverIndex local_index{};   // in messages to us
  std::uint32_t remote_index{};  // in messages we send
  Secret<32> send;
  Secret<32> receive;
  Role role = Role::responder;
  Instant established{};
};

}  // namespace fg::wireguard
