// Every line the recorded portals pushed to gateways parses, and every message the recorded
// gateways sent has our shape.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "control/portal/codec.h"

namespace fg::portal {
namespace {

using nlohmann::json;

std::vector<json> recorded_lines() {
  const char* shared = std::getenv("FG_SHARED");
  const std::filesystem::path root = shared != nullptr ? shared : FG_SOURCE_DIR "/../shared";
  std::vector<json> lines;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root / "recordings")) {
    if (entry.path().filename() != "portal.jsonl") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) lines.push_back(json::parse(line));
  }
  return lines;
}

// The same keys and kinds everywhere; of lists the first elements are compared.
std::string shape_of(const json& value) {
  if (value.is_object()) {
    std::string out = "{";
    for (const auto& [key, member] : value.items()) out += key + ":" + shape_of(member) + ",";
    return out + "}";
  }
  if (value.is_array())
    return "[" + (value.empty() ? std::string{} : shape_of(value.front())) + "]";
  return value.type_name();
}

DomainResponse domain_of(const json& value) {
  DomainResponse response{value.at("domain"), {}};
  for (const auto& text : value.at("address"))
    response.addresses.push_back(*IpAddress::parse(text.get<std::string>()));
  return response;
}

std::optional<Egress> egress_of(const std::string& event, const json& payload) {
  if (event == "flow_authorized")
    return Authorized{Authorize::Dialect::authorize_flow, payload.at("ref")};
  if (event == "authorization_created")
    return Authorized{Authorize::Dialect::create_authorization, payload.at("ref")};
  if (event == "no_relays") return NoRelays{};
  if (event == "broadcast_ice_candidates" || event == "broadcast_invalidated_ice_candidates") {
    return BroadcastCandidates{*ClientId::parse(payload.at("client_ids").at(0).get<std::string>()),
                               payload.at("candidates"), event != "broadcast_ice_candidates"};
  }
  if (event != "connection_ready") return std::nullopt;
  ConnectionReady ready{payload.at("ref"), std::nullopt, std::nullopt};
  const auto& body = payload.at("gateway_payload").begin().value();
  if (payload.at("gateway_payload").contains("ConnectionAccepted")) {
    const auto& ice = body.at("ice_parameters");
    ready.ice =
        IceCredentials{ice.at("username"), SecretText{ice.at("password").get<std::string>()}};
  }
  if (!body.at("domain_response").is_null()) ready.domain = domain_of(body.at("domain_response"));
  return ready;
}

TEST(Recordings, EverythingPushedToGatewaysParses) {
  int parsed = 0;
  for (const auto& line : recorded_lines()) {
    const std::string what = line.at("what");
    const bool is_init = what == "init" && line.at("to") == "gateway";
    if (what != "to_gateway" && !is_init) continue;
    const std::string event = is_init ? "init" : line.at("event").get<std::string>();
    EXPECT_TRUE(parse_ingress(event, line.at("payload").dump())) << line.dump();
    ++parsed;
  }
  EXPECT_GT(parsed, 50);
}

TEST(Recordings, EverythingGatewaysSentIsWhatWeWouldSend) {
  int compared = 0;
  for (const auto& line : recorded_lines()) {
    if (line.at("what") != "from" || line.at("kind") != "gateway") continue;
    const auto egress = egress_of(line.at("event"), line.at("payload"));
    if (!egress) continue;
    const auto ours = serialize(*egress);
    EXPECT_EQ(ours.event, line.at("event"));
    EXPECT_EQ(json::parse(ours.payload), line.at("payload"));
    EXPECT_EQ(shape_of(json::parse(ours.payload)), shape_of(line.at("payload")));
    ++compared;
  }
  EXPECT_GT(compared, 30);
}

}  // namespace
}  // namespace fg::portal
