// Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s (Noise revision 34) without any framing of WireGuard:
// prologue, payloads and pre-shared key are the caller's, so that published vectors apply to
// exactly this code.
//
// Messages, initiator first:  -> e, es, s, ss, {payload}   <- e, ee, se, psk, {payload}
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/secret.h"
#include "crypto/x25519.h"

namespace fg::wireguard::noise {

using Hash = std::array<std::uint8_t, 32>;
inline constexpr std::size_t kFirstOverhead =
    32 + 48 + 16;  // ephemeral, sealed static key, tag of the payload
inline constexpr std::size_t kSecondOverhead = 32 + 16;

struct TransportKeys {
  Secret<32> initiator_to_responder;
  Secret<32> responder_to_initiator;
};

// Chaining key, hash and cipher key. Move-only; wiped.
class SymmetricState {
 public:
  // Both messages start from the responder's static key, which the initiator knows.
  SymmetricState(Bytes prologue, const crypto::PublicKey& responder_static);

  void mix_hash(Bytes data);
  void mix_key(Bytes input);
  void mix_key_and_hash(Bytes input);
  // out: text.size() + 16.
  void encrypt_and_hash(Bytes text, MutableBytes out);
  // out: sealed.size() - 16. On false the state is unchanged.
  [[nodiscard]] bool decrypt_and_hash(Bytes sealed, MutableBytes out);
  [[nodiscard]] TransportKeys split() const;
  [[nodiscard]] const Hash& hash() const { return hash_; }
  [[nodiscard]] SymmetricState copy() const;

 private:
  SymmetricState() = default;
  Hash hash_{};
  Secret<32> chaining_key_;
  Secret<32> key_;  // used once each, always with nonce 0
};

// ---- initiator ----
struct FirstMessage {
  const crypto::KeyPair& ephemeral;
  const crypto::PublicKey& initiator_static;
  const crypto::PublicKey& responder_static;
  const Secret<32>& static_shared;  // DH of the two static keys
  Bytes payload;
};
// out: kFirstOverhead + payload. False when a Diffie-Hellman result is zero.
[[nodiscard]] bool write_first(SymmetricState& state, const FirstMessage& message,
                               MutableBytes out);
// message: ephemeral and sealed payload; payload_out: kSecondOverhead less. The state is untouched
// unless all fits.
[[nodiscard]] bool read_second(SymmetricState& state, const crypto::PrivateKey& ephemeral,
                               const crypto::PrivateKey& initiator_static,
                               const Secret<32>& preshared, Bytes message,
                               MutableBytes payload_out);

// ---- responder ----
// The first half of message one: one DH, then the initiator's static key is known.
[[nodiscard]] std::optional<crypto::PublicKey> read_first_static(
    SymmetricState& state, const crypto::PrivateKey& responder_static, Bytes ephemeral,
    Bytes sealed_static);
[[nodiscard]] bool read_first_payload(SymmetricState& state, const Secret<32>& static_shared,
                                      Bytes sealed_payload, MutableBytes payload_out);
struct SecondMessage {
  const crypto::KeyPair& ephemeral;
  const crypto::PublicKey& initiator_ephemeral;
  const crypto::PublicKey& initiator_static;
  const Secret<32>& preshared;
  Bytes payload;
};
[[nodiscard]] bool write_second(SymmetricState& state, const SecondMessage& message,
                                MutableBytes out);

}  // namespace fg::wireguard::noise
