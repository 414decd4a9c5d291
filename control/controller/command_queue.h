// What waits for room in the workers' rings, in order for each of them. At the limit nothing new is
// begun: what may be lost is refused here, connections and handshakes by the controller. What ends
// or narrows something is always taken; commands that a later one overtakes are dropped instead, so
// that the queue stays proportional to what is established.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "pipeline/commands.h"

namespace fg::controller {

struct WorkerCommand {
  WorkerIndex worker{};
  pipeline::Command command;
};

using WorkerSet = std::bitset<pipeline::kWorkersMax>;

class CommandQueue {
 public:
  explicit CommandQueue(std::size_t limit) : limit_(limit), compact_at_(limit) {}

  // False: at the limit, and the command is one that may be lost.
  [[nodiscard]] bool push(WorkerCommand command);
  // The next one for a worker that is not busy.
  std::optional<WorkerCommand> pop(const WorkerSet& busy = {});
  void put_back(WorkerCommand command);

  // What overtaken commands would have lent: no worker will give it back.
  std::optional<const filter::Policy*> poll_unused_policy();
  std::optional<const nat::Translations*> poll_unused_translations();

  [[nodiscard]] bool is_full() const { return size_ >= limit_; }
  [[nodiscard]] bool is_empty() const { return size_ == 0; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  using Waiting = std::deque<pipeline::Command>;
  void drop_overtaken(Waiting& waiting);
  void drop(pipeline::Command& overtaken, pipeline::Command& by);

  std::size_t limit_;
  std::size_t compact_at_;  // twice what the last look over all left: each costs O(1) a command
  std::array<Waiting, pipeline::kWorkersMax> waiting_;
  std::size_t size_ = 0;  // of all
  std::vector<const filter::Policy*> unused_policies_;
  std::vector<const nat::Translations*> unused_translations_;
};

}  // namespace fg::controller
