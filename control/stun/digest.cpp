#include "control/stun/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "control/stun/message.h"

namespace fg::stun {
namespace {

ByteVector with_length(Bytes covered, std::size_t attribute_size) {
  ByteVector copy = copy_of(covered);
  store_be16(copy.data() + 2, static_cast<std::uint16_t>(covered.size() + attribute_size - kHeaderSize));
  return copy;
}

std::uint32_t crc32(Bytes data) {
  std::uint32_t crc = 0xFFFFFFFF;
  for (const std::uint8_t byte : data) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xEDB88320 : crc >> 1;
  }
  return ~crc;
}

}  // namespace

Integrity integrity_of(Bytes covered, Bytes key) {
  const ByteVector data = with_length(covered, 24);
  Integrity out{};
  unsigned size = out.size();
  HMAC(EVP_sha1(), key.data(), static_cast<int>(key.size()), data.data(), data.size(), out.data(), &size);
  return out;
}

std::uint32_t fingerprint_of(Bytes covered) { return crc32(with_length(covered, 8)) ^ 0x5354554E; }

}  // namespace fg::stun
