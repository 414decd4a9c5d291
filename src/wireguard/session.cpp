#include "wireguard/session.h"

#include <algorithm>

namespace fg::wireguard {

Session::Session(SessionKeys keys, crypto::AeadEngine& engine, std::uint64_t first_counter)
    : local_index_(keys.local_index),
      remote_index_(keys.remote_index),
      send_counter_(first_counter),
      receive_until_(keys.established + kRejectAfterTime),
      send_until_(keys.established +
                  (keys.role == Role::initiator ? kInitiatorStopsSending : kRejectAfterTime)),
      role_(keys.role),
      send_(engine, crypto::AeadDirection::seal, keys.send),
      receive_(engine, crypto::AeadDirection::open, keys.receive) {}

bool Session::seal(std::uint8_t* message, std::size_t inner_length) noexcept {
  if (send_counter_ >= kRejectAfterMessages) return false;
  const std::uint64_t counter = send_counter_++;
  write_data_header(message, remote_index_, counter);
  std::uint8_t* inner = message + kDataHeaderSize;
  send_.seal(counter, {inner, inner_length}, inner + inner_length);
  return true;
}

bool Session::decrypt(MutableBytes message) noexcept {
  const std::size_t length = message.size() - kDataOverhead;
  std::uint8_t* inner = message.data() + kDataHeaderSize;
  return receive_.open(data_counter(message.data()), {inner, length}, inner + length);
}

OpenResult Session::open(MutableBytes message, Instant now) noexcept {
  if (!can_receive(now)) return {.status = OpenStatus::expired, .inner = {}};
  const std::uint64_t counter = data_counter(message.data());
  if (!window_.would_accept(counter)) return {.status = OpenStatus::replayed, .inner = {}};
  if (!decrypt(message)) return {.status = OpenStatus::bad_tag, .inner = {}};
  window_.commit(counter);
  return {.status = OpenStatus::ok,
          .inner = message.subspan(kDataHeaderSize, message.size() - kDataOverhead)};
}

Session& SessionRing::install(SessionKeys keys, crypto::AeadEngine& engine) {
  Entry& entry = entries_[number(keys.local_index) % kSize];
  if (current_ != nullptr && current_ == entry.session.get()) current_ = nullptr;
  const bool sends_at_once = keys.role == Role::initiator;
  entry.session = std::make_unique<Session>(std::move(keys), engine);
  entry.order = ++installed_;
  if (sends_at_once) {
    current_ = entry.session.get();
    current_order_ = entry.order;
  }
  next_expiry_ = first_expiry();
  return *entry.session;
}

bool SessionRing::on_authenticated(Session& session) noexcept {
  if (&session == current_) return false;
  const Entry& entry = entries_[number(session.local_index()) % kSize];
  if (current_ != nullptr && entry.order < current_order_) return false;
  current_ = &session;
  current_order_ = entry.order;
  return true;
}

void SessionRing::expire(Instant now) noexcept {
  for (Entry& entry : entries_) {
    if (!entry.session || entry.session->can_receive(now)) continue;
    if (current_ == entry.session.get()) current_ = nullptr;
    entry.session.reset();
  }
  next_expiry_ = first_expiry();
}

void SessionRing::clear() noexcept {
  current_ = nullptr;
  next_expiry_.reset();
  for (Entry& entry : entries_) entry.session.reset();
}

std::size_t SessionRing::size() const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(entries_, [](const Entry& e) { return e.session != nullptr; }));
}

std::optional<Instant> SessionRing::first_expiry() const noexcept {
  std::optional<Instant> first;
  for (const Entry& entry : entries_) {
    if (!entry.session) continue;
    const Instant at = entry.session->established() + kRejectAfterTime;
    if (!first || at < *first) first = at;
  }
  return first;
}

std::optional<std::size_t> inner_length(Bytes decrypted) noexcept {
  if (decrypted.empty()) return std::nullopt;
  const std::uint8_t* p = decrypted.data();
  std::size_t length = 0;
  if (p[0] >> 4 == 4) {
    if (decrypted.size() < 20) return std::nullopt;
    length = load_be16(p + 2);
    if (length < 20) return std::nullopt;
  } else if (p[0] >> 4 == 6) {
    if (decrypted.size() < 40) return std::nullopt;
    length = std::size_t{40} + load_be16(p + 4);
  } else {
    return std::nullopt;
  }
  return length <= decrypted.size() ? std::optional{length} : std::nullopt;
}

}  // namespace fg::wireguard
