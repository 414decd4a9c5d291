#include <gtest/gtest.h>

#include "base/encoding.h"
#include "tests/unit/support_client/recorded.h"

namespace fg::client::test {
namespace {

using nlohmann::json;

json payload_of(const portal::Message& message) { return json::parse(message.payload); }

std::vector<GatewayId> gateways_of(const json& list) {
  std::vector<GatewayId> out;
  for (const auto& id : list) out.push_back(*GatewayId::parse(id.get<std::string>()));
  return out;
}

ResourceId resource_of(const json& payload) {
  return *ResourceId::parse(payload["resource_id"].get<std::string>());
}

TEST(ClientRequests, AccessIsAskedForAsRecorded) {
  for (const auto& [generation, event] :
       {std::pair{Generation::b, "create_flow"}, {Generation::c, "request_authorization"}}) {
    const auto lines = recorded_from_client(generation, event);
    ASSERT_GE(lines.size(), 2U);
    for (const auto& line : lines) {
      const auto& payload = line["payload"];
      const auto message = request_access(generation, resource_of(payload),
                                          gateways_of(payload["connected_gateway_ids"]));
      EXPECT_EQ(message.event, event);
      EXPECT_EQ(payload_of(message), payload);
    }
  }
}

TEST(ClientRequests, AConnectionIsPreparedAndRequestedAsRecorded) {
  for (const auto& line : recorded_from_client(Generation::a, "prepare_connection")) {
    const auto& payload = line["payload"];
    EXPECT_EQ(payload_of(prepare_connection(resource_of(payload),
                                            gateways_of(payload["connected_gateway_ids"]))),
              payload);
  }
  const auto lines = recorded_from_client(Generation::a, "request_connection");
  ASSERT_EQ(lines.size(), 1U);
  const auto& payload = lines[0]["payload"];
  const auto& ice = payload["client_payload"]["ice_parameters"];
  const Offer offer{.gateway = *GatewayId::parse(payload["gateway_id"].get<std::string>()),
                    .resource = resource_of(payload),
                    .preshared = *Secret<32>::from_bytes(
                        *decode_base64(payload["client_preshared_key"].get<std::string>())),
                    .ours = {ice["username"], SecretText{ice["password"]}}};
  EXPECT_EQ(request_connection(offer).event, "request_connection");
  EXPECT_EQ(payload_of(request_connection(offer)), payload);
}

TEST(ClientRequests, AFurtherResourceNamesNoDomain) {
  const auto gateway = *GatewayId::parse("2a49d50a-886c-57f6-bf4e-98aee0d790e7");
  const auto resource = *ResourceId::parse("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab06");
  const auto message = reuse_connection(resource, gateway);
  EXPECT_EQ(message.event, "reuse_connection");
  EXPECT_EQ(payload_of(message),
            json::parse(R"({"resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab06",
    "gateway_id":"2a49d50a-886c-57f6-bf4e-98aee0d790e7","payload":null})"));
}

TEST(ClientRequests, CandidatesAreSentAsRecorded) {
  for (const auto& line : recorded_from_client(Generation::a, "broadcast_ice_candidates")) {
    const auto& payload = line["payload"];
    const auto gateway = *GatewayId::parse(payload["gateway_ids"][0].get<std::string>());
    EXPECT_EQ(payload_of(candidates(Generation::a, gateway, payload["candidates"], false)),
              payload);
  }
  for (const auto generation : {Generation::b, Generation::c}) {
    const auto lines = recorded_from_client(generation, "new_gateway_ice_candidates");
    ASSERT_FALSE(lines.empty());
    const auto& payload = lines[0]["payload"];
    const auto gateway = *GatewayId::parse(payload["gateway_id"].get<std::string>());
    const auto message = candidates(generation, gateway, payload["candidates"], false);
    EXPECT_EQ(message.event, "new_gateway_ice_candidates");
    EXPECT_EQ(payload_of(message), payload);
    EXPECT_EQ(candidates(generation, gateway, {}, true).event, "invalidate_gateway_ice_candidates");
  }
}

TEST(ClientRequests, PathsWithoutIceAreNotOffered) {
  EXPECT_EQ(capabilities(), (portal::Message{"set_snownet_capabilities", R"({"iceless":true})"}));
  EXPECT_EQ(no_relays(), (portal::Message{"no_relays", "{}"}));
}

}  // namespace
}  // namespace fg::client::test
