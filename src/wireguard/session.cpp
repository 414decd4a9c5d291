#include "wireguard/session.h"

#include <algorithm>

namespace fg::wireguard {

Session::Session(SessionKeys keys, crypto::AeadEngine& engine, std::uint64_t first_counter)
    : send_(engine, crypto::AeadDirection::seal, keys.send),
      receive_(engine, crypto::AeadDirection::open, keys.receive),
      local_index_(keys.local_index),
      remote_index_(keys.remote_index),
      send_counter_(first_counter),
      receive_until_(keys.established + kRejectAfterTime),
      send_until_(keys.established +
                  (keys.role == Role::initiator ? kInitiatorStopsSending : kRejectAfterTime)),
      role_(keys.role) {}

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
  Entry& entry = all_->entries[number(keys.local_index) % kSize];
  if (current_ != nullptr && current_ == entry.session.get()) current_ = nullptr;
  const bool sends_at_once = keys.role == Role::initiator;
  entry.session = std::make_unique<Session>(std::move(keys), engine);
  entry.order = ++all_->installed;
  if (sends_at_once) send_under(entry);
  all_->next_expiry = first_expiry();
  return *entry.session;
}

bool SessionRing::confirm(Session& session) noexcept {
  Entry& entry = all_->entries[number(session.local_index()) % kSize];
  if (current_ != nullptr && entry.order < all_->current_order) return false;
  send_under(entry);
  return true;
}

void SessionRing::send_under(Entry& entry) noexcept {
  current_ = entry.session.get();
  current_index_ = current_->local_index();
  all_->current_order = entry.order;
}

void SessionRing::expire(Instant now) noexcept {
  for (Entry& entry : all_->entries) {
    if (!entry.session || entry.session->can_receive(now)) continue;
    if (current_ == entry.session.get()) current_ = nullptr;
    entry.session.reset();
  }
  all_->next_expiry = first_expiry();
}

void SessionRing::clear() noexcept {
  current_ = nullptr;
  all_->next_expiry.reset();
  for (Entry& entry : all_->entries) entry.session.reset();
}

std::size_t SessionRing::size() const noexcept {
  return static_cast<std::size_t>(
      std::ranges::count_if(all_->entries, [](const Entry& e) { return e.session != nullptr; }));
}

std::optional<Instant> SessionRing::first_expiry() const noexcept {
  std::optional<Instant> first;
  for (const Entry& entry : all_->entries) {
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
