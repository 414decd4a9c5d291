#include "packet/probe.h"

#include <algorithm>

#include "packet/checksum.h"
#include "packet/inner.h"

namespace fg::packet {
namespace {

// Spec connectivity 5.6: 100::dead:1ce:1 to 100::dead:1ce:2.
constexpr std::array<std::uint8_t, 32> kAddresses{
    0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xDE, 0xAD, 0x01, 0xCE, 0x00, 0x01,
    0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xDE, 0xAD, 0x01, 0xCE, 0x00, 0x02};
constexpr std::size_t kHeader = 40;
constexpr std::uint8_t kHopLimit = 64;
constexpr std::uint8_t kEchoRequest = 128;  // RFC 4443 §4
constexpr std::uint8_t kEchoReply = 129;

Sum sum_with_pseudo_header(Bytes packet) {
  return add(pseudo_header(packet.subspan(8, 16), packet.subspan(24, 16), kIcmpV6,
                           packet.size() - kHeader),
             sum_of(packet.subspan(kHeader)));
}

}  // namespace

bool Probe::is_addressed_like_one(Bytes inner) noexcept {
  return inner.size() > kHeader && inner[0] >> 4 == 6 && inner[6] == kIcmpV6 &&
         std::ranges::equal(inner.subspan(8, kAddresses.size()), kAddresses) &&
         (inner[kHeader] == kEchoRequest || inner[kHeader] == kEchoReply);
}

std::optional<Probe> Probe::parse(Bytes inner) noexcept {
  if (!is_addressed_like_one(inner) || inner.size() != kProbeSize) return std::nullopt;
  if (inner[kHeader + 1] != 0 || !is_zero(static_cast<Sum>(~sum_with_pseudo_header(inner))))
    return std::nullopt;
  return Probe{.is_reply = inner[kHeader] == kEchoReply,
               .id = load_be16(inner.data() + kHeader + 4),
               .sequence = load_be16(inner.data() + kHeader + 6)};
}

std::array<std::uint8_t, kProbeSize> Probe::write() const noexcept {
  std::array<std::uint8_t, kProbeSize> packet{};
  packet[0] = 0x60;
  store_be16(packet.data() + 4, kProbeSize - kHeader);
  packet[6] = kIcmpV6;
  packet[7] = kHopLimit;
  std::ranges::copy(kAddresses, packet.begin() + 8);
  packet[kHeader] = is_reply ? kEchoReply : kEchoRequest;
  store_be16(packet.data() + kHeader + 4, id);
  store_be16(packet.data() + kHeader + 6, sequence);
  store_be16(packet.data() + kHeader + 2, finish(sum_with_pseudo_header(packet)));
  return packet;
}

}  // namespace fg::packet
