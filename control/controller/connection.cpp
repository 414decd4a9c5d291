#include "control/controller/connection.h"

namespace fg::controller {
namespace {

bool equals(const ice::Credentials& ours, const portal::IceCredentials& theirs) {
  return ours.ufrag == theirs.username && ours.password == theirs.password;
}

}  // namespace

ice::LocalAddress to_ice(const turn::Candidate& candidate) {
  switch (candidate.kind) {
    case turn::Candidate::Kind::host:
      return ice::LocalAddress::host(candidate.address);
    case turn::Candidate::Kind::server_reflexive:
      return ice::LocalAddress::server_reflexive(candidate.address, candidate.local);
    case turn::Candidate::Kind::relayed:
      break;
  }
  return ice::LocalAddress::relayed(candidate.address, candidate.local.family());
}

bool is_same_connection(const Connection& connection, const portal::Authorize& request) {
  const auto& remote = connection.agent.remote_credentials();
  return !connection.options.is_legacy &&
         equals(connection.agent.local_credentials(), request.gateway_ice) && remote &&
         equals(*remote, request.client_ice) &&
         connection.handshake.remote() == request.client.public_key &&
         connection.preshared == request.client.preshared_key &&
         connection.options.tunnel_v4 == request.client.v4 &&
         connection.options.tunnel_v6 == request.client.v6;
}

}  // namespace fg::controller
