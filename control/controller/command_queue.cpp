#include "control/controller/command_queue.h"

#include <algorithm>
#include <compare>
#include <map>
#include <set>
#include <utility>

namespace fg::controller {
namespace {

// Lost like a datagram: sent again, or known from the next packet.
bool may_be_lost(const pipeline::Command& command) {
  return std::holds_alternative<pipeline::SendInner>(command) ||
         std::holds_alternative<pipeline::SendProbe>(command) ||
         std::holds_alternative<pipeline::AskRoute>(command) ||
         std::holds_alternative<pipeline::ExpectSource>(command) ||
         std::holds_alternative<pipeline::SetStandingAnswer>(command);
}

// What a command sets; a later one of the same subject says all that it said.
struct Subject {
  std::size_t kind = 0;
  std::uint64_t number = 0;
  IpAddress address;
  friend auto operator<=>(const Subject&, const Subject&) = default;
};

std::uint64_t number_of(RelaySlot relay, ChannelNumber channel) {
  return std::uint64_t{number(relay)} << 16 | number(channel);
}

std::optional<Subject> subject_of(const pipeline::Command& command) {
  Subject out{command.index(), 0, {}};
  if (const auto* path = std::get_if<pipeline::SetPath>(&command)) {
    out.number = number(path->slot);
  } else if (const auto* policy = std::get_if<pipeline::SetPolicy>(&command)) {
    out.number = number(policy->slot);
  } else if (const auto* names = std::get_if<pipeline::SetTranslations>(&command)) {
    out.number = number(names->slot);
  } else if (const auto* channel = std::get_if<pipeline::SetChannel>(&command)) {
    out.number = number_of(channel->relay, channel->channel);
  } else if (const auto* owner = std::get_if<pipeline::SetTunnelOwner>(&command)) {
    out.address = owner->address;
  } else if (!std::holds_alternative<pipeline::SetGatewayAddresses>(command)) {
    return std::nullopt;
  }
  return out;
}

std::optional<RelaySlot> relay_of(const pipeline::Command& command) {
  if (const auto* relay = std::get_if<pipeline::SetRelay>(&command)) return relay->relay;
  if (const auto* channel = std::get_if<pipeline::SetChannel>(&command)) return channel->relay;
  return std::nullopt;
}

template <class T>
std::optional<T> pop_back(std::vector<T>& list) {
  if (list.empty()) return std::nullopt;
  const auto out = list.back();
  list.pop_back();
  return out;
}

}  // namespace

bool CommandQueue::push(WorkerCommand command) {
  if (is_full() && may_be_lost(command.command)) return false;
  waiting_.at(number(command.worker)).push_back(std::move(command.command));
  ++size_;
  if (size_ > compact_at_) {
    for (auto& waiting : waiting_) drop_overtaken(waiting);
    compact_at_ = std::max(limit_, 2 * size_);
  }
  return true;
}

std::optional<WorkerCommand> CommandQueue::pop(const WorkerSet& busy) {
  for (std::size_t i = 0; size_ > 0 && i < waiting_.size(); ++i) {
    auto& waiting = waiting_[i];
    if (waiting.empty() || busy.test(i)) continue;
    WorkerCommand out{WorkerIndex{static_cast<std::uint8_t>(i)}, std::move(waiting.front())};
    waiting.pop_front();
    --size_;
    if (!is_full()) compact_at_ = limit_;
    return out;
  }
  return std::nullopt;
}

void CommandQueue::put_back(WorkerCommand command) {
  waiting_.at(number(command.worker)).push_front(std::move(command.command));
  ++size_;
}

std::optional<const filter::Policy*> CommandQueue::poll_unused_policy() {
  return pop_back(unused_policies_);
}
std::optional<const nat::Translations*> CommandQueue::poll_unused_translations() {
  return pop_back(unused_translations_);
}

// The later command of a pair says all the earlier one said, but for flows that are to be
// forgotten.
void CommandQueue::drop(pipeline::Command& overtaken, pipeline::Command& by) {
  if (const auto* policy = std::get_if<pipeline::SetPolicy>(&overtaken)) {
    unused_policies_.push_back(policy->policy);
  } else if (const auto* names = std::get_if<pipeline::SetTranslations>(&overtaken)) {
    if (names->translations != nullptr) unused_translations_.push_back(names->translations);
    std::get<pipeline::SetTranslations>(by).forget_flows |= names->forget_flows;
  }
}

void CommandQueue::drop_overtaken(Waiting& waiting) {
  std::map<Subject, pipeline::Command*> told;
  std::set<RelaySlot> removed;  // with all their channels
  Waiting kept;
  size_ -= waiting.size();
  for (; !waiting.empty(); waiting.pop_back()) {
    auto& command = waiting.back();
    const auto relay = relay_of(command);
    if (relay && removed.contains(*relay)) continue;
    if (const auto* set = std::get_if<pipeline::SetRelay>(&command);
        set != nullptr && !set->server) {
      removed.insert(set->relay);
    }
    const auto subject = subject_of(command);
    if (const auto later = subject ? told.find(*subject) : told.end(); later != told.end()) {
      drop(command, *later->second);
      continue;
    }
    kept.push_front(std::move(command));
    if (subject) told.emplace(*subject, &kept.front());
  }
  waiting = std::move(kept);
  size_ += waiting.size();
}

}  // namespace fg::controller
