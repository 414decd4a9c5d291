#include "control/turn/channels.h"

#include <algorithm>

namespace fg::turn {
namespace {

// spec connectivity 3.8
constexpr Duration kLifetime = 10min;
constexpr Duration kRenewAfter = 5min;
constexpr Duration kQuarantine = 15min;  // lifetime and cool-down
constexpr unsigned kNumbers = kChannelLast - kChannelFirst + 1;

std::uint16_t after(std::uint16_t channel) {
  return channel == kChannelLast ? kChannelFirst : static_cast<std::uint16_t>(channel + 1);
}

}  // namespace

std::optional<ChannelNumber> Channels::bind(const SocketAddress& peer, Instant now) {
  if (const auto known = by_peer_.find(peer); known != by_peer_.end()) {
    Channel& channel = by_number_.at(known->second);
    if (now - channel.bound_at < kQuarantine) {
      channel = {.number = channel.number, .peer = peer, .bound_at = now, .last_received = now};
      note(channel);
      return channel.number;
    }
    by_peer_.erase(known);
  }
  for (unsigned tried = 0; tried < kNumbers; ++tried) {
    const std::uint16_t candidate = next_number_;
    next_number_ = after(next_number_);
    if (!is_free(candidate, now)) continue;
    const ChannelNumber number{candidate};
    remove(number);
    const Channel channel{.number = number, .peer = peer, .bound_at = now, .last_received = now};
    by_number_.emplace(number, channel);
    by_peer_.insert_or_assign(peer, number);
    note(channel);
    return number;
  }
  return std::nullopt;
}

bool Channels::is_free(std::uint16_t candidate, Instant now) const {
  const Channel* channel = find(ChannelNumber{candidate});
  if (channel == nullptr) return true;
  return channel->state == State::expired &&
         now - std::max(channel->bound_at, channel->last_received) >= kQuarantine;
}

void Channels::confirm(ChannelNumber number, Instant now) {
  const auto it = by_number_.find(number);
  if (it == by_number_.end()) return;
  Channel& channel = it->second;
  channel.state = State::confirmed;
  channel.renewing = false;
  channel.bound_at = now;
  channel.last_received = now;
  note(channel);
}

void Channels::remove(ChannelNumber number) {
  const auto it = by_number_.find(number);
  if (it == by_number_.end()) return;
  const auto peer = by_peer_.find(it->second.peer);
  if (peer != by_peer_.end() && peer->second == number) by_peer_.erase(peer);
  by_number_.erase(it);
}

void Channels::clear() {
  by_number_.clear();
  by_peer_.clear();
  next_.reset();
}

void Channels::received(ChannelNumber number, Instant now) {
  const auto it = by_number_.find(number);
  if (it == by_number_.end() || it->second.state != State::confirmed) return;
  it->second.last_received = std::max(it->second.last_received, now);
  note(it->second);
}

const Channels::Channel* Channels::find(ChannelNumber number) const {
  const auto it = by_number_.find(number);
  return it == by_number_.end() ? nullptr : &it->second;
}

const Channels::Channel* Channels::find(const SocketAddress& peer) const {
  const auto it = by_peer_.find(peer);
  return it == by_peer_.end() ? nullptr : find(it->second);
}

std::optional<ChannelNumber> Channels::usable_for(const SocketAddress& peer, Instant now) const {
  const Channel* channel = find(peer);
  if (channel == nullptr || channel->state == State::expired ||
      now - channel->bound_at >= kLifetime)
    return std::nullopt;
  return channel->number;
}

std::optional<SocketAddress> Channels::peer_of(ChannelNumber number, Instant now) const {
  const Channel* channel = find(number);
  if (channel == nullptr || channel->state != State::confirmed ||
      now - channel->bound_at >= kLifetime) {
    return std::nullopt;
  }
  return channel->peer;
}

std::vector<Channels::Channel> Channels::live() const {
  std::vector<Channel> out;
  for (const auto& [number, channel] : by_number_) {
    if (channel.state != State::expired) out.push_back(channel);
  }
  return out;
}

Channels::Changes Channels::advance(Instant now) {
  Changes changes;
  if (!next_ || *next_ > now) return changes;
  next_.reset();
  for (auto& [number, channel] : by_number_) {
    if (channel.state != State::expired && now - channel.bound_at >= kLifetime) {
      channel.state = State::expired;
      changes.expired.push_back(channel);
    } else if (const auto at = due(channel); at && *at <= now) {
      channel.renewing = true;
      changes.renew.push_back(channel);
    }
    note(channel);
  }
  return changes;
}

std::optional<Instant> Channels::due(const Channel& channel) const {
  if (channel.state == State::expired) return std::nullopt;
  const bool renewable = channel.state == State::confirmed && !channel.renewing &&
                         channel.last_received > channel.bound_at;
  return channel.bound_at + (renewable ? kRenewAfter : kLifetime);
}

void Channels::note(const Channel& channel) {
  const auto at = due(channel);
  if (at && (!next_ || *at < *next_)) next_ = at;
}

}  // namespace fg::turn
