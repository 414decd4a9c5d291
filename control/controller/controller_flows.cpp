// Flow logs: whether flows are tracked, and whose a beginning flow is (spec policy 6.1, 6.5).
#include <utility>

#include "control/controller/controller.h"

namespace fg::controller {

void Controller::configure_flow_logs(const std::optional<portal::FlowLogs>& told) {
  if (told) flow_log_news_.emplace_back(*told);
  const bool wanted = options_.track_flows || (told && told->interval_s > 0);
  if (wanted == is_tracking_flows_) return;
  is_tracking_flows_ = wanted;
  tell_all(pipeline::SetFlowTracking{wanted});
  log_.info("Flow tracking toggled", {{"enabled", wanted}});
}

// None for generation C: whose flows are recorded is what a token says.
std::shared_ptr<const flow_log::Attribution> Controller::attribution_of(
    const portal::Authorize& message) {
  using portal::Authorize;
  if (message.dialect == Authorize::Dialect::authorize_flow) {
    return std::make_shared<flow_log::Attribution>(
        flow_log::Known{message.client.id, message.facts, message.resource});
  }
  auto claims = flow_log::parse_ingest_token(message.ingest_token.expose());
  if (!claims) {
    log_.debug("no ingest token that can be read: the client's flows are not recorded",
               {{"client", message.client.id}, {"resource", message.resource.id}});
    return nullptr;
  }
  return std::make_shared<flow_log::Attribution>(
      flow_log::Ingest{std::move(*claims), message.ingest_token});
}

// Before the connection, so that the token is there when the first flow begins (spec policy 2.3).
void Controller::announce_token(const std::shared_ptr<const flow_log::Attribution>& whose) {
  const auto* ingest = whose != nullptr ? std::get_if<flow_log::Ingest>(whose.get()) : nullptr;
  if (ingest != nullptr && ingest->claims.uploads_enabled)
    flow_log_news_.emplace_back(FlowLogToken{whose});
}

void Controller::attribute(const ClientId& client, const portal::Resource& resource,
                           std::shared_ptr<const flow_log::Attribution> whose) {
  const std::pair key{client, resource.id};
  if (whose == nullptr) {
    attributions_.erase(key);
  } else if (attributions_.size() >= options_.attributions_max && !attributions_.contains(key)) {
    drop(DropReason::flows_unattributed);
  } else {
    attributions_[key] = std::move(whose);
  }
}

void Controller::attribute_known(const ClientId& client, const portal::Resource& resource) {
  attribute(client, resource,
            std::make_shared<flow_log::Attribution>(flow_log::Known{client, {}, resource}));
}

void Controller::forget_attributions(const ClientId& client) {
  for (auto at = attributions_.lower_bound({client, ResourceId{}});
       at != attributions_.end() && at->first.first == client;) {
    at = access_.has(client, at->first.second) ? std::next(at) : attributions_.erase(at);
  }
}

flow_log::Book::Beginning Controller::beginning_of(const flow::Started& started) const {
  flow_log::Book::Beginning out;
  const auto found = attributions_.find({started.key.client, started.key.resource});
  if (found == attributions_.end()) return out;
  out.whose = found->second;
  if (started.name == flow::kNoName) return out;
  const auto* names = access_.names_of(started.key.client);
  if (names != nullptr)
    out.domain = names->name_of(nat::NameId{started.name - 1}).value_or(std::string{});
  return out;
}

std::optional<FlowLogNews> Controller::poll_flow_log_news() {
  if (flow_log_news_.empty()) return std::nullopt;
  auto out = std::move(flow_log_news_.front());
  flow_log_news_.pop_front();
  return out;
}

}  // namespace fg::controller
