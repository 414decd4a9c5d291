// Protection of the handshake path (whitepaper §5.3, §5.4.7; spec connectivity 4.7): MAC1 first,
// then one limiter for all peers, and above its limit a cookie that only the owner of the source
// address can return as MAC2.
#pragma once

#include <cstdint>
#include <optional>

#include "base/address.h"
#include "base/random.h"
#include "base/time.h"
#include "wireguard/identity.h"
#include "wireguard/message.h"

namespace fg::wireguard {

// Makes cookies and checks MAC2. The secret rotates; a cookie made under the previous secret is no
// longer accepted.
class CookieChecker {
 public:
  CookieChecker(const Identity& identity, Random& random, Instant now);

  [[nodiscard]] bool verify_mac2(Bytes message, const IpAddress& source, Instant now);
  // message: the type 1 or 2 message that is answered instead of processed.
  [[nodiscard]] CookieReplyBytes reply_to(Bytes message, const IpAddress& source, Instant now);

 private:
  [[nodiscard]] Mac cookie_for(const IpAddress& source, Instant now);

  const Identity& identity_;
  Random& random_;
  Secret<32> secret_;
  Instant secret_since_;
};

// Initiator's side: the cookie of one peer.
class CookieJar {
 public:
  // mac1: of the last message we sent; the reply is bound to it.
  [[nodiscard]] bool accept(const CookieReplyView& reply, const MacKeys& peer, Bytes mac1,
                            Instant now);
  // Fills the MAC1 and MAC2 fields at the end of a type 1 or 2 message.
  void seal_macs(MutableBytes message, const MacKeys& peer, Instant now) const;

 private:
  std::optional<Secret<kMacSize>> cookie_;
  Instant received_{};
};

enum class HandshakeVerdict : std::uint8_t {
  process,
  reply_with_cookie,  // over the limit, MAC2 missing or wrong
  bad_mac1,           // silently dropped
  malformed,          // not a type 1 or 2 message
};

// The order of checks for every received initiation and response. One per gateway.
class HandshakeLimiter {
 public:
  static constexpr unsigned kMessagesPerWindow = 100;  // spec connectivity 4.7

  HandshakeLimiter(const Identity& identity, Random& random, Instant now);

  [[nodiscard]] HandshakeVerdict check(Bytes message, const IpAddress& source, Instant now);
  [[nodiscard]] CookieReplyBytes cookie_reply(Bytes message, const IpAddress& source, Instant now);

 private:
  const Identity& identity_;
  CookieChecker checker_;
  Instant window_start_;
  unsigned in_window_ = 0;
};

}  // namespace fg::wireguard
