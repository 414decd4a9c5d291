// What an operator asks: report.h.
#include <algorithm>
#include <set>
#include <utility>

#include "control/controller/controller.h"
#include "control/controller/sample_packet.h"
#include "filter/ranges.h"
#include "pipeline/refusal.h"

namespace fg::controller {
namespace {

using Type = portal::Resource::Type;

constexpr Duration kTrafficFresh = 10s;
constexpr std::size_t kMatchesShown = 5;

std::string cut(std::string text) {
  text.resize(std::min(text.size(), kNameShownMax));
  return text;
}

std::string address_of(const portal::Resource& resource) {
  switch (resource.type) {
    case Type::dns:
      return cut(resource.pattern);
    case Type::cidr:
      return resource.network.to_string();
    case Type::internet:
      return "";
  }
  return "";
}

ResourceReport report_of(const portal::Resource& resource, std::optional<Instant> expires,
                         Instant since, Instant filters_since) {
  ResourceReport out;
  out.id = resource.id;
  out.type = resource.type;
  out.name = cut(resource.name);
  out.address = address_of(resource);
  out.filters = {resource.filters.begin(),
                 resource.filters.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                resource.filters.size(), kFiltersShownMax))};
  out.filter_count = resource.filters.size();
  out.expires = expires;
  out.since = since;
  out.filters_since = filters_since;
  return out;
}

ResourceReport report_of(const acl::Holding& held) {
  return report_of(held.resource, held.deadline, held.since, held.filters_since);
}

EndedReport report_of(const Ending& ending) {
  return {report_of(ending.resource, std::nullopt, ending.since, ending.since), ending.why,
          ending.at};
}

// DNS resources are reached by proxy addresses, which are not their own.
bool holds(const portal::Resource& resource, const IpAddress& ip) {
  switch (resource.type) {
    case Type::cidr:
      return resource.network.contains(ip);
    case Type::internet:
      return true;
    case Type::dns:
      return false;
  }
  return false;
}

bool reaches(const std::optional<TranslationReport>& name, const ResourceId& resource) {
  return name && std::ranges::find(name->resources, resource) != name->resources.end();
}

// Whether a resource that ended would let the packet pass. `name`: what the address stands for.
bool would_allow(const Ending& ending, const IpAddress& ip,
                 const std::optional<TranslationReport>& name, filter::ProtoKey key) {
  const auto& id = ending.resource.id;
  if (!reaches(name, id) && !holds(ending.resource, ip)) return false;
  if (!ending.has_all_filters) return true;
  filter::PolicyRules rules;
  if (ending.resource.type == Type::internet)
    rules.internet = id;
  else if (ending.resource.type == Type::dns)
    rules.hosts.push_back({id, acl::rule_filter_of(ending.resource), {ip}});
  else
    rules.rules.push_back({ending.resource.network, id, acl::rule_filter_of(ending.resource)});
  const auto policy = filter::Policy::compile(rules);
  return policy != nullptr && policy->classify(ip, key).is_allowed();
}

TranslationReport report_of(const IpAddress& address, const dns::Names::Proxy& proxy) {
  return {proxy.name, address, proxy.real, proxy.resources};
}

bool is_own(ice::CandidateKind kind) { return kind != ice::CandidateKind::relay; }

}  // namespace

RelayReport Controller::report_of(const RelayId& id) const {
  RelayReport out;
  out.id = id;
  const auto* allocation = relays_.find(id);
  if (allocation == nullptr) return out;
  const auto& relay = allocation->relay();
  out.server = allocation->active_server();
  if (!out.server) out.server = relay.v4 ? relay.v4 : relay.v6;
  out.is_answering =
      allocation->relayed(Family::v4).has_value() || allocation->relayed(Family::v6).has_value();
  out.is_suspended = allocation->is_suspended();
  out.round_trip = allocation->rtt();
  return out;
}

std::vector<RelayReport> Controller::relay_reports() const {
  std::vector<RelayReport> out;
  for (const auto& id : relays_.ids()) out.push_back(report_of(id));
  return out;
}

std::set<ClientId> Controller::known_clients() const {
  std::set<ClientId> out;
  for (const auto& id : access_.clients()) out.insert(id);
  for (const auto& [id, key] : by_client_) out.insert(id);
  return out;
}

std::vector<ClientId> Controller::clients_after(const std::optional<ClientId>& after,
                                                std::size_t count) const {
  const auto all = known_clients();
  std::vector<ClientId> out;
  for (auto at = after ? all.upper_bound(*after) : all.begin(); at != all.end(); ++at) {
    if (out.size() == count) break;
    out.push_back(*at);
  }
  return out;
}

Result<ClientId, NotFound> Controller::find_client(std::string_view text) const {
  const auto& ended = endings_.all();
  if (const auto ip = IpAddress::parse(text)) {
    if (const auto owner = access_.client_for(*ip)) return *owner;
    for (const auto& [client, key] : by_client_) {
      const auto& options = connections_.at(key)->options;
      if (options.tunnel_v4 == *ip || options.tunnel_v6 == *ip) return client;
    }
    const auto former = std::find_if(ended.rbegin(), ended.rend(), [&](const Ending& ending) {
      return ending.addresses.v4 == *ip || ending.addresses.v6 == *ip;
    });
    if (former != ended.rend()) return former->client;
    return fail(NotFound{});
  }
  auto known = known_clients();
  for (const auto& ending : ended) known.insert(ending.client);
  if (const auto id = ClientId::parse(text)) {
    if (known.contains(*id)) return *id;
    return fail(NotFound{});
  }
  std::string prefix{text};
  std::ranges::transform(prefix, prefix.begin(), [](char c) {
    return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  NotFound out;
  std::size_t count = 0;
  std::optional<ClientId> match;
  for (const auto& id : known) {
    if (prefix.empty() || !id.to_string().starts_with(prefix)) continue;
    match = id;
    if (++count <= kMatchesShown) out.matches.push_back(id);
  }
  if (count == 1) return *match;
  out.is_ambiguous = count > 1;
  return fail(std::move(out));
}

PathReport Controller::path_report(const Connection& connection) const {
  PathReport out;
  out.kind = connection.path.kind;
  out.since = connection.path_since;
  const auto route = connection.agent.route();
  if (out.kind == pipeline::Path::Kind::none || !route) return out;
  out.local = route->local;
  out.remote = route->remote;
  out.is_remote_relayed = route->remote_relayed;
  if (route->local_relayed) {
    if (const auto relay = relays_.relay_owning(route->local)) out.relay = report_of(*relay);
  }
  if (!route->local_relayed && !route->remote_relayed) return out;
  std::set<Family> theirs;
  std::set<Family> ours;
  for (const auto& candidate : connection.agent.remote_candidates())
    if (is_own(candidate.kind)) theirs.insert(candidate.address.family());
  for (const auto& candidate : connection.agent.local_candidates())
    if (is_own(candidate.kind)) ours.insert(candidate.address.family());
  const bool is_shared =
      std::ranges::any_of(ours, [&](Family family) { return theirs.contains(family); });
  out.why = theirs.empty() ? RelayedWhy::no_remote_address
            : ours.empty() ? RelayedWhy::no_own_address
            : !is_shared   ? RelayedWhy::no_common_family
                           : RelayedWhy::unanswered;
  return out;
}

ClientReport Controller::client_report(const ClientId& client) const {
  ClientReport out;
  out.id = client;
  if (const auto addresses = access_.addresses_of(client)) {
    out.v4 = addresses->v4;
    out.v6 = addresses->v6;
  }
  for (const auto& held : access_.holdings_of(client)) {
    ++out.resources;
    if (held.deadline) out.expires = std::min(out.expires.value_or(*held.deadline), *held.deadline);
  }
  const auto key = by_client_.find(client);
  const auto at = key == by_client_.end() ? connections_.end() : connections_.find(key->second);
  if (at == connections_.end()) return out;
  const auto& connection = *at->second;
  out.v4 = connection.options.tunnel_v4;
  out.v6 = connection.options.tunnel_v6;
  out.state = connection.is_idle ? ClientReport::State::idle
              : connection.has_session && connection.path.kind != pipeline::Path::Kind::none
                  ? ClientReport::State::connected
                  : ClientReport::State::connecting;
  out.is_legacy = connection.options.is_legacy;
  out.is_iceless = connection.agent.iceless() != nullptr;
  out.created = connection.created;
  out.last_handshake = connection.last_handshake;
  out.path = path_report(connection);
  out.worker = connection.options.worker;
  if (connection.traffic && last_now_ - connection.traffic_at < kTrafficFresh)
    out.traffic = connection.traffic;
  return out;
}

std::vector<ResourceReport> Controller::resource_reports(const ClientId& client,
                                                         std::size_t count) const {
  std::vector<ResourceReport> out;
  for (const auto& held : access_.holdings_of(client)) {
    if (out.size() == count) break;
    out.push_back(controller::report_of(held));
  }
  return out;
}

std::vector<TranslationReport> Controller::translation_reports(const ClientId& client,
                                                               std::size_t count) const {
  std::vector<TranslationReport> out;
  const auto* names = access_.names_of(client);
  if (names == nullptr) return out;
  for (const auto& [address, proxy] : names->proxies()) {
    if (out.size() == count) break;
    out.push_back(controller::report_of(address, proxy));
  }
  return out;
}

std::vector<IpAddress> Controller::proxies_of(const ClientId& client, std::string_view name) const {
  std::vector<IpAddress> out;
  const auto* names = access_.names_of(client);
  if (names == nullptr) return out;
  const auto wanted = dns::folded(name);
  for (const auto& [address, proxy] : names->proxies()) {
    if (proxy.name == wanted) out.push_back(address);
  }
  return out;
}

Explanation Controller::explain(const Question& question) const {
  Explanation out;
  out.question = question;
  out.client = client_report(question.client);
  const auto& destination = question.destination;
  if (out.client.state == ClientReport::State::absent && !access_.has(question.client)) {
    const auto& ended = endings_.all();
    const auto former = std::find_if(ended.rbegin(), ended.rend(), [&](const Ending& ending) {
      return ending.client == question.client;
    });
    if (former != ended.rend()) {
      out.client.v4 = former->addresses.v4;
      out.client.v6 = former->addresses.v6;
      out.newest_ending = controller::report_of(*former);
    }
    // Its session is gone with its last grant, so that nothing of it is even decrypted.
    out.refusal = pipeline::Refusal{DropReason::unknown_receiver, std::nullopt};
  }
  out.source = question.source.value_or(destination.is_v4() ? out.client.v4 : out.client.v6);
  const SamplePacket sample{out.source, destination, question.protocol, question.port};
  const auto packet = sample.parsed();
  if (!packet) {
    out.refusal = pipeline::Refusal{packet.error(), std::nullopt};
    return out;
  }
  const auto& proto = packet->proto_class();
  const auto key = pipeline::key_of(proto, proto.destination);
  if (!out.refusal && packet->has_multicast_destination())
    out.refusal = pipeline::Refusal{DropReason::multicast, std::nullopt};
  if (!out.refusal) {
    const auto policy = compile_policy(question.client);
    const auto v4 = interface_ ? std::optional{interface_->v4} : std::nullopt;
    const auto v6 = interface_ ? std::optional{interface_->v6} : std::nullopt;
    const pipeline::Parties parties{out.client.v4, out.client.v6, v4, v6};
    out.refusal = pipeline::refusal_of(parties, *policy, *packet);
    out.is_for_gateway = parties.is_gateway(destination);
    const auto* names = access_.names_of(question.client);
    const dns::Names::Proxy* proxy = nullptr;
    if (names != nullptr) {
      const auto at = names->proxies().find(destination);
      if (at != names->proxies().end()) proxy = &at->second;
    }
    if (proxy != nullptr) out.translation = controller::report_of(destination, *proxy);
    if (!out.refusal && filter::is_proxy(destination)) {
      const auto entry = proxy != nullptr ? nat::Translation{destination, proxy->real, proxy->id}
                                          : nat::Translation{};
      out.refusal = pipeline::refusal_of(proxy != nullptr ? &entry : nullptr, proto);
    }
    const auto verdict = policy->classify(destination, key);
    if (!out.refusal && !out.is_for_gateway && verdict.is_allowed()) {
      const auto& id = policy->resource(verdict.resource);
      for (const auto& held : access_.holdings_of(question.client))
        if (held.resource.id == id) out.resource = controller::report_of(held);
    }
  }
  if (!out.refusal || (out.refusal->reason != DropReason::not_allowed &&
                       out.refusal->reason != DropReason::special_address &&
                       out.refusal->reason != DropReason::unknown_receiver))
    return out;
  for (const auto& held : access_.holdings_of(question.client)) {
    const bool is_about_it =
        reaches(out.translation, held.resource.id) || holds(held.resource, destination);
    if (out.refusing.size() < kFindingsMax && is_about_it)
      out.refusing.push_back(controller::report_of(held));
  }
  for (auto at = endings_.all().rbegin(); at != endings_.all().rend(); ++at) {
    if (out.ended.size() == kFindingsMax) break;
    if (at->client == question.client && !access_.has(question.client, at->resource.id) &&
        would_allow(*at, destination, out.translation, key))
      out.ended.push_back(controller::report_of(*at));
  }
  return out;
}

// One page a worker at a time: what it does not answer, it is not asked again.
void Controller::read_traffic(const std::vector<ClientId>& clients) {
  std::map<WorkerIndex, pipeline::TrafficPage> wanted;
  for (const auto& client : clients) {
    const auto* connection = find(client);
    if (connection == nullptr || pages_.contains(connection->options.worker)) continue;
    wanted[connection->options.worker].lines.push_back(
        {.slot = connection->options.slot, .is_known = false, .traffic = {}});
  }
  for (auto& [worker, page] : wanted) {
    auto& lent = pages_[worker];
    lent = std::make_unique<pipeline::TrafficPage>(std::move(page));
    tell(worker, pipeline::ReadTraffic{lent.get()});
  }
}

void Controller::take_traffic(const pipeline::TrafficPage* page, Instant now) {
  const auto at =
      std::ranges::find_if(pages_, [&](const auto& lent) { return lent.second.get() == page; });
  if (at == pages_.end()) return;
  for (const auto& line : page->lines) {
    auto* connection = line.is_known ? find(line.slot) : nullptr;
    if (connection == nullptr) continue;
    connection->traffic = line.traffic;
    connection->traffic_at = now;
  }
  pages_.erase(at);
}

void Controller::note_endings() {
  while (auto ended = access_.poll_ended()) endings_.add(std::move(*ended), last_now_);
}

}  // namespace fg::controller
