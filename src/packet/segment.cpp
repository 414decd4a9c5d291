#include "packet/segment.h"

namespace fg::packet {
namespace {

constexpr std::uint8_t kFinPush = 0x01 | 0x08;  // RFC 9293 §3.1
constexpr std::uint8_t kCwr = 0x80;             // RFC 3168 §6.1
constexpr std::size_t kTcpChecksum = 16;
constexpr std::size_t kUdpChecksum = 6;

bool is_gso_of(std::uint8_t gso, const InnerPacket& packet) noexcept {
  switch (gso) {
    case VnetHeader::kGsoTcpV4:
      return packet.protocol() == kTcp && packet.is_v4();
    case VnetHeader::kGsoTcpV6:
      return packet.protocol() == kTcp && !packet.is_v4();
    default:
      return packet.protocol() == kUdp;
  }
}

}  // namespace

Result<Segments, SegmentError> Segments::of(const VnetHeader& header,
                                            const InnerPacket& packet) noexcept {
  Segments out;
  out.bytes_ = packet.bytes();
  out.v4_ = packet.is_v4();
  out.transport_ = static_cast<std::uint16_t>(packet.transport_offset());
  out.headers_ =
      static_cast<std::uint16_t>(packet.transport_offset() + packet.transport_header_length());
  out.gso_size_ = header.gso_size;

  const bool needs_checksum = (header.flags & VnetHeader::kNeedsChecksum) != 0;
  if (needs_checksum) {
    const std::size_t at = std::size_t{header.checksum_start} + header.checksum_offset;
    if (header.checksum_start < out.transport_ || at + 2 > packet.size()) {
      return fail(SegmentError::checksum_outside);
    }
    out.checksum_start_ = header.checksum_start;
    out.checksum_at_ = static_cast<std::uint16_t>(at);
  }

  const auto gso = static_cast<std::uint8_t>(header.gso_type & ~VnetHeader::kGsoEcn);
  if (gso == VnetHeader::kGsoNone) {
    if (packet.size() > kPacketMax) return fail(SegmentError::oversized);
    out.kind_ = needs_checksum ? Kind::checksum : Kind::plain;
    return out;
  }
  if (gso != VnetHeader::kGsoTcpV4 && gso != VnetHeader::kGsoTcpV6 && gso != VnetHeader::kGsoUdp) {
    return fail(SegmentError::unknown_gso_type);
  }
  if (!is_gso_of(gso, packet)) return fail(SegmentError::wrong_protocol);
  if (header.gso_size == 0) return fail(SegmentError::no_gso_size);
  out.kind_ = gso == VnetHeader::kGsoUdp ? Kind::udp : Kind::tcp;
  const std::size_t checksum =
      out.transport_ + (out.kind_ == Kind::udp ? kUdpChecksum : kTcpChecksum);
  if (needs_checksum && (out.checksum_start_ != out.transport_ || out.checksum_at_ != checksum)) {
    return fail(SegmentError::checksum_outside);
  }
  out.checksum_at_ = static_cast<std::uint16_t>(checksum);
  const auto payload = packet.payload().size();
  if (payload == 0) return fail(SegmentError::no_payload);
  out.count_ = (payload + header.gso_size - 1) / header.gso_size;
  if (out.size(0) > kPacketMax) return fail(SegmentError::oversized);
  const auto addresses = out.bytes_.subspan(out.v4_ ? 12 : 8, out.v4_ ? 8 : 32);
  out.addresses_ = add(sum_of(addresses), packet.protocol());
  return out;
}

std::size_t Segments::size(std::size_t i) const noexcept {
  if (kind_ == Kind::plain || kind_ == Kind::checksum) return bytes_.size();
  const std::size_t rest = bytes_.size() - headers_ - i * gso_size_;
  return headers_ + std::min<std::size_t>(rest, gso_size_);
}

std::size_t Segments::write_whole(std::uint8_t* out) const noexcept {
  if (kind_ == Kind::plain) {
    std::memcpy(out, bytes_.data(), bytes_.size());
    return bytes_.size();
  }
  std::memcpy(out, bytes_.data(), checksum_start_);
  const Sum sum = copy_and_sum(out + checksum_start_, bytes_.subspan(checksum_start_));
  store_be16(out + checksum_at_, finish(sum));
  return bytes_.size();
}

std::size_t Segments::write(std::size_t i, std::uint8_t* out) const noexcept {
  if (kind_ == Kind::plain || kind_ == Kind::checksum) return write_whole(out);
  const std::size_t length = size(i);
  const std::size_t at = i * gso_size_;  // of the payload
  std::memcpy(out, bytes_.data(), headers_);
  if (v4_) {
    store_be16(out + 2, static_cast<std::uint16_t>(length));
    store_be16(out + 4, static_cast<std::uint16_t>(load_be16(out + 4) + i));
    store_be16(out + 10, 0);
    store_be16(out + 10, finish(sum_of({out, transport_})));
  } else {
    store_be16(out + 4, static_cast<std::uint16_t>(length - 40));
  }

  auto* transport = out + transport_;
  const auto transport_length = static_cast<std::uint16_t>(length - transport_);
  if (kind_ == Kind::tcp) {
    store_be32(transport + 4, load_be32(transport + 4) + static_cast<std::uint32_t>(at));
    if (i + 1 != count_) transport[13] &= static_cast<std::uint8_t>(~kFinPush);
    if (i != 0) transport[13] &= static_cast<std::uint8_t>(~kCwr);
  } else {
    store_be16(transport + 4, transport_length);
  }
  store_be16(out + checksum_at_, 0);
  Sum sum = copy_and_sum(out + headers_, bytes_.subspan(headers_ + at, length - headers_));
  sum = add(sum, sum_of({transport, std::size_t{headers_} - transport_}));
  sum = add(sum, add(addresses_, transport_length));
  store_be16(out + checksum_at_, finish(sum));
  return length;
}

}  // namespace fg::packet
