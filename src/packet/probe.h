// Path probes of the ICE-less mode (spec connectivity 5.6): an IPv6 packet of 48 bytes inside the
// tunnel, an ICMPv6 echo request or reply without payload between two reserved addresses. A reply
// keeps source and destination of its request.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"

namespace fg::packet {

inline constexpr std::size_t kProbeSize = 48;

struct Probe {
  bool is_reply = false;
  std::uint16_t id = 0;
  std::uint16_t sequence = 0;

  // Addressed like a probe: whatever else it is, it is no client's traffic. `inner` is a packet
  // without padding.
  [[nodiscard]] static bool is_addressed_like_one(Bytes inner) noexcept;
  // Nothing: another length or code, or a wrong checksum.
  [[nodiscard]] static std::optional<Probe> parse(Bytes inner) noexcept;
  [[nodiscard]] std::array<std::uint8_t, kProbeSize> write() const noexcept;
  friend bool operator==(const Probe&, const Probe&) = default;
};

}  // namespace fg::packet
