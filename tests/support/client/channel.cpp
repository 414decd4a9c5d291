#include "tests/support/client/channel.h"

#include <algorithm>

namespace fg::client {
namespace {

using portal::Json;
using portal::ObjectReader;

constexpr std::string_view kTopic = "client";
constexpr Duration kJoinTimeout = 5s;                // spec portal 1.8
constexpr std::size_t kHeartbeatsUnansweredMax = 3;  // spec portal 1.9

constexpr Duration heartbeat_interval(Generation generation) {
  return generation == Generation::a ? 30s : 10s;
}

}  // namespace

void Channel::on_open(Instant now) {
  on_closed();
  last_now_ = now;
  if (generation_ != Generation::a) next_ref_ = 0;
  timers_.set(Timer::heartbeat, now + heartbeat_interval(generation_));
  start_join(now);
}

void Channel::on_closed() {
  state_ = State::down;
  wants_join_ = wants_heartbeat_ = false;
  join_ref_.reset();
  unanswered_.clear();
  awaited_.clear();
  timers_.clear();
  std::erase_if(queue_, [&](const Queued& queued) { return !survives_outage(queued.message); });
}

bool Channel::survives_outage(const portal::Message& message) const {
  return generation_ == Generation::a ||
         (generation_ == Generation::c && message.event.ends_with("ice_candidates"));
}

void Channel::start_join(Instant now) {
  state_ = State::joining;
  wants_join_ = true;
  timers_.set(Timer::join, now + kJoinTimeout);
}

void Channel::on_timeout(Instant now) {
  last_now_ = now;
  if (timers_.take_expired(Timer::join, now)) return fail_connection(false, "join unanswered");
  if (!timers_.take_expired(Timer::heartbeat, now)) return;
  timers_.set(Timer::heartbeat, now + heartbeat_interval(generation_));
  if (unanswered_.size() >= kHeartbeatsUnansweredMax)
    return fail_connection(false, "heartbeats unanswered");
  wants_heartbeat_ = true;
}

void Channel::on_text(std::string_view text, Instant now) {
  last_now_ = now;
  if (state_ == State::down) return;
  const auto json = portal::parse_json(text);
  if (!json) {
    if (json.error() == portal::JsonError::truncated) fail_connection(false, "truncated message");
    return;
  }
  ObjectReader from(*json);
  const std::string topic{from.text("topic")};
  const std::string event{from.text("event")};
  const Json* payload = from.require("payload");
  std::optional<std::uint64_t> ref;
  if (const Json* found = from.find("ref"); found != nullptr && found->kind == Json::Kind::integer)
    ref = found->magnitude;
  if (!from.ok()) {
    log_.warn("not a channel message");
    return;
  }
  if (event == "phx_reply") {
    on_reply(topic, ref, *payload, now);
  } else if (event == "phx_close") {
    if (payload->is_empty_object()) fail_connection(false, "phx_close");
  } else if (event == "disconnect") {
    ObjectReader reason(*payload);
    if (reason.text("reason") == "token_expired") fail_connection(true, "token expired");
  } else if (event != "phx_error") {
    events_.emplace_back(Received{event, *payload});
  }
}

void Channel::on_reply(const std::string& topic, std::optional<std::uint64_t> ref,
                       const Json& payload, Instant now) {
  ObjectReader from(payload);
  const bool is_ok = from.text("status") == "ok";
  const Json* response = from.require("response");
  if (!ref || !from.ok()) return;
  std::string reason;
  if (!is_ok && response->is_object()) {
    ObjectReader error(*response);
    reason = error.optional_text("reason", true).value_or("");
  }
  if (topic == kTopic && join_ref_ == ref) {
    if (!is_ok) return fail_connection(true, "join refused: " + reason);
    join_ref_.reset();
    timers_.stop(Timer::join);
    state_ = State::joined;
    if (generation_ == Generation::c) queue_.push_front({capabilities(), std::nullopt});
    events_.emplace_back(Joined{});
    return;
  }
  if (unanswered_.erase(*ref) != 0) return;
  if (reason == "unmatched topic" && state_ == State::joined) start_join(now);
  const auto awaited = awaited_.extract(*ref);
  if (!awaited.empty())
    events_.emplace_back(Replied{awaited.mapped(), is_ok, *response, std::move(reason)});
  else if (!is_ok)
    log_.warn("portal answered with an error", {{"reason", reason}});
}

void Channel::send(portal::Message message, std::optional<Tag> tag) {
  if (state_ != State::joined && !survives_outage(message)) return;
  if (queue_.size() >= kQueuedMessagesMax) return;
  const auto is_same = [&](const Queued& queued) { return queued.message == message; };
  if (generation_ != Generation::a && std::any_of(queue_.begin(), queue_.end(), is_same)) return;
  queue_.push_back({std::move(message), tag});
}

std::optional<std::string> Channel::poll_text() {
  if (state_ == State::down) return std::nullopt;
  if (wants_join_) {
    wants_join_ = false;
    join_ref_ = next_ref_;
    return portal::frame(kTopic, "phx_join", "null", next_ref_++);
  }
  if (wants_heartbeat_) {
    wants_heartbeat_ = false;
    unanswered_.insert(next_ref_);
    return portal::frame("phoenix", "heartbeat", "{}", next_ref_++);
  }
  if (state_ != State::joined || queue_.empty()) return std::nullopt;
  const auto queued = std::move(queue_.front());
  queue_.pop_front();
  if (queued.tag) {
    if (awaited_.size() >= kAwaitedRepliesMax) awaited_.erase(awaited_.begin());
    awaited_[next_ref_] = *queued.tag;
  }
  return portal::frame(kTopic, queued.message.event, queued.message.payload, next_ref_++);
}

std::optional<Channel::Event> Channel::poll_event() {
  if (events_.empty()) return std::nullopt;
  auto out = std::move(events_.front());
  events_.pop_front();
  return out;
}

std::optional<Wakeup> Channel::wakeup() const {
  if (!events_.empty()) return Wakeup{last_now_, "portal event"};
  const auto at = timers_.next();
  return at ? std::optional{Wakeup{*at, "portal channel"}} : std::nullopt;
}

void Channel::fail_connection(bool is_fatal, std::string reason) {
  on_closed();
  events_.emplace_back(Failed{is_fatal, std::move(reason)});
}

}  // namespace fg::client
