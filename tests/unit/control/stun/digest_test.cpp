#include "control/stun/digest.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "tests/unit/control/stun/vectors.h"

namespace fg::stun {
namespace {

// RFC 5769 §2.1: MESSAGE-INTEGRITY starts at byte 76, FINGERPRINT at byte 100.
TEST(StunDigest, MatchesRfc5769WhateverTheLengthFieldSays) {
  auto bytes = *decode_hex(vectors::kRfcRequest);
  for (const std::uint16_t length : std::array<std::uint16_t, 3>{0x0000, 0x0058, 0xFFFC}) {
    store_be16(bytes.data() + 2, length);
    EXPECT_EQ(hex(integrity_of(Bytes{bytes}.first(76), as_bytes("VOkJxbRl1RmTxUk/WvJxBt"))),
              "9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2");
    // FINGERPRINT covers the header too, with the length of the whole message.
    EXPECT_EQ(fingerprint_of(Bytes{bytes}.first(100)), 0xe57a3bcfU);
  }
}

}  // namespace
}  // namespace fg::stun
