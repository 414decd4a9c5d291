#include "control/flow_log/book.h"

#include <utility>

namespace fg::flow_log {

std::optional<Record> Book::on_event(WorkerIndex worker, const flow::Event& event, const Ask& ask) {
  const auto id = std::uint64_t{number(worker)} << 32 | event.flow;
  if (const auto* started = std::get_if<flow::Started>(&event.what)) {
    open_.erase(id);
    auto beginning = ask(*started);
    if (beginning.whose == nullptr) return std::nullopt;
    Record record{.whose = std::move(beginning.whose),
                  .key = started->key,
                  .domain = std::move(beginning.domain),
                  .outers = {{started->path, wall_of(event.at)}},
                  .start = wall_of(event.at),
                  .end = std::nullopt};
    open_[id] = record;
    return record;
  }
  const auto found = open_.find(id);
  if (found == open_.end()) return std::nullopt;
  if (const auto* changed = std::get_if<flow::PathChanged>(&event.what)) {
    if (found->second.outers.size() < flow::kPathsMax)
      found->second.outers.push_back({changed->path, wall_of(event.at)});
    return std::nullopt;
  }
  const auto* completed = std::get_if<flow::Completed>(&event.what);
  if (completed == nullptr) return std::nullopt;
  auto record = std::move(open_.extract(found).mapped());
  record.end = End{wall_of(event.at),     wall_of(completed->last_packet),
                   completed->rx_packets, completed->tx_packets,
                   completed->rx_bytes,   completed->tx_bytes};
  return record;
}

}  // namespace fg::flow_log
