#include "control/turn/allocation.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"
#include "control/stun/builder.h"
#include "control/stun/key.h"

namespace fg::turn {
namespace {

using Kind = Request::Kind;
using stun::Method;

constexpr std::string_view kRealm = "firezone";  // spec connectivity 3.1
constexpr Duration kKeepaliveAfter = 25s;        // spec connectivity 3.7
// Data that ceases is followed by a question: is it only quiet, or is the relay gone? Then by
// others ever later, up to the interval of keepalives; data has the next one come soon again.
constexpr Duration kConfirmAfter = 500ms;
// An answered but refused REFRESH is tried again until the lifetime ends; the original would ask
// without pause.
constexpr Duration kRefreshRetry = 30s;
// A relay that keeps asking for another nonce, or keeps denying an allocation it granted, is not
// followed for ever.
constexpr std::uint8_t kChallengesMax = 4;
// A relay that sees us at another address for every question does not flood clients with them.
constexpr Duration kRelearnAfter = 10s;
constexpr unsigned kMismatchesMax = 8;

// BINDINGs are not authenticated, and only authenticated requests are built anew for every send
// (spec connectivity 3.5).
bool keeps_id(Kind kind) { return method_of(kind) == Method::binding; }

}  // namespace

Allocation::Allocation(Relay relay, Options options, Random& random, Instant now)
    : relay_(std::move(relay)),
      options_(std::move(options)),
      random_(random),
      last_heard_(now),
      ask_after_(kKeepaliveAfter),
      last_now_(now) {
  key_ = stun::long_term_key(relay_.username, kRealm, relay_.password);
  start_probing(now);
  settle();
}

// ---- inputs ----

std::optional<DropReason> Allocation::on_message(const SocketAddress& from,
                                                 const SocketAddress& local,
                                                 const stun::Message& message, Instant now) {
  last_now_ = now;
  if (is_freed()) return DropReason::late_relay_message;
  const auto type_class = message.type_class();
  const bool is_response = type_class == stun::Class::success || type_class == stun::Class::error;
  const auto index =
      is_response ? requests_.find(message.transaction(), message.method(), from) : std::nullopt;
  if (!index) return DropReason::unknown_stun;
  if (!is_authentic(requests_.at(*index), message)) return DropReason::bad_stun_integrity;
  const Request request = requests_.remove(*index);
  last_heard_ = now;
  sample_rtt(request, now);
  if (type_class == stun::Class::success) {
    on_success(request, local, message, now);
  } else {
    on_error(request, message, now);
  }
  settle();
  return std::nullopt;
}

void Allocation::on_timeout(Instant now) {
  last_now_ = now;
  if (is_freed()) return;
  while (const auto due = requests_.next_due(now)) {
    if (due->what == Requests::Due::What::resend) {
      transmit(requests_.at(due->index));
    } else {
      give_up(requests_.remove(due->index));
      if (is_freed()) return;
    }
  }
  if (lease_ && lease_->expires_at <= now) {
    invalidate();
    buffered_binds_.clear();
  }
  if (const auto at = refresh_at(); at && *at <= now)
    send({.kind = Kind::refresh, .to = *active_}, now);
  auto changes = channels_.advance(now);
  for (const auto& channel : changes.expired) {
    events_.push_back(ChannelChanged{channel.number, channel.peer, ChannelChanged::State::removed});
  }
  for (const auto& channel : changes.renew) send_bind(channel.peer, channel.number, now);
  if (const auto at = keepalive_at(); at && *at <= now)
    send({.kind = ask_after_ < kKeepaliveAfter ? Kind::confirm : Kind::binding, .to = *active_},
         now);
  settle();
}

void Allocation::bind_channel(const SocketAddress& peer, Instant now) {
  last_now_ = now;
  if (is_freed() || is_suspended()) return;
  if (channels_.usable_for(peer, now) || requests_.has_bind_for(peer)) return;
  if (!lease_) {
    buffer_bind(peer);
    return;
  }
  if (!relayed(peer.family()) || must_pause(peer, now)) return;
  const auto number = channels_.bind(peer, now);
  if (!number) {
    ++stats_.channels_exhausted;
    return;
  }
  events_.push_back(ChannelChanged{*number, peer, ChannelChanged::State::pending});
  send_bind(peer, *number, now);
}

void Allocation::on_channel_data(ChannelNumber number, Instant now) {
  last_now_ = now;
  if (is_freed()) return;
  last_heard_ = now;
  ask_after_ = kConfirmAfter;
  channels_.received(number, now);
}

void Allocation::refresh(Instant now) {
  last_now_ = now;
  if (is_freed()) return;
  if (is_suspended()) {
    mismatches_ = 0;
    set_active(std::nullopt);
    start_probing(now);
    return;
  }
  if (!active_ || !lease_ || is_refreshing()) return;
  send({.kind = Kind::proactive_refresh, .to = *active_}, now);
}

void Allocation::confirm(Instant now) {
  last_now_ = now;
  if (!active_ || !lease_ || requests_.has(Kind::confirm)) return;
  send({.kind = Kind::confirm, .to = *active_}, now);
}

void Allocation::confirm_again(Instant now) {
  requests_.remove(Kind::confirm);
  confirm(now);
}

void Allocation::give_up_waiting(Instant now) {
  last_now_ = now;
  if (!is_freed()) free(FreedReason::no_response);
}

void Allocation::probe(Instant now) {
  last_now_ = now;
  if (is_freed() || is_suspended()) return;
  for (const auto& server : {relay_.v4, relay_.v6}) {
    if (server && !requests_.has_binding_to(*server))
      send({.kind = Kind::probe, .to = *server}, now);
  }
}

void Allocation::abandon(Instant now) {
  last_now_ = now;
  if (is_freed()) return;
  set_active(std::nullopt);
  invalidate();
  buffered_binds_.clear();
  datagrams_.clear();
  phase_ = Phase::freed;
}

// ---- outputs ----

std::optional<Datagram> Allocation::poll_datagram() {
  if (datagrams_.empty()) return std::nullopt;
  Datagram datagram = std::move(datagrams_.front());
  datagrams_.pop_front();
  return datagram;
}

std::optional<Event> Allocation::poll_event() {
  if (events_.empty()) return std::nullopt;
  const Event event = events_.front();
  events_.pop_front();
  return event;
}

std::optional<Wakeup> Allocation::wakeup() const {
  if (!datagrams_.empty() || !events_.empty()) return Wakeup{last_now_, "relay output queued"};
  if (is_freed()) return std::nullopt;
  std::optional<Wakeup> first;
  const auto consider = [&](std::optional<Instant> at, const char* why) {
    if (at) first = earlier(first, Wakeup{std::max(*at, last_now_), why});
  };
  consider(requests_.next(), "relay request unanswered");
  if (lease_) consider(lease_->expires_at, "relay allocation expires");
  consider(refresh_at(), "relay allocation refresh");
  consider(channels_.next(), "relay channel expires or is renewed");
  consider(keepalive_at(), "relay keepalive");
  return first;
}

// ---- questions ----

std::optional<SocketAddress> Allocation::relayed(Family family) const {
  if (!lease_) return std::nullopt;
  const auto& candidate = family == Family::v4 ? lease_->v4 : lease_->v6;
  return candidate ? std::optional{candidate->address} : std::nullopt;
}

bool Allocation::owns(const SocketAddress& relayed_address) const {
  return relayed(relayed_address.family()) == relayed_address;
}

std::vector<Candidate> Allocation::candidates() const {
  std::vector<Candidate> out;
  for (const auto* reflexive : {&reflexive_v4_, &reflexive_v6_}) {
    if (reflexive->host) out.push_back(*reflexive->host);
    if (reflexive->mapped) out.push_back(*reflexive->mapped);
  }
  if (lease_ && lease_->v4) out.push_back(*lease_->v4);
  if (lease_ && lease_->v6) out.push_back(*lease_->v6);
  return out;
}

std::optional<ChannelNumber> Allocation::channel_for(const SocketAddress& peer, Instant now) const {
  return channels_.usable_for(peer, now);
}

std::optional<SocketAddress> Allocation::peer_of(ChannelNumber number, Instant now) const {
  return channels_.peer_of(number, now);
}

bool Allocation::is_suspended() const { return !is_freed() && !lease_ && requests_.empty(); }

std::optional<Instant> Allocation::silent_since() const {
  for (const Request& request : requests_.all()) {
    if (request.kind == Kind::confirm && last_heard_ <= request.first_sent)
      return request.first_sent;
  }
  return std::nullopt;
}

bool Allocation::is_refreshing() const {
  return requests_.has(Kind::refresh) || requests_.has(Kind::proactive_refresh);
}

std::optional<Instant> Allocation::refresh_at() const {
  if (!lease_ || !active_ || is_refreshing()) return std::nullopt;
  return lease_->refresh_at;
}

std::optional<Instant> Allocation::keepalive_at() const {
  if (!lease_ || !active_ || !options_.ask_when_silent) return std::nullopt;
  // A BINDING to the other family's socket may be unanswered for long and says nothing here.
  if (requests_.has_binding_to(*active_)) return std::nullopt;
  return last_heard_ + ask_after_;
}

// ---- sending ----

void Allocation::start_probing(Instant now) {
  for (const auto& server : {relay_.v4, relay_.v6}) {
    if (server) send({.kind = Kind::binding, .to = *server}, now);
  }
}

void Allocation::allocate(Instant now) {
  if (active_) send({.kind = Kind::allocate, .to = *active_}, now);
}

void Allocation::send_bind(const SocketAddress& peer, ChannelNumber number, Instant now) {
  if (active_)
    send({.kind = Kind::channel_bind, .to = *active_, .peer = peer, .channel = number}, now);
}

void Allocation::send(Request request, Instant now) {
  if (keeps_id(request.kind)) random_.fill(request.id);
  told_suspended_ = false;
  transmit(requests_.add(request, now));
}

// Authenticated requests get a new transaction id and the nonce known by now. What cannot be
// encoded (credentials beyond any limit) stays unsent and is given up in time.
void Allocation::transmit(Request& request) {
  if (!keeps_id(request.kind)) random_.fill(request.id);
  std::array<std::uint8_t, stun::kMessageMax> buffer{};
  stun::Builder b{buffer, method_of(request.kind), stun::Class::request, request.id};
  // Attribute order as the reference emits it, spec connectivity 3.3.
  if (request.kind == Kind::allocate) b.requested_transport_udp().additional_address_family_v6();
  if (request.kind == Kind::channel_bind)
    b.xor_peer_address(request.peer).channel_number(fg::number(request.channel));
  b.software(options_.software);
  if (request.kind == Kind::remove) b.lifetime(0);
  const bool bare =
      request.kind == Kind::allocate && options_.first_allocate_without_auth && nonce_.empty();
  if (!keeps_id(request.kind) && !bare) {
    request.carries_nonce = !nonce_.empty();
    b.username(relay_.username).realm(kRealm);
    if (request.carries_nonce) b.nonce(nonce_);
    b.integrity(key_.expose());
  }
  if (const auto bytes = b.finish())
    datagrams_.push_back({.to = request.to, .bytes = copy_of(*bytes)});
}

// ---- responses ----

bool Allocation::is_authentic(const Request& request, const stun::Message& message) {
  if (keeps_id(request.kind)) return true;
  if (message.has_integrity()) {
    if (!message.verify_integrity(key_.expose())) return false;
    relay_signs_ = true;
    return true;
  }
  if (options_.accept_unsigned_challenges && message.type_class() == stun::Class::error) {
    const auto error = message.error_code();
    if (error && (error->code == 401 || error->code == 437 || error->code == 438)) return true;
  }
  return options_.integrity == Options::Integrity::learned && !relay_signs_;
}

void Allocation::on_success(const Request& request, const SocketAddress& local,
                            const stun::Message& message, Instant now) {
  switch (request.kind) {
    case Kind::binding:
    case Kind::confirm:
    case Kind::probe:
      return on_binding_success(request, local, message, now);
    case Kind::allocate:
      return on_allocate_success(local, message, now);
    case Kind::refresh:
    case Kind::proactive_refresh:
      return on_refresh_success(message, now);
    case Kind::remove:
      return allocate(now);
    case Kind::channel_bind:
      return on_bind_success(request, now);
  }
}

void Allocation::on_binding_success(const Request& request, const SocketAddress& local,
                                    const stun::Message& message, Instant now) {
  if (request.to == active_) ask_after_ = std::min(2 * ask_after_, kKeepaliveAfter);
  Reflexive& known = request.to.family() == Family::v4 ? reflexive_v4_ : reflexive_v6_;
  bool moved = false;
  if (const auto mapped = message.xor_mapped_address()) {
    moved = known.mapped && known.mapped->address != *mapped && request.to == active_;
    const auto before = known;
    learn(known.host, {.kind = Candidate::Kind::host, .address = local, .local = local});
    const bool is_elsewhere = before.host && before.host->address != local;
    if (!known.mapped || is_elsewhere || known.learnt_at + kRelearnAfter <= now) {
      known.learnt_at = now;
      learn(known.mapped,
            {.kind = Candidate::Kind::server_reflexive, .address = *mapped, .local = local});
    }
    // Routing chose another address of ours; what is mapped from the one before leads nowhere. A
    // mapping that merely changed is kept (spec connectivity 2.6).
    for (const auto& candidate : {before.host, before.mapped}) {
      if (is_elsewhere && candidate && candidate != known.mapped)
        events_.push_back(CandidateInvalidated{*candidate});
    }
  }
  if (!active_) {
    set_active(request.to);
    if (!lease_) return allocate(now);
    send({.kind = Kind::refresh, .to = request.to}, now);
  } else if (moved && lease_ && !is_refreshing()) {
    // The allocation belongs to the old address; REFRESH finds that out at once instead of at half
    // the lifetime.
    send({.kind = Kind::refresh, .to = *active_}, now);
  }
}

void Allocation::on_allocate_success(const SocketAddress& local, const stun::Message& message,
                                     Instant now) {
  const auto lifetime = message.lifetime();
  const auto v4 = message.xor_relayed_address(Family::v4);
  const auto v6 = message.xor_relayed_address(Family::v6);
  if (!lifetime || *lifetime == 0 || (!v4 && !v6)) {
    buffered_binds_.clear();
    return;
  }
  lease_ = Lease{};
  if (v4) learn(lease_->v4, {.kind = Candidate::Kind::relayed, .address = *v4, .local = local});
  if (v6) learn(lease_->v6, {.kind = Candidate::Kind::relayed, .address = *v6, .local = local});
  set_lease_times(*lifetime, now);
  run_buffered_binds(now);
}

void Allocation::on_refresh_success(const stun::Message& message, Instant now) {
  const auto lifetime = message.lifetime();
  if (!lease_) return;
  if (lifetime && *lifetime == 0) {
    invalidate();
    allocate(now);
    return;
  }
  if (lifetime) {
    mismatches_ = 0;
    set_lease_times(*lifetime, now);
  } else {
    lease_->refresh_at = std::max(lease_->refresh_at, now + kRefreshRetry);
  }
}

void Allocation::on_bind_success(const Request& request, Instant now) {
  const auto* channel = channels_.find(request.channel);
  if (channel == nullptr || channel->peer != request.peer) return;
  const bool is_new = channel->state != Channels::State::confirmed;
  mismatches_ = 0;
  channels_.confirm(request.channel, now);
  if (is_new)
    events_.push_back(
        ChannelChanged{request.channel, request.peer, ChannelChanged::State::confirmed});
}

void Allocation::on_error(const Request& request, const stun::Message& message, Instant now) {
  const auto error = message.error_code();
  const int code = error ? error->code : 0;
  if (keeps_id(request.kind)) return;
  switch (code) {
    case 401:
      if (request.carries_nonce) return free(FreedReason::authentication);
      return on_challenge(request, message, now);
    case 438:
      return on_challenge(request, message, now);
    case 437:
      return on_mismatch(request, now);
    case 420:
      return free(FreedReason::protocol_failure);
    default:
      return drop(request, now);
  }
}

// spec connectivity 3.4: 401 without nonce and 438. Without a nonce in the response there is
// nothing to change in a retry.
void Allocation::on_challenge(Request request, const stun::Message& message, Instant now) {
  const auto nonce = message.nonce();
  const auto realm = message.realm();
  if (!nonce || nonce->empty()) return drop(request, now);
  nonce_ = *nonce;
  if ((realm && *realm != kRealm) || request.challenges >= kChallengesMax)
    return drop(request, now);
  ++request.challenges;
  send(request, now);
}

// 437: the relay knows no allocation of ours, or knows one we do not.
void Allocation::on_mismatch(const Request& request, Instant now) {
  std::vector<SocketAddress> rebind;
  if (request.kind == Kind::channel_bind) {
    rebind.push_back(request.peer);
    for (const Request& other : requests_.all()) {
      if (other.kind == Kind::channel_bind) rebind.push_back(other.peer);
    }
  }
  invalidate();
  if (++mismatches_ > kMismatchesMax) {
    buffered_binds_.clear();
    return;
  }
  for (const auto& peer : rebind) buffer_bind(peer);
  if (request.kind == Kind::allocate) {
    send({.kind = Kind::remove, .to = request.to}, now);
  } else {
    allocate(now);
  }
}

// The request is answered and not repeated ("other error", spec connectivity 3.4).
void Allocation::drop(const Request& request, Instant now) {
  switch (request.kind) {
    case Kind::binding:
    case Kind::confirm:
    case Kind::probe:
      return;
    case Kind::allocate:
    case Kind::remove:
      return buffered_binds_.clear();
    case Kind::refresh:
    case Kind::proactive_refresh:
      if (lease_) lease_->refresh_at = std::max(lease_->refresh_at, now + kRefreshRetry);
      return;
    case Kind::channel_bind:
      channels_.remove(request.channel);
      note_refusal(request.peer, now);
      events_.push_back(
          ChannelChanged{request.channel, request.peer, ChannelChanged::State::removed});
      return;
  }
}

// Nobody answered. Only the active socket's family says something about the relay (spec
// connectivity 3.5).
void Allocation::give_up(const Request& request) {
  if (request.kind == Kind::probe) return;
  if (active_ && request.to.family() == active_->family()) free(FreedReason::no_response);
}

// ---- state ----

void Allocation::buffer_bind(const SocketAddress& peer) {
  if (std::find(buffered_binds_.begin(), buffered_binds_.end(), peer) != buffered_binds_.end())
    return;
  if (buffered_binds_.size() >= kBufferedBindsMax) {
    buffered_binds_.pop_front();
    ++stats_.binds_dropped;
  }
  buffered_binds_.push_back(peer);
}

void Allocation::note_refusal(const SocketAddress& peer, Instant now) {
  std::erase_if(refusals_, [&](const Refusal& r) { return now - r.at > kRefusalPause; });
  const auto is_it = [&](const Refusal& r) { return r.peer == peer; };
  const bool again = std::erase_if(refusals_, is_it) != 0;
  if (refusals_.size() >= kRefusalsMax) refusals_.pop_front();
  refusals_.push_back({.peer = peer, .at = now, .again = again});
}

bool Allocation::must_pause(const SocketAddress& peer, Instant now) const {
  return std::any_of(refusals_.begin(), refusals_.end(), [&](const Refusal& r) {
    return r.again && r.peer == peer && now - r.at < kRefusalPause;
  });
}

void Allocation::run_buffered_binds(Instant now) {
  std::deque<SocketAddress> peers;
  peers.swap(buffered_binds_);
  for (const auto& peer : peers) bind_channel(peer, now);
}

void Allocation::learn(std::optional<Candidate>& known, const Candidate& candidate) {
  if (known == candidate) return;
  known = candidate;
  events_.push_back(CandidateLearnt{candidate});
}

void Allocation::set_active(std::optional<SocketAddress> server) {
  if (active_ == server) return;
  active_ = server;
  events_.push_back(ActiveServerChanged{server});
}

void Allocation::set_lease_times(std::uint32_t lifetime_s, Instant now) {
  const Duration lifetime = std::chrono::seconds{lifetime_s};
  lease_->expires_at = now + lifetime;
  lease_->refresh_at = now + lifetime / 2;
}

void Allocation::sample_rtt(const Request& request, Instant now) {
  const Duration sample = now - request.first_sent;
  srtt_ = srtt_ ? *srtt_ * 7 / 8 + sample / 8 : sample;
}

// spec connectivity 3.6
void Allocation::invalidate() {
  for (const auto& channel : channels_.live()) {
    events_.push_back(ChannelChanged{channel.number, channel.peer, ChannelChanged::State::removed});
  }
  channels_.clear();
  if (lease_ && lease_->v4) events_.push_back(CandidateInvalidated{*lease_->v4});
  if (lease_ && lease_->v6) events_.push_back(CandidateInvalidated{*lease_->v6});
  lease_.reset();
  requests_.clear();
}

void Allocation::free(FreedReason reason) {
  invalidate();
  buffered_binds_.clear();
  set_active(std::nullopt);
  phase_ = Phase::freed;
  events_.push_back(Freed{reason});
}

// After every input: nothing in flight means dead without an active socket, suspended without a
// lease.
void Allocation::settle() {
  if (is_freed() || !requests_.empty()) return;
  if (!active_) return free(FreedReason::no_response);
  if (is_suspended() && !std::exchange(told_suspended_, true)) events_.push_back(Suspended{});
}

}  // namespace fg::turn
