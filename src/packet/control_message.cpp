#include "packet/control_message.h"

namespace fg::packet {
namespace {

constexpr std::size_t kEventHeader = 8;  // type and seven reserved bytes

}  // namespace

Result<ControlMessage, DropReason> ControlMessage::parse(const InnerPacket& packet) noexcept {
  const auto event = packet.transport();
  if (!packet.is_control() || event.size() < kEventHeader)
    return fail(DropReason::control_malformed);
  return ControlMessage{.type = event[0], .payload = event.subspan(kEventHeader)};
}

std::size_t ControlMessage::write(MutableBytes out) const noexcept {
  if (payload.size() > kControlPayloadMax) return 0;
  ByteWriter w{out};
  w.be32(0x60000000);
  w.be16(static_cast<std::uint16_t>(kEventHeader + payload.size()));
  w.u8(kControlProtocol);
  w.u8(0);      // hop limit
  w.zeros(32);  // from :: to ::
  w.u8(type);
  w.zeros(kEventHeader - 1);
  w.bytes(payload);
  return w.ok() ? w.size() : 0;
}

std::array<std::uint8_t, kControlHeader> goodbye_packet() noexcept {
  std::array<std::uint8_t, kControlHeader> packet{};
  (void)ControlMessage{.type = ControlMessage::kGoodbye, .payload = {}}.write(packet);
  return packet;
}

}  // namespace fg::packet
