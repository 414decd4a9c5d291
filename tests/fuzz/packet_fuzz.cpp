// Arbitrary bytes as an outer datagram, as an inner packet, as a super-packet of the TUN device and
// as a burst. Whatever is accepted must obey the laws checked here; reading too far is for the
// sanitizers.
#include <cstdlib>
#include <vector>

#include "packet/channel_data.h"
#include "packet/coalesce.h"
#include "packet/control_message.h"
#include "packet/demux.h"
#include "packet/icmp.h"
#include "packet/rewrite.h"
#include "packet/segment.h"

namespace {

using namespace fg;
using namespace fg::packet;

void require(bool law) {
  if (!law) std::abort();
}

void outer(Bytes datagram) {
  const auto kind = classify(datagram);
  require((kind == DatagramKind::wireguard_data) == DataMessage::parse(datagram).has_value());
  if (kind == DatagramKind::channel_data) require(ChannelData::parse(datagram).has_value());
}

void inner(Bytes bytes) {
  if (const auto length = inner_length(bytes)) require(*length <= bytes.size());
  const auto packet = InnerPacket::parse(bytes);
  if (!packet) return;
  require(inner_length(bytes) == bytes.size());
  std::array<std::uint8_t, kPacketMax> out{};
  const auto size = write_icmp_answer(IcmpAnswer::prohibited, *packet, out);
  const auto answer = InnerPacket::parse(Bytes{out}.first(size));
  require(answer && answer->has_valid_checksums() && answer->is_icmp_error_type());
  // A whole TCP or UDP packet can always be attributed from what we quote of it.
  const auto kind = packet->proto_class().kind;
  const bool ports_quoted = packet->transport_offset() + 8 <= kPacketMax - 48;
  if (ports_quoted && (kind == ProtoClass::Kind::tcp || kind == ProtoClass::Kind::udp)) {
    require(answer->icmp_error() && answer->icmp_error()->quoted == packet->proto_class());
  }
  if (packet->is_control()) (void)ControlMessage::parse(*packet);

  const bool valid = packet->has_valid_checksums();
  auto changed = copy_of(bytes);
  const auto parsed = InnerPacket::parse(changed);
  const auto address =
      packet->is_v4() ? IpAddress::v4(10, 1, 2, 3) : IpAddress::v6({0x20, 1, 0xd, 0xb8});
  rewrite(changed, *parsed,
          {.source = address, .destination = address, .source_port = 4242, .destination_port = {}});
  require(InnerPacket::parse(changed)->has_valid_checksums() == valid);
  copy_congestion(changed, 3);
  require(InnerPacket::parse(changed)->has_valid_checksums() == valid);

  if (const auto error = packet->icmp_error()) {
    const auto n =
        write_translated_error(*error, {.proxy = address, .client = address, .port = 77}, out);
    require(n <= packet->size());
    const auto translated = InnerPacket::parse(Bytes{out}.first(n));
    require(translated && translated->has_valid_checksums() && translated->icmp_error());
    require(translated->icmp_error()->quoted.source == 77);
  }
}

void super(Bytes bytes) {
  if (bytes.size() < kVnetHeader) return;
  const auto header = VnetHeader::load(bytes.data());
  const auto packet = InnerPacket::parse(bytes.subspan(kVnetHeader), kSuperPacketMax);
  if (!packet) return;
  const auto segments = Segments::of(header, *packet);
  if (!segments) return;
  for (std::size_t i = 0; i < segments->count(); ++i) {
    std::vector<std::uint8_t> out(segments->size(i));
    require(segments->write(i, out.data()) == out.size() && out.size() <= kPacketMax);
    require(header.gso_type == VnetHeader::kGsoNone || InnerPacket::parse(out).has_value());
  }
}

// Length-prefixed packets. What comes out, split again, is what went in, in number and bytes.
void burst(Bytes bytes) {
  std::vector<ByteVector> packets;
  std::size_t total = 0;
  while (bytes.size() > 2) {
    const auto n = std::min<std::size_t>(load_be16(bytes.data()) % 256, bytes.size() - 2);
    packets.push_back(copy_of(bytes.subspan(2, n)));
    bytes = bytes.subspan(2 + n);
  }
  Coalescer coalescer{{}};
  std::size_t added = 0;
  for (auto& p : packets) {
    if (!coalescer.add(p)) break;
    ++added;
    total += p.size();
  }
  std::size_t seen = 0;
  coalescer.flush([&](const Aggregate& a) {
    seen += a.packets;
    if (a.packets == 1) {
      total -= a.size;
      return;
    }
    ByteVector whole;
    for (const auto part : a.parts) whole.insert(whole.end(), part.begin(), part.end());
    const auto parsed = InnerPacket::parse(whole, kSuperPacketMax);
    require(parsed.has_value());
    const auto segments = Segments::of(a.header, *parsed);
    require(segments && segments->count() == a.packets);
    for (std::size_t i = 0; i < segments->count(); ++i) total -= segments->size(i);
  });
  require(seen == added && total == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes{data, size};
  outer(bytes);
  inner(bytes);
  super(bytes);
  burst(bytes);
  return 0;
}
