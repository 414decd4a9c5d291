#include "control/portal/channel.h"

#include <algorithm>
#include <utility>

#include "control/portal/json.h"

namespace fg::portal {
namespace {

constexpr std::string_view kTopic = "gateway";           // spec portal 1.7
constexpr std::string_view kHeartbeatTopic = "phoenix";  // spec portal 1.9
constexpr std::string_view kUnmatchedTopic = "unmatched topic";

// Topic, event and ref. A doubled key or a ref that is no whole number makes the message
// unparseable (spec portal 1.7).
std::optional<Envelope> envelope_of(ObjectReader& from) {
  Envelope envelope;
  envelope.topic = from.text("topic");
  envelope.event = from.text("event");
  if (const Json* ref = from.find("ref"); ref != nullptr && !ref->is_null()) {
    if (ref->kind != Json::Kind::integer || ref->is_negative) return std::nullopt;
    envelope.ref = ref->magnitude;
  }
  if (!from.ok()) return std::nullopt;
  return envelope;
}

struct Reply {
  bool is_ok = false;
  std::string_view reason;  // of an error
};

std::optional<Reply> reply_of(const Json& payload) {
  ObjectReader from(payload);
  const auto status = from.text("status");
  const Json* response = from.require("response");
  if (!from.ok()) return std::nullopt;
  if (status == "ok" && response->is_empty_object()) return Reply{true, {}};
  if (status != "error") return std::nullopt;
  ObjectReader error(*response);
  const auto reason = error.text("reason");
  if (!error.ok()) return std::nullopt;
  return Reply{false, reason};
}

// The words of the originals' log (spec portal 1.8, 1.10).
std::string_view shown_reason(std::string_view reason) {
  if (reason == kUnmatchedTopic || reason == "disabled") return reason;
  if (reason == "invalid_version") return "invalid version";
  return "other";
}

std::size_t hash_of(const Message& message) {
  return std::hash<std::string>{}(message.event) ^ std::hash<std::string>{}(message.payload);
}

bool remove_from(std::vector<std::string>& list, const std::string& line) {
  const auto at = std::find(list.begin(), list.end(), line);
  if (at == list.end()) return false;
  list.erase(at);
  return true;
}

}  // namespace

void Channel::on_open(bool announces_capabilities, Instant now) {
  on_closed();
  last_now_ = now;
  announces_capabilities_ = announces_capabilities;
  next_ref_ = 0;
  timers_.set(Timer::heartbeat, now + kHeartbeatInterval);
  start_join(now);
}

void Channel::on_closed() {
  state_ = State::down;
  has_joined_here_ = false;
  wants_join_ = false;
  wants_heartbeat_ = false;
  join_ref_.reset();
  unanswered_.clear();
  for (const auto& candidates : std::exchange(unconfirmed_, {})) hold(candidates, true);
  confirmed_ = 0;
  for (const auto& queued : queue_) {
    if (queued.candidates)
      hold(*queued.candidates, false);
    else
      ++counters_.discarded_messages;
  }
  queue_.clear();
  queued_hashes_.clear();
  timers_.clear();
}

void Channel::start_join(Instant now) {
  state_ = State::joining;
  wants_join_ = true;
  join_ref_.reset();
  timers_.set(Timer::join, now + kJoinTimeout);
}

void Channel::on_timeout(Instant now) {
  last_now_ = now;
  if (timers_.take_expired(Timer::join, now)) {
    fail_connection(false, "portal did not answer the join in time");
    return;
  }
  if (!timers_.expired(Timer::heartbeat, now)) return;
  while (timers_.expired(Timer::heartbeat, now)) {
    timers_.set(Timer::heartbeat, *timers_.at(Timer::heartbeat) + kHeartbeatInterval);
  }
  if (unanswered_.size() >= kHeartbeatsUnanswered) {
    fail_connection(false, "portal does not answer heartbeats");
    return;
  }
  wants_heartbeat_ = true;
}

void Channel::on_text(std::string_view text, Instant now) {
  last_now_ = now;
  if (state_ == State::down) return;
  if (text.size() > kMessageBytesMax) {
    count_oversized();
    fail_connection(false, "portal sent an oversized message");
    return;
  }
  const auto json = parse_json(text);
  if (!json) {
    if (json.error() == JsonError::truncated) {
      fail_connection(false, "portal sent a truncated message");
    } else {
      drop("not JSON", "");
    }
    return;
  }
  ObjectReader from(*json);
  const auto envelope = envelope_of(from);
  const Json* payload = envelope ? from.find("payload") : nullptr;
  if (!envelope || payload == nullptr || !from.ok()) {
    drop("not a channel message", envelope ? std::string_view{envelope->event} : "");
    return;
  }
  if (envelope->event == "phx_reply") {
    on_reply(*envelope, *payload, now);
  } else if (envelope->event == "phx_close") {
    if (payload->is_empty_object()) {
      fail_connection(false, "portal closed the channel");
    } else {
      drop("phx_close with a payload", envelope->event);
    }
  } else if (envelope->event == "disconnect") {
    on_disconnect(*payload);
  } else if (envelope->event != "phx_error") {  // spec portal 1.11: ignored in all generations
    on_message(*envelope, *payload);
  }
}

void Channel::on_message(const Envelope& envelope, const Json& payload) {
  auto ingress = parse_ingress(envelope.event, payload);
  if (!ingress) {
    if (ingress.error() == ParseError::unknown_event) {
      ++counters_.unknown_events;
      log_.warn("unknown event of the portal: if clients miss something, update the gateway",
                {{"event", envelope.event}});
    } else {
      drop("payload does not fit", envelope.event);
    }
    return;
  }
  ++counters_.ingress_messages;
  events_.emplace_back(std::move(*ingress));
}

void Channel::on_reply(const Envelope& envelope, const Json& payload, Instant now) {
  const auto reply = reply_of(payload);
  if (!reply) {
    drop("reply does not fit", envelope.event);
    return;
  }
  if (!envelope.ref) return;
  const bool is_ours = envelope.topic == kTopic;
  if (is_ours && join_ref_ && *envelope.ref == *join_ref_) {
    on_join_reply(reply->is_ok, reply->reason);
    return;
  }
  if (reply->is_ok) {
    if (const auto answered = unanswered_.extract(*envelope.ref)) confirm(answered.mapped());
    return;
  }
  log_.debug("portal answered with an error",
             {{"reason", reply->reason}, {"topic", envelope.topic}});
  // Several lost messages are answered so; while a join is pending they say nothing new.
  if (is_ours && reply->reason == kUnmatchedTopic && state_ == State::joined) {
    log_.info("portal lost our channel, joining again");
    start_join(now);
  }
}

void Channel::on_join_reply(bool is_ok, std::string_view reason) {
  if (!is_ok) {
    fail_connection(true, "Failed to login with portal: " + std::string{shown_reason(reason)});
    return;
  }
  on_joined();
}

void Channel::on_joined() {
  state_ = State::joined;
  has_joined_here_ = true;
  join_ref_.reset();
  timers_.stop(Timer::join);
  ++counters_.joins;
  if (announces_capabilities_) {
    Message capabilities{"set_snownet_capabilities", R"({"iceless":true})"};
    queued_hashes_.insert(hash_of(capabilities));
    queue_.push_front({std::move(capabilities), std::nullopt});
  }
  flush_held();
  events_.emplace_back(Joined{});
}

void Channel::on_disconnect(const Json& payload) {
  ObjectReader from(payload);
  if (from.text("reason") == "token_expired" && from.ok()) {
    fail_connection(true, "Authentication token invalid");
  } else {
    drop("unknown reason to disconnect", "disconnect");
  }
}

void Channel::send(const Egress& egress, Instant now) {
  last_now_ = now;
  const auto* candidates = std::get_if<BroadcastCandidates>(&egress);
  if (candidates != nullptr && !has_joined_here_) {
    hold(*candidates, false);
  } else if (candidates != nullptr) {
    enqueue(*candidates);
  } else if (state_ == State::down) {
    ++counters_.discarded_messages;
  } else {
    enqueue(serialize(egress));
  }
}

void Channel::enqueue(BroadcastCandidates candidates) {
  auto message = serialize(candidates);
  enqueue(std::move(message), std::move(candidates));
}

void Channel::enqueue(Message message, std::optional<BroadcastCandidates> candidates) {
  const auto hash = hash_of(message);
  if (queued_hashes_.contains(hash) &&
      std::any_of(queue_.begin(), queue_.end(),
                  [&](const Queued& queued) { return queued.message == message; })) {
    ++counters_.merged_messages;
  } else if (queue_.size() >= kQueuedMessagesMax) {
    ++counters_.refused_messages;
  } else {
    queued_hashes_.insert(hash);
    queue_.push_back({std::move(message), std::move(candidates)});
  }
}

// An addition that is withdrawn while still held cancels out, and the other way round (spec
// portal 1.13, C); unless it may have been heard of before.
void Channel::hold(const BroadcastCandidates& message, bool was_told) {
  auto at = held_.find(message.client);
  if (at == held_.end()) {
    if (held_.size() >= kHeldClientsMax) {
      counters_.refused_candidates += message.candidates.size();
      return;
    }
    at = held_.emplace(message.client, HeldCandidates{}).first;
  }
  auto& to = message.invalidated ? at->second.removed : at->second.added;
  auto& opposite = message.invalidated ? at->second.added : at->second.removed;
  auto& told = at->second.told;
  for (const auto& line : message.candidates) {
    const bool is_known = was_told || told.contains(line);
    if (remove_from(opposite, line) && !is_known) continue;
    if (std::find(to.begin(), to.end(), line) == to.end()) {
      if (to.size() >= kHeldCandidatesMax) {
        ++counters_.refused_candidates;
        continue;
      }
      to.push_back(line);
    }
    if (was_told) told.insert(line);
  }
  if (at->second.added.empty() && at->second.removed.empty()) held_.erase(at);
}

void Channel::flush_held() {
  for (auto& [client, candidates] : held_) {
    if (!candidates.added.empty())
      enqueue(BroadcastCandidates{client, std::move(candidates.added), false});
    if (!candidates.removed.empty())
      enqueue(BroadcastCandidates{client, std::move(candidates.removed), true});
  }
  held_.clear();
}

void Channel::keep_unconfirmed(BroadcastCandidates candidates) {
  if (unconfirmed_.size() >= kUnconfirmedMax) {
    unconfirmed_.pop_front();
    ++confirmed_;
    ++counters_.forgotten_messages;
  }
  unconfirmed_.push_back(std::move(candidates));
}

// The portal has read what was written before the heartbeat it answers.
void Channel::confirm(std::uint64_t written) {
  for (; confirmed_ < written && !unconfirmed_.empty(); ++confirmed_) unconfirmed_.pop_front();
}

void Channel::forget_client(const ClientId& client) {
  held_.erase(client);
  // Stays in its place, since places are counted.
  for (auto& candidates : unconfirmed_) {
    if (candidates.client == client) candidates.candidates.clear();
  }
}

void Channel::fail_connection(bool is_fatal, std::string reason) {
  if (state_ == State::down) return;
  on_closed();
  events_.emplace_back(Failed{is_fatal, std::move(reason)});
}

std::optional<std::string> Channel::poll_text(Instant now) {
  last_now_ = now;
  if (state_ == State::down) return std::nullopt;
  if (wants_join_) {
    wants_join_ = false;
    join_ref_ = next_ref_;
    return take_ref(kTopic, "phx_join", "null");
  }
  if (wants_heartbeat_) {
    wants_heartbeat_ = false;
    unanswered_.emplace(next_ref_, confirmed_ + unconfirmed_.size());
    return take_ref(kHeartbeatTopic, "heartbeat", "{}");
  }
  if (state_ != State::joined || queue_.empty()) return std::nullopt;
  auto [message, candidates] = std::move(queue_.front());
  queue_.pop_front();
  if (candidates) keep_unconfirmed(std::move(*candidates));
  queued_hashes_.erase(queued_hashes_.find(hash_of(message)));
  return take_ref(kTopic, message.event, message.payload);
}

std::string Channel::take_ref(std::string_view topic, std::string_view event,
                              std::string_view payload) {
  return frame(topic, event, payload, next_ref_++);
}

std::optional<Channel::Event> Channel::poll_event() {
  if (events_.empty()) return std::nullopt;
  auto event = std::move(events_.front());
  events_.pop_front();
  return event;
}

// Texts are not a reason to wake up: the driver asks for them after every input and whenever a
// write has finished.
std::optional<Wakeup> Channel::wakeup() const {
  if (!events_.empty()) return Wakeup{last_now_, "portal events"};
  std::optional<Wakeup> next;
  if (const auto at = timers_.at(Timer::heartbeat)) next = Wakeup{*at, "portal heartbeat"};
  if (const auto at = timers_.at(Timer::join)) next = earlier(next, Wakeup{*at, "portal join"});
  return next;
}

void Channel::drop(std::string_view why, std::string_view event) {
  ++counters_.malformed_messages;
  log_.warn("dropped a message of the portal: if clients miss something, update the gateway",
            {{"why", why}, {"event", event}});
}

}  // namespace fg::portal
