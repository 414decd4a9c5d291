#include "control/path/finder.h"

namespace fg::path {
namespace {

ice::LocalAddress to_ice(const LocalAddress& local) {
  if (local.kind == CandidateKind::relay)
    return ice::LocalAddress::relayed(local.address, local.socket.family());
  if (local.kind == CandidateKind::host) return ice::LocalAddress::host(local.address);
  return ice::LocalAddress::server_reflexive(local.address, local.socket);
}

template <class Addition>
RemoteLine line_after(Addition added) {
  RemoteLine out{.is_parsable = added.outcome != decltype(added.outcome)::unparsable,
                 .accepted = std::nullopt};
  if (added.is_accepted()) out.accepted = std::move(added.candidate);
  return out;
}

}  // namespace

std::optional<Candidate> Finder::add_local(const LocalAddress& local, Instant now) {
  if (auto* agent = ice()) return agent->add_local(to_ice(local), now);
  return iceless()->add_local(make_candidate(local.kind, local.address, local.socket), now);
}

std::optional<Candidate> Finder::remove_local(const SocketAddress& address, Instant now) {
  return std::visit([&](auto& agent) { return agent.remove_local(address, now); }, agent_);
}

RemoteLine Finder::add_remote(std::string_view line, Instant now) {
  return std::visit([&](auto& agent) { return line_after(agent.add_remote(line, now)); }, agent_);
}

void Finder::invalidate_remote(std::string_view line, Instant now) {
  std::visit([&](auto& agent) { (void)agent.invalidate_remote(line, now); }, agent_);
}

void Finder::on_timeout(Instant now) {
  std::visit([&](auto& agent) { agent.on_timeout(now); }, agent_);
}

void Finder::set_profile(const ice::Profile& profile, Instant now) {
  if (auto* agent = ice()) agent->set_profile(profile, now);
}

std::vector<Candidate> Finder::local_candidates() const {
  return std::visit([](const auto& agent) { return agent.local_candidates(); }, agent_);
}

std::vector<Candidate> Finder::remote_candidates() const {
  return std::visit([](const auto& agent) { return agent.remote_candidates(); }, agent_);
}

std::string Finder::line_of(const Candidate& local) const {
  return ice() != nullptr ? ice()->line_of(local) : to_line(local);
}

std::optional<ice::Path> Finder::route() const {
  if (ice() != nullptr) return ice()->nominated();
  const auto& primary = iceless()->primary();
  if (!primary) return std::nullopt;
  return ice::Path{.local = primary->local,
                   .remote = primary->remote,
                   .local_relayed = iceless()->is_local_relayed(primary->local),
                   .remote_relayed = iceless()->is_remote_relayed(primary->remote)};
}

bool Finder::is_connected() const {
  return ice() != nullptr ? ice()->is_connected() : iceless()->primary().has_value();
}

std::optional<Wakeup> Finder::wakeup() const {
  return std::visit([](const auto& agent) { return agent.wakeup(); }, agent_);
}

}  // namespace fg::path
