// The two check values of a STUN message. Both cover everything before their own attribute, with
// the header's length field counting that attribute as if the message ended there; the length found
// in the bytes does not matter.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace fg::stun {

using Integrity = std::array<std::uint8_t, 20>;

// HMAC-SHA1, RFC 8489 §14.5. `covered` starts with the header.
[[nodiscard]] Integrity integrity_of(Bytes covered, Bytes key);

// CRC-32 XOR 0x5354554E, RFC 8489 §14.7.
[[nodiscard]] std::uint32_t fingerprint_of(Bytes covered);

}  // namespace fg::stun
