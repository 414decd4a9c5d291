#include "wireguard/handshake.h"

#include <algorithm>

#include "base/assert.h"

namespace fg::wireguard {
namespace {

constexpr std::string_view kPrologue = "WireGuard v1 zx2c4 Jason@zx2c4.com";  // whitepaper §5.4
constexpr std::uint32_t kJitterMaxMs = 333;   // spec connectivity 4.6
constexpr Duration kNoSessionFor = 3 * 180s;  // spec connectivity 4.6
constexpr std::uint64_t kTaiOrigin =
    0x4000'0000'0000'000AULL;  // 1970-01-01 in TAI64, ten seconds of difference

}  // namespace

Timestamp tai64n(WallTime wall) {
  using std::chrono::duration_cast;
  const auto since = std::max(wall.time_since_epoch(), Duration::zero());
  const auto seconds = duration_cast<std::chrono::seconds>(since);
  Timestamp out;
  store_be64(out.data(), kTaiOrigin + static_cast<std::uint64_t>(seconds.count()));
  store_be32(out.data() + 8, static_cast<std::uint32_t>((since - seconds).count()));
  return out;
}

std::string_view name_of(HandshakeError error) {
  switch (error) {
    case HandshakeError::malformed:
      return "malformed";
    case HandshakeError::wrong_peer:
      return "wrong_peer";
    case HandshakeError::unauthentic:
      return "unauthentic";
    case HandshakeError::replayed:
      return "replayed";
    case HandshakeError::low_order_point:
      return "low_order_point";
    case HandshakeError::not_waiting:
      return "not_waiting";
  }
  return "?";
}

std::optional<OpenedInitiation> open_initiation(const Identity& identity, Bytes message) {
  const auto view = parse_initiation(message);
  if (!view) return std::nullopt;
  OpenedInitiation out{noise::SymmetricState(as_bytes(kPrologue), identity.public_key())};
  const auto initiator = noise::read_first_static(out.state_, identity.private_key(),
                                                  view->ephemeral, view->encrypted_static);
  if (!initiator) return std::nullopt;
  out.initiator_ = *initiator;
  std::ranges::copy(view->ephemeral, out.ephemeral_.begin());
  std::ranges::copy(view->encrypted_timestamp, out.sealed_timestamp_.begin());
  out.sender_ = view->sender;
  return out;
}

Handshake::Handshake(const Identity& identity, HandshakeConfig config, Random& random, Instant now)
    : identity_(identity),
      random_(random),
      config_(std::move(config)),
      peer_mac_keys_(MacKeys::of(config_.remote)),
      static_shared_(crypto::shared_secret(identity.private_key(), config_.remote)),
      last_now_(now) {
  FG_ASSERT((number(config_.index_base) & 0xFF) == 0);
  timers_.set(Timer::no_session, now + kNoSessionFor);
}

ReceiverIndex Handshake::next_index() {
  return ReceiverIndex{number(config_.index_base) | next_slot_++};
}

void Handshake::on_new_session(Instant now) { timers_.set(Timer::no_session, now + kNoSessionFor); }

// ---- responder ----

Result<Handshake::Answer, HandshakeError> Handshake::on_initiation(OpenedInitiation opened,
                                                                   Instant now) {
  last_now_ = now;
  if (opened.initiator_ != config_.remote) return fail(HandshakeError::wrong_peer);
  if (!static_shared_) return fail(HandshakeError::low_order_point);
  Timestamp timestamp;
  if (!noise::read_first_payload(opened.state_, *static_shared_, opened.sealed_timestamp_,
                                 timestamp)) {
    return fail(HandshakeError::unauthentic);
  }
  if (timestamp <= newest_received_) return fail(HandshakeError::replayed);

  const crypto::KeyPair ephemeral = crypto::generate_key_pair(random_);
  Answer answer;
  const MutableBytes out{answer.response};
  if (!noise::write_second(opened.state_,
                           {.ephemeral = ephemeral,
                            .initiator_ephemeral = opened.ephemeral_,
                            .initiator_static = opened.initiator_,
                            .preshared = config_.preshared,
                            .payload = {}},
                           out.subspan(12, noise::kSecondOverhead))) {
    return fail(HandshakeError::low_order_point);
  }
  newest_received_ = timestamp;
  noise::TransportKeys keys = opened.state_.split();
  answer.keys = {.local_index = next_index(),
                 .remote_index = opened.sender_,
                 .send = std::move(keys.responder_to_initiator),
                 .receive = std::move(keys.initiator_to_responder),
                 .role = Role::responder,
                 .established = now};
  write_type(out.data(), MessageType::response);
  store_le32(out.data() + 4, number(answer.keys.local_index));
  store_le32(out.data() + 8, opened.sender_);
  cookies_.seal_macs(out, peer_mac_keys_, now);
  on_new_session(now);
  return answer;
}

// ---- initiator ----

void Handshake::start(Instant now, WallTime wall) {
  last_now_ = now;
  if (waiting_) return;
  timers_.set(Timer::give_up, now + config_.attempt_time);
  initiate(now, wall);
}

Timestamp Handshake::next_timestamp(WallTime wall) {
  Timestamp stamp = tai64n(wall);
  if (stamp <= last_sent_) {  // a wall clock that stands or went back must not make us a replay
    stamp = last_sent_;
    for (std::size_t i = stamp.size(); i-- > 0 && ++stamp[i] == 0;) {
    }
  }
  last_sent_ = stamp;
  return stamp;
}

void Handshake::initiate(Instant now, WallTime wall) {
  timers_.set(Timer::retransmit, now + config_.rekey_timeout +
                                     std::chrono::milliseconds(random_.below(kJitterMaxMs + 1)));
  last_initiation_ = now;
  Waiting waiting{.state = noise::SymmetricState(as_bytes(kPrologue), config_.remote),
                  .ephemeral = crypto::generate_key_pair(random_),
                  .local_index = next_index(),
                  .mac1 = {}};
  InitiationBytes bytes{};
  const MutableBytes out{bytes};
  const Timestamp stamp = next_timestamp(wall);
  const bool written =
      static_shared_ && noise::write_first(waiting.state,
                                           {.ephemeral = waiting.ephemeral,
                                            .initiator_static = identity_.public_key(),
                                            .responder_static = config_.remote,
                                            .static_shared = *static_shared_,
                                            .payload = stamp},
                                           out.subspan(8, noise::kFirstOverhead + kTimestampSize));
  if (written) {
    write_type(out.data(), MessageType::initiation);
    store_le32(out.data() + 4, number(waiting.local_index));
    cookies_.seal_macs(out, peer_mac_keys_, now);
    std::ranges::copy(mac1_of(out), waiting.mac1.begin());
    outgoing_ = bytes;
  }
  // A key nobody can talk to is left to the give-up timer like a peer that does not answer.
  waiting_ = std::move(waiting);
}

Result<SessionKeys, HandshakeError> Handshake::on_response(Bytes message, Instant now) {
  last_now_ = now;
  const auto view = parse_response(message);
  if (!view) return fail(HandshakeError::malformed);
  if (!waiting_ || view->receiver != waiting_->local_index)
    return fail(HandshakeError::not_waiting);
  if (!noise::read_second(waiting_->state, waiting_->ephemeral.private_key, identity_.private_key(),
                          config_.preshared, message.subspan(12, noise::kSecondOverhead), {})) {
    return fail(HandshakeError::unauthentic);
  }
  noise::TransportKeys keys = waiting_->state.split();
  SessionKeys out{.local_index = waiting_->local_index,
                  .remote_index = view->sender,
                  .send = std::move(keys.initiator_to_responder),
                  .receive = std::move(keys.responder_to_initiator),
                  .role = Role::initiator,
                  .established = now};
  stop_attempt();
  on_new_session(now);
  return out;
}

Result<void, HandshakeError> Handshake::on_cookie_reply(Bytes message, Instant now) {
  last_now_ = now;
  const auto view = parse_cookie_reply(message);
  if (!view) return fail(HandshakeError::malformed);
  if (!waiting_ || view->receiver != waiting_->local_index)
    return fail(HandshakeError::not_waiting);
  // The cookie is used by the next retransmission; answering at once would double the load that
  // caused it.
  if (!cookies_.accept(*view, peer_mac_keys_, waiting_->mac1, now))
    return fail(HandshakeError::unauthentic);
  return {};
}

void Handshake::on_session_confirmed(Instant now) {
  last_now_ = now;
  stop_attempt();
}

void Handshake::stop_attempt() {
  waiting_.reset();
  outgoing_.reset();
  timers_.stop(Timer::retransmit);
  timers_.stop(Timer::give_up);
}

void Handshake::on_timeout(Instant now, WallTime wall) {
  last_now_ = now;
  if (timers_.take_expired(Timer::give_up, now)) {
    stop_attempt();
    event_ = Event::unanswered;
  }
  if (timers_.take_expired(Timer::retransmit, now)) initiate(now, wall);
  if (timers_.take_expired(Timer::no_session, now)) {
    stop_attempt();
    event_ = Event::no_session;
  }
}

std::optional<InitiationBytes> Handshake::poll_initiation() {
  return std::exchange(outgoing_, std::nullopt);
}
std::optional<Handshake::Event> Handshake::poll_event() {
  return std::exchange(event_, std::nullopt);
}

std::optional<Wakeup> Handshake::wakeup() const {
  if (outgoing_ || event_) return Wakeup{last_now_, "handshake output queued"};
  if (const auto at = timers_.next()) return Wakeup{*at, "handshake timer"};
  return std::nullopt;
}

}  // namespace fg::wireguard
