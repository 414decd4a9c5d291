#include "control/turn/relay_set.h"

#include <algorithm>
#include <utility>

#include "control/stun/message.h"
#include "control/turn/selection.h"
#include "packet/channel_data.h"

namespace fg::turn {
namespace {

constexpr std::uint16_t kRelayPort = 3478;  // spec connectivity 1.3
// A relay whose data ceased and that leaves a question unanswered this long, or three round trips,
// is left for another that answered meanwhile. With none that did, the fault is more likely ours.
constexpr Duration kPatience = 800ms;
// A verdict that comes later than this after its time judges by what is no longer so: asked anew.
constexpr Duration kVerdictLate = 200ms;

Duration patience_with(const Allocation& allocation) {
  return std::max(kPatience, allocation.rtt().value_or(Duration{}) * 3);
}

RelayGone::Why why_of(FreedReason reason) {
  switch (reason) {
    case FreedReason::no_response:
      return RelayGone::Why::no_response;
    case FreedReason::authentication:
      return RelayGone::Why::authentication;
    case FreedReason::protocol_failure:
      return RelayGone::Why::protocol_failure;
  }
  return RelayGone::Why::no_response;
}

}  // namespace

// ---- inputs ----

void RelaySet::update(std::span<const RelayId> remove_ids, std::span<const Relay> add,
                      Instant now) {
  last_now_ = now;
  for (const RelayId& id : remove_ids) remove(id, RelayGone::Why::removed, now);
  for (const Relay& relay : add) {
    if (const Entry* known = entry(relay.id)) {
      if (known->allocation->relay() == relay) {
        if (known->allocation->is_suspended()) refresh(relay.id, now);
        continue;
      }
      remove(relay.id, RelayGone::Why::replaced, now);
    }
    start(relay, now);
  }
  for (const RelayId& id : ids()) {
    const bool mentioned =
        std::any_of(add.begin(), add.end(), [&](const Relay& r) { return r.id == id; });
    if (!mentioned) refresh(id, now);
  }
}

void RelaySet::refresh(const RelayId& id, Instant now) {
  Entry* known = entry(id);
  known->allocation->refresh(now);
  pump(*known);
}

template <class Prefer>
RelaySet::Entry* RelaySet::entry_with_server(const SocketAddress& server, Prefer prefer) {
  Entry* found = nullptr;
  for (Entry& known : entries_) {
    if (!known.allocation->is_server(server)) continue;
    if (prefer(*known.allocation)) return &known;
    if (found == nullptr) found = &known;
  }
  return found;
}

Classified RelaySet::on_datagram(const SocketAddress& local, const SocketAddress& from, Bytes bytes,
                                 Instant now) {
  last_now_ = now;
  if (bytes.empty()) return NotRelay{};
  const std::uint8_t first = bytes[0];
  const bool maybe_stun = first <= 3;
  const bool maybe_channel = first >= 64 && first <= 79;
  if (!maybe_stun && !maybe_channel) return NotRelay{};

  const auto message = maybe_stun ? stun::Message::parse(bytes) : std::nullopt;
  const auto framed = maybe_channel ? packet::ChannelData::parse(bytes) : std::nullopt;
  if (!message && !framed) return NotRelay{};
  // A relay that was restarted may be listed under its old and its new id for a while.
  Entry* relay = entry_with_server(from, [&](const Allocation& a) {
    return message ? a.awaits(message->transaction()) : a.peer_of(framed->channel, now).has_value();
  });
  if (relay == nullptr) {
    if (from.port == kRelayPort && recent_.contains(from.ip)) return DropReason::late_relay_message;
    return NotRelay{};
  }
  Allocation& allocation = *relay->allocation;
  if (message) {
    const auto refused = allocation.on_message(from, local, *message, now);
    pump(*relay);
    return refused ? Classified{*refused} : Classified{Consumed{}};
  }
  const auto peer = allocation.peer_of(framed->channel, now);
  const auto relayed = peer ? allocation.relayed(peer->family()) : std::nullopt;
  if (!relayed) return DropReason::unknown_channel;
  allocation.on_channel_data(framed->channel, now);
  return FromPeer{.id = relay->id,
                  .slot = relay->slot,
                  .channel = framed->channel,
                  .peer = *peer,
                  .relayed = *relayed,
                  .payload = framed->payload};
}

void RelaySet::on_timeout(Instant now) {
  last_now_ = now;
  for (const RelayId& id : ids()) {
    Entry* known = entry(id);
    known->allocation->on_timeout(now);
    pump(*known);
  }
  leave_silent(now);
}

void RelaySet::leave_silent(Instant now) {
  for (const RelayId& id : ids()) {
    Entry* known = entry(id);
    const auto since = known->allocation->silent_since();
    if (!since || *since == now) continue;
    const Instant verdict_at = *since + patience_with(*known->allocation);
    bool another_answers = false;
    for (Entry& other : entries_) {
      if (&other == known) continue;
      if (other.allocation->last_heard() > *since) {
        another_answers = another_answers || other.allocation->has_lease();
      } else {
        other.allocation->confirm(now);
        pump(other);
      }
    }
    if (!another_answers || now < verdict_at) continue;
    if (now > verdict_at + kVerdictLate)
      known->allocation->confirm_again(now);
    else
      known->allocation->give_up_waiting(now);
    pump(*known);
  }
}

void RelaySet::probe(Instant now) {
  last_now_ = now;
  for (const RelayId& id : ids()) {
    Entry* known = entry(id);
    known->allocation->probe(now);
    pump(*known);
  }
}

void RelaySet::bind_channel(const RelayId& id, const SocketAddress& peer, Instant now) {
  last_now_ = now;
  Entry* known = entry(id);
  if (known == nullptr) return;
  known->allocation->bind_channel(peer, now);
  pump(*known);
}

void RelaySet::on_channel_activity(RelaySlot slot, ChannelNumber channel, Instant now) {
  last_now_ = now;
  for (Entry& known : entries_) {
    if (known.slot == slot) known.allocation->on_channel_data(channel, now);
  }
}

bool RelaySet::send_to_peer(const RelayId& id, const SocketAddress& peer, Bytes payload,
                            Instant now) {
  last_now_ = now;
  Entry* known = entry(id);
  if (known == nullptr || payload.size() > 0xFFFF) return false;
  const auto server = known->allocation->active_server();
  const auto channel = known->allocation->channel_for(peer, now);
  if (!server || !channel) {
    bind_channel(id, peer, now);
    return false;
  }
  Datagram datagram{.to = *server, .bytes = ByteVector(packet::kChannelHeader + payload.size())};
  packet::write_channel_header(datagram.bytes.data(), *channel,
                               static_cast<std::uint16_t>(payload.size()));
  std::copy(payload.begin(), payload.end(),
            datagram.bytes.begin() + static_cast<std::ptrdiff_t>(packet::kChannelHeader));
  datagrams_.push_back(std::move(datagram));
  return true;
}

// ---- outputs ----

std::optional<Datagram> RelaySet::poll_datagram() {
  if (datagrams_.empty()) return std::nullopt;
  Datagram datagram = std::move(datagrams_.front());
  datagrams_.pop_front();
  return datagram;
}

std::optional<SetEvent> RelaySet::poll_event() {
  if (events_.empty()) return std::nullopt;
  const SetEvent event = events_.front();
  events_.pop_front();
  return event;
}

std::optional<Wakeup> RelaySet::wakeup() const {
  if (!datagrams_.empty() || !events_.empty()) return Wakeup{last_now_, "relay output queued"};
  std::optional<Wakeup> first;
  for (const Entry& known : entries_) {
    first = earlier(first, known.allocation->wakeup());
    const auto since = known.allocation->silent_since();
    const auto verdict_at = since.value_or(Instant{}) + patience_with(*known.allocation);
    if (since && verdict_at > last_now_) first = earlier(first, Wakeup{verdict_at, "relay silent"});
  }
  if (first) first->at = std::max(first->at, last_now_);
  return first;
}

// ---- questions ----

const Allocation* RelaySet::find(const RelayId& id) const {
  for (const Entry& known : entries_) {
    if (known.id == id) return known.allocation.get();
  }
  return nullptr;
}

std::optional<RelaySlot> RelaySet::slot_of(const RelayId& id) const {
  for (const Entry& known : entries_) {
    if (known.id == id) return known.slot;
  }
  return std::nullopt;
}

std::optional<RelayId> RelaySet::id_of(RelaySlot slot) const {
  for (const Entry& known : entries_) {
    if (known.slot == slot) return known.id;
  }
  return std::nullopt;
}

std::optional<RelayId> RelaySet::relay_with_server(const SocketAddress& server) const {
  for (const Entry& known : entries_) {
    if (known.allocation->is_server(server)) return known.id;
  }
  return std::nullopt;
}

std::optional<RelayId> RelaySet::relay_owning(const SocketAddress& relayed_address) const {
  for (const Entry& known : entries_) {
    if (known.allocation->owns(relayed_address)) return known.id;
  }
  return std::nullopt;
}

std::vector<RelayId> RelaySet::ids() const {
  std::vector<RelayId> out;
  for (const Entry& known : entries_) out.push_back(known.id);
  return out;
}

std::optional<RelayId> RelaySet::select() {
  const bool any_lease = std::any_of(entries_.begin(), entries_.end(),
                                     [](const Entry& e) { return e.allocation->has_lease(); });
  const auto rtt_of = [&](const Entry& known) {
    return any_lease && !known.allocation->has_lease() ? std::nullopt : known.allocation->rtt();
  };
  std::vector<Duration> samples;
  for (const Entry& known : entries_) {
    if (const auto rtt = rtt_of(known)) samples.push_back(*rtt);
  }
  if (samples.empty()) return std::nullopt;
  const Duration threshold = rtt_threshold(samples);
  std::vector<RelayId> near;
  for (const Entry& known : entries_) {
    const auto rtt = rtt_of(known);
    if (rtt && *rtt <= threshold) near.push_back(known.id);
  }
  return near[random_.below(static_cast<std::uint32_t>(near.size()))];
}

std::optional<RelayId> RelaySet::select_any() {
  if (entries_.empty()) return std::nullopt;
  return entries_[random_.below(static_cast<std::uint32_t>(entries_.size()))].id;
}

bool RelaySet::was_heard_after(Instant moment) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const Entry& e) { return e.allocation->last_heard() > moment; });
}

// ---- the list ----

RelaySet::Entry* RelaySet::entry(const RelayId& id) {
  for (Entry& known : entries_) {
    if (known.id == id) return &known;
  }
  return nullptr;
}

// Slots go round, so that what a worker still says about the last holder of a slot rarely meets the
// next one.
std::optional<RelaySlot> RelaySet::free_slot() const {
  for (std::size_t i = 0; i < kRelaysMax; ++i) {
    const RelaySlot slot{static_cast<std::uint8_t>((next_slot_ + i) % kRelaysMax)};
    if (!id_of(slot)) return slot;
  }
  return std::nullopt;
}

void RelaySet::start(const Relay& relay, Instant now) {
  const auto slot = free_slot();
  if (!slot) {
    ++refused_;
    return;
  }
  next_slot_ = static_cast<std::uint8_t>((number(*slot) + 1) % kRelaysMax);
  auto allocation = std::make_unique<Allocation>(relay, options_, random_, now);
  entries_.push_back({.id = relay.id, .slot = *slot, .allocation = std::move(allocation)});
  pump(entries_.back());
}

void RelaySet::remove(const RelayId& id, RelayGone::Why why, Instant now) {
  Entry* known = entry(id);
  if (known == nullptr) return;
  known->allocation->abandon(now);
  pump(*known);
  forget(id, why);
}

// Moves an allocation's outputs into ours. A freed one leaves the set, so the entry is void
// afterwards.
void RelaySet::pump(Entry& known) {
  while (auto datagram = known.allocation->poll_datagram())
    datagrams_.push_back(std::move(*datagram));
  std::optional<FreedReason> freed;
  while (const auto event = known.allocation->poll_event()) {
    std::visit(
        [&](const auto& what) {
          if constexpr (std::is_same_v<std::decay_t<decltype(what)>, Freed>) {
            freed = what.reason;
          } else {
            events_.push_back(RelayEvent{.id = known.id, .slot = known.slot, .what = what});
          }
        },
        *event);
  }
  if (!freed) return;
  forget(RelayId{known.id}, why_of(*freed));
  if (entries_.empty()) events_.push_back(NoRelays{});
}

void RelaySet::forget(const RelayId& id, RelayGone::Why why) {
  const auto it =
      std::find_if(entries_.begin(), entries_.end(), [&](const Entry& e) { return e.id == id; });
  if (it == entries_.end()) return;
  const Relay& relay = it->allocation->relay();
  if (relay.v4) recent_.remember(relay.v4->ip);
  if (relay.v6) recent_.remember(relay.v6->ip);
  events_.push_back(RelayEvent{.id = it->id, .slot = it->slot, .what = RelayGone{why}});
  entries_.erase(it);
}

}  // namespace fg::turn
