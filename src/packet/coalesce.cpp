#include "packet/coalesce.h"

#include <bit>

#include "packet/checksum.h"

namespace fg::packet {
namespace {

constexpr std::uint8_t kAck = 0x10;  // RFC 9293 §3.1
constexpr std::uint8_t kPush = 0x08;
constexpr std::size_t kV4Header = 20;
constexpr std::size_t kV6Header = 40;

bool is_v4(const std::uint8_t* p) noexcept { return p[0] >> 4 == 4; }
bool same(const std::uint8_t* a, const std::uint8_t* b, std::size_t n) noexcept {
  return std::memcmp(a, b, n) == 0;
}

// Of the packet as it was parsed: equal for equal flows whatever a translation made of them, and
// the bytes it has just written need not be waited for.
std::size_t slot_of(const InnerPacket& packet) noexcept {
  const auto& proto = packet.proto_class();
  std::uint64_t h =
      (std::uint64_t{proto.source} << 16 | proto.destination) * 0x9E3779B97F4A7C15ULL +
      packet.protocol();
  const auto mix = [&h](std::uint64_t word) {
    h = (h ^ word) * 0xBF58476D1CE4E5B9ULL;
    h ^= h >> 31;
  };
  using Words = std::array<std::uint64_t, 2>;
  const auto from = std::bit_cast<Words>(packet.source().raw());
  const auto to = std::bit_cast<Words>(packet.destination().raw());
  mix(from[0] ^ std::rotl(to[0], 32));
  if (!packet.is_v4()) mix(from[1] ^ std::rotl(to[1], 32));
  return h >> 32 & (Coalescer::kSlots - 1);
}

Sum pseudo_sum(const std::uint8_t* p, std::uint8_t protocol, std::uint16_t length) noexcept {
  const Sum addresses = is_v4(p) ? sum_of({p + 12, 8}) : sum_of({p + 8, 32});
  return add(add(addresses, protocol), length);
}

// A checksum that is absent counts as wrong: joining would invent one.
bool has_right_checksums(const std::uint8_t* p, std::size_t size, std::size_t transport,
                         std::uint8_t protocol) noexcept {
  if (is_v4(p) && !is_zero(sum_of({p, kV4Header}))) return false;
  if (protocol == kUdp && load_be16(p + transport + 6) == 0) return false;
  const std::size_t length = size - transport;
  const Sum pseudo = pseudo_sum(p, protocol, static_cast<std::uint16_t>(length));
  return is_zero(add(pseudo, sum_of({p + transport, length})));
}

// Everything of the IP header that all packets of a super-packet share.
bool has_same_ip_header(const std::uint8_t* head, const std::uint8_t* p,
                        std::uint16_t place) noexcept {
  if (!is_v4(head)) {  // version, class, flow label; next header, hop limit, addresses
    return same(head, p, 4) && same(head + 6, p + 6, kV6Header - 6);
  }
  // Version and IHL, TOS; flags, TTL, protocol; addresses.
  if (!same(head, p, 2) || !same(head + 6, p + 6, 4) || !same(head + 12, p + 12, 8)) return false;
  // Splitting counts the identification up. With DF set it means nothing (RFC 6864 §4.1).
  const bool dont_fragment = (head[6] & 0x40) != 0;
  return dont_fragment ||
         load_be16(p + 4) == static_cast<std::uint16_t>(load_be16(head + 4) + place);
}

// Ports, acknowledgement, data offset, window, urgent pointer, options.
bool has_same_tcp_header(const std::uint8_t* head, const std::uint8_t* p) noexcept {
  const std::size_t length = std::size_t{head[12]} >> 4 << 2;
  return same(head, p, 4) && same(head + 8, p + 8, 5) && same(head + 14, p + 14, 2) &&
         same(head + 18, p + 18, length - 18);
}

}  // namespace

Coalescer::Coalescer(Offloads offloads)
    : offloads_(offloads), entries_(kBurstMax), groups_(kBurstMax), parts_(kPartsMax) {
  reset();
}

bool Coalescer::add(MutableBytes packet) noexcept {
  if (const auto parsed = InnerPacket::parse(packet)) return add(packet, *parsed);
  if (entries_used_ == kBurstMax) return false;
  slots_.fill(kNone);  // its flow is unknown, so nothing may pass it
  const auto index = static_cast<std::uint16_t>(entries_used_++);
  entries_[index] = {.data = packet.data(), .size = static_cast<std::uint16_t>(packet.size())};
  open_group(index, 0, 0);
  return true;
}

bool Coalescer::add(MutableBytes packet, const InnerPacket& parsed) noexcept {
  if (entries_used_ == kBurstMax) return false;
  const auto transport = static_cast<std::uint16_t>(parsed.transport_offset());
  const auto protocol = parsed.protocol();
  const auto index = static_cast<std::uint16_t>(entries_used_++);
  auto& entry = entries_[index];
  entry = {.data = packet.data(),
           .size = static_cast<std::uint16_t>(packet.size()),
           .payload = static_cast<std::uint16_t>(transport + parsed.transport_header_length())};
  if (protocol != kTcp && protocol != kUdp) {
    open_group(index, transport, protocol);
    return true;
  }
  // A packet that does not join takes the slot all the same: what follows of its flow must not be
  // written before it.
  auto& slot = slots_[slot_of(parsed)];
  const bool joins = may_join(entry, parsed);
  if (joins && slot != kNone) {
    switch (try_append(groups_[slot], index)) {
      case Append::appended_last:
        slot = kNone;
        return true;
      case Append::appended:
        return true;
      case Append::refused:
        break;
    }
  }
  const auto group = open_group(index, transport, protocol);
  slot = joins && !groups_[group].push ? group : kNone;
  return true;
}

bool Coalescer::may_join(const Entry& entry, const InnerPacket& parsed) const noexcept {
  if (parsed.has_options_or_extensions() || entry.payload == entry.size) return false;
  if (parsed.protocol() == kUdp) return offloads_.udp;
  const auto* tcp = entry.data + parsed.transport_offset();
  // Reserved bits zero; flags exactly ACK, with or without PSH.
  return offloads_.tcp && (tcp[12] & 0x0F) == 0 && (tcp[13] & ~unsigned{kPush}) == kAck;
}

std::uint16_t Coalescer::open_group(std::uint16_t index, std::uint16_t transport,
                                    std::uint8_t protocol) noexcept {
  const auto& entry = entries_[index];
  auto& group = groups_[groups_used_];
  group = {.first = index,
           .last = index,
           .transport = transport,
           .protocol = protocol,
           .size = entry.size};
  group.payload_size = static_cast<std::uint16_t>(entry.size - entry.payload);
  if (protocol == kTcp) {
    const auto* tcp = entry.data + transport;
    group.next_sequence = load_be32(tcp + 4) + group.payload_size;
    group.push = (tcp[13] & kPush) != 0;
  }
  return static_cast<std::uint16_t>(groups_used_++);
}

Coalescer::Append Coalescer::try_append(Group& group, std::uint16_t index) noexcept {
  auto& entry = entries_[index];
  const auto& head = entries_[group.first];
  const auto payload = static_cast<std::uint16_t>(entry.size - entry.payload);
  const bool tcp = group.protocol == kTcp;
  if (payload > group.payload_size || group.size + payload > kSuperPacketMax ||
      group.packets == (tcp ? kPartsMax : kUdpSegmentsMax) ||
      !has_same_ip_header(head.data, entry.data, group.packets)) {
    return Append::refused;
  }
  const auto* head_transport = head.data + group.transport;
  const auto* transport = entry.data + group.transport;
  if (tcp ? !has_same_tcp_header(head_transport, transport) ||
                load_be32(transport + 4) != group.next_sequence
          : !same(head_transport, transport, 4)) {
    return Append::refused;
  }
  // The kernel computes the checksum anew, which must not repair what was broken before the client
  // sealed it.
  if (!group.verified) {
    group.verified = has_right_checksums(head.data, head.size, group.transport, group.protocol);
    if (!group.verified) return Append::refused;
  }
  if (!has_right_checksums(entry.data, entry.size, group.transport, group.protocol))
    return Append::refused;

  entries_[group.last].next = index;
  group.last = index;
  ++group.packets;
  group.size += payload;
  group.next_sequence += payload;
  group.push = tcp && (transport[13] & kPush) != 0;
  return group.push || payload < group.payload_size ? Append::appended_last : Append::appended;
}

Aggregate Coalescer::gather(const Group& group) noexcept {
  const auto& head = entries_[group.first];
  parts_[0] = {head.data, head.size};
  Aggregate out{.header = {}, .parts = {}, .packets = group.packets, .size = group.size};
  std::size_t used = 1;
  for (auto i = head.next; i != kNone; i = entries_[i].next) {
    const auto& entry = entries_[i];
    parts_[used++] = {entry.data + entry.payload, std::size_t{entry.size} - entry.payload};
  }
  out.parts = std::span{parts_}.first(used);
  if (used == 1) return out;

  auto* p = head.data;
  auto* transport = p + group.transport;
  const bool v4 = is_v4(p);
  const bool tcp = group.protocol == kTcp;
  const auto transport_length = static_cast<std::uint16_t>(group.size - group.transport);
  if (v4) {
    store_be16(p + 2, static_cast<std::uint16_t>(group.size));
    store_be16(p + 10, 0);
    store_be16(p + 10, finish(sum_of({p, kV4Header})));
  } else {
    store_be16(p + 4, transport_length);
  }
  if (!tcp) store_be16(transport + 4, transport_length);
  if (group.push) transport[13] |= kPush;
  const std::uint16_t checksum = tcp ? 16 : 6;
  store_be16(transport + checksum, pseudo_sum(p, group.protocol, transport_length));
  out.header = {
      .flags = VnetHeader::kNeedsChecksum,
      .gso_type = tcp ? (v4 ? VnetHeader::kGsoTcpV4 : VnetHeader::kGsoTcpV6) : VnetHeader::kGsoUdp,
      .header_length = head.payload,
      .gso_size = group.payload_size,
      .checksum_start = group.transport,
      .checksum_offset = checksum};
  return out;
}

void Coalescer::reset() noexcept {
  slots_.fill(kNone);
  entries_used_ = 0;
  groups_used_ = 0;
}

}  // namespace fg::packet
