// Packets of the in-tunnel control protocol (spec policy 4.6): an IPv6 header from :: to :: with
// next header 255, eight bytes of event header, then the payload. The payload's JSON is read
// elsewhere.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/drop_reason.h"
#include "base/result.h"
#include "packet/inner.h"

namespace fg::packet {

inline constexpr std::size_t kControlHeader = 48;  // IPv6 header and event header
inline constexpr std::size_t kControlPayloadMax = kPacketMax - kControlHeader;

struct ControlMessage {
  static constexpr std::uint8_t kAssignedIps = 0;
  static constexpr std::uint8_t kDomainStatus = 1;
  static constexpr std::uint8_t kGoodbye = 2;

  std::uint8_t type = 0;
  Bytes payload;

  // Of a packet with is_control(); control_malformed for less than eight bytes behind the IP header
  // and for other packets. Unknown types are not an error here.
  static Result<ControlMessage, DropReason> parse(const InnerPacket& packet) noexcept;
  // Returns the packet's length, or 0 when it does not fit 1280 bytes or `out`.
  [[nodiscard]] std::size_t write(MutableBytes out) const noexcept;
};

[[nodiscard]] std::array<std::uint8_t, kControlHeader> goodbye_packet() noexcept;

}  // namespace fg::packet
