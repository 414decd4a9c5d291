#include "control/dns/resolutions.h"

namespace fg::dns {

Result<ResolutionId, DropReason> Resolutions::start(std::string_view name, Asker asker,
                                                    const ClientId& client, Instant now) {
  last_now_ = now;
  auto& of_asker = of_asker_[static_cast<std::size_t>(asker)];
  if (of_asker >= (asker == Asker::request ? kRequestsMax : kAnnouncementsMax))
    return fail(DropReason::resolutions_full);
  if (const auto own = of_client_.find(client);
      own != of_client_.end() && own->second >= kPerClientMax)
    return fail(DropReason::names_limited);
  const ResolutionId id{next_id_++};
  waiting_.emplace(id, Waiting{now + kResolutionTimeout, asker, client});
  ++of_asker;
  ++of_client_[client];
  queries_.push_back({id, std::string{name}});
  return id;
}

bool Resolutions::end(ResolutionId id) {
  const auto at = waiting_.find(id);
  if (at == waiting_.end()) return false;
  --of_asker_[static_cast<std::size_t>(at->second.asker)];
  const auto own = of_client_.find(at->second.client);
  if (--own->second == 0) of_client_.erase(own);
  waiting_.erase(at);
  return true;
}

void Resolutions::on_answer(ResolutionId id, Resolved resolved, Instant now) {
  last_now_ = now;
  if (end(id)) outcomes_.push_back({id, std::move(resolved)});
}

void Resolutions::on_timeout(Instant now) {
  last_now_ = now;
  while (!waiting_.empty() && waiting_.begin()->second.until <= now) {
    const auto id = waiting_.begin()->first;
    (void)end(id);
    outcomes_.push_back({id, {}});
  }
}

std::optional<Resolutions::Query> Resolutions::poll_query() {
  if (queries_.empty()) return std::nullopt;
  auto query = std::move(queries_.front());
  queries_.pop_front();
  return query;
}

std::optional<Resolutions::Outcome> Resolutions::poll_outcome() {
  if (outcomes_.empty()) return std::nullopt;
  auto outcome = std::move(outcomes_.front());
  outcomes_.pop_front();
  return outcome;
}

std::optional<Wakeup> Resolutions::wakeup() const {
  if (!queries_.empty() || !outcomes_.empty()) return Wakeup{last_now_, "name resolution"};
  if (!waiting_.empty()) return Wakeup{waiting_.begin()->second.until, "name resolution gives up"};
  return std::nullopt;
}

}  // namespace fg::dns
