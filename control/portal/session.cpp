#include "control/portal/session.h"

#include <utility>

namespace fg::portal {

Session::Session(LoginOptions options, Duration partition_time_max, Random& random, Log log)
    : login_(std::move(options)),
      backoff_(random, partition_time_max),
      channel_(log),
      log_(std::move(log)) {}

void Session::start(Instant now) {
  last_now_ = now;
  if (state_ == State::idle) dial();
}

void Session::dial() {
  state_ = State::dialling;
  actions_.emplace_back(Dial{login_.request()});
}

void Session::on_upgraded(Instant now) {
  last_now_ = now;
  if (state_ != State::dialling) return;
  state_ = State::open;
  channel_.on_open(login_.announces_capabilities(), now);
}

void Session::on_refused(const UpgradeRefusal& refusal, Instant now, WallTime wall) {
  last_now_ = now;
  if (state_ != State::dialling) return;
  auto verdict = login_.on_refused(refusal, wall);
  switch (verdict.kind) {
    case Verdict::Kind::retry_other:
      log_.debug("portal is of another generation", {{"status", refusal.status}});
      dial();
      return;
    case Verdict::Kind::fatal:
      end(std::move(verdict.reason));
      return;
    case Verdict::Kind::retry:
      // Our own connection that broke a moment ago, until the portal notices (spec portal 3.1).
      if (refusal.status == 409 && lost_at_ && now < *lost_at_ + kConflictMax &&
          !verdict.retry_after)
        verdict.retry_after = kConflictRetry;
      retry(std::move(verdict.reason), verdict.retry_after, now);
      return;
  }
}

void Session::on_lost(std::string_view reason, Instant now) {
  last_now_ = now;
  if (state_ != State::dialling && state_ != State::open) return;
  channel_.on_closed();
  retry(std::string{reason}, std::nullopt, now);
}

void Session::on_oversized(Instant now) {
  channel_.count_oversized();
  on_lost("portal sent more than 16 MiB in a frame or 64 MiB in a message", now);
}

void Session::on_text(std::string_view text, Instant now) {
  last_now_ = now;
  if (state_ != State::open) return;
  channel_.on_text(text, now);
  pump_channel(now);
}

void Session::on_timeout(Instant now) {
  last_now_ = now;
  if (state_ == State::waiting && now >= retry_at_) {
    dial();
  } else if (state_ == State::open) {
    channel_.on_timeout(now);
    pump_channel(now);
  }
}

void Session::send(const Egress& egress, Instant now) {
  last_now_ = now;
  channel_.send(egress, now);
}

void Session::pump_channel(Instant now) {
  while (auto event = channel_.poll_event()) {
    if (auto* ingress = std::get_if<Ingress>(&*event)) {
      events_.emplace_back(std::move(*ingress));
    } else if (auto* failed = std::get_if<Channel::Failed>(&*event)) {
      actions_.emplace_back(Drop{});
      if (failed->is_fatal) {
        end(std::move(failed->reason));
      } else {
        retry(std::move(failed->reason), std::nullopt, now);
      }
    } else {
      backoff_.on_joined();
      was_joined_ = true;
      log_.info("Connected to portal");
      events_.emplace_back(Joined{login_.generation()});
    }
  }
}

void Session::retry(std::string reason, std::optional<Duration> retry_after, Instant now) {
  if (std::exchange(was_joined_, false)) {
    lost_at_ = now;
    login_.forget();
  }
  const auto delay = backoff_.next(retry_after);
  if (!delay) {
    end("Got disconnected from portal and hit the max-retry limit. Last connection error: " +
        reason);
    return;
  }
  log_.info("Hiccup in portal connection",
            {{"reason", reason}, {"backoff_ms", *delay / std::chrono::milliseconds{1}}});
  state_ = State::waiting;
  retry_at_ = now + *delay;
  events_.emplace_back(Disconnected{std::move(reason), *delay});
}

// The prefix of every fatal portal error (spec operations 3.4).
void Session::end(std::string reason) {
  state_ = State::ended;
  channel_.on_closed();
  events_.emplace_back(Fatal{"Failed to login to portal: " + std::move(reason)});
}

std::optional<Session::Action> Session::poll_action() {
  if (actions_.empty()) return std::nullopt;
  auto action = std::move(actions_.front());
  actions_.pop_front();
  return action;
}

std::optional<std::string> Session::poll_text(Instant now) {
  last_now_ = now;
  return state_ == State::open ? channel_.poll_text(now) : std::nullopt;
}

std::optional<Session::Event> Session::poll_event() {
  if (events_.empty()) return std::nullopt;
  auto event = std::move(events_.front());
  events_.pop_front();
  return event;
}

std::optional<Wakeup> Session::wakeup() const {
  if (!actions_.empty() || !events_.empty()) return Wakeup{last_now_, "portal actions and events"};
  if (state_ == State::waiting) return Wakeup{retry_at_, "portal retry"};
  if (state_ == State::open) return channel_.wakeup();
  return std::nullopt;
}

}  // namespace fg::portal
