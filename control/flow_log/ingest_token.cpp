#include "control/flow_log/ingest_token.h"

#include <array>
#include <utility>

#include "base/encoding.h"
#include "control/portal/json.h"

namespace fg::flow_log {
namespace {

using portal::Json;
using portal::ObjectReader;

std::optional<Json> part_of(std::string_view part) {
  const auto bytes = decode_base64url(part);
  if (!bytes) return std::nullopt;
  auto json = portal::parse_json(as_text(*bytes));
  if (!json || !json->is_object()) return std::nullopt;
  return std::move(*json);
}

}  // namespace

std::optional<IngestClaims> parse_ingest_token(std::string_view token) {
  if (token.size() > kTokenBytesMax) return std::nullopt;
  const auto first = token.find('.');
  const auto second = first == std::string_view::npos ? first : token.find('.', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto signature = token.substr(second + 1);
  if (signature.empty() || !decode_base64url(signature)) return std::nullopt;
  const auto head = part_of(token.substr(0, first));
  const auto body = part_of(token.substr(first + 1, second - first - 1));
  if (!head || !body) return std::nullopt;
  if (ObjectReader from{*head}; from.text("alg") != "HS256" || !from.ok()) return std::nullopt;

  IngestClaims out;
  ObjectReader from{*body};
  for (const auto& [name, to] : std::initializer_list<std::pair<const char*, std::string*>>{
           {"account_id", &out.account_id},
           {"role", &out.role},
           {"initiator_device_id", &out.initiator_device_id},
           {"responder_device_id", &out.responder_device_id},
           {"policy_authorization_id", &out.policy_authorization_id},
           {"policy_id", &out.policy_id},
           {"resource_id", &out.resource_id},
           {"resource_name", &out.resource_name},
           {"initiator_actor_id", &out.initiator_actor_id},
           {"initiator_actor_name", &out.initiator_actor_name},
           {"authorized_at", &out.authorized_at},
           {"authorization_expires_at", &out.authorization_expires_at}}) {
    *to = from.text(name);
  }
  for (const auto& [name, to] :
       std::initializer_list<std::pair<const char*, std::optional<std::string>*>>{
           {"resource_address", &out.resource_address},
           {"initiator_actor_email", &out.initiator_actor_email},
           {"initiator_auth_provider_id", &out.initiator_auth_provider_id},
           {"initiator_client_version", &out.initiator_client_version},
           {"initiator_device_os_name", &out.initiator_device_os_name},
           {"initiator_device_os_version", &out.initiator_device_os_version},
           {"initiator_device_serial", &out.initiator_device_serial},
           {"initiator_device_uuid", &out.initiator_device_uuid},
           {"initiator_device_identifier_for_vendor", &out.initiator_device_identifier_for_vendor},
           {"initiator_device_firebase_installation_id",
            &out.initiator_device_firebase_installation_id}}) {
    const auto* claim = from.find(name);
    if (claim == nullptr || claim->is_null()) continue;
    if (claim->kind != Json::Kind::text) return std::nullopt;
    *to = claim->text;
  }
  out.issued_at = from.integer("iat");
  out.expires_at = from.integer("exp");
  const auto* uploads = from.require("uploads_enabled");
  if (uploads == nullptr || uploads->kind != Json::Kind::boolean) return std::nullopt;
  out.uploads_enabled = uploads->boolean;
  if (!from.ok() || out.issued_at < 0 || out.expires_at < 0) return std::nullopt;
  if (out.role != "initiator" && out.role != "responder") return std::nullopt;
  return out;
}

}  // namespace fg::flow_log
