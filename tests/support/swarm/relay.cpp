#include "tests/support/swarm/relay.h"

#include "control/stun/builder.h"
#include "control/stun/key.h"

namespace fg::swarm {
namespace {

constexpr const char* kRealm = "firezone";  // spec portal 2.2
constexpr const char* kNonce = "swarm";
constexpr std::uint32_t kLifetime = 600;
constexpr std::uint16_t kRelayedPort = 50'000;  // one gateway, one allocation

}  // namespace

std::optional<ByteVector> Relay::answer(Bytes datagram, const SocketAddress& from) const {
  const auto request = stun::Message::parse(datagram);
  if (!request || request->type_class() != stun::Class::request) return std::nullopt;
  std::array<std::uint8_t, stun::kMessageMax> buffer;
  const auto key = stun::long_term_key(kUsername, kRealm, SecretText{kPassword});
  const auto finish = [&](stun::Builder& builder) {
    return copy_of(*builder.integrity(key.expose()).fingerprint().finish());
  };
  if (request->method() == stun::Method::binding) {
    stun::Builder success{buffer, stun::Method::binding, stun::Class::success,
                          request->transaction()};
    return copy_of(*success.xor_mapped_address(from).fingerprint().finish());
  }
  if (!request->nonce()) {
    stun::Builder challenge{buffer, request->method(), stun::Class::error, request->transaction()};
    challenge.error_code(401, "Unauthorized").realm(kRealm).nonce(kNonce);
    return finish(challenge);
  }
  stun::Builder success{buffer, request->method(), stun::Class::success, request->transaction()};
  if (request->method() == stun::Method::allocate) {
    success.xor_relayed_address({address_, kRelayedPort}).xor_mapped_address(from);
  }
  if (request->method() != stun::Method::channel_bind) success.lifetime(kLifetime);
  return finish(success);
}

}  // namespace fg::swarm
