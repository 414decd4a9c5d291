// Writes a STUN message into a fixed buffer, attribute by attribute in the caller's order, padded
// with zeros. Nothing is allocated. finish() yields nothing when it did not fit.
//
//   std::array<std::uint8_t, stun::kMessageMax> buffer;
//   Builder b{buffer, Method::binding, Class::request, id};
//   b.username("qhpm:mp5g").priority(1862270719).integrity(key).fingerprint();
//   if (const auto bytes = b.finish()) send(*bytes);
#pragma once

#include <optional>
#include <string_view>

#include "base/address.h"
#include "base/bytes.h"
#include "control/stun/message.h"

namespace fg::stun {

// More than any message sent here needs: username (≤ 513), realm, nonce (≤ 763) and the fixed
// attributes.
inline constexpr std::size_t kMessageMax = 1500;

class Builder {
 public:
  Builder(MutableBytes buffer, Method method, Class type_class, const TransactionId& id)
      : Builder(buffer, make_type(method, type_class), id) {}
  Builder(MutableBytes buffer, std::uint16_t type, const TransactionId& id);

  // Any attribute, value as on the wire without padding.
  Builder& raw(std::uint16_t type, Bytes value);

  Builder& username(std::string_view text) { return raw(attribute::username, as_bytes(text)); }
  Builder& realm(std::string_view text) { return raw(attribute::realm, as_bytes(text)); }
  Builder& nonce(std::string_view text) { return raw(attribute::nonce, as_bytes(text)); }
  Builder& software(std::string_view text) { return raw(attribute::software, as_bytes(text)); }
  Builder& priority(std::uint32_t value) { return u32(attribute::priority, value); }
  Builder& lifetime(std::uint32_t seconds) { return u32(attribute::lifetime, seconds); }
  Builder& use_candidate() { return raw(attribute::use_candidate, {}); }
  Builder& ice_controlled(std::uint64_t tie_breaker) {
    return u64(attribute::ice_controlled, tie_breaker);
  }
  Builder& ice_controlling(std::uint64_t tie_breaker) {
    return u64(attribute::ice_controlling, tie_breaker);
  }
  Builder& channel_number(std::uint16_t number);
  Builder& requested_transport_udp();
  Builder& additional_address_family_v6();
  Builder& error_code(int code, std::string_view reason);
  Builder& xor_mapped_address(const SocketAddress& a) {
    return xor_address(attribute::xor_mapped_address, a);
  }
  Builder& xor_peer_address(const SocketAddress& a) {
    return xor_address(attribute::xor_peer_address, a);
  }
  Builder& xor_relayed_address(const SocketAddress& a) {
    return xor_address(attribute::xor_relayed_address, a);
  }

  // MESSAGE-INTEGRITY over everything written so far, RFC 8489 §14.5.
  Builder& integrity(Bytes key);
  // FINGERPRINT over everything written so far, RFC 8489 §14.7. Must be the last call.
  Builder& fingerprint();

  // The whole message, valid as long as the buffer.
  [[nodiscard]] std::optional<Bytes> finish();

 private:
  Builder& u32(std::uint16_t type, std::uint32_t value);
  Builder& u64(std::uint16_t type, std::uint64_t value);
  Builder& xor_address(std::uint16_t type, const SocketAddress& address);

  ByteWriter out_;
  TransactionId id_;
};

}  // namespace fg::stun
