// What finds the way to one peer: an ICE agent, or a path agent where the portal chose to do
// without ICE (spec connectivity 5.1). The owner speaks to this, and to the agent behind it only
// for what the other kind does not have.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "control/ice/agent.h"
#include "control/path/agent.h"

namespace fg::path {

// An address the peer may reach us at.
struct LocalAddress {
  CandidateKind kind = CandidateKind::host;
  SocketAddress address;
  SocketAddress socket;  // ours: the address itself, behind it, or used towards the relay
};

// What became of a candidate line of the peer.
struct RemoteLine {
  bool is_parsable = true;
  std::optional<Candidate> accepted;
};

class Finder {
 public:
  explicit Finder(ice::Agent agent) : agent_(std::move(agent)) {}
  explicit Finder(Agent agent) : agent_(std::move(agent)) {}

  // One of the two is not null.
  [[nodiscard]] ice::Agent* ice() { return std::get_if<ice::Agent>(&agent_); }
  [[nodiscard]] const ice::Agent* ice() const { return std::get_if<ice::Agent>(&agent_); }
  [[nodiscard]] Agent* iceless() { return std::get_if<Agent>(&agent_); }
  [[nodiscard]] const Agent* iceless() const { return std::get_if<Agent>(&agent_); }

  // The candidate to announce, if any.
  std::optional<Candidate> add_local(const LocalAddress& local, Instant now);
  std::optional<Candidate> remove_local(const SocketAddress& address, Instant now);
  RemoteLine add_remote(std::string_view line, Instant now);
  void invalidate_remote(std::string_view line, Instant now);
  void on_timeout(Instant now);
  // Without ICE the pace is always the same (spec connectivity 2.19).
  void set_profile(const ice::Profile& profile, Instant now);

  [[nodiscard]] std::vector<Candidate> local_candidates() const;
  [[nodiscard]] std::vector<Candidate> remote_candidates() const;
  [[nodiscard]] std::string line_of(const Candidate& local) const;
  // The nominated pair, or the primary.
  [[nodiscard]] std::optional<ice::Path> route() const;
  [[nodiscard]] bool is_connected() const;
  [[nodiscard]] std::optional<Wakeup> wakeup() const;

 private:
  std::variant<ice::Agent, Agent> agent_;
};

}  // namespace fg::path
