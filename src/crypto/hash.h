// Digests and message authentication codes over one or more spans. Algorithm objects are fetched
// once, contexts are kept per thread, so a call allocates nothing after the first.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

#include "base/bytes.h"

namespace fg::crypto {

using Parts = std::initializer_list<Bytes>;

[[nodiscard]] std::array<std::uint8_t, 32> blake2s(Parts parts);  // RFC 7693, unkeyed
// Keyed BLAKE2s with 16 bytes of output; the key has 1 to 32 bytes. The MAC1 and MAC2 of WireGuard.
[[nodiscard]] std::array<std::uint8_t, 16> blake2s_mac(Bytes key, Parts parts);
// HMAC (RFC 2104, 64-byte block) with BLAKE2s; keys of at most 64 bytes. The key derivation of
// Noise.
[[nodiscard]] std::array<std::uint8_t, 32> hmac_blake2s(Bytes key, Parts parts);

[[nodiscard]] std::array<std::uint8_t, 16> md5(Parts parts);
[[nodiscard]] std::array<std::uint8_t, 20> sha1(Parts parts);
[[nodiscard]] std::array<std::uint8_t, 32> sha256(Parts parts);
[[nodiscard]] std::array<std::uint8_t, 20> hmac_sha1(Bytes key, Parts parts);
[[nodiscard]] std::array<std::uint8_t, 32> hmac_sha256(Bytes key, Parts parts);
void pbkdf2_hmac_sha256(Bytes password, Bytes salt, unsigned iterations, MutableBytes out);

// CRC-32 of IEEE 802.3 (reflected, polynomial 0xEDB88320); crc32("123456789") = 0xCBF43926.
[[nodiscard]] std::uint32_t crc32(Bytes bytes);

}  // namespace fg::crypto
