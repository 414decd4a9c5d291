// A datagram in the Ethernet frame it came in, of the shapes bpf/fast_path.bpf.c redirects: up to
// two VLAN tags, IPv4 without options or IPv6 without extension headers, no fragments, UDP. The
// program has judged the frame; it is parsed once more because what decides may be replaced or
// confused, and a length from the wire must not lead out of a frame. Checksums are left to the tag
// of the packet inside.
#pragma once

#include <optional>

#include "base/datagram.h"

namespace fg::io::xdp {

// The bytes are those of the datagram's payload, in place, without padding of the frame. None: not
// of these shapes, or empty.
[[nodiscard]] std::optional<ReceivedDatagrams> parse_frame(MutableBytes frame) noexcept;

}  // namespace fg::io::xdp
