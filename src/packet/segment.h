// Splits what the TUN device hands over into the packets that go on the wire. Each is written once,
// headers and payload, with the checksum computed while copying. A packet without segmentation is
// one segment, its checksum finished if it was not.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/result.h"
#include "packet/checksum.h"
#include "packet/inner.h"
#include "packet/vnet_header.h"

namespace fg::packet {

enum class SegmentError : std::uint8_t {
  unknown_gso_type,
  wrong_protocol,  // GSO type and packet disagree
  no_gso_size,
  checksum_outside,  // checksum_start or checksum_offset do not point into the packet
  oversized,         // a segment would be larger than 1280 bytes
  no_payload,
};

// Borrows the bytes of the packet; they may have been rewritten since parsing, but must not change
// until the last write().
class Segments {
 public:
  static Result<Segments, SegmentError> of(const VnetHeader& header,
                                           const InnerPacket& packet) noexcept;

  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  [[nodiscard]] std::size_t size(std::size_t i) const noexcept;  // bytes of segment i, at most 1280
  // Writes segment i, i < count(), to `out`, which has room for size(i) bytes and does not overlap
  // the packet. Returns size(i).
  std::size_t write(std::size_t i, std::uint8_t* out) const noexcept;

 private:
  enum class Kind : std::uint8_t { plain, checksum, tcp, udp };
  Segments() = default;
  std::size_t write_whole(std::uint8_t* out) const noexcept;

  Bytes bytes_;
  std::size_t count_ = 1;
  std::uint16_t transport_ = 0;  // offset of the transport header
  std::uint16_t headers_ = 0;    // everything before the payload
  std::uint16_t gso_size_ = 0;
  std::uint16_t checksum_start_ = 0;
  std::uint16_t checksum_at_ = 0;  // absolute
  Sum addresses_ = 0;              // pseudo header without the length
  Kind kind_ = Kind::plain;
  bool v4_ = true;
};

}  // namespace fg::packet
