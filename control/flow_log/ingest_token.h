// What a flow-log ingest token of generation C says (spec policy 6.5, portal A.4). Its signature is
// for the server that takes the records: whoever can give us a token is the portal. Left out:
// expiry, which is the server's to judge.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fg::flow_log {

inline constexpr std::size_t kTokenBytesMax = 16'384;

struct IngestClaims {
  std::int64_t issued_at = 0;  // Unix seconds, as exp
  std::int64_t expires_at = 0;
  bool uploads_enabled = false;
  std::string role;  // initiator or responder
  std::string account_id;
  std::string initiator_device_id;
  std::string responder_device_id;
  std::string policy_authorization_id;
  std::string policy_id;
  std::string resource_id;
  std::string resource_name;
  std::optional<std::string> resource_address;
  std::string initiator_actor_id;
  std::optional<std::string> initiator_actor_email;
  std::string initiator_actor_name;
  std::optional<std::string> initiator_auth_provider_id;
  std::string authorized_at;
  std::string authorization_expires_at;
  std::optional<std::string> initiator_client_version;
  std::optional<std::string> initiator_device_os_name;
  std::optional<std::string> initiator_device_os_version;
  std::optional<std::string> initiator_device_serial;
  std::optional<std::string> initiator_device_uuid;
  std::optional<std::string> initiator_device_identifier_for_vendor;
  std::optional<std::string> initiator_device_firebase_installation_id;
  friend bool operator==(const IngestClaims&, const IngestClaims&) = default;
};

// None unless every required claim is there and of its type; unknown claims do not matter.
[[nodiscard]] std::optional<IngestClaims> parse_ingest_token(std::string_view token);

}  // namespace fg::flow_log
