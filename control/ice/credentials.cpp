#include "control/ice/credentials.h"

#include <string_view>

#include "base/encoding.h"
#include "crypto/hash.h"

namespace fg::ice {
namespace {

// Generation A leaves out both letters w (spec connectivity 2.3).
constexpr std::string_view kAlphabet =
    "abcdefghijklmnopqrstuvxyzABCDEFGHIJKLMNOPQRSTUVXYZ0123456789";
static_assert(kAlphabet.size() == 60);

std::string random_text(Random& random, std::size_t size) {
  std::string out;
  out.reserve(size);
  while (out.size() < size) out += kAlphabet[random.below(kAlphabet.size())];
  return out;
}

}  // namespace

Credentials generate_credentials(Random& random) {
  auto ufrag = random_text(random, kUfragSize);
  return {std::move(ufrag), SecretText{random_text(random, kPasswordSize)}};
}

DerivedCredentials derive_credentials(const Party& initiator, const Party& receiver) {
  const std::string seed = initiator.id + ':' + initiator.public_key_base64 + ':' + receiver.id +
                           ':' + receiver.public_key_base64;
  const std::string text = base32_lower(crypto::sha256({as_bytes(seed)}));
  constexpr std::size_t kSet = kUfragSize + kPasswordSize;
  const auto set_at = [&](std::size_t at) {
    return Credentials{text.substr(at, kUfragSize),
                       SecretText{text.substr(at + kUfragSize, kPasswordSize)}};
  };
  return {set_at(0), set_at(kSet)};
}

}  // namespace fg::ice
