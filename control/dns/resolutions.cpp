#include "control/dns/resolutions.h"

#include <algorithm>

namespace fg::dns {

std::optional<ResolutionId> Resolutions::start(std::string_view name, Instant now) {
  last_now_ = now;
  if (deadlines_.size() >= kResolutionsMax) return std::nullopt;
  const ResolutionId id{next_id_++};
  deadlines_.emplace(id, now + kResolutionTimeout);
  queries_.push_back({id, std::string{name}});
  return id;
}

void Resolutions::on_answer(ResolutionId id, const std::vector<IpAddress>& addresses, Instant now) {
  last_now_ = now;
  if (deadlines_.erase(id) == 0) return;
  Result result{id, addresses};
  std::stable_partition(result.addresses.begin(), result.addresses.end(),
                        [](const IpAddress& ip) { return ip.is_v6(); });
  results_.push_back(std::move(result));
}

void Resolutions::on_timeout(Instant now) {
  last_now_ = now;
  while (!deadlines_.empty() && deadlines_.begin()->second <= now) {
    results_.push_back({deadlines_.begin()->first, {}});
    deadlines_.erase(deadlines_.begin());
  }
}

std::optional<Resolutions::Query> Resolutions::poll_query() {
  if (queries_.empty()) return std::nullopt;
  auto query = std::move(queries_.front());
  queries_.pop_front();
  return query;
}

std::optional<Resolutions::Result> Resolutions::poll_result() {
  if (results_.empty()) return std::nullopt;
  auto result = std::move(results_.front());
  results_.pop_front();
  return result;
}

std::optional<Wakeup> Resolutions::wakeup() const {
  if (!queries_.empty() || !results_.empty()) return Wakeup{last_now_, "name resolution"};
  if (!deadlines_.empty()) return Wakeup{deadlines_.begin()->second, "name resolution gives up"};
  return std::nullopt;
}

}  // namespace fg::dns
