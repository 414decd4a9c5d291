#include "tests/support/client/peer.h"

#include <algorithm>

namespace fg::client {

using wireguard::MessageType;

Peer::Peer(const wireguard::Identity& identity, PeerConfig config, crypto::AeadEngine& engine,
           Random& random, Instant now)
    : identity_(identity),
      engine_(engine),
      limiter_(identity, random, now),
      handshake_(identity, std::move(config.handshake), random, now),
      timers_(config.timers),
      last_now_(now) {}

bool Peer::seal(std::uint8_t* message, std::size_t length, Instant now) {
  auto* session = sessions_.sending(now);
  if (session == nullptr || !session->seal(message, length)) return false;
  timers_.on_data_sent(now);
  return true;
}

Peer::Opened Peer::open(MutableBytes message, Instant now) {
  auto* session = sessions_.find(wireguard::data_receiver(message.data()));
  const auto opened = session != nullptr ? session->open(message, now) : wireguard::OpenResult{};
  if (opened.status != wireguard::OpenStatus::ok) {
    ++refused_;
    return {};
  }
  if (sessions_.on_authenticated(*session)) {
    handshake_.on_session_confirmed(now);
    adopt(*session, now);
  }
  if (opened.inner.empty())
    timers_.on_keepalive_received(now);
  else
    timers_.on_data_received(now);
  const auto length = wireguard::inner_length(opened.inner).value_or(0);
  return {true, opened.inner.first(length)};
}

void Peer::start_handshake(Instant now, WallTime wall) {
  last_now_ = now;
  timers_.on_handshake_started(now);
  handshake_.start(now, wall);
  drain();
}

bool Peer::on_message(Bytes message, const IpAddress& source, Instant now) {
  last_now_ = now;
  const auto type = wireguard::classify(message);
  if (type == MessageType::cookie_reply) {
    const bool is_accepted = handshake_.on_cookie_reply(message, now).has_value();
    if (!is_accepted) ++refused_;
    return is_accepted;
  }
  if (limiter_.check(message, source, now) != wireguard::HandshakeVerdict::process) {
    ++refused_;
    return false;
  }
  if (type == MessageType::response) {
    auto keys = handshake_.on_response(message, now);
    if (!keys) {
      ++refused_;
      return false;
    }
    auto& session = sessions_.install(std::move(*keys), engine_);
    // The responder may use its new session only once it has heard something under it.
    send_empty(now);
    adopt(session, now);
    return true;
  }
  auto opened = wireguard::open_initiation(identity_, message);
  auto answer = opened ? handshake_.on_initiation(std::move(*opened), now)
                       : Result<wireguard::Handshake::Answer, wireguard::HandshakeError>{
                             fail(wireguard::HandshakeError::malformed)};
  if (!answer) {
    ++refused_;
    return false;
  }
  messages_.emplace_back(answer->response.begin(), answer->response.end());
  sessions_.install(std::move(answer->keys), engine_);
  return true;
}

void Peer::on_timeout(Instant now, WallTime wall) {
  last_now_ = now;
  handshake_.on_timeout(now, wall);
  sessions_.expire(now);
  const auto due = timers_.poll(now);
  if (due.send_keepalive) send_empty(now);
  if (due.handshake) start_handshake(now, wall);
  drain();
}

void Peer::adopt(wireguard::Session& session, Instant now) {
  timers_.on_session(session.role(), session.established(), now);
  events_.push_back(Event::established);
}

void Peer::send_empty(Instant now) {
  auto* session = sessions_.sending(now);
  ByteVector message(wireguard::kDataOverhead);
  if (session == nullptr || !session->seal(message.data(), 0)) return;
  timers_.on_keepalive_sent(now);
  messages_.push_back(std::move(message));
}

void Peer::drain() {
  if (const auto initiation = handshake_.poll_initiation())
    messages_.emplace_back(initiation->begin(), initiation->end());
  if (const auto event = handshake_.poll_event()) {
    events_.push_back(*event == wireguard::Handshake::Event::no_session ? Event::expired
                                                                        : Event::unanswered);
  }
}

std::optional<ByteVector> Peer::poll_message() {
  if (messages_.empty()) return std::nullopt;
  auto out = std::move(messages_.front());
  messages_.pop_front();
  return out;
}

std::optional<Peer::Event> Peer::poll_event() {
  if (events_.empty()) return std::nullopt;
  const auto out = events_.front();
  events_.pop_front();
  return out;
}

std::optional<Wakeup> Peer::wakeup() const {
  if (!messages_.empty() || !events_.empty()) return Wakeup{last_now_, "peer output"};
  auto out = handshake_.wakeup();
  if (const Instant at = timers_.next(); at != Instant::max())
    out = earlier(out, Wakeup{at, "traffic timer"});
  if (const auto at = sessions_.next_expiry()) out = earlier(out, Wakeup{*at, "session expiry"});
  if (out) out->at = std::max(out->at, last_now_);
  return out;
}

}  // namespace fg::client
