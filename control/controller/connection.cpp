#include "control/controller/connection.h"

namespace fg::controller {
namespace {

using Kind = turn::Candidate::Kind;

bool equals(const ice::Credentials& ours, const portal::IceCredentials& theirs) {
  return ours.ufrag == theirs.username && ours.password == theirs.password;
}

ice::Candidate iceless_candidate(const turn::Candidate& candidate) {
  const auto kind = candidate.kind == Kind::host      ? ice::CandidateKind::host
                    : candidate.kind == Kind::relayed ? ice::CandidateKind::relay
                                                      : ice::CandidateKind::srflx;
  return path::make_candidate(kind, candidate.address, candidate.local);
}

}  // namespace

ice::LocalAddress to_ice(const turn::Candidate& candidate) {
  switch (candidate.kind) {
    case Kind::host:
      return ice::LocalAddress::host(candidate.address);
    case Kind::server_reflexive:
      return ice::LocalAddress::server_reflexive(candidate.address, candidate.local);
    case Kind::relayed:
      break;
  }
  return ice::LocalAddress::relayed(candidate.address, candidate.local.family());
}

std::optional<ice::Candidate> Connection::add_local(const turn::Candidate& candidate, Instant now) {
  if (auto* path_agent = iceless()) return path_agent->add_local(iceless_candidate(candidate), now);
  return ice()->add_local(to_ice(candidate), now);
}

std::optional<ice::Candidate> Connection::remove_local(const SocketAddress& address, Instant now) {
  if (auto* path_agent = iceless()) return path_agent->remove_local(address, now);
  return ice()->remove_local(address, now);
}

RemoteLine Connection::add_remote(std::string_view line, Instant now) {
  const auto outcome_of = [](auto added) {
    using Outcome = decltype(added.outcome);
    RemoteLine out{.is_parsable = added.outcome != Outcome::unparsable, .accepted = {}};
    if (added.is_accepted()) out.accepted = std::move(added.candidate);
    return out;
  };
  if (auto* path_agent = iceless()) return outcome_of(path_agent->add_remote(line, now));
  return outcome_of(ice()->add_remote(line, now));
}

void Connection::invalidate_remote(std::string_view line, Instant now) {
  if (auto* path_agent = iceless())
    (void)path_agent->invalidate_remote(line, now);
  else
    (void)ice()->invalidate_remote(line, now);
}

void Connection::on_timeout(Instant now) {
  std::visit([&](auto& finder) { finder.on_timeout(now); }, agent);
}

// Without ICE there is nothing to do less of (spec connectivity 2.19).
void Connection::set_idle(bool idle, Instant now) {
  is_idle = idle;
  if (auto* agent_of_ice = ice())
    agent_of_ice->set_profile(idle ? ice::kServerIdle : ice::kServerDefault, now);
}

std::vector<ice::Candidate> Connection::local_candidates() const {
  return std::visit([](const auto& finder) { return finder.local_candidates(); }, agent);
}

std::vector<ice::Candidate> Connection::remote_candidates() const {
  return std::visit([](const auto& finder) { return finder.remote_candidates(); }, agent);
}

std::string Connection::line_of(const ice::Candidate& local) const {
  return ice() != nullptr ? ice()->line_of(local) : path::to_line(local);
}

std::optional<Route> Connection::route() const {
  if (const auto* path_agent = iceless()) {
    const auto& primary = path_agent->primary();
    if (!primary) return std::nullopt;
    return Route{primary->local, primary->remote, path_agent->is_relayed(primary->local)};
  }
  const auto& nominated = ice()->nominated();
  if (!nominated) return std::nullopt;
  return Route{nominated->local, nominated->remote, nominated->local_relayed};
}

bool Connection::is_settled() const {
  return ice() != nullptr ? ice()->is_connected() : iceless()->primary().has_value();
}

std::optional<Wakeup> Connection::wakeup() const {
  return earlier(std::visit([](const auto& finder) { return finder.wakeup(); }, agent),
                 handshake.wakeup());
}

bool is_same_connection(const Connection& connection, const portal::Authorize& request) {
  if (connection.options.is_legacy || request.use_iceless != (connection.iceless() != nullptr) ||
      connection.handshake.remote() != request.client.public_key ||
      connection.preshared != request.client.preshared_key ||
      connection.options.tunnel_v4 != request.client.v4 ||
      connection.options.tunnel_v6 != request.client.v6) {
    return false;
  }
  const auto* agent = connection.ice();
  if (agent == nullptr) return true;
  const auto& remote = agent->remote_credentials();
  return equals(agent->local_credentials(), request.gateway_ice) && remote &&
         equals(*remote, request.client_ice);
}

}  // namespace fg::controller
