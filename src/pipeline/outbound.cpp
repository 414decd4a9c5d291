// From a packet of the TUN device to a client's datagrams: spec policy 9.6; spec connectivity 1.4.
#include <algorithm>

#include "base/assert.h"
#include "filter/policy.h"
#include "packet/channel_data.h"
#include "packet/vnet_header.h"
#include "pipeline/pipeline.h"
#include "pipeline/policy_question.h"

namespace fg::pipeline {

using packet::InnerPacket;
using packet::SegmentError;
using packet::Segments;
using packet::VnetHeader;

void Pipeline::on_tun(std::span<TunRead> batch, Instant now) noexcept {
  last_now_ = now;
  while (!batch.empty()) {
    const auto n = std::min(batch.size(), kBatch);
    for (std::size_t i = 0; i < n; ++i) look_at(batch[i], departures_[i], now);
    run_departures(std::span{departures_}.first(n), now);
    reassembler_.release();
    batch = batch.subspan(n);
  }
  finish(now);
}

// Once for a super-packet, whatever it will be split into.
void Pipeline::look_at(TunRead read, Departure& departure, Instant now) noexcept {
  departure.packet.reset();
  const auto refuse = [&](DropReason reason, std::size_t packets) {
    Counters::add(counters_.tun_in, packets);
    drop(reason, packets);
  };
  if (read.bytes.size() <= kVnetHeaderSize) return refuse(DropReason::malformed_packet, 1);
  auto header = VnetHeader::load(read.bytes.data());
  auto bytes = read.bytes.subspan(kVnetHeaderSize);
  auto parsed = InnerPacket::parse(bytes, packet::kSuperPacketMax);
  if (!parsed && parsed.error() == DropReason::fragmented && bytes[0] >> 4 == 4) {
    bytes = reassemble(bytes, now);
    if (bytes.empty()) return;
    header = {};
    parsed = InnerPacket::parse(bytes);
  }
  if (!parsed) return refuse(parsed.error(), 1);
  const auto tunnel = tunnel_number(parsed->destination());
  if (!tunnel) return refuse(DropReason::not_a_peer, 1);
  const auto segments = Segments::of(header, *parsed);
  if (!segments) {
    return refuse(segments.error() == SegmentError::oversized ? DropReason::oversized_packet
                                                              : DropReason::malformed_packet,
                  1);
  }
  Counters::add(counters_.tun_in, segments->count());
  departure.bytes = bytes;
  departure.header = header;
  departure.packet = *parsed;
  departure.segments = *segments;
  departure.tunnel = *tunnel;
  departure.crossing = nullptr;
  departure.flow = {};
  departure.place.reset();
  departure.verdict = {};
  clients_.prefetch_address(*tunnel);
}

MutableBytes Pipeline::reassemble(Bytes fragment, Instant now) noexcept {
  using Outcome = packet::Reassembler::Outcome;
  Counters::add(counters_.tun_in);
  const auto refuse = [&](DropReason reason) {
    drop(reason);
    return MutableBytes{};
  };
  // Whose it is has to be known first: places are few.
  const auto tunnel = tunnel_number(IpAddress::from_bytes(fragment.subspan(16, 4)));
  if (!tunnel) return refuse(DropReason::not_a_peer);
  if (!clients_.owner_of(*tunnel)) return refuse(DropReason::no_peer_state);
  const auto result = reassembler_.add(fragment, now);
  Counters::add(counters_.fragments_given_up, result.lost);
  drop(DropReason::fragments_lost, result.lost);
  switch (result.outcome) {
    case Outcome::complete:
      // Counted again as what it has become.
      Counters::add(counters_.fragments_kept);
      return result.whole;
    case Outcome::kept:
      Counters::add(counters_.fragments_kept);
      return {};
    case Outcome::overlap:
      return refuse(DropReason::fragments_overlap);
    case Outcome::oversized:
      return refuse(DropReason::oversized_packet);
    case Outcome::full:
      return refuse(DropReason::fragments_lost);
    case Outcome::malformed:
      break;
  }
  return refuse(DropReason::malformed_packet);
}

void Pipeline::run_departures(std::span<Departure> departures, Instant now) noexcept {
  const Departure* before = nullptr;
  for (auto& d : departures) {
    if (!d.packet) continue;
    if (before != nullptr && before->tunnel == d.tunnel) {
      d.client = before->client;
      continue;
    }
    const auto owner = clients_.owner_of(d.tunnel);
    if (owner && owner->client != nullptr) {
      owner->client->prefetch();
      d.client = owner->client;
      before = &d;
      continue;
    }
    if (owner)
      hand_over_packet(owner->worker, *d.segments);
    else
      drop(DropReason::no_peer_state, d.segments->count());
    d.packet.reset();
  }
  for (const auto& d : departures) {
    if (!d.packet) continue;
    if (const auto* session = d.client->sessions.current()) session->prefetch_sending();
    if (d.client->flows != nullptr) d.client->flows->prefetch();
  }
  for (auto& d : departures) {
    if (!d.packet || d.client->flows == nullptr) continue;
    const auto& proto = d.packet->proto_class();
    d.flow = {options_.seed, {proto.kind, proto.destination, d.packet->source()}};
    d.client->flows->prefetch_incoming(d.flow);
  }
  places_used_ = 0;
  last_verdict_ = {};
  before = nullptr;
  for (auto& d : departures) {
    if (!d.packet) continue;
    if (d.client->flows != nullptr && d.client->flows->find_incoming(d.flow)) continue;
    const auto& source = d.packet->source();
    const bool is_run =
        before != nullptr && before->client == d.client && before->packet->source() == source;
    if (!is_run) places_[places_used_++] = {d.client->policy, source};
    d.place = static_cast<std::uint8_t>(places_used_ - 1);
    before = &d;
  }
  filter::Policy::locate(std::span{places_}.first(places_used_));
  for (const auto& d : departures.first(std::min(kFlowsAhead, departures.size())))
    d.flow.prefetch();
  for (std::size_t i = 0; i < departures.size(); ++i) {
    if (i + kFlowsAhead < departures.size()) departures[i + kFlowsAhead].flow.prefetch();
    if (departures[i].packet) depart(departures[i], now);
  }
  flush_tracked(now);
}

std::optional<DropReason> Pipeline::refusal_towards(Departure& departure,
                                                    const IpAddress& source) noexcept {
  const auto& client = *departure.client;
  const auto& packet = *departure.packet;
  if (is_gateway(source)) return std::nullopt;
  if (is_tunnel_address(source)) return DropReason::tunnel_range;
  if (packet.is_icmp_error_type()) {
    // Filters do not matter, but the error must be about this client's own traffic (spec
    // policy 3.10, HARDEN).
    const auto error = packet.icmp_error();
    if (!error) return DropReason::unusable_quote;
    const bool is_about_client =
        client.owns(error->quoted_source) && client.policy->reaches(error->quoted_destination);
    return is_about_client ? std::nullopt : std::optional{DropReason::inbound_not_allowed};
  }
  const auto& proto = packet.proto_class();
  const auto key = key_of(proto, proto.source);
  departure.verdict = departure.place ? last_verdict_.classify(places_[*departure.place], key)
                                      : last_verdict_.classify(*client.policy, source, key);
  return departure.verdict.is_allowed() ? std::nullopt
                                        : std::optional{DropReason::inbound_not_allowed};
}

void Pipeline::depart(Departure& departure, Instant now) noexcept {
  auto& client = *departure.client;
  const auto* source = &departure.packet->source();
  const auto seen = tracker_.is_on() ? departure.packet : std::nullopt;  // before it is translated
  if (client.flows != nullptr) {
    source = translate_inbound(departure, now);
    if (source == nullptr) return;
  }
  const auto& segments = *departure.segments;
  const auto count = segments.count();
  if (const auto refusal = refusal_towards(departure, *source)) return drop(*refusal, count);
  auto* session = client.sessions.sending(now);
  if (session == nullptr || client.path.kind == Path::Kind::none)
    return drop(DropReason::not_connected, count);
  if (departure.crossing != nullptr) return cross(departure, *session, now);

  const auto ecn = departure.packet->ecn();
  std::uint64_t sent = 0;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < count && session->can_send(now); ++i) {
    const auto size = segments.size(i);
    auto* message = place_for(client.mark, client.path, size, ecn);
    (void)segments.write(i, message + packet::kDataHeader);
    (void)session->seal(message, size);
    ++sent;
    bytes += size;
  }
  if (sent < count) drop(DropReason::nonce_exhausted, count - sent);
  Counters::add(counters_.to_clients, sent);
  Counters::add(counters_.bytes_to_clients, bytes);
  if (seen && sent != 0) track_rx(client, *seen, departure.verdict, sent, bytes, now);
  client.traffic.packets_out += sent;
  client.traffic.bytes_out += bytes;
  client.timers.on_data_sent(now);
  touch(client);
  note_activity(client, now);
}

void Pipeline::hand_over_packet(WorkerIndex worker, const Segments& segments) noexcept {
  for (std::size_t i = 0; i < segments.count(); ++i) {
    auto* handoff = number(worker) < options_.workers ? output_.reserve_handoff(worker) : nullptr;
    if (handoff == nullptr) return drop(DropReason::handoff_ring_full, segments.count() - i);
    handoff->kind = Handoff::Kind::inner;
    handoff->length = static_cast<std::uint16_t>(segments.write(i, handoff->bytes.data()));
    unpublished_ = true;
    Counters::add(counters_.handed_over);
  }
}

void Pipeline::on_inner_handoff(Bytes handed, Instant now) noexcept {
  const auto packet = MutableBytes{handed_}.first(handed.size());
  std::ranges::copy(handed, packet.begin());
  const auto parsed = InnerPacket::parse(packet);
  if (!parsed) return drop(parsed.error());
  const auto tunnel = tunnel_number(parsed->destination());
  const auto owner = tunnel ? clients_.owner_of(*tunnel) : std::nullopt;
  if (!owner || owner->client == nullptr) return drop(DropReason::no_peer_state);
  const auto segments = Segments::of(VnetHeader{}, *parsed);
  if (!segments) return drop(DropReason::malformed_packet);
  last_verdict_ = {};
  Departure departure{
      .bytes = packet,
      .header = {},
      .packet = *parsed,
      .segments = *segments,
      .tunnel = *tunnel,
      .client = owner->client,
      .crossing = {},
      .flow = {options_.seed,
               {parsed->proto_class().kind, parsed->proto_class().destination, parsed->source()}},
      .place = {},
      .verdict = {}};
  depart(departure, now);
  flush_tracked(now);
}

std::uint8_t* Pipeline::place_for(TransmitBatcher::Mark& mark, const Path& path, std::size_t inner,
                                  std::uint8_t ecn) noexcept {
  return room_for(mark, path, packet::kDataHeader + inner + packet::kDataTag, ecn);
}

std::uint8_t* Pipeline::room_for(TransmitBatcher::Mark& mark, const Path& path, std::size_t size,
                                 std::uint8_t ecn) noexcept {
  const bool is_relayed = path.kind == Path::Kind::relayed;
  const auto framed = size + (is_relayed ? packet::kChannelHeader : 0);
  auto* place = batcher_.reserve(mark, path, ecn, framed);
  if (place == nullptr) {
    flush_transmit();
    place = batcher_.reserve(mark, path, ecn, framed);
  }
  FG_ASSERT(place != nullptr);
  if (!is_relayed) return place;
  packet::write_channel_header(place, path.channel, static_cast<std::uint16_t>(size));
  return place + packet::kChannelHeader;
}

bool Pipeline::send_inner(Client& client, Bytes inner, Instant now) noexcept {
  auto* session = client.sessions.sending(now);
  if (session == nullptr || client.path.kind == Path::Kind::none) {
    drop(DropReason::not_connected);
    return false;
  }
  auto* message = place_for(client.mark, client.path, inner.size(), 0);
  std::ranges::copy(inner, message + packet::kDataHeader);
  (void)session->seal(message, inner.size());
  Counters::add(counters_.to_clients);
  Counters::add(counters_.bytes_to_clients, inner.size());
  if (inner.empty())
    client.timers.on_keepalive_sent(now);
  else
    client.timers.on_data_sent(now);
  touch(client);
  return true;
}

void Pipeline::on_command(const SendProbe& command, Instant now) {
  Counters::add(counters_.generated);
  auto* client = clients_.get(command.slot);
  auto* session = client != nullptr ? client->sessions.sending(now) : nullptr;
  if (session == nullptr || command.path.kind == Path::Kind::none)
    return drop(DropReason::not_connected);
  TransmitBatcher::Mark alone;
  auto* message = place_for(alone, command.path, packet::kProbeSize, 0);
  std::ranges::copy(command.probe.write(), message + packet::kDataHeader);
  (void)session->seal(message, packet::kProbeSize);
  Counters::add(counters_.probes_out);
  client->timers.on_data_sent(now);
  touch(*client);
}

bool Pipeline::send_keepalive(Client& client, Instant now) noexcept {
  Counters::add(counters_.generated);
  return send_inner(client, {}, now);
}

}  // namespace fg::pipeline
