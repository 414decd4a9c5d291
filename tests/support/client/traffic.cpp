#include "tests/support/client/traffic.h"

#include <algorithm>

#include "packet/channel_data.h"
#include "packet/demux.h"
#include "packet/rewrite.h"

namespace fg::client {
namespace {

// Channel header, data header, packet, tag: rounded up, because segments of a run must lie back to
// back anyway.
constexpr std::size_t kRoom = packet::kDatagramMax;

std::optional<IpAddress> destination_of(Bytes packet) {
  if (packet.size() >= 20 && packet[0] >> 4 == 4)
    return IpAddress::from_bytes(packet.subspan(16, 4));
  if (packet.size() >= 40 && packet[0] >> 4 == 6)
    return IpAddress::from_bytes(packet.subspan(24, 16));
  return std::nullopt;
}

std::uint8_t ecn_of(const std::uint8_t* packet) {
  const auto bits = packet[0] >> 4 == 4 ? packet[1] : packet[1] >> 4;
  return static_cast<std::uint8_t>(bits & 3);
}

}  // namespace

Traffic::Traffic(io::kernel::TunQueue tun)
    : tun_(std::move(tun)),
      coalescer_({tun_.offloads().tcp, tun_.offloads().udp}),
      arena_(std::make_unique_for_overwrite<std::uint8_t[]>(kArena)) {}

// ---- host to network ----

void Traffic::read_tun(Engine& engine, Sockets& sockets, Instant now, WallTime wall) {
  int error = 0;
  for (const auto& read : tun_.read(error)) on_packet(engine, sockets, read.bytes, now, wall);
  flush(sockets);
}

void Traffic::on_packet(Engine& engine, Sockets& sockets, MutableBytes read, Instant now,
                        WallTime wall) {
  const auto header = packet::VnetHeader::load(read.data());
  const auto packet = read.subspan(kVnetHeaderSize);
  const auto destination = destination_of(packet);
  if (!destination) {
    ++counters_.malformed;
    return;
  }
  // A finished packet goes out as it is, whatever is wrong with it: tests send such.
  const bool is_finished = (header.flags & packet::VnetHeader::kNeedsChecksum) == 0 &&
                           header.gso_type == packet::VnetHeader::kGsoNone;
  std::optional<packet::Segments> segments;
  if (!is_finished) {
    if (const auto inner = packet::InnerPacket::parse(packet, packet::kSuperPacketMax)) {
      if (auto split = packet::Segments::of(header, *inner)) segments = *split;
    }
  }
  if (!segments && (!is_finished || packet.size() > packet::kPacketMax)) {
    ++counters_.malformed;
    return;
  }
  const auto count = segments ? segments->count() : 1;
  auto* connection = engine.route(*destination, now);
  for (std::size_t i = 0; i < count; ++i) {
    if (used_ + kRoom > kArena) flush(sockets);
    // Written where a direct datagram would have it; a relayed one has four bytes more in front.
    const std::size_t front = connection != nullptr && connection->way.kind == Way::Kind::relayed
                                  ? packet::kChannelHeader
                                  : 0;
    auto* message = arena_.get() + used_ + front;
    auto* inner = message + packet::kDataHeader;
    std::size_t length = packet.size();
    if (segments)
      length = segments->write(i, inner);
    else
      std::copy(packet.begin(), packet.end(), inner);
    if (connection != nullptr)
      send_inner(engine, *connection, message, length, now);
    else
      engine.hold(*destination, {inner, length}, now, wall);
  }
}

void Traffic::send_inner(Engine& engine, Connection& connection, std::uint8_t* message,
                         std::size_t length, Instant now) {
  const bool has_ecn = engine.generation() != Generation::a;  // spec connectivity 1.7
  const auto ecn = has_ecn ? ecn_of(message + packet::kDataHeader) : std::uint8_t{0};
  if (!connection.peer.seal(message, length, now)) return;
  engine.mark_active(connection, now);
  auto size = length + wireguard::kDataOverhead;
  if (connection.way.kind == Way::Kind::relayed) {
    message -= packet::kChannelHeader;
    packet::write_channel_header(message, connection.way.channel, static_cast<std::uint16_t>(size));
    size += packet::kChannelHeader;
  }
  ++counters_.packets_sent;
  counters_.bytes_sent += length;
  append(connection.way, ecn, message, size);
}

// Datagrams of one size that lie back to back travel as one, the last may be shorter.
void Traffic::append(const Way& way, std::uint8_t ecn, std::uint8_t* message, std::size_t size) {
  used_ += size;
  if (!batch_.empty()) {
    auto& last = batch_.back();
    const bool is_open = last.bytes.size() % last.segment == 0 && size <= last.segment &&
                         last.count() < kSegmentsMax && last.bytes.size() + size <= kUdpPayloadMax;
    if (is_open && last.to == way.to && last.from == way.from && last.ecn == ecn &&
        last.bytes.data() + last.bytes.size() == message) {
      last.bytes = {last.bytes.data(), last.bytes.size() + size};
      return;
    }
  }
  batch_.push_back({way.to, way.from, ecn, static_cast<std::uint16_t>(size), {message, size}});
}

void Traffic::flush(Sockets& sockets) {
  std::span<const OutgoingDatagrams> rest{batch_};
  while (!rest.empty()) {
    std::size_t n = 1;
    while (n < rest.size() && rest[n].to.family() == rest[0].to.family()) ++n;
    sockets.send(rest.first(n));
    rest = rest.subspan(n);
  }
  batch_.clear();
  used_ = 0;
}

void Traffic::send(Sockets& sockets, const Datagram& datagram) {
  const OutgoingDatagrams one{datagram.to, datagram.from, 0,
                              static_cast<std::uint16_t>(datagram.bytes.size()), datagram.bytes};
  sockets.send({&one, 1});
}

// ---- network to host ----

void Traffic::receive(Engine& engine, Sockets& sockets, int fd, Instant now) {
  for (const auto& received : sockets.receive(fd)) {
    for (std::size_t at = 0; at < received.bytes.size(); at += received.segment) {
      const auto size = std::min<std::size_t>(received.segment, received.bytes.size() - at);
      on_datagram(engine, {received.local, received.from, received.ecn},
                  received.bytes.subspan(at, size), now);
    }
  }
  flush_host();
}

void Traffic::on_datagram(Engine& engine, Arrival arrival, MutableBytes bytes, Instant now) {
  const auto classified = engine.from_relay(arrival.local, arrival.from, bytes, now);
  if (std::holds_alternative<turn::Consumed>(classified) ||
      std::holds_alternative<DropReason>(classified))
    return;
  if (const auto* relayed = std::get_if<turn::FromPeer>(&classified)) {
    arrival = {relayed->relayed, relayed->peer, arrival.ecn};
    bytes = bytes.last(relayed->payload.size());
  }
  if (packet::classify(bytes) != packet::DatagramKind::wireguard_data) {
    return engine.on_datagram(arrival.local, arrival.from, bytes, now);
  }
  auto* connection = engine.find(wireguard::data_receiver(bytes.data()));
  if (connection == nullptr) {
    ++counters_.unknown_receiver;
    return;
  }
  const auto opened = connection->peer.open(bytes, now);
  if (opened.is_authentic &&
      !engine.on_arrival(*connection, {arrival.local, arrival.from}, opened.inner, now)) {
    return;
  }
  if (opened.inner.empty()) return;
  ++counters_.packets_received;
  counters_.bytes_received += opened.inner.size();
  if (engine.generation() != Generation::a) packet::copy_congestion(opened.inner, arrival.ecn);
  if (engine.on_inner(*connection, opened.inner, now)) to_host(opened.inner);
}

void Traffic::to_host(MutableBytes inner) {
  if (coalescer_.add(inner)) return;
  flush_host();
  (void)coalescer_.add(inner);
}

void Traffic::flush_host() {
  coalescer_.flush([&](const packet::Aggregate& aggregate) {
    TunWrite write{.header = {}, .parts = aggregate.parts, .packets = aggregate.packets};
    aggregate.header.store(write.header.data());
    counters_.tun_write_failed += aggregate.packets - tun_.write(write);
  });
  coalescer_.set_offloads({tun_.offloads().tcp, tun_.offloads().udp});
}

}  // namespace fg::client
