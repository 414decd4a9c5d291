#include "wireguard/traffic_timers.h"

#include <algorithm>

namespace fg::wireguard {
namespace {

// Whitepaper §6.1.
constexpr Duration kRekeyAfterTime = 120s;
constexpr Duration kRejectAfter = 180s;

}  // namespace

void TrafficTimers::on_session(Role role, Instant established, Instant now) noexcept {
  is_initiator_ = role == Role::initiator;
  established_ = established;
  silence_at_ = kNever;
  rekey_at_ = is_initiator_ && rekey_by_age_ ? established + kRejectAfter : kNever;
  if (persistent_keepalive_ > Timeout::zero()) persistent_at_ = now + persistent_keepalive_;
}

void TrafficTimers::on_sent(Instant now) noexcept {
  keepalive_at_ = kNever;
  if (persistent_keepalive_ > Timeout::zero()) persistent_at_ = now + persistent_keepalive_;
}

void TrafficTimers::on_received(Instant now) noexcept {
  silence_at_ = kNever;
  if (persistent_keepalive_ > Timeout::zero()) persistent_at_ = now + persistent_keepalive_;
}

void TrafficTimers::on_data_sent(Instant now) noexcept {
  on_sent(now);
  if (silence_at_ == kNever) silence_at_ = now + silence_timeout_;
  if (rekey_at_ != kNever) rekey_at_ = std::min(rekey_at_, established_ + kRekeyAfterTime);
}

void TrafficTimers::on_data_received(Instant now) noexcept {
  on_received(now);
  if (keepalive_at_ == kNever) keepalive_at_ = now + keepalive_timeout_;
  // A keepalive later and one lost handshake are still in time before the session ends.
  if (rekey_at_ != kNever) {
    rekey_at_ = std::min(rekey_at_, established_ + kRejectAfter - silence_timeout_);
  }
}

void TrafficTimers::on_keepalive_sent(Instant now) noexcept { on_sent(now); }
void TrafficTimers::on_keepalive_received(Instant now) noexcept { on_received(now); }

void TrafficTimers::on_handshake_started(Instant) noexcept {
  silence_at_ = kNever;
  rekey_at_ = kNever;
}

TrafficTimers::Decision TrafficTimers::poll(Instant now) noexcept {
  Decision out;
  if (now >= keepalive_at_ || now >= persistent_at_) {
    out.send_keepalive = true;
    keepalive_at_ = kNever;
    persistent_at_ = kNever;
  }
  if (now >= silence_at_) {
    out.handshake = out.nothing_heard = true;
    silence_at_ = kNever;
  }
  if (now >= rekey_at_) {
    out.handshake = true;
    rekey_at_ = kNever;
  }
  return out;
}

Instant TrafficTimers::next() const noexcept {
  return std::min({keepalive_at_, persistent_at_, silence_at_, rekey_at_});
}

}  // namespace fg::wireguard
