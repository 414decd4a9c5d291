#include "control/stun/message.h"

#include <algorithm>

#include "base/secret.h"
#include "control/stun/digest.h"

namespace fg::stun {
namespace {

constexpr std::size_t kAttributeHeader = 4;
constexpr std::size_t kIntegritySize = 20;   // RFC 8489 §14.5
constexpr std::size_t kFingerprintSize = 4;  // RFC 8489 §14.7
constexpr std::uint8_t kFamilyV4 = 0x01;     // RFC 8489 §14.1
constexpr std::uint8_t kFamilyV6 = 0x02;

constexpr std::size_t padded(std::size_t n) { return (n + 3) & ~std::size_t{3}; }

}  // namespace

std::optional<Message> Message::parse(Bytes datagram) {
  if (datagram.size() < kHeaderSize || (datagram[0] & 0xC0) != 0) return std::nullopt;
  const std::size_t length = load_be16(datagram.data() + 2);
  if (load_be32(datagram.data() + 4) != kMagicCookie) return std::nullopt;
  if (length % 4 != 0 || length != datagram.size() - kHeaderSize) return std::nullopt;
  Message message{datagram};
  if (!message.scan()) return std::nullopt;
  return message;
}

// One pass: bounds of all attributes, where the authenticated part ends, and the fingerprint.
bool Message::scan() {
  std::size_t at = kHeaderSize;
  covered_end_ = bytes_.size();
  while (at < bytes_.size()) {
    const auto a = attribute_at(at);
    if (!a) return false;
    if (a->type == attribute::message_integrity && integrity_at_ == 0) {
      if (a->value.size() != kIntegritySize) return false;
      integrity_at_ = at;
      covered_end_ = std::min(covered_end_, at);
    } else if (a->type == attribute::fingerprint && !has_fingerprint_) {
      if (!verify_fingerprint(*a)) return false;
      has_fingerprint_ = true;
      covered_end_ = std::min(covered_end_, at);
    }
    at += kAttributeHeader + padded(a->value.size());
  }
  return true;
}

bool Message::verify_fingerprint(const Attribute& fingerprint) const {
  if (fingerprint.value.size() != kFingerprintSize) return false;
  return load_be32(fingerprint.value.data()) == fingerprint_of(bytes_.first(fingerprint.at));
}

std::optional<Attribute> Message::attribute_at(std::size_t at) const {
  if (bytes_.size() - at < kAttributeHeader) return std::nullopt;
  const std::uint8_t* p = bytes_.data() + at;
  const std::size_t size = load_be16(p + 2);
  if (padded(size) > bytes_.size() - at - kAttributeHeader) return std::nullopt;
  return Attribute{
      .type = load_be16(p), .value = bytes_.subspan(at + kAttributeHeader, size), .at = at};
}

std::optional<Attribute> Message::next(const Attribute& attribute) const {
  return attribute_at(attribute.at + kAttributeHeader + padded(attribute.value.size()));
}

std::optional<Bytes> Message::find(std::uint16_t type) const {
  for (auto a = first(); a && a->at < covered_end_; a = next(*a)) {
    if (a->type == type) return a->value;
  }
  return std::nullopt;
}

Class Message::type_class() const {
  const unsigned t = type();
  return static_cast<Class>((t >> 4 & 1) | (t >> 7 & 2));
}

Method Message::method() const {
  const unsigned t = type();
  return static_cast<Method>((t & 0x000F) | (t >> 1 & 0x0070) | (t >> 2 & 0x0F80));
}

TransactionId Message::transaction() const {
  TransactionId id{};
  std::copy_n(bytes_.data() + 8, id.size(), id.begin());
  return id;
}

bool Message::verify_integrity(Bytes key) const {
  if (!has_integrity()) return false;
  const auto expected = integrity_of(bytes_.first(integrity_at_), key);
  return equal_constant_time(expected,
                             bytes_.subspan(integrity_at_ + kAttributeHeader, kIntegritySize));
}

bool Message::ends_sealed() const {
  return has_fingerprint_ &&
         integrity_at_ + 2 * kAttributeHeader + kIntegritySize + kFingerprintSize == bytes_.size();
}

std::optional<std::string_view> Message::text(std::uint16_t type, std::size_t max) const {
  const auto value = find(type);
  if (!value || value->size() > max) return std::nullopt;
  return as_text(*value);
}

std::optional<std::uint32_t> Message::u32(std::uint16_t type) const {
  const auto value = find(type);
  if (!value || value->size() != 4) return std::nullopt;
  return load_be32(value->data());
}

std::optional<std::uint64_t> Message::u64(std::uint16_t type) const {
  const auto value = find(type);
  if (!value || value->size() != 8) return std::nullopt;
  return load_be64(value->data());
}

std::optional<std::uint8_t> Message::first_byte_of_four(std::uint16_t type) const {
  const auto value = find(type);
  if (!value || value->size() != 4) return std::nullopt;
  return (*value)[0];
}

std::optional<std::uint8_t> Message::requested_transport() const {
  return first_byte_of_four(attribute::requested_transport);
}

std::optional<std::uint8_t> Message::additional_address_family() const {
  return first_byte_of_four(attribute::additional_address_family);
}

std::optional<std::uint16_t> Message::channel_number() const {
  const auto value = find(attribute::channel_number);
  if (!value || value->size() != 4) return std::nullopt;
  return load_be16(value->data());
}

std::optional<ErrorCode> Message::error_code() const {
  const auto value = find(attribute::error_code);
  if (!value || value->size() < 4 || value->size() > 4 + kTextMax) return std::nullopt;
  const int hundreds = (*value)[2] & 0x07;  // RFC 8489 §14.8
  const int rest = (*value)[3];
  if (hundreds < 3 || hundreds > 6 || rest > 99) return std::nullopt;
  return ErrorCode{.code = hundreds * 100 + rest, .reason = as_text(value->subspan(4))};
}

std::optional<SocketAddress> Message::xor_mapped_address() const {
  const auto value = find(attribute::xor_mapped_address);
  return value ? xor_address(*value) : std::nullopt;
}

std::optional<SocketAddress> Message::xor_peer_address() const {
  const auto value = find(attribute::xor_peer_address);
  return value ? xor_address(*value) : std::nullopt;
}

std::optional<SocketAddress> Message::xor_relayed_address(Family family) const {
  for (auto a = first(); a && a->at < covered_end_; a = next(*a)) {
    if (a->type != attribute::xor_relayed_address) continue;
    const auto address = xor_address(a->value);
    if (address && address->family() == family) return address;
  }
  return std::nullopt;
}

// RFC 8489 §14.2: the port is masked with the cookie's upper half, the address with cookie and
// transaction id.
std::optional<SocketAddress> Message::xor_address(Bytes value) const {
  if (value.size() < 4) return std::nullopt;
  const std::uint8_t family = value[1];
  const Bytes address = value.subspan(4);
  const bool fits =
      (family == kFamilyV4 && address.size() == 4) || (family == kFamilyV6 && address.size() == 16);
  if (!fits) return std::nullopt;
  std::array<std::uint8_t, 16> plain{};
  for (std::size_t i = 0; i < address.size(); ++i) {
    plain[i] = static_cast<std::uint8_t>(address[i] ^ bytes_[4 + i]);
  }
  const auto port = static_cast<std::uint16_t>(load_be16(value.data() + 2) ^ (kMagicCookie >> 16));
  return SocketAddress{.ip = IpAddress::from_bytes(Bytes{plain}.first(address.size())),
                       .port = port};
}

}  // namespace fg::stun
