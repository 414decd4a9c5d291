#include <gtest/gtest.h>

#include "control/portal/codec.h"

namespace fg::portal {
namespace {

const ClientId kClient = *ClientId::parse("7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11");

std::string framed(const Egress& egress, std::uint64_t ref) {
  const auto message = serialize(egress);
  return frame("gateway", message.event, message.payload, ref);
}

TEST(Serialize, ConnectionReadyOfTheSpec) {
  ConnectionReady ready{"SFMyNTY.b3BhcXVl.c2ln",
                        IceCredentials{"mQ1x", SecretText{"Zt4kR9bHs2VwLf6yNc8uDa"}}, std::nullopt};
  EXPECT_EQ(
      framed(ready, 3),
      R"({"topic":"gateway","event":"connection_ready","payload":{"ref":"SFMyNTY.b3BhcXVl.c2ln","gateway_payload":{"ConnectionAccepted":{"ice_parameters":{"username":"mQ1x","password":"Zt4kR9bHs2VwLf6yNc8uDa"},"domain_response":null}}},"ref":3})");
  ready.domain = DomainResponse{
      "wiki.lab.test", {*IpAddress::parse("2001:db8::80"), *IpAddress::parse("10.20.1.80")}};
  EXPECT_EQ(
      serialize(ready).payload,
      R"({"ref":"SFMyNTY.b3BhcXVl.c2ln","gateway_payload":{"ConnectionAccepted":{"ice_parameters":{"username":"mQ1x","password":"Zt4kR9bHs2VwLf6yNc8uDa"},"domain_response":{"domain":"wiki.lab.test","address":["2001:db8::80","10.20.1.80"]}}}})");
}

TEST(Serialize, ResourceAcceptedCarriesTheDomainOnly) {
  const ConnectionReady ready{"r", std::nullopt, DomainResponse{"wiki.lab.test", {}}};
  EXPECT_EQ(
      serialize(ready).payload,
      R"({"ref":"r","gateway_payload":{"ResourceAccepted":{"domain_response":{"domain":"wiki.lab.test","address":[]}}}})");
}

TEST(Serialize, AuthorizedAnswersInTheDialectOfTheRequest) {
  EXPECT_EQ(
      framed(Authorized{Authorize::Dialect::create_authorization, "SFMyNTY.cmVm.Mw"}, 5),
      R"({"topic":"gateway","event":"authorization_created","payload":{"ref":"SFMyNTY.cmVm.Mw"},"ref":5})");
  EXPECT_EQ(serialize(Authorized{Authorize::Dialect::authorize_flow, "r"}).event,
            "flow_authorized");
}

TEST(Serialize, CandidatesOfTheSpec) {
  const std::string line =
      "candidate:fffeff7e0c11d2e3f4a5b6c7 1 udp 2130706175 198.51.100.20 52625 typ host";
  EXPECT_EQ(
      framed(BroadcastCandidates{kClient, {line}, false}, 6),
      R"({"topic":"gateway","event":"broadcast_ice_candidates","payload":{"client_ids":["7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11"],"candidates":["candidate:fffeff7e0c11d2e3f4a5b6c7 1 udp 2130706175 198.51.100.20 52625 typ host"]},"ref":6})");
  EXPECT_EQ(serialize(BroadcastCandidates{kClient, {"a", "b"}, true}).event,
            "broadcast_invalidated_ice_candidates");
}

TEST(Serialize, NoRelaysHasAnEmptyPayload) {
  EXPECT_EQ(framed(NoRelays{}, 7),
            R"({"topic":"gateway","event":"no_relays","payload":{},"ref":7})");
}

TEST(Serialize, ARefIsEchoedByteForByte) {
  EXPECT_EQ(serialize(Authorized{Authorize::Dialect::authorize_flow, "a\"\\\n\xc3\xa9"}).payload,
            "{\"ref\":\"a\\\"\\\\\\n\xc3\xa9\"}");
}

}  // namespace
}  // namespace fg::portal
