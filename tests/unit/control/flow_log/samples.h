// Tokens and records for the room's tests.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "base/encoding.h"
#include "control/flow_log/record.h"
#include "tests/support/packets.h"

namespace fg::test {

inline std::string base64url(std::string_view text) {
  auto out = base64_unpadded(as_bytes(text));
  for (auto& c : out) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return out;
}

inline nlohmann::json claims() {
  return {{"account_id", "2c4e6a80-1357-4b9d-8e0f-a1b2c3d4e5f6"},
          {"iat", 1'790'000'000},
          {"exp", 1'792'600'000},
          {"uploads_enabled", true},
          {"role", "responder"},
          {"initiator_device_id", "7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11"},
          {"responder_device_id", "1e6b2a90-4f7d-4d0c-9c35-6a8f2b7c4d20"},
          {"policy_authorization_id", "d41c7e90-2f5b-4a86-93d8-0b7e6c5a4f12"},
          {"policy_id", "68b0f3a7-c92d-4e15-b7a4-5d3e8f1c0a96"},
          {"resource_id", "c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04"},
          {"resource_name", "lab"},
          {"initiator_actor_id", "f7e6d5c4-b3a2-4918-8f0e-1d2c3b4a5968"},
          {"initiator_actor_name", "Test User"},
          {"authorized_at", "2026-09-21T13:33:20Z"},
          {"authorization_expires_at", "2026-09-21T14:33:20Z"}};
}

inline std::string token_of(const nlohmann::json& body,
                            std::string_view head = R"({"alg":"HS256","typ":"JWT"})") {
  return base64url(head) + "." + base64url(body.dump()) + ".c2lnbmF0dXJl";
}

inline std::shared_ptr<const flow_log::Attribution> ingest(const nlohmann::json& body = claims()) {
  auto token = token_of(body);
  return std::make_shared<flow_log::Attribution>(
      flow_log::Ingest{*flow_log::parse_ingest_token(token), SecretText{token}});
}

inline flow::Key key(flow::Protocol protocol = flow::Protocol::tcp) {
  flow::Key out;
  out.inner_client = ip("100.80.3.17");
  out.remote = ip("10.20.0.5");
  out.client_port = 40'000;
  out.remote_port = 443;
  out.protocol = protocol;
  return out;
}

// 2026-09-21T13:33:20.000000007Z
inline constexpr WallTime kStart{std::chrono::seconds{1'790'000'000} + std::chrono::nanoseconds{7}};

inline flow_log::Record record(flow::Protocol protocol = flow::Protocol::tcp) {
  return {.whose = ingest(),
          .key = key(protocol),
          .domain = "",
          .outers = {{{{ip("203.0.113.7"), 51'820}, {ip("198.51.100.2"), 52'625}}, kStart}},
          .start = kStart,
          .end = std::nullopt};
}
inline flow_log::Record completed(flow_log::Record from) {
  from.end = flow_log::End{
      kStart + std::chrono::seconds{2}, kStart + std::chrono::seconds{1}, 3, 4, 1'000, 200};
  return from;
}

}  // namespace fg::test
