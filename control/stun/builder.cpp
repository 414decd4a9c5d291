#include "control/stun/builder.h"

#include <algorithm>

#include "control/stun/digest.h"

namespace fg::stun {

Builder::Builder(MutableBytes buffer, std::uint16_t type, const TransactionId& id)
    : out_(buffer), id_(id) {
  out_.be16(type);
  out_.be16(0);
  out_.be32(kMagicCookie);
  out_.bytes(id);
}

Builder& Builder::raw(std::uint16_t type, Bytes value) {
  out_.be16(type);
  out_.be16(static_cast<std::uint16_t>(value.size()));
  out_.bytes(value);
  out_.zeros((4 - value.size() % 4) % 4);
  return *this;
}

Builder& Builder::u32(std::uint16_t type, std::uint32_t value) {
  std::array<std::uint8_t, 4> b{};
  store_be32(b.data(), value);
  return raw(type, b);
}

Builder& Builder::u64(std::uint16_t type, std::uint64_t value) {
  std::array<std::uint8_t, 8> b{};
  store_be64(b.data(), value);
  return raw(type, b);
}

// Reserved bytes are zero: Firezone's relay verifies over a re-encoding (spec connectivity 3.3).
Builder& Builder::channel_number(std::uint16_t number) {
  return u32(attribute::channel_number, std::uint32_t{number} << 16);
}

Builder& Builder::requested_transport_udp() {
  return u32(attribute::requested_transport, 17U << 24);  // IANA protocol number of UDP
}

Builder& Builder::additional_address_family_v6() {
  return u32(attribute::additional_address_family, 2U << 24);  // RFC 8656 §18.6
}

Builder& Builder::error_code(int code, std::string_view reason) {
  std::array<std::uint8_t, 4 + kTextMax> b{};
  const std::size_t n = std::min(reason.size(), kTextMax);
  b[2] = static_cast<std::uint8_t>(code / 100);
  b[3] = static_cast<std::uint8_t>(code % 100);
  std::copy_n(reason.begin(), n, b.begin() + 4);
  return raw(attribute::error_code, Bytes{b}.first(4 + n));
}

Builder& Builder::xor_address(std::uint16_t type, const SocketAddress& address) {
  std::array<std::uint8_t, 16> mask{};
  store_be32(mask.data(), kMagicCookie);
  std::copy(id_.begin(), id_.end(), mask.begin() + 4);
  std::array<std::uint8_t, 20> b{};
  const Bytes ip = address.ip.bytes();
  b[1] = address.ip.is_v4() ? 0x01 : 0x02;  // RFC 8489 §14.1
  store_be16(b.data() + 2, static_cast<std::uint16_t>(address.port ^ (kMagicCookie >> 16)));
  for (std::size_t i = 0; i < ip.size(); ++i) b[4 + i] = static_cast<std::uint8_t>(ip[i] ^ mask[i]);
  return raw(type, Bytes{b}.first(4 + ip.size()));
}

Builder& Builder::integrity(Bytes key) {
  if (!out_.ok()) return *this;
  return raw(attribute::message_integrity, integrity_of(out_.written(), key));
}

Builder& Builder::fingerprint() {
  if (!out_.ok()) return *this;
  out_.patch_be16(2, static_cast<std::uint16_t>(out_.size() + 8 - kHeaderSize));
  return u32(attribute::fingerprint, fingerprint_of(out_.written()));
}

std::optional<Bytes> Builder::finish() {
  if (!out_.ok()) return std::nullopt;
  out_.patch_be16(2, static_cast<std::uint16_t>(out_.size() - kHeaderSize));
  return out_.written();
}

}  // namespace fg::stun
