// Between the proxy addresses a client knows and the real addresses behind them: spec policy 5,
// 9.4 step 11, 9.6 step 6.
#include <algorithm>

#include "packet/rewrite.h"
#include "pipeline/pipeline.h"

namespace fg::pipeline {

using packet::ChecksumState;
using packet::InnerPacket;

// The packet may go to its proxy address; this finds where that is.
Result<MutableBytes, Refusal> Pipeline::translate_outbound(const Arrival& arrival,
                                                           const nat::Translation* translation,
                                                           Instant now) noexcept {
  auto& client = *arrival.client;
  const auto inner = arrival.inner;
  const auto& packet = *arrival.packet;
  const auto& proto = packet.proto_class();
  if (const auto refusal = refusal_of(translation, proto)) return fail(*refusal);

  if (client.flows == nullptr) {
    client.flows = flow_store_.take_table(now);
    if (client.flows == nullptr) return fail(Refusal{DropReason::nat_exhausted, std::nullopt});
    using When = nat::FlowTable::WhenMoved;
    client.flows->set_when_moved(client.silence != nullptr ? When::follows : When::stays);
  }
  const auto* mapping =
      client.flows->on_outgoing({{proto.kind, proto.source, packet.destination()}}, *arrival.flow,
                                *translation->real, packet.tcp_flags(), now);
  if (mapping == nullptr) return fail(Refusal{DropReason::nat_exhausted, std::nullopt});
  if (client.silence != nullptr) client.silence->on_outgoing(*translation, now);

  const auto& real = mapping->real;
  if (real.family() != packet.family()) {
    const auto& own = real.is_v4() ? client.tunnel_v4 : client.tunnel_v6;
    const auto length =
        nat::change_family(packet, {own, real, mapping->outside_port, std::nullopt}, crossed_);
    if (length == 0) return fail(Refusal{DropReason::not_translatable, std::nullopt});
    return MutableBytes{crossed_}.first(length);
  }
  packet::rewrite(inner, packet,
                  {.towards = packet::Towards::resource,
                   .address = real,
                   .port = mapping->outside_port,
                   .address_change = mapping->address_change,
                   .port_change = mapping->port_change});
  return inner;
}

// It lies where the next one will: nothing waits for others to join it.
void Pipeline::write_alone(MutableBytes packet) noexcept {
  const auto parsed = InnerPacket::parse(packet, nat::kCrossedMax);
  if (!parsed) return drop(parsed.error());
  flush_tun();
  (void)coalescer_.add(packet, *parsed);
  flush_tun();
}

void Pipeline::note_direct(Client& client, const InnerPacket& packet) noexcept {
  const auto& proto = packet.proto_class();
  if (proto.is_translatable())
    client.flows->on_direct({{proto.kind, proto.source, packet.destination()}});
}

const IpAddress* Pipeline::translate_inbound(Departure& departure, Instant now) noexcept {
  auto& client = *departure.client;
  auto& packet = *departure.packet;
  // Before the gateway's own address is let through: its kernel's errors are about translated flows
  // as well (spec policy 1.4, HARDEN).
  if (packet.is_icmp_error_type()) {
    return translate_error(client, packet, now) ? nullptr : &packet.source();
  }
  const auto& proto = packet.proto_class();
  // What has no port to translate has no flow; the filter decides (spec policy 3.8, REC).
  if (is_gateway(packet.source()) || !proto.is_translatable()) return &packet.source();
  const auto [found, mapping] = client.flows->on_incoming(
      {{proto.kind, proto.destination, packet.source()}}, departure.flow, packet.tcp_flags(), now);
  switch (found) {
    case nat::FlowTable::Found::unknown:
      return &packet.source();
    case nat::FlowTable::Found::expired:
      drop(DropReason::nat_expired, departure.segments->count());
      return nullptr;
    case nat::FlowTable::Found::live:
      break;
  }
  if (client.silence != nullptr) {
    if (const auto* translation = client.translations->find(mapping->proxy))
      client.silence->on_incoming(*translation, now);
  }
  if (mapping->proxy.family() != packet.family()) {
    departure.crossing = mapping;
    return &mapping->proxy;
  }
  const bool is_partial = (departure.header.flags & packet::VnetHeader::kNeedsChecksum) != 0;
  packet::rewrite(departure.bytes, packet,
                  {.towards = packet::Towards::client,
                   .address = mapping->proxy,
                   .port = mapping->inside_port,
                   .address_change = packet::subtract(0, mapping->address_change),
                   .port_change = packet::subtract(0, mapping->port_change)},
                  is_partial ? ChecksumState::partial : ChecksumState::complete);
  // Several pieces hold the sum of the addresses.
  if (departure.header.gso_type != packet::VnetHeader::kGsoNone)
    departure.segments = packet::Segments::of(departure.header, packet).value();
  return &mapping->proxy;
}

// True: the error is about a translated flow and has been dealt with (spec policy 5.5).
bool Pipeline::translate_error(Client& client, const InnerPacket& packet, Instant now) noexcept {
  const auto error = packet.icmp_error();
  if (!error || !client.owns(error->quoted_source)) return false;
  nat::Inside inside;
  switch (client.flows->on_incoming(
      {{error->quoted.kind, error->quoted.source, error->quoted_destination}}, 0, now, inside)) {
    case nat::FlowTable::Found::unknown:
      return false;
    case nat::FlowTable::Found::expired:
      drop(DropReason::nat_expired);
      return true;
    case nat::FlowTable::Found::live:
      break;
  }
  const auto& proxy = inside.address;
  const auto& own = proxy.is_v4() ? client.tunnel_v4 : client.tunnel_v6;
  const auto length =
      proxy.family() == packet.family()
          ? packet::write_translated_error(*error, {proxy, own, inside.port}, scratch_)
          : nat::change_error_family(*error, {proxy, own, inside.port}, scratch_);
  if (length == 0)
    drop(DropReason::unusable_quote);
  else
    (void)send_inner(client, Bytes{scratch_}.first(length), now);
  return true;
}

// Piece by piece, each with its checksum finished first.
void Pipeline::cross(Departure& departure, wireguard::Session& session, Instant now) noexcept {
  auto& client = *departure.client;
  const auto& mapping = *departure.crossing;
  const auto& own = mapping.proxy.is_v4() ? client.tunnel_v4 : client.tunnel_v6;
  for (std::size_t i = 0; i < departure.segments->count(); ++i) {
    const auto whole = departure.segments->write(i, scratch_.data());
    const auto parsed = InnerPacket::parse(Bytes{scratch_}.first(whole));
    const auto size =
        parsed ? nat::change_family(
                     *parsed, {mapping.proxy, own, std::nullopt, mapping.inside_port}, crossed_)
               : 0;
    if (size == 0) {
      drop(DropReason::not_translatable);
      continue;
    }
    if (!session.can_send(now)) {
      drop(DropReason::nonce_exhausted);
      continue;
    }
    auto* message = place_for(client.mark, client.path, size, parsed->ecn());
    std::ranges::copy(Bytes{crossed_}.first(size), message + packet::kDataHeader);
    (void)session.seal(message, size);
    if (tracker_.is_on()) track_rx(client, *parsed, departure.verdict, 1, whole, now);
    Counters::add(counters_.to_clients);
    Counters::add(counters_.bytes_to_clients, size);
    ++client.traffic.packets_out;
    client.traffic.bytes_out += size;
  }
  client.timers.on_data_sent(now);
  touch(client);
  note_activity(client, now);
}

void Pipeline::sweep_translation(Client& client, Instant now) noexcept {
  if (client.silence != nullptr) {
    client.silence->sweep(now,
                          [&](nat::NameId name) { report(NameSilent{client.slot, name}, false); });
  }
  client.flows->sweep(now);
  if (client.flows->is_empty()) client.flows.reset();
}

}  // namespace fg::pipeline
