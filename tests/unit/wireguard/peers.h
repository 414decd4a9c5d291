// Two peers of one test: identities and handshakes made from a seed.
#pragma once

#include "wireguard/handshake.h"

namespace fg::wireguard::test {

inline constexpr Instant kStart{1000h};
inline constexpr WallTime kWallStart{1'700'000'000s};

struct Peers {
  SeededRandom random{42};
  Identity client{crypto::generate_key_pair(random)};
  Identity gateway{crypto::generate_key_pair(random)};
  Secret<32> psk = [this] {
    Secret<32> key;
    random.fill(key.expose_mutable());
    return key;
  }();

  HandshakeConfig client_config() const {
    HandshakeConfig c;
    c.remote = gateway.public_key();
    c.preshared = psk.copy();
    c.index_base = ReceiverIndex{0x00C1'1E00};
    return c;
  }
  HandshakeConfig gateway_config() const {
    HandshakeConfig c;
    c.remote = client.public_key();
    c.preshared = psk.copy();
    c.index_base = ReceiverIndex{0x3A7E'1100};
    return c;
  }
};

}  // namespace fg::wireguard::test
