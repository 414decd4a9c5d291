#include "tests/support/client/messages.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "tests/unit/support_client/recorded.h"

namespace fg::client::test {
namespace {

constexpr const char* kLab = "c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04";
constexpr const char* kGateway = "1e6b2a90-4f7d-4d0c-9c35-6a8f2b7c4d20";

template <class T>
std::optional<T> parsed(std::string_view event, const portal::Json& payload) {
  auto message = parse(event, payload);
  if (!message || !std::holds_alternative<T>(*message)) return std::nullopt;
  return std::move(std::get<T>(*message));
}

TEST(ClientMessages, EveryRecordedInitForAClientIsRead) {
  for (const auto generation : kGenerations) {
    const auto lines = recorded(generation, [](const nlohmann::json& line) {
      return line["what"] == "init" && line["to"] == "client";
    });
    ASSERT_EQ(lines.size(), 1U);
    const auto init = parsed<Init>("init", json_of(lines[0]["payload"].dump()));
    ASSERT_TRUE(init);
    EXPECT_EQ(init->interface.v4.to_string(), lines[0]["payload"]["interface"]["ipv4"]);
    EXPECT_EQ(init->resources.size(), 3U);
    // One relay, told once a family.
    ASSERT_EQ(init->relays.size(), 1U);
    EXPECT_TRUE(init->relays[0].v4 && init->relays[0].v6);
  }
}

// Spec portal 5.2: B and C skip what they do not know.
TEST(ClientMessages, AnUnknownResourceIsSkippedAndTheOthersStay) {
  const auto init = parsed<Init>(
      "init",
      json_of(R"({"interface":{"ipv4":"100.80.3.17","ipv6":"fd00:2021:1111::3:11"},"resources":[
    {"id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04","type":"teleport","name":"x","address":"10.20.0.0/16"},
    {"id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab05","type":"cidr","name":"x","address":"10.20.0.1/16"},
    {"id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab06","type":"internet"}]})"));
  ASSERT_TRUE(init);
  ASSERT_EQ(init->resources.size(), 1U);
  EXPECT_EQ(init->resources[0].type, Resource::Type::internet);
}

TEST(ClientMessages, AnInitWithoutAddressesIsRefused) {
  EXPECT_FALSE(parse("init", json_of(R"({"resources":[],"relays":[]})")));
  EXPECT_FALSE(
      parse("init", json_of(R"({"interface":{"ipv4":"100.80.3.17","ipv6":"100.80.3.17"}})")));
}

constexpr std::string_view kGrant = R"({"resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04",
 "gateway_id":"1e6b2a90-4f7d-4d0c-9c35-6a8f2b7c4d20","site_id":"90c3d1f4-2a6b-4e87-a5d9-7b14e8f60c23",
 "gateway_public_key":"M6jq1REt2rfnR5vUYLlRrjNItdB/ttSeqXqOBSqkEb0=","gateway_ipv4":"100.71.20.9","gateway_ipv6":"fd00:2021:1111::9:14",
 "preshared_key":"s7QEoxMQTq4dGqRw5SlNIwoENs4tksnt/A7zNoFJ9cU=",
 "client_ice_credentials":{"username":"277o","password":"b6fvcn2h22ah436p3el3zr"},
 "gateway_ice_credentials":{"username":"6pya","password":"vvzsh3aql5cprilhk5hpja"},"use_iceless":false})";

TEST(ClientMessages, TheGrantOfTheSpecIsReadUnderBothNames) {
  for (const auto* event : {"flow_created", "authorization_created"}) {
    const auto grant = parsed<Granted>(event, json_of(kGrant));
    ASSERT_TRUE(grant) << event;
    EXPECT_EQ(grant->resource.to_string(), kLab);
    EXPECT_EQ(grant->gateway.to_string(), kGateway);
    EXPECT_EQ(base64(grant->gateway_key), "M6jq1REt2rfnR5vUYLlRrjNItdB/ttSeqXqOBSqkEb0=");
    EXPECT_EQ(base64(grant->preshared.expose()), "s7QEoxMQTq4dGqRw5SlNIwoENs4tksnt/A7zNoFJ9cU=");
    EXPECT_EQ(grant->ours.ufrag, "277o");
    EXPECT_EQ(grant->theirs.password.expose(), "vvzsh3aql5cprilhk5hpja");
    EXPECT_FALSE(grant->use_iceless);
  }
}

TEST(ClientMessages, AGrantWithABrokenKeyIsRefused) {
  std::string text{kGrant};
  text.replace(text.find("s7QE"), 4, "s7Q*");
  EXPECT_FALSE(parse("flow_created", json_of(text)));
}

TEST(ClientMessages, DeletionIsABareString) {
  const auto deleted = parsed<ResourceDeleted>(
      "resource_deleted", json_of(R"("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04")"));
  ASSERT_TRUE(deleted);
  EXPECT_EQ(deleted->resource.to_string(), kLab);
  EXPECT_FALSE(
      parse("resource_deleted", json_of(R"({"id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04"})")));
}

TEST(ClientMessages, CandidatesAndTheirWithdrawalHaveTwoNamesEach) {
  const auto payload = json_of(
      R"({"gateway_id":"1e6b2a90-4f7d-4d0c-9c35-6a8f2b7c4d20","candidates":["one",2,"three"]})");
  for (const auto* event : {"ice_candidates", "gateway_ice_candidates"}) {
    const auto message = parsed<Candidates>(event, payload);
    ASSERT_TRUE(message);
    EXPECT_EQ(message->lines, (std::vector<std::string>{"one", "three"}));
    EXPECT_FALSE(message->invalidated);
  }
  EXPECT_TRUE(parsed<Candidates>("invalidate_ice_candidates", payload)->invalidated);
  EXPECT_TRUE(parsed<Candidates>("invalidate_gateway_ice_candidates", payload)->invalidated);
}

TEST(ClientMessages, RelaysComeAndGo) {
  const auto presence = parsed<RelaysPresence>(
      "relays_presence",
      json_of(
          R"({"disconnected_ids":["b6d8e2f1-7093-4c5a-9e14-2f80a5d7c361"],"connected":[{"id":"4a7e0b9d-5c21-4f38-86ad-d3f9172c6e50","type":"turn",
      "addr":"[2001:db8:7::7]:3478","username":"u","password":"p","expires_at":2145916800}]})"));
  ASSERT_TRUE(presence);
  EXPECT_EQ(presence->disconnected.size(), 1U);
  ASSERT_EQ(presence->connected.size(), 1U);
  EXPECT_FALSE(presence->connected[0].v4);
  EXPECT_FALSE(parse("relays_presence", json_of(R"({"connected":[]})")));
}

TEST(ClientMessages, RefusalsCarryTheirReason) {
  const auto refused = parsed<Refused>(
      "authorization_creation_failed",
      json_of(R"({"resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04","reason":"offline"})"));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->reason, "offline");
}

TEST(ClientMessages, UnknownEventsAreToldApartFromBrokenOnes) {
  EXPECT_EQ(parse("device_pool_domain_resolved", json_of("{}")).error(),
            portal::ParseError::unknown_event);
  EXPECT_EQ(parse("init", json_of("{}")).error(), portal::ParseError::malformed);
}

TEST(ClientMessages, AcceptanceWithoutCredentialsIsOfAConnectionThatExists) {
  const auto fresh = parse_accepted(json_of(
      R"({"resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04","gateway_public_key":"M6jq1REt2rfnR5vUYLlRrjNItdB/ttSeqXqOBSqkEb0=",
      "persistent_keepalive":25,"gateway_payload":{"ConnectionAccepted":{"ice_parameters":{"username":"mQ1x","password":"Zt4kR9bHs2VwLf6yNc8uDa"},
      "domain_response":null}}})"));
  ASSERT_TRUE(fresh && fresh->theirs);
  EXPECT_EQ(fresh->theirs->ufrag, "mQ1x");
  const auto reused = parse_accepted(json_of(
      R"({"gateway_public_key":"M6jq1REt2rfnR5vUYLlRrjNItdB/ttSeqXqOBSqkEb0=","gateway_payload":{"ResourceAccepted":{}}})"));
  ASSERT_TRUE(reused);
  EXPECT_FALSE(reused->theirs);
  EXPECT_FALSE(parse_accepted(json_of(R"({"gateway_payload":{}})")));
}

}  // namespace
}  // namespace fg::client::test
