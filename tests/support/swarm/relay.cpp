#include "tests/support/swarm/relay.h"

#include "control/stun/builder.h"
#include "control/stun/key.h"

namespace fg::swarm {
namespace {

constexpr const char* kRealm = "firezone";  // spec portal 2.2
constexpr const char* kNonce = "swarm";
constexpr const char* kSoftware = "swarm";
constexpr std::uint32_t kLifetime = 600;
constexpr std::uint16_t kRelayedPort = 50'000;  // one gateway, one allocation

}  // namespace

// Attributes and their order are those of the recorded relays.
std::optional<ByteVector> Relay::answer(Bytes datagram, const SocketAddress& from) {
  const auto request = stun::Message::parse(datagram);
  if (!request || request->type_class() != stun::Class::request) return std::nullopt;
  std::array<std::uint8_t, stun::kMessageMax> buffer;
  const auto key = stun::long_term_key(kUsername, kRealm, SecretText{kPassword});
  const auto finish = [&](stun::Builder& builder) {
    return copy_of(*builder.integrity(key.expose()).finish());
  };
  if (request->method() == stun::Method::binding) {
    ++counts_.bindings;
    stun::Builder success{buffer, stun::Method::binding, stun::Class::success,
                          request->transaction()};
    return copy_of(*success.software(kSoftware).xor_mapped_address(from).finish());
  }
  if (!request->nonce()) {
    ++counts_.challenges;
    stun::Builder challenge{buffer, request->method(), stun::Class::error, request->transaction()};
    challenge.software(kSoftware).error_code(401, "Unauthorized").realm(kRealm).nonce(kNonce);
    return finish(challenge);
  }
  stun::Builder success{buffer, request->method(), stun::Class::success, request->transaction()};
  success.software(kSoftware);
  if (request->method() == stun::Method::allocate) {
    ++counts_.allocations;
    success.xor_relayed_address({address_, kRelayedPort}).xor_mapped_address(from);
  }
  if (request->method() == stun::Method::channel_bind)
    ++counts_.channels;
  else
    success.lifetime(kLifetime);
  return finish(success);
}

}  // namespace fg::swarm
