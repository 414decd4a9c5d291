#include "wireguard/tunnel.h"

#include <algorithm>

namespace fg::wireguard {
namespace {

template <class T>
std::optional<T> take(std::deque<T>& queue) {
  if (queue.empty()) return std::nullopt;
  T out = std::move(queue.front());
  queue.pop_front();
  return out;
}

}  // namespace

Tunnel::Tunnel(const Identity& identity, TunnelConfig config, crypto::AeadEngine& engine,
               Random& random, Instant now)
    : identity_(identity),
      initiate_on_data_(config.initiate_on_data),
      engine_(engine),
      limiter_(identity, random, now),
      handshake_(identity, std::move(config.handshake), random, now),
      timers_(config.timers),
      last_now_(now) {}

// ---- inputs ----

void Tunnel::encapsulate(Bytes inner, Instant now, WallTime wall) {
  last_now_ = now;
  if (seal_and_queue(inner, now)) {
    timers_.on_data_sent(now);
    if (sessions_.current()->has_many_messages()) initiate(now, wall);
    return;
  }
  if (!initiate_on_data_) {
    ++counters_.queue_dropped;
    return;
  }
  if (queue_.size() == kQueueMax) {
    queue_.pop_front();
    ++counters_.queue_dropped;
  }
  queue_.push_back(copy_of(inner));
  initiate(now, wall);
}

void Tunnel::initiate(Instant now, WallTime wall) {
  last_now_ = now;
  timers_.on_handshake_started(now);
  handshake_.start(now, wall);
  drain_handshake();
}

void Tunnel::on_datagram(Bytes datagram, const IpAddress& source, Instant now) {
  last_now_ = now;
  const auto type = classify(datagram);
  if (!type) {
    ++counters_.malformed;
    return;
  }
  if (*type == MessageType::data) return on_data(datagram, now);
  if (*type == MessageType::cookie_reply) {
    if (!handshake_.on_cookie_reply(datagram, now)) ++counters_.bad_handshakes;
    return;
  }
  switch (limiter_.check(datagram, source, now)) {
    case HandshakeVerdict::process:
      break;
    case HandshakeVerdict::bad_mac1:
      ++counters_.bad_mac1;
      return;
    case HandshakeVerdict::malformed:
      ++counters_.malformed;
      return;
    case HandshakeVerdict::reply_with_cookie: {
      const CookieReplyBytes reply = limiter_.cookie_reply(datagram, source, now);
      datagrams_.emplace_back(reply.begin(), reply.end());
      ++counters_.cookie_replies_sent;
      return;
    }
  }
  *type == MessageType::initiation ? on_initiation(datagram, now) : on_response(datagram, now);
  drain_handshake();
}

void Tunnel::on_timeout(Instant now, WallTime wall) {
  last_now_ = now;
  handshake_.on_timeout(now, wall);
  drain_handshake();
  sessions_.expire(now);
  const TrafficTimers::Decision due = timers_.poll(now);
  if (due.send_keepalive) send_keepalive(now);
  if (due.handshake) initiate(now, wall);
}

// ---- messages ----

void Tunnel::on_initiation(Bytes message, Instant now) {
  auto opened = open_initiation(identity_, message);
  if (!opened) {
    ++counters_.bad_handshakes;
    return;
  }
  auto answer = handshake_.on_initiation(std::move(*opened), now);
  if (!answer) {
    ++counters_.bad_handshakes;
    return;
  }
  datagrams_.emplace_back(answer->response.begin(), answer->response.end());
  sessions_.install(std::move(answer->keys), engine_);
  ++counters_.sessions;
}

void Tunnel::on_response(Bytes message, Instant now) {
  auto keys = handshake_.on_response(message, now);
  if (!keys) {
    ++counters_.bad_handshakes;
    return;
  }
  Session& session = sessions_.install(std::move(*keys), engine_);
  ++counters_.sessions;
  // The responder may use its new session only once it has heard something under it.
  if (queue_.empty()) send_keepalive(now);
  adopt(session, now);
}

void Tunnel::on_data(Bytes message, Instant now) {
  Session* session = sessions_.find(data_receiver(message.data()));
  if (session == nullptr) {
    ++counters_.unknown_receiver;
    return;
  }
  ByteVector buffer = copy_of(message);
  const OpenResult opened = session->open(buffer, now);
  switch (opened.status) {
    case OpenStatus::ok:
      break;
    case OpenStatus::expired:
      ++counters_.expired;
      return;
    case OpenStatus::replayed:
      ++counters_.replayed;
      return;
    case OpenStatus::bad_tag:
      ++counters_.bad_tag;
      return;
  }
  if (sessions_.on_authenticated(*session)) {
    handshake_.on_session_confirmed(now);
    adopt(*session, now);
  }
  if (opened.inner.empty()) {
    timers_.on_keepalive_received(now);
    return;
  }
  timers_.on_data_received(now);
  const auto length = inner_length(opened.inner);
  if (!length) {
    ++counters_.malformed;
    return;
  }
  inner_.push_back(copy_of(opened.inner.first(*length)));
}

// ---- sessions ----

void Tunnel::adopt(Session& session, Instant now) {
  timers_.on_session(session.role(), session.established(), now);
  events_.push_back(Event::established);
  while (!queue_.empty()) {
    if (!seal_and_queue(queue_.front(), now)) break;
    timers_.on_data_sent(now);
    queue_.pop_front();
  }
}

bool Tunnel::seal_and_queue(Bytes inner, Instant now) {
  Session* session = sessions_.sending(now);
  if (session == nullptr) return false;
  ByteVector message(inner.size() + kDataOverhead);
  std::ranges::copy(inner, message.begin() + kDataHeaderSize);
  if (!session->seal(message.data(), inner.size())) return false;
  datagrams_.push_back(std::move(message));
  return true;
}

void Tunnel::send_keepalive(Instant now) {
  if (seal_and_queue({}, now)) timers_.on_keepalive_sent(now);
}

void Tunnel::drain_handshake() {
  if (const auto initiation = handshake_.poll_initiation()) {
    datagrams_.emplace_back(initiation->begin(), initiation->end());
  }
  const auto event = handshake_.poll_event();
  if (!event) return;
  counters_.queue_dropped += queue_.size();
  queue_.clear();
  events_.push_back(*event == Handshake::Event::no_session ? Event::expired : Event::unanswered);
}

// ---- outputs ----

std::optional<ByteVector> Tunnel::poll_datagram() { return take(datagrams_); }
std::optional<ByteVector> Tunnel::poll_inner() { return take(inner_); }
std::optional<Tunnel::Event> Tunnel::poll_event() { return take(events_); }

std::optional<Wakeup> Tunnel::wakeup() const {
  if (!datagrams_.empty() || !inner_.empty() || !events_.empty())
    return Wakeup{last_now_, "tunnel output queued"};
  std::optional<Wakeup> first = handshake_.wakeup();
  if (const Instant at = timers_.next(); at != Instant::max())
    first = earlier(first, Wakeup{at, "traffic timer"});
  if (const auto at = sessions_.next_expiry())
    first = earlier(first, Wakeup{*at, "session expiry"});
  if (first) first->at = std::max(first->at, last_now_);
  return first;
}

}  // namespace fg::wireguard
