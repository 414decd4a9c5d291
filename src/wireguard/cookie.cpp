#include "wireguard/cookie.h"

#include <algorithm>

#include "crypto/aead.h"
#include "crypto/hash.h"

namespace fg::wireguard {
namespace {

constexpr Duration kSecretLifetime = 128s;  // spec connectivity 4.7
constexpr Duration kCookieLifetime = 120s;  // whitepaper §5.4.7
constexpr Duration kWindow = 1s;            // spec connectivity 4.7

std::optional<std::uint32_t> sender_of(Bytes message) {
  const auto type = classify(message);
  if (type != MessageType::initiation && type != MessageType::response) return std::nullopt;
  return load_le32(message.data() + 4);
}

}  // namespace

CookieChecker::CookieChecker(const Identity& identity, Random& random, Instant now)
    : identity_(identity), random_(random), secret_since_(now) {
  random_.fill(secret_.expose_mutable());
}

Mac CookieChecker::cookie_for(const IpAddress& source, Instant now) {
  if (now - secret_since_ >= kSecretLifetime) {
    random_.fill(secret_.expose_mutable());
    secret_since_ = now;
  }
  // 16 bytes in both families, no port (spec connectivity 4.7).
  return crypto::blake2s_mac(secret_.expose(), {source.raw()});
}

bool CookieChecker::verify_mac2(Bytes message, const IpAddress& source, Instant now) {
  if (message.size() < kMacsSize) return false;
  const Mac cookie = cookie_for(source, now);
  return equal_constant_time(crypto::blake2s_mac(cookie, {before_mac2(message)}), mac2_of(message));
}

CookieReplyBytes CookieChecker::reply_to(Bytes message, const IpAddress& source, Instant now) {
  const Mac cookie = cookie_for(source, now);
  CookieReplyBytes out{};
  const MutableBytes all{out};
  write_type(out.data(), MessageType::cookie_reply);
  store_le32(out.data() + 4, sender_of(message).value_or(0));
  random_.fill(all.subspan(8, 24));
  crypto::xchacha_seal(
      identity_.mac_keys().cookie,
      {.nonce = all.subspan(8, 24), .associated = mac1_of(message), .text = cookie},
      all.subspan(32));
  return out;
}

bool CookieJar::accept(const CookieReplyView& reply, const MacKeys& peer, Bytes mac1, Instant now) {
  Secret<kMacSize> cookie;
  if (!crypto::xchacha_open(
          peer.cookie, {.nonce = reply.nonce, .associated = mac1, .text = reply.encrypted_cookie},
          cookie.expose_mutable())) {
    return false;
  }
  cookie_ = std::move(cookie);
  received_ = now;
  return true;
}

void CookieJar::seal_macs(MutableBytes message, const MacKeys& peer, Instant now) const {
  const Mac mac1 = crypto::blake2s_mac(peer.mac1, {before_mac1(message)});
  std::ranges::copy(mac1, message.end() - static_cast<std::ptrdiff_t>(kMacsSize));
  Mac mac2{};
  if (cookie_ && now - received_ < kCookieLifetime) {
    mac2 = crypto::blake2s_mac(cookie_->expose(), {before_mac2(message)});
  }
  std::ranges::copy(mac2, message.end() - static_cast<std::ptrdiff_t>(kMacSize));
}

HandshakeLimiter::HandshakeLimiter(const Identity& identity, Random& random, Instant now)
    : identity_(identity), checker_(identity, random, now), window_start_(now) {}

HandshakeVerdict HandshakeLimiter::check(Bytes message, const IpAddress& source, Instant now) {
  if (!sender_of(message)) return HandshakeVerdict::malformed;
  if (!identity_.verify_mac1(message)) return HandshakeVerdict::bad_mac1;
  if (now - window_start_ >= kWindow) {
    window_start_ = now;
    in_window_ = 0;
  }
  if (in_window_ < kMessagesPerWindow) {
    ++in_window_;
    return HandshakeVerdict::process;
  }
  return checker_.verify_mac2(message, source, now) ? HandshakeVerdict::process
                                                    : HandshakeVerdict::reply_with_cookie;
}

CookieReplyBytes HandshakeLimiter::cookie_reply(Bytes message, const IpAddress& source,
                                                Instant now) {
  return checker_.reply_to(message, source, now);
}

}  // namespace fg::wireguard
