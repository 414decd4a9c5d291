#include "control/stun/digest.h"

#include "control/stun/message.h"
#include "crypto/hash.h"

namespace fg::stun {
namespace {

constexpr std::size_t kIntegrityAttribute = 24;   // RFC 8489 §14.5, header included
constexpr std::size_t kFingerprintAttribute = 8;  // RFC 8489 §14.7
constexpr std::uint32_t kFingerprintMask = 0x5354554E;

std::uint16_t length_with(Bytes covered, std::size_t attribute_size) {
  return static_cast<std::uint16_t>(covered.size() + attribute_size - kHeaderSize);
}

}  // namespace

Integrity integrity_of(Bytes covered, Bytes key) {
  std::array<std::uint8_t, 4> start{covered[0], covered[1]};
  store_be16(start.data() + 2, length_with(covered, kIntegrityAttribute));
  return crypto::hmac_sha1(key, {Bytes{start}, covered.subspan(start.size())});
}

std::uint32_t fingerprint_of(Bytes covered) {
  const std::uint16_t length = length_with(covered, kFingerprintAttribute);
  // FINGERPRINT is the last attribute of nearly every message: no copy.
  if (load_be16(covered.data() + 2) == length) return crypto::crc32(covered) ^ kFingerprintMask;
  ByteVector copy = copy_of(covered);
  store_be16(copy.data() + 2, length);
  return crypto::crc32(copy) ^ kFingerprintMask;
}

}  // namespace fg::stun
