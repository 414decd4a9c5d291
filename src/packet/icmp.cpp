#include "packet/icmp.h"

#include "packet/checksum.h"

namespace fg::packet {
namespace {

constexpr std::uint8_t kTtl = 20;  // spec policy 0.5

std::size_t write_v4(IcmpAnswer answer, const InnerPacket& original, MutableBytes out) noexcept {
  // RFC 792: the header with its options and eight bytes behind it.
  const auto quote =
      original.bytes().first(std::min(original.size(), original.ip_header_length() + 8));
  const std::size_t size = 20 + 8 + quote.size();
  ByteWriter w{out};
  w.be16(0x4500);
  w.be16(static_cast<std::uint16_t>(size));
  w.be32(0);  // identification, flags, offset
  w.u8(kTtl);
  w.u8(kIcmpV4);
  w.be16(0);
  w.bytes(original.destination().bytes());
  w.bytes(original.source().bytes());
  w.u8(3);
  w.u8(answer == IcmpAnswer::prohibited ? 13 : 0);
  w.be16(0);
  w.be32(0);
  w.bytes(quote);
  if (!w.ok()) return 0;
  w.patch_be16(10, finish(sum_of(w.written().first(20))));
  w.patch_be16(22, finish(sum_of(w.written().subspan(20))));
  return size;
}

std::size_t write_v6(IcmpAnswer answer, const InnerPacket& original, MutableBytes out) noexcept {
  const auto quote =
      original.bytes().first(std::min(original.size(), kPacketMax - 48));  // RFC 4443 §3.1
  const std::size_t size = 40 + 8 + quote.size();
  ByteWriter w{out};
  w.be32(0x60000000);
  w.be16(static_cast<std::uint16_t>(size - 40));
  w.u8(kIcmpV6);
  w.u8(kTtl);
  w.bytes(original.destination().bytes());
  w.bytes(original.source().bytes());
  w.u8(1);
  w.u8(answer == IcmpAnswer::prohibited ? 1 : 3);
  w.be16(0);
  w.be32(0);
  w.bytes(quote);
  if (!w.ok()) return 0;
  const Sum pseudo =
      pseudo_header(original.destination().bytes(), original.source().bytes(), kIcmpV6, size - 40);
  w.patch_be16(42, finish(add(pseudo, sum_of(w.written().subspan(40)))));
  return size;
}

}  // namespace

std::size_t write_icmp_answer(IcmpAnswer answer, const InnerPacket& original,
                              MutableBytes out) noexcept {
  return original.is_v4() ? write_v4(answer, original, out) : write_v6(answer, original, out);
}

}  // namespace fg::packet
