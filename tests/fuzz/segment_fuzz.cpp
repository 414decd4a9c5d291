// What the TUN device hands over: a virtio header and a packet or super-packet. The pieces are
// packets for themselves, no larger than 1280 bytes, and hold every byte of the payload once.
#include "packet/segment.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::packet;

void run(Bytes bytes) {
  if (bytes.size() < kVnetHeader) return;
  const auto header = VnetHeader::load(bytes.data());
  std::array<std::uint8_t, kVnetHeader> stored{};
  header.store(stored.data());
  FG_LAW(equal(stored, bytes.first(kVnetHeader)));

  const auto packet = InnerPacket::parse(bytes.subspan(kVnetHeader), kSuperPacketMax);
  if (!packet) return;
  const auto segments = Segments::of(header, *packet);
  if (!segments) return;
  FG_LAW(segments->count() >= 1);
  const bool is_split = (header.gso_type & ~VnetHeader::kGsoEcn) != VnetHeader::kGsoNone;
  ByteVector payload;
  for (std::size_t i = 0; i < segments->count(); ++i) {
    ByteVector out(segments->size(i));
    FG_LAW(out.size() <= kPacketMax && segments->write(i, out.data()) == out.size());
    if (!is_split) continue;
    const auto piece = InnerPacket::parse(out);
    FG_LAW(piece && piece->source() == packet->source() &&
           piece->destination() == packet->destination());
    FG_LAW(piece->proto_class() == packet->proto_class() && piece->has_valid_checksums());
    FG_LAW(!piece->payload().empty());
    payload.insert(payload.end(), piece->payload().begin(), piece->payload().end());
  }
  FG_LAW(is_split ? equal(payload, packet->payload()) : segments->count() == 1);
}

}  // namespace

FG_FUZZ_TARGET(run)
