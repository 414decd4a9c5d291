#include "tests/support/flood/messages.h"

#include <algorithm>
#include <chrono>

#include "control/stun/builder.h"
#include "wireguard/cookie.h"
#include "wireguard/handshake.h"

namespace fg::flood {
namespace {

ByteVector random_bytes(Random& random, std::size_t size) {
  ByteVector out(size);
  random.fill(out);
  return out;
}

ByteVector initiation(const crypto::PublicKey& gateway, Random& random) {
  auto out = random_bytes(random, 148);
  store_le32(out.data(), 1);
  wireguard::CookieJar{}.seal_macs(out, wireguard::MacKeys::of(gateway), Instant{});
  return out;
}

ByteVector check(const std::string& username, bool right_fingerprint, Random& random) {
  stun::TransactionId id;
  random.fill(id);
  std::array<std::uint8_t, stun::kMessageMax> buffer;
  stun::Builder builder{buffer, stun::Method::binding, stun::Class::request, id};
  const auto key = random_bytes(random, 22);
  builder.username(username)
      .ice_controlling(random.u32())
      .priority(1'862'270'719)
      .use_candidate()
      .integrity(key)
      .fingerprint();
  auto out = copy_of(*builder.finish());
  if (!right_fingerprint) out.back() ^= 1;
  return out;
}

ByteVector data(Random& random) {
  auto out = random_bytes(random, 32 + random.below(1281));
  store_le32(out.data(), 4);
  return out;
}

}  // namespace

ByteVector make_message(const Knowledge& knowledge, Random& random) {
  const auto& kind = knowledge.kind;
  if (kind == "initiation") return initiation(knowledge.gateway_key, random);
  if (kind == "cookied") {
    auto out = initiation(knowledge.gateway_key, random);
    random.fill(MutableBytes{out}.last(16));
    return out;
  }
  if (kind == "stun" || kind == "fingerprint")
    return check(knowledge.username, kind == "stun", random);
  if (kind == "index") return data(random);
  if (kind == "channel") {
    const auto inner = data(random);
    ByteVector out(4);
    store_be16(out.data(), static_cast<std::uint16_t>(0x4000 + random.below(0x10)));
    store_be16(out.data() + 2, static_cast<std::uint16_t>(inner.size()));
    out.insert(out.end(), inner.begin(), inner.end());
    return out;
  }
  if (kind == "random") return random_bytes(random, 1 + random.below(1400));
  return {};
}

double checks_per_second(Random& random) {
  using Clock = std::chrono::steady_clock;
  const wireguard::Identity identity{crypto::generate_key_pair(random)};
  const auto message = initiation(identity.public_key(), random);
  constexpr int kTimes = 200;
  int opened = 0;
  const auto began = Clock::now();
  for (int i = 0; i < kTimes; ++i) {
    if (identity.verify_mac1(message) && wireguard::open_initiation(identity, message)) ++opened;
  }
  const std::chrono::duration<double> took = Clock::now() - began;
  return opened == 0 ? kTimes / took.count() : 0;
}

}  // namespace fg::flood
