// Stands in for src/crypto/hash.h as aead.h does for its namesake: no check is repeated there.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>

#include "base/bytes.h"

namespace fg::crypto {

using Parts = std::initializer_list<Bytes>;
inline std::array<std::uint8_t, 20> hmac_sha1(Bytes, Parts) { return {}; }
inline std::uint32_t crc32(Bytes) { return 0; }

}  // namespace fg::crypto
