#include "packet/demux.h"

#include "packet/channel_data.h"

namespace fg::packet {

DatagramKind classify(Bytes datagram) noexcept {
  const auto size = datagram.size();
  if (size < 4) return DatagramKind::unknown;
  const auto* p = datagram.data();
  // Exact sizes first: a STUN message that begins like WireGuard's types 1-4 has a zero length
  // field, so it is 20 bytes.
  switch (load_be32(p)) {  // spec connectivity 1.3: type, then three zero bytes
    case 0x01000000:
      if (size == kInitiationSize) return DatagramKind::wireguard_initiation;
      break;
    case 0x02000000:
      if (size == kResponseSize) return DatagramKind::wireguard_response;
      break;
    case 0x03000000:
      if (size == kCookieSize) return DatagramKind::wireguard_cookie;
      break;
    case 0x04000000:
      if (size >= kDataSizeMin) return DatagramKind::wireguard_data;
      break;
    default:
      break;
  }
  if (size >= 20 && p[0] < 0x40 && load_be32(p + 4) == 0x2112A442)
    return DatagramKind::stun;  // RFC 8489 §5
  // 0x50-0x7F are channel numbers too, but datagrams that begin so are not tried as channel data
  // (spec connectivity 1.3).
  if (p[0] >= 0x40 && p[0] <= 0x4F && ChannelData::parse(datagram))
    return DatagramKind::channel_data;
  return DatagramKind::unknown;
}

}  // namespace fg::packet
