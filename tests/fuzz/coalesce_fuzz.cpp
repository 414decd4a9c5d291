// A burst of packets joined and split again: the same packets come out, in the order they had in
// their flow.
#include <map>
#include <tuple>

#include "packet/coalesce.h"
#include "packet/segment.h"
#include "tests/fuzz/support.h"

namespace {

using namespace fg;
using namespace fg::packet;

// The order of packets is kept within these.
using Flow = std::tuple<IpAddress, IpAddress, std::uint8_t, std::uint16_t, std::uint16_t>;
using Flows = std::map<Flow, std::vector<ByteVector>>;

void add_to(Flows& flows, ByteVector packet) {
  const auto parsed = InnerPacket::parse(packet);
  FG_LAW(parsed.has_value());
  const auto proto = parsed->proto_class();
  const Flow flow{parsed->source(), parsed->destination(), parsed->protocol(), proto.source,
                  proto.destination};
  flows[flow].push_back(std::move(packet));
}

ByteVector gathered(const Aggregate& a) {
  ByteVector whole;
  for (const auto part : a.parts) whole.insert(whole.end(), part.begin(), part.end());
  FG_LAW(whole.size() == a.size);
  return whole;
}

void run(Bytes input) {
  fuzz::Choices choices{input};
  const auto offloads = choices.u8();
  Coalescer coalescer{{.tcp = (offloads & 1) == 0, .udp = (offloads & 2) == 0}};
  std::vector<ByteVector> packets;
  while (!choices.empty() && packets.size() < 2 * Coalescer::kBurstMax) {
    auto packet = copy_of(choices.take(choices.u8() & 0x7F));
    if (InnerPacket::parse(packet)) packets.push_back(packet);
    // Neighbours in a flow: the same packet with the next sequence number and identification.
    for (auto repeats = choices.u8() & 3; repeats > 0 && !packets.empty(); --repeats) {
      auto next = packets.back();
      const auto parsed = InnerPacket::parse(next);
      const auto payload = parsed->payload().size();
      if (parsed->protocol() == kTcp) {
        auto* sequence = next.data() + parsed->transport_offset() + 4;
        store_be32(sequence, load_be32(sequence) + static_cast<std::uint32_t>(payload));
      }
      if (parsed->is_v4())
        store_be16(next.data() + 4, static_cast<std::uint16_t>(load_be16(next.data() + 4) + 1));
      packets.push_back(std::move(next));
    }
  }

  Flows sent;
  std::size_t added = 0;
  for (auto& p : packets) {
    const auto before = p;
    if (!coalescer.add(p)) break;
    add_to(sent, before);
    ++added;
  }
  FG_LAW(added == std::min(packets.size(), Coalescer::kBurstMax));

  Flows received;
  std::size_t seen = 0;
  coalescer.flush([&](const Aggregate& a) {
    FG_LAW(a.parts.size() <= Coalescer::kPartsMax && a.size <= kSuperPacketMax);
    seen += a.packets;
    auto whole = gathered(a);
    if (a.packets == 1) return add_to(received, std::move(whole));
    const auto parsed = InnerPacket::parse(whole, kSuperPacketMax);
    FG_LAW(parsed.has_value());
    const auto segments = Segments::of(a.header, *parsed);
    FG_LAW(segments && segments->count() == a.packets);
    for (std::size_t i = 0; i < segments->count(); ++i) {
      ByteVector one(segments->size(i));
      FG_LAW(segments->write(i, one.data()) == one.size());
      add_to(received, std::move(one));
    }
  });
  FG_LAW(seen == added && coalescer.packets() == 0);
  FG_LAW(received == sent);
}

}  // namespace

FG_FUZZ_TARGET(run)
