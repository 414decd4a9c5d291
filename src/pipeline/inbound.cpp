// From a client's datagram to a packet for the TUN device: spec connectivity 1.3, 1.4; spec
// policy 9.4.
#include <algorithm>

#include "filter/policy.h"
#include "filter/ranges.h"
#include "packet/channel_data.h"
#include "packet/control_message.h"
#include "packet/demux.h"
#include "packet/probe.h"
#include "packet/rewrite.h"
#include "pipeline/pipeline.h"
#include "pipeline/policy_question.h"

namespace fg::pipeline {

using packet::DatagramKind;
using packet::InnerPacket;

namespace {

constexpr std::size_t kPuntMax = std::tuple_size_v<decltype(Punt::bytes)>;
constexpr std::size_t kHandoffMax = std::tuple_size_v<decltype(Handoff::bytes)>;

}  // namespace

void Pipeline::on_datagrams(std::span<ReceivedDatagrams> batch, Instant now) noexcept {
  last_now_ = now;
  for (const auto& from : batch) {
    auto* relay = relays_.find(from.from);
    auto rest = from.bytes;
    Counters::add(counters_.datagrams_in, from.count());
    while (!rest.empty()) {
      const auto datagram = rest.first(std::min<std::size_t>(rest.size(), from.segment));
      rest = rest.subspan(datagram.size());
      sort_datagram(datagram, from, relay, now);
    }
  }
  run_arrivals(now);
  flush_tun();
  finish(now);
}

void Pipeline::sort_datagram(MutableBytes datagram, const ReceivedDatagrams& from,
                             RelayTable::Relay* relay, Instant now) noexcept {
  const auto kind = packet::classify(datagram);
  switch (kind) {
    case DatagramKind::wireguard_data:
      return sort_data_message(datagram, from, {}, now);
    case DatagramKind::stun:
    case DatagramKind::wireguard_initiation:
    case DatagramKind::wireguard_response:
    case DatagramKind::wireguard_cookie:
      if (relay != nullptr) return punt_datagram(PuntClass::trusted, datagram, from);
      if (kind == DatagramKind::stun &&
          answer_check(datagram, {Path::Kind::direct, from.local.ip, from.from, {}}, now))
        return;
      return punt_from_client(kind, datagram, from, now);
    case DatagramKind::channel_data:
      break;
    case DatagramKind::unknown:
      return drop(relay != nullptr && datagram[0] >> 4 == 4 ? DropReason::malformed_channel_data
                                                            : DropReason::not_wireguard);
  }
  const ChannelNumber channel{load_be16(datagram.data())};
  if (relay == nullptr || !relay->is_usable(channel)) return drop(DropReason::unknown_channel);
  if (relay->mark_active(channel, now)) report(ChannelActivity{relay->slot(), channel}, false);
  const auto inner = datagram.subspan(packet::kChannelHeader);
  const auto inner_kind = packet::classify(inner);
  if (inner_kind == DatagramKind::wireguard_data)
    return sort_data_message(inner, from, {relay->slot(), channel}, now);
  if (inner_kind == DatagramKind::unknown || inner_kind == DatagramKind::channel_data)
    return drop(DropReason::not_wireguard);
  if (inner_kind == DatagramKind::stun &&
      answer_check(inner, {Path::Kind::relayed, {}, from.from, channel}, now))
    return;
  punt_datagram(PuntClass::trusted, datagram, from);
}

void Pipeline::sort_data_message(MutableBytes message, const ReceivedDatagrams& from,
                                 Framing framing, Instant now) noexcept {
  const auto receiver = ReceiverIndex{load_le32(message.data() + 4)};
  if (const auto worker = worker_of(receiver); worker != options_.worker)
    return hand_over_datagram(worker, message, from, framing);
  auto& arrival = arrivals_[arrivals_used_++];
  arrival.message = message;
  arrival.receiver = receiver;
  arrival.counter = load_le64(message.data() + 8);
  arrival.client = nullptr;
  arrival.session = nullptr;
  arrival.ecn = from.ecn;
  arrival.from = &from;
  arrival.framing = framing;
  arrival.has_length = false;
  arrival.packet.reset();
  arrival.error = DropReason::malformed_packet;
  arrival.flow.reset();
  if (arrivals_used_ == kBatch) run_arrivals(now);
}

// Stage by stage over the batch, so that the memory one stage needs is on its way while the one
// before still works on others (guides/performance 9.2). Bursts are runs of one client: what is
// known of the neighbour is not looked up again.
void Pipeline::run_arrivals(Instant now) noexcept {
  const auto arrivals = std::span{arrivals_}.first(arrivals_used_);
  arrivals_used_ = 0;
  const auto is_run = [&](std::size_t i) {
    return i > 0 && arrivals[i].receiver == arrivals[i - 1].receiver;
  };
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    if (!is_run(i)) clients_.prefetch_connection(connection_of(arrivals[i].receiver));
  }
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    auto& a = arrivals[i];
    a.client =
        is_run(i) ? arrivals[i - 1].client : clients_.by_connection(connection_of(a.receiver));
    if (a.client != nullptr && !is_run(i)) a.client->prefetch();
  }
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    auto& a = arrivals[i];
    if (is_run(i)) {
      a.session = arrivals[i - 1].session;
    } else if (a.client != nullptr) {
      a.session = a.client->sessions.find(a.receiver);
      if (a.session != nullptr) a.session->prefetch_receiving(a.counter);
      if (a.client->flows != nullptr) a.client->flows->prefetch();
    }
  }
  for (auto& a : arrivals) find_session(a, now);
  for (auto& a : arrivals) {
    if (a.session == nullptr) continue;
    if (a.session->decrypt(a.message)) continue;
    drop(DropReason::bad_tag);
    a.session = nullptr;
  }
  places_used_ = 0;
  last_verdict_ = {};
  const Arrival* before = nullptr;
  for (auto& a : arrivals) {
    if (a.session == nullptr) continue;
    look_at(a, before);
    before = &a;
  }
  filter::Policy::locate(std::span{places_}.first(places_used_));
  const auto fetch_flow = [](Arrival& a) {
    if (a.flow && a.client->flows != nullptr && a.client->flows->find_outgoing(*a.flow))
      a.flow->prefetch();
  };
  for (auto& a : arrivals.first(std::min(kFlowsAhead, arrivals.size()))) fetch_flow(a);
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    if (i + kFlowsAhead < arrivals.size()) fetch_flow(arrivals[i + kFlowsAhead]);
    if (arrivals[i].session != nullptr) deliver(arrivals[i], now);
  }
  flush_tracked(now);
}

// Reads the packet and has fetched what its verdict will need; `before` was looked at before it.
void Pipeline::look_at(Arrival& arrival, const Arrival* before) noexcept {
  arrival.inner = arrival.message.subspan(
      packet::kDataHeader, arrival.message.size() - packet::kDataHeader - packet::kDataTag);
  if (arrival.inner.empty()) return;
  const auto length =
      packet::inner_length(arrival.inner);  // padding goes before anything else is looked at
  if (!length) return;
  arrival.inner = arrival.inner.first(*length);
  arrival.has_length = true;
  const auto parsed = InnerPacket::parse(arrival.inner);
  if (!parsed) {
    arrival.error = parsed.error();
    return;
  }
  arrival.packet = *parsed;
  const auto& client = *arrival.client;
  const auto& destination = parsed->destination();
  const bool is_run = before != nullptr && before->client == &client && before->packet &&
                      before->packet->destination() == destination;
  if (!is_run) {
    const bool is_proxy = filter::is_proxy(destination);
    const bool has_names = is_proxy && client.translations != nullptr;
    proxies_[places_used_] = {is_proxy,
                              has_names ? client.translations->find(destination) : nullptr};
    places_[places_used_++] = {client.policy, destination};
  }
  arrival.place = static_cast<std::uint8_t>(places_used_ - 1);
  if (!proxies_[arrival.place].is_proxy) return;
  const auto& proto = parsed->proto_class();
  arrival.flow.emplace(options_.seed, nat::FlowEnd{proto.kind, proto.source, destination});
  if (client.flows != nullptr) client.flows->prefetch_outgoing(*arrival.flow);
}

// The cheap reasons to refuse a message, before any cryptography.
void Pipeline::find_session(Arrival& arrival, Instant now) noexcept {
  auto refuse = [&](DropReason reason) {
    drop(reason);
    arrival.session = nullptr;
  };
  if (arrival.session == nullptr) return refuse(DropReason::unknown_receiver);
  if (!arrival.session->can_receive(now)) return refuse(DropReason::session_expired);
  if (!arrival.session->would_accept(arrival.counter)) return refuse(DropReason::replayed);
}

void Pipeline::deliver(Arrival& arrival, Instant now) noexcept {
  auto& client = *arrival.client;
  auto& session = *arrival.session;
  // Again, because a copy may have come earlier in the same batch.
  if (!session.would_accept(arrival.counter)) return drop(DropReason::replayed);
  session.commit(arrival.counter);
  touch(client);
  if (client.sessions.on_authenticated(session)) {
    client.timers.on_session(session.role(), session.established(), now);
    report(SessionConfirmed{client.slot, session.local_index()}, true);
  }
  if (arrival.inner.empty()) {
    client.timers.on_keepalive_received(now);
    Counters::add(counters_.keepalives_in);
    if (client.is_iceless || client.is_route_asked) note_route(arrival, now);
    return;
  }
  client.timers.on_data_received(now);
  if (client.is_iceless && take_probe(arrival, now)) return;
  if (client.is_iceless || client.is_route_asked) note_route(arrival, now);
  deliver_inner(arrival, now);
}

Route Pipeline::route_of(const Arrival& arrival) noexcept {
  return {arrival.from->local, arrival.from->from, arrival.framing.relay, arrival.framing.channel};
}

// Spec connectivity 5.6: before anything that concerns the client's traffic.
bool Pipeline::take_probe(const Arrival& arrival, Instant now) noexcept {
  if (!arrival.has_length || !packet::Probe::is_addressed_like_one(arrival.inner)) return false;
  auto& client = *arrival.client;
  const auto probe = packet::Probe::parse(arrival.inner);
  if (!probe) {
    drop(DropReason::malformed_probe);
  } else if (!client.probes.take(now)) {
    drop(DropReason::probe_rate_limited);
  } else {
    Counters::add(counters_.probes_in);
    report(RouteActivity{client.slot, route_of(arrival), *probe}, false);
  }
  return true;
}

void Pipeline::note_route(const Arrival& arrival, Instant now) noexcept {
  auto& client = *arrival.client;
  const auto& path = client.path;
  const auto& from = *arrival.from;
  const bool is_relayed = arrival.framing.relay.has_value();
  const bool is_in_use =
      from.from == path.remote &&
      (is_relayed ? path.kind == Path::Kind::relayed && arrival.framing.channel == path.channel
                  : path.kind == Path::Kind::direct && from.local.ip == path.local);
  if (!client.is_iceless) {
    if (!is_in_use) return;
    client.is_route_asked = false;
    report(RouteActivity{client.slot, route_of(arrival), std::nullopt}, false);
    return;
  }
  if (is_in_use ? client.routes.take_in_use(now)
                : client.routes.take_elsewhere(from.from, arrival.framing.channel, now)) {
    report(RouteActivity{client.slot, route_of(arrival), std::nullopt}, false);
  }
}

void Pipeline::deliver_inner(const Arrival& arrival, Instant now) noexcept {
  auto& client = *arrival.client;
  const auto inner = arrival.inner;
  const auto& parsed = arrival.packet;
  if (!parsed) return drop(arrival.error);
  if (parsed->has_multicast_destination()) return drop(DropReason::multicast);
  note_activity(client, now);
  if (parsed->is_control()) {
    if (!packet::ControlMessage::parse(*parsed)) return drop(DropReason::control_malformed);
    return punt_inner(client, inner, arrival.ecn);
  }
  const auto& proto = parsed->proto_class();
  const auto verdict =
      last_verdict_.classify(places_[arrival.place], key_of(proto, proto.destination));
  if (const auto refusal = refusal_of(parties(client), verdict, *parsed))
    return refuse(client, *refusal, *parsed, now);
  auto leaving = inner;
  if (arrival.flow) {
    const auto* translation = proxies_[arrival.place].translation;
    const auto translated = translate_outbound(arrival, translation, now);
    if (translated) leaving = *translated;
    if (tracker_.is_on()) {
      // The client was authorized, wherever its packet ends.
      auto sent = parsed;
      if (translated) {
        if (const auto after = InnerPacket::parse(leaving, nat::kCrossedMax)) sent = *after;
      }
      track_tx(arrival, *sent, verdict,
               translation != nullptr ? flow_name_of(translation->name) : flow::kNoName, now);
    }
    if (!translated) return refuse(client, translated.error(), *parsed, now);
  } else {
    if (client.flows != nullptr) note_direct(client, *parsed);
    if (tracker_.is_on()) track_tx(arrival, *parsed, verdict, flow::kNoName, now);
  }
  packet::copy_congestion(leaving, arrival.ecn);
  Counters::add(counters_.bytes_to_resources, leaving.size());
  ++client.traffic.packets_in;
  client.traffic.bytes_in += inner.size();
  if (leaving.data() != inner.data()) return write_alone(leaving);
  if (coalescer_.add(inner, *parsed)) return;
  flush_tun();
  (void)coalescer_.add(inner, *parsed);
}

void Pipeline::refuse(Client& client, const Refusal& refusal, const InnerPacket& packet,
                      Instant now) noexcept {
  drop(refusal.reason);
  const bool is_silent = client.grants_may_lag && refusal.reason == DropReason::not_allowed &&
                         client.lagging.is_silent(packet.destination(), now);
  if (refusal.answer && !is_silent) answer(client, *refusal.answer, packet, now);
}

void Pipeline::answer(Client& client, packet::IcmpAnswer kind, const InnerPacket& original,
                      Instant now) noexcept {
  Counters::add(counters_.generated);
  if (!client.answers.take(original.destination(), original.proto_class(), now))
    return drop(DropReason::icmp_rate_limited);
  const auto length = packet::write_icmp_answer(kind, original, scratch_);
  (void)send_inner(client, Bytes{scratch_}.first(length), now);
}

bool Pipeline::answer_check(Bytes message, const Path& path, Instant now) noexcept {
  const auto* standing = standing_answers_.find(message, path, now);
  if (standing == nullptr) return false;
  const auto size = standing->answer.size();
  TransmitBatcher::Mark alone;
  StandingAnswers::write(*standing, message, {room_for(alone, path, size, 0), size});
  report(CheckAnswered{standing->connection, standing->pair, standing->nominates, now}, false,
         true);
  Counters::add(counters_.checks_answered);
  return true;
}

void Pipeline::punt_from_client(DatagramKind kind, Bytes datagram, const ReceivedDatagrams& from,
                                Instant now) noexcept {
  const bool is_stun = kind == DatagramKind::stun;
  if (expected_.contains(from.from.ip)) return punt_datagram(PuntClass::expected, datagram, from);
  if (!(is_stun ? stranger_stun_ : stranger_handshakes_).take(now)) {
    return drop(is_stun ? DropReason::stranger_stun_limited
                        : DropReason::stranger_handshake_limited);
  }
  punt_datagram(PuntClass::stranger, datagram, from);
}

void Pipeline::punt_datagram(PuntClass punt_class, Bytes datagram,
                             const ReceivedDatagrams& from) noexcept {
  auto* punt = datagram.size() <= kPuntMax ? output_.reserve_punt(punt_class) : nullptr;
  if (punt == nullptr) {
    return drop(datagram.size() <= kPuntMax ? DropReason::punt_ring_full
                                            : DropReason::oversized_datagram);
  }
  punt->kind = Punt::Kind::datagram;
  punt->ecn = from.ecn;
  punt->length = static_cast<std::uint16_t>(datagram.size());
  punt->local = from.local;
  punt->from = from.from;
  std::ranges::copy(datagram, punt->bytes.begin());
  unpublished_ = true;
  Counters::add(counters_.punted);
}

void Pipeline::punt_inner(const Client& client, Bytes inner, std::uint8_t ecn) noexcept {
  auto* punt = output_.reserve_punt(PuntClass::trusted);
  if (punt == nullptr) return drop(DropReason::punt_ring_full);
  punt->kind = Punt::Kind::inner;
  punt->ecn = ecn;
  punt->length = static_cast<std::uint16_t>(inner.size());
  punt->slot = client.slot;
  std::ranges::copy(inner, punt->bytes.begin());
  unpublished_ = true;
  Counters::add(counters_.punted);
}

void Pipeline::hand_over_datagram(WorkerIndex worker, Bytes message, const ReceivedDatagrams& from,
                                  Framing framing) noexcept {
  if (number(worker) >= options_.workers) return drop(DropReason::unknown_receiver);
  if (message.size() > kHandoffMax) return drop(DropReason::oversized_datagram);
  auto* handoff = output_.reserve_handoff(worker);
  if (handoff == nullptr) return drop(DropReason::handoff_ring_full);
  handoff->kind = Handoff::Kind::datagram;
  handoff->ecn = from.ecn;
  handoff->length = static_cast<std::uint16_t>(message.size());
  handoff->local = from.local;
  handoff->from = from.from;
  handoff->relay = framing.relay;
  handoff->channel = framing.channel;
  std::ranges::copy(message, handoff->bytes.begin());
  unpublished_ = true;
  Counters::add(counters_.handed_over);
}

void Pipeline::on_handoff(const Handoff& handoff, Instant now) noexcept {
  last_now_ = now;
  Counters::add(counters_.handoffs_in);
  const auto bytes =
      Bytes{handoff.bytes}.first(std::min<std::size_t>(handoff.length, handoff.bytes.size()));
  if (handoff.kind == Handoff::Kind::inner) return on_inner_handoff(bytes, now);
  // Another hand-over is a mistake of the sender and must not go in circles.
  if (bytes.size() < packet::kDataSizeMin ||
      worker_of(ReceiverIndex{load_le32(bytes.data() + 4)}) != options_.worker) {
    return drop(DropReason::unknown_receiver);
  }
  if (held_used_ == kHandoffsHeld) flush(now);
  auto& held = held_[held_used_];
  auto& from = held_from_[held_used_++];
  std::ranges::copy(bytes, held.begin());
  from = {.bytes = MutableBytes{held}.first(bytes.size()),
          .segment = handoff.length,
          .ecn = handoff.ecn,
          .from = handoff.from,
          .local = handoff.local};
  sort_data_message(from.bytes, from, {handoff.relay, handoff.channel}, now);
}

}  // namespace fg::pipeline
