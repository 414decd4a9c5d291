#include "tests/support/swarm/dialect.h"

#include <algorithm>

#include "base/encoding.h"

namespace fg::swarm {
namespace {

constexpr std::int64_t kLongAgo = 1'790'000'000;
constexpr std::int64_t kFarAway = 2'145'916'800;  // of B's and C's relays, spec portal 3.7
constexpr const char* kActor = "f7e6d5c4-b3a2-4918-8f0e-1d2c3b4a5968";
constexpr const char* kUnique = "0a4de8b2-6c17-4f93-b5d0-e21f7c8a9b36";  // account, policy, flow …
constexpr const char* kClientVersion = "1.5.9";                          // of generation B
constexpr int kKeepalive = 25;

Json json_of(const ice::Credentials& credentials) {
  return {{"username", credentials.ufrag}, {"password", credentials.password.expose()}};
}

std::string base64url(std::string_view text) {
  auto out = base64_unpadded(as_bytes(text));
  std::ranges::replace(out, '+', '-');
  std::ranges::replace(out, '/', '_');
  return out;
}

// Gateways of C look into it, and do not know the key it is signed with (spec portal A.4).
std::string ingest_token(const Introduction& client, const Json& resource) {
  const Json head = {{"alg", "HS256"}, {"typ", "JWT"}};
  const Json claims = {{"account_id", kUnique},
                       {"initiator_device_id", client.id},
                       {"responder_device_id", kUnique},
                       {"policy_authorization_id", kUnique},
                       {"policy_id", kUnique},
                       {"resource_id", resource.at("id")},
                       {"resource_name", resource.at("name")},
                       {"initiator_actor_id", kActor},
                       {"initiator_actor_name", "Test User"},
                       {"authorized_at", "2026-09-21T13:33:20Z"},
                       {"authorization_expires_at", "2038-01-01T00:00:00Z"},
                       {"iat", kLongAgo},
                       {"exp", kFarAway},
                       {"uploads_enabled", false},
                       {"role", "responder"}};
  return base64url(head.dump()) + "." + base64url(claims.dump()) + "." + base64url("not checked");
}

}  // namespace

std::string letter_of(Generation generation) {
  return std::string(1, "ABC"[static_cast<std::size_t>(generation)]);
}

std::optional<Generation> generation_of(std::string_view letter) {
  if (letter.size() != 1 || letter < "A" || letter > "C") return std::nullopt;
  return static_cast<Generation>(letter[0] - 'A');
}

Generation generation_of(std::string_view target, bool has_bearer_token) {
  const auto path = target.substr(0, target.find('?'));
  if (path.find("/v2/") != std::string_view::npos) return Generation::c;
  return has_bearer_token ? Generation::b : Generation::a;
}

Json relay_entry(const SocketAddress& address, const std::string& username,
                 const std::string& password) {
  return {{"id", "4a7e0b9d-5c21-4f38-86ad-d3f9172c6e50"},
          {"type", "turn"},
          {"addr", address.to_string()},
          {"username", username},
          {"password", password},
          {"expires_at", kFarAway}};
}

Json init_payload(Generation generation, const Json& relays, const std::vector<Grant>& grants) {
  Json out = {{"interface", {{"ipv4", "100.64.0.2"}, {"ipv6", "fd00:2021:1111::2"}}},
              {"config", {{"ipv4_masquerade_enabled", true}, {"ipv6_masquerade_enabled", true}}},
              {"relays", relays}};
  if (generation == Generation::a) return out;
  out["account_slug"] = "lab";
  out["authorizations"] = Json::array();
  for (const auto& [client, resource] : grants) {
    out["authorizations"].push_back(
        {{"client_id", client}, {"resource_id", resource}, {"expires_at", kFarAway}});
  }
  if (generation == Generation::c) {
    out["flow_logs"] = {{"api_url", "https://flows.portal.test/"},
                        {"upload_interval_secs", 0},
                        {"upload_batch_size", 1000}};
  }
  return out;
}

Message authorization(Generation generation, const Introduction& client, const Json& resource) {
  Json out = {{"ref", client.id}, {"resource", resource}, {"expires_at", nullptr}};
  if (generation == Generation::a) {
    out["flow_id"] = kUnique;
    out["actor"] = {{"id", kActor}};
    out["client"] = {{"id", client.id},
                     {"payload", {{"ice_parameters", json_of(client.client)}, {"domain", nullptr}}},
                     {"peer",
                      {{"persistent_keepalive", kKeepalive},
                       {"public_key", client.public_key},
                       {"preshared_key", client.preshared_key},
                       {"ipv4", client.ipv4.to_string()},
                       {"ipv6", client.ipv6.to_string()}}}};
    return {"request_connection", std::move(out)};
  }
  out["client"] = {{"id", client.id},
                   {"public_key", client.public_key},
                   {"preshared_key", client.preshared_key},
                   {"ipv4", client.ipv4.to_string()},
                   {"ipv6", client.ipv6.to_string()},
                   {"version", kClientVersion}};
  out["subject"] = {{"actor_name", "Test User"},
                    {"actor_id", kActor},
                    {"actor_email", nullptr},
                    {"auth_provider_id", nullptr}};
  out["client_ice_credentials"] = json_of(client.client);
  out["gateway_ice_credentials"] = json_of(client.gateway.value_or(ice::Credentials{}));
  if (generation == Generation::b) return {"authorize_flow", std::move(out)};
  out["use_iceless"] = false;
  out["flow_logs_ingest_token"] = ingest_token(client, resource);
  return {"create_authorization", std::move(out)};
}

std::optional<Agreement> agreement(const std::string& event, const Json& payload) {
  if (event == "flow_authorized" || event == "authorization_created")
    return Agreement{payload.at("ref").get<std::string>(), std::nullopt};
  if (event != "connection_ready") return std::nullopt;
  const auto& made = payload.at("gateway_payload").at("ConnectionAccepted").at("ice_parameters");
  return Agreement{payload.at("ref").get<std::string>(),
                   ice::Credentials{made.at("username").get<std::string>(),
                                    SecretText{made.at("password").get<std::string>()}}};
}

}  // namespace fg::swarm
