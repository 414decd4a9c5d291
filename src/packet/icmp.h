// The ICMP answers the gateway makes itself (spec policy 5.6). Whether to answer at all, and how
// often, is the caller's.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "packet/inner.h"

namespace fg::packet {

enum class IcmpAnswer : std::uint8_t {
  prohibited,           // v4 3/13, v6 1/1
  network_unreachable,  // v4 3/0, v6 1/3
};

// Answers `original`: from its destination to its source. Returns the length, or 0 when `out` is
// too small (1280 always suffices). `out` must not overlap the original.
[[nodiscard]] std::size_t write_icmp_answer(IcmpAnswer answer, const InnerPacket& original,
                                            MutableBytes out) noexcept;

}  // namespace fg::packet
