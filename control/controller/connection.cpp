#include "control/controller/connection.h"

namespace fg::controller {
namespace {

bool equals(const ice::Credentials& ours, const portal::IceCredentials& theirs) {
  return ours.ufrag == theirs.username && ours.password == theirs.password;
}

ice::CandidateKind kind_of(turn::Candidate::Kind kind) {
  switch (kind) {
    case turn::Candidate::Kind::host:
      return ice::CandidateKind::host;
    case turn::Candidate::Kind::server_reflexive:
      return ice::CandidateKind::srflx;
    case turn::Candidate::Kind::relayed:
      break;
  }
  return ice::CandidateKind::relay;
}

}  // namespace

path::LocalAddress to_local(const turn::Candidate& candidate) {
  return {kind_of(candidate.kind), candidate.address, candidate.local};
}

bool is_same_connection(const Connection& connection, const portal::Authorize& request) {
  const auto* agent = connection.agent.ice();
  if (connection.options.is_legacy || request.use_iceless != (agent == nullptr) ||
      connection.handshake.remote() != request.client.public_key ||
      connection.preshared != request.client.preshared_key ||
      connection.options.tunnel_v4 != request.client.v4 ||
      connection.options.tunnel_v6 != request.client.v6) {
    return false;
  }
  // Without ICE nobody looks at its credentials (spec connectivity 4.8).
  if (agent == nullptr) return true;
  const auto& remote = agent->remote_credentials();
  return equals(agent->local_credentials(), request.gateway_ice) && remote &&
         equals(*remote, request.client_ice);
}

}  // namespace fg::controller
