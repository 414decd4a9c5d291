#include "wireguard/noise.h"

#include <algorithm>

#include "base/assert.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

namespace fg::wireguard::noise {
namespace {

constexpr std::string_view kName = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
constexpr std::array<std::uint8_t, 12> kFirstNonce{};  // every key seals one text only

struct Derived {
  Secret<32> first, second, third;
};

// HKDF of Noise §4.3 with `outputs` outputs.
Derived derive(const Secret<32>& chaining_key, Bytes input, int outputs) {
  const auto step = [](Bytes key, crypto::Parts parts) {
    auto digest = crypto::hmac_blake2s(key, parts);
    Secret<32> out{digest};
    wipe(digest);
    return out;
  };
  static constexpr std::array<std::uint8_t, 1> kOne = {1}, kTwo = {2}, kThree = {3};
  const Secret<32> temporary = step(chaining_key.expose(), {input});
  Derived out;
  out.first = step(temporary.expose(), {kOne});
  if (outputs >= 2) out.second = step(temporary.expose(), {out.first.expose(), kTwo});
  if (outputs >= 3) out.third = step(temporary.expose(), {out.second.expose(), kThree});
  return out;
}

crypto::PublicKey public_key_from(Bytes bytes) {
  crypto::PublicKey out;
  std::copy_n(bytes.begin(), out.size(), out.begin());
  return out;
}

}  // namespace

SymmetricState::SymmetricState(Bytes prologue, const crypto::PublicKey& responder_static) {
  hash_ = crypto::blake2s({as_bytes(kName)});  // the name is longer than a hash (Noise §5.2)
  chaining_key_ = Secret<32>{hash_};
  mix_hash(prologue);
  mix_hash(responder_static);
}

void SymmetricState::mix_hash(Bytes data) { hash_ = crypto::blake2s({hash_, data}); }

void SymmetricState::mix_key(Bytes input) {
  Derived keys = derive(chaining_key_, input, 2);
  chaining_key_ = std::move(keys.first);
  key_ = std::move(keys.second);
}

void SymmetricState::mix_key_and_hash(Bytes input) {
  Derived keys = derive(chaining_key_, input, 3);
  chaining_key_ = std::move(keys.first);
  mix_hash(keys.second.expose());
  key_ = std::move(keys.third);
}

void SymmetricState::encrypt_and_hash(Bytes text, MutableBytes out) {
  crypto::aead_seal(key_.expose(), {.nonce = kFirstNonce, .associated = hash_, .text = text}, out);
  mix_hash(out);
}

bool SymmetricState::decrypt_and_hash(Bytes sealed, MutableBytes out) {
  if (!crypto::aead_open(key_.expose(), {.nonce = kFirstNonce, .associated = hash_, .text = sealed},
                         out))
    return false;
  mix_hash(sealed);
  return true;
}

TransportKeys SymmetricState::split() const {
  Derived keys = derive(chaining_key_, {}, 2);
  return {.initiator_to_responder = std::move(keys.first),
          .responder_to_initiator = std::move(keys.second)};
}

SymmetricState SymmetricState::copy() const {
  SymmetricState out;
  out.hash_ = hash_;
  out.chaining_key_ = chaining_key_.copy();
  out.key_ = key_.copy();
  return out;
}

bool write_first(SymmetricState& state, const FirstMessage& message, MutableBytes out) {
  FG_ASSERT(out.size() == kFirstOverhead + message.payload.size());
  const auto es = crypto::shared_secret(message.ephemeral.private_key, message.responder_static);
  if (!es) return false;
  std::ranges::copy(message.ephemeral.public_key, out.begin());
  state.mix_hash(message.ephemeral.public_key);
  state.mix_key(message.ephemeral.public_key);  // psk modifier (Noise §9.2)
  state.mix_key(es->expose());
  state.encrypt_and_hash(message.initiator_static, out.subspan(32, 48));
  state.mix_key(message.static_shared.expose());
  state.encrypt_and_hash(message.payload, out.subspan(80));
  return true;
}

bool read_second(SymmetricState& state, const crypto::PrivateKey& ephemeral,
                 const crypto::PrivateKey& initiator_static, const Secret<32>& preshared,
                 Bytes message, MutableBytes payload_out) {
  if (message.size() < kSecondOverhead) return false;
  FG_ASSERT(payload_out.size() == message.size() - kSecondOverhead);
  const crypto::PublicKey theirs = public_key_from(message.first(32));
  const auto ee = crypto::shared_secret(ephemeral, theirs);
  const auto se = crypto::shared_secret(initiator_static, theirs);
  if (!ee || !se) return false;
  SymmetricState next = state.copy();
  next.mix_hash(theirs);
  next.mix_key(theirs);
  next.mix_key(ee->expose());
  next.mix_key(se->expose());
  next.mix_key_and_hash(preshared.expose());
  if (!next.decrypt_and_hash(message.subspan(32), payload_out)) return false;
  state = std::move(next);
  return true;
}

std::optional<crypto::PublicKey> read_first_static(SymmetricState& state,
                                                   const crypto::PrivateKey& responder_static,
                                                   Bytes ephemeral, Bytes sealed_static) {
  const crypto::PublicKey theirs = public_key_from(ephemeral);
  const auto es = crypto::shared_secret(responder_static, theirs);
  if (!es) return std::nullopt;
  state.mix_hash(theirs);
  state.mix_key(theirs);
  state.mix_key(es->expose());
  crypto::PublicKey initiator;
  if (!state.decrypt_and_hash(sealed_static, initiator)) return std::nullopt;
  return initiator;
}

bool read_first_payload(SymmetricState& state, const Secret<32>& static_shared,
                        Bytes sealed_payload, MutableBytes payload_out) {
  state.mix_key(static_shared.expose());
  return state.decrypt_and_hash(sealed_payload, payload_out);
}

bool write_second(SymmetricState& state, const SecondMessage& message, MutableBytes out) {
  FG_ASSERT(out.size() == kSecondOverhead + message.payload.size());
  const auto ee = crypto::shared_secret(message.ephemeral.private_key, message.initiator_ephemeral);
  const auto se = crypto::shared_secret(message.ephemeral.private_key, message.initiator_static);
  if (!ee || !se) return false;
  std::ranges::copy(message.ephemeral.public_key, out.begin());
  state.mix_hash(message.ephemeral.public_key);
  state.mix_key(message.ephemeral.public_key);
  state.mix_key(ee->expose());
  state.mix_key(se->expose());
  state.mix_key_and_hash(message.preshared.expose());
  state.encrypt_and_hash(message.payload, out.subspan(32));
  return true;
}

}  // namespace fg::wireguard::noise
