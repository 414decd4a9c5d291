#include "control/controller/command_queue.h"

#include <algorithm>
#include <compare>
#include <set>
#include <utility>

namespace fg::controller {
namespace {

// Lost like a datagram: sent again, or known from the next packet.
bool may_be_lost(const pipeline::Command& command) {
  return std::holds_alternative<pipeline::SendInner>(command) ||
         std::holds_alternative<pipeline::SendProbe>(command) ||
         std::holds_alternative<pipeline::ExpectSource>(command);
}

// What a command sets; a later one of the same subject says all that it said.
struct Subject {
  WorkerIndex worker{};
  std::size_t kind = 0;
  std::uint64_t number = 0;
  IpAddress address;
  friend auto operator<=>(const Subject&, const Subject&) = default;
};

std::uint64_t number_of(RelaySlot relay, ChannelNumber channel) {
  return std::uint64_t{number(relay)} << 16 | number(channel);
}

std::optional<Subject> subject_of(const WorkerCommand& of) {
  Subject out{of.worker, of.command.index(), 0, {}};
  if (const auto* path = std::get_if<pipeline::SetPath>(&of.command)) {
    out.number = number(path->slot);
  } else if (const auto* policy = std::get_if<pipeline::SetPolicy>(&of.command)) {
    out.number = number(policy->slot);
  } else if (const auto* channel = std::get_if<pipeline::SetChannel>(&of.command)) {
    out.number = number_of(channel->relay, channel->channel);
  } else if (const auto* owner = std::get_if<pipeline::SetTunnelOwner>(&of.command)) {
    out.address = owner->address;
  } else if (!std::holds_alternative<pipeline::SetGatewayAddresses>(of.command)) {
    return std::nullopt;
  }
  return out;
}

std::optional<RelaySlot> relay_of(const pipeline::Command& command) {
  if (const auto* relay = std::get_if<pipeline::SetRelay>(&command)) return relay->relay;
  if (const auto* channel = std::get_if<pipeline::SetChannel>(&command)) return channel->relay;
  return std::nullopt;
}

}  // namespace

bool CommandQueue::push(WorkerCommand command) {
  if (is_full() && may_be_lost(command.command)) return false;
  waiting_.push_back(std::move(command));
  if (waiting_.size() > compact_at_) {
    drop_overtaken();
    compact_at_ = std::max(limit_, 2 * waiting_.size());
  }
  return true;
}

std::optional<WorkerCommand> CommandQueue::pop() {
  if (waiting_.empty()) return std::nullopt;
  auto out = std::move(waiting_.front());
  waiting_.pop_front();
  if (!is_full()) compact_at_ = limit_;
  return out;
}

std::optional<const filter::Policy*> CommandQueue::poll_unused_policy() {
  if (unused_.empty()) return std::nullopt;
  const auto* out = unused_.back();
  unused_.pop_back();
  return out;
}

void CommandQueue::drop_overtaken() {
  std::set<Subject> told;
  std::set<std::pair<WorkerIndex, RelaySlot>> removed;  // relays, with all their channels
  std::deque<WorkerCommand> kept;
  for (; !waiting_.empty(); waiting_.pop_back()) {
    auto& command = waiting_.back();
    const auto relay = relay_of(command.command);
    if (relay && removed.contains({command.worker, *relay})) continue;
    if (const auto* set = std::get_if<pipeline::SetRelay>(&command.command);
        set != nullptr && !set->server) {
      removed.emplace(command.worker, set->relay);
    }
    if (const auto subject = subject_of(command); subject && !told.insert(*subject).second) {
      if (const auto* policy = std::get_if<pipeline::SetPolicy>(&command.command))
        unused_.push_back(policy->policy);
      continue;
    }
    kept.push_front(std::move(command));
  }
  waiting_ = std::move(kept);
}

}  // namespace fg::controller
