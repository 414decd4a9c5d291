// Text encodings of binary values: base64 as the portal uses it (strict), hex, base32.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace fg {

// RFC 4648 §4 with padding. Decoding is strict: padding required, no other alphabet, trailing bits
// zero.
[[nodiscard]] std::string base64(Bytes bytes);
[[nodiscard]] std::string base64_unpadded(Bytes bytes);
[[nodiscard]] std::optional<ByteVector> decode_base64(std::string_view text);
// RFC 4648 §5 without padding, as in JWTs.
[[nodiscard]] std::optional<ByteVector> decode_base64url(std::string_view text);
// RFC 4648 §6, lower case, no padding.
[[nodiscard]] std::string base32_lower(Bytes bytes);
[[nodiscard]] std::string hex(Bytes bytes);
[[nodiscard]] std::optional<ByteVector> decode_hex(std::string_view text);

}  // namespace fg
