// Turns what the workers say of flows into records: remembers whose each open flow is, its name and
// its outer paths. What was not attributed when it began is not recorded. As many flows as the
// workers may have open.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/ids.h"
#include "base/time.h"
#include "control/flow_log/record.h"
#include "flow/tracker.h"

namespace fg::flow_log {

class Book {
 public:
  // What is known of a beginning flow.
  struct Beginning {
    std::shared_ptr<const Attribution> whose;  // nullptr: nobody's
    std::string domain;
  };
  using Ask = std::function<Beginning(const flow::Started&)>;

  // Both clocks read together once: later jumps of the wall clock do not bend a flow (spec
  // policy 6.2).
  Book(Instant start, WallTime wall) : start_(start), wall_(wall) {}

  // A record of a flow that began or ended.
  std::optional<Record> on_event(WorkerIndex worker, const flow::Event& event, const Ask& ask);
  [[nodiscard]] std::size_t open() const { return open_.size(); }

 private:
  [[nodiscard]] WallTime wall_of(Instant at) const { return wall_ + (at - start_); }

  Instant start_;
  WallTime wall_;
  std::unordered_map<std::uint64_t, Record> open_;
};

}  // namespace fg::flow_log
