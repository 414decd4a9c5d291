#include "control/portal/codec.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace fg::portal {
namespace {

const char* const kClient = "7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11";
const char* const kResource = "c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04";
const char* const kRelay = "4a7e0b9d-5c21-4f38-86ad-d3f9172c6e50";

const std::string kCidrResource =
    R"({"id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04","type":"cidr","name":"lab","address":"10.20.0.0/16","filters":[{"protocol":"udp","port_range_start":53,"port_range_end":53}]})";
const std::string kTurnV4 =
    R"({"id":"4a7e0b9d-5c21-4f38-86ad-d3f9172c6e50","type":"turn","addr":"203.0.113.7:3478","username":"u4","password":"p4","expires_at":2145916800})";
const std::string kTurnV6 =
    R"({"id":"4a7e0b9d-5c21-4f38-86ad-d3f9172c6e50","type":"turn","addr":"[2001:db8:7::7]:3478","username":"u6","password":"p6","expires_at":-5})";
const std::string kOtherTurn =
    R"({"id":"b6d8e2f1-7093-4c5a-9e14-2f80a5d7c361","type":"turn","addr":"203.0.113.8:3478","username":"o","password":"o","expires_at":0})";
const std::string kAuthorization =
    R"({"client_id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11","resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04","expires_at":1790003600})";

std::string init_with(const std::string& members) {
  return R"({"interface":{"ipv4":"100.71.20.9","ipv6":"fd00:2021:1111::9:14","dns":null})" +
         (members.empty() ? std::string{} : "," + members) + "}";
}

std::string authorize_with(
    const std::string& resource, const std::string& more = "",
    const std::string& key = "pVQ+CPF+kfKjnnWfZlovWSnIF8yEIGHxfGSkBILSkQQ=") {
  return R"({"ref":"SFMyNTY.cmVm.Mw","resource":)" + resource +
         R"(,"client":{"id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11","public_key":")" + key +
         R"(","preshared_key":"s7QEoxMQTq4dGqRw5SlNIwoENs4tksnt/A7zNoFJ9cU=","ipv4":"100.80.3.17","ipv6":"fd00:2021:1111::3:11","version":"1.5.12","device_serial":null},)"
         R"("client_ice_credentials":{"username":"277o","password":"b6fvcn2h22ah436p3el3zr"},"gateway_ice_credentials":{"username":"6pya","password":"vvzsh3aql5cprilhk5hpja"})" +
         more + "}";
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

template <class Message>
Message read(std::string_view event, const std::string& payload) {
  auto ingress = parse_ingress(event, payload);
  EXPECT_TRUE(ingress) << event << " " << payload;
  auto* message = ingress ? std::get_if<Message>(&*ingress) : nullptr;
  EXPECT_NE(message, nullptr) << event;
  return message == nullptr ? Message{} : std::move(*message);
}

void expect_malformed(std::string_view event, const std::string& payload) {
  const auto ingress = parse_ingress(event, payload);
  ASSERT_FALSE(ingress) << event << " " << payload;
  EXPECT_EQ(ingress.error(), ParseError::malformed);
}

TEST(Codec, AnUnknownEventIsToldFromAMalformedOne) {
  const auto ingress = parse_ingress("new_event", "{}");
  ASSERT_FALSE(ingress);
  EXPECT_EQ(ingress.error(), ParseError::unknown_event);
  expect_malformed("init", "{}");
  expect_malformed("init", "null");
  expect_malformed("init", "[]");
  expect_malformed("init", "{");
}

TEST(Codec, InitOfTheSpecIsRead) {
  const auto init = read<Init>(
      "init",
      init_with(
          R"("config":{"ipv4_masquerade_enabled":true,"ipv6_masquerade_enabled":true},"account_slug":"acme-lab","relays":[)" +
          kTurnV4 + R"(],"authorizations":[)" + kAuthorization +
          R"(],"flow_logs":{"api_url":"https://flows.portal.test/","upload_interval_secs":0,"upload_batch_size":1000})"));
  EXPECT_EQ(init.v4.to_string(), "100.71.20.9");
  EXPECT_EQ(init.v6.to_string(), "fd00:2021:1111::9:14");
  ASSERT_EQ(init.relays.size(), 1U);
  EXPECT_EQ(init.relays[0].id, RelayId::parse(kRelay));
  EXPECT_EQ(init.relays[0].v4->to_string(), "203.0.113.7:3478");
  EXPECT_FALSE(init.relays[0].v6);
  ASSERT_TRUE(init.authorizations);
  ASSERT_EQ(init.authorizations->size(), 1U);
  EXPECT_EQ(init.authorizations->front().client, ClientId::parse(kClient));
  EXPECT_EQ(init.authorizations->front().resource, ResourceId::parse(kResource));
  EXPECT_EQ(init.authorizations->front().expires_at, 1790003600);
}

TEST(Codec, InitToleratesWhatGenerationsLeaveOut) {
  const auto init = read<Init>("init", init_with(""));
  EXPECT_TRUE(init.relays.empty());
  EXPECT_FALSE(init.authorizations);  // revoke nothing
  EXPECT_TRUE(read<Init>("init", init_with(R"("authorizations":[])")).authorizations);
}

TEST(Codec, InitThatDoesNotFitIsRefusedAsAWhole) {
  expect_malformed("init", R"({"relays":[]})");
  expect_malformed("init", init_with(R"("relays":null)"));
  expect_malformed("init", init_with(R"("authorizations":null)"));
  expect_malformed("init", init_with(R"("relays":[],"relays":[])"));
  expect_malformed("init", replaced(init_with(""), "100.71.20.9", "100.71.20.9/32"));
  expect_malformed("init", replaced(init_with(""), "100.71.20.9", "fd00::1"));
  for (const auto* expiry : {"-1", "\"1790003600\"", "1.5", "null"}) {
    expect_malformed("init", init_with("\"authorizations\":[" +
                                       replaced(kAuthorization, "1790003600", expiry) + "]"));
  }
}

TEST(Codec, AuthorizationsAreBounded) {
  std::string list = kAuthorization;
  list.reserve((kAuthorization.size() + 1) * 100'001);
  for (int i = 1; i < 100'000; ++i) list += "," + kAuthorization;
  EXPECT_EQ(
      read<Init>("init", init_with("\"authorizations\":[" + list + "]")).authorizations->size(),
      100'000U);
  expect_malformed("init", init_with("\"authorizations\":[" + list + "," + kAuthorization + "]"));
}

TEST(Codec, EntriesOfOneRelayAreMergedAndTheLaterCredentialsWin) {
  for (const auto& list :
       {kTurnV4 + "," + kTurnV6 + "," + kOtherTurn, kTurnV4 + "," + kOtherTurn + "," + kTurnV6}) {
    const auto init = read<Init>("init", init_with("\"relays\":[" + list + "]"));
    ASSERT_EQ(init.relays.size(), 2U);
    EXPECT_EQ(init.relays[0].v4->to_string(), "203.0.113.7:3478");
    EXPECT_EQ(init.relays[0].v6->to_string(), "[2001:db8:7::7]:3478");
    EXPECT_EQ(init.relays[0].username, "u6");
    EXPECT_EQ(init.relays[0].password.expose(), "p6");
    EXPECT_EQ(init.relays[1].username, "o");
  }
}

TEST(Codec, StunAndUnknownRelayTypesAreSkipped) {
  const std::string stun =
      R"({"type":"stun","id":"4a7e0b9d-5c21-4f38-86ad-d3f9172c6e50","addr":"1.2.3.4:3478"})";
  const std::string future = R"({"type":"quic","url":"x"})";
  EXPECT_EQ(
      read<Init>("init", init_with("\"relays\":[" + stun + "," + future + "," + kTurnV4 + "]"))
          .relays.size(),
      1U);
}

TEST(Codec, ARelayThatDoesNotFitRejectsTheMessage) {
  const std::string no_expiry = replaced(kTurnV4, R"(,"expires_at":2145916800)", "");
  for (const auto& relay :
       {no_expiry, replaced(kTurnV4, "203.0.113.7:3478", "2001:db8::1:3478"),
        replaced(kTurnV4, "\"u4\"", "null"), replaced(kTurnV4, "4a7e0b9d", "4a7e0b9"),
        replaced(kTurnV4, "\"turn\"", "7"), std::string{"null"}}) {
    expect_malformed("init", init_with("\"relays\":[" + relay + "]"));
  }
}

TEST(Codec, RequestConnectionOfTheSpecIsRead) {
  const std::string payload = R"({
 "ref":"SFMyNTY.b3BhcXVl.c2ln","flow_id":"0a4de8b2-6c17-4f93-b5d0-e21f7c8a9b36",
 "actor":{"id":"f7e6d5c4-b3a2-4918-8f0e-1d2c3b4a5968"},"expires_at":1790003600,
 "resource":{"id":"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35","type":"dns","name":"wiki","address":"*.lab.test",
   "filters":[{"protocol":"tcp","port_range_start":443,"port_range_end":443},{"protocol":"icmp"}]},
 "client":{"id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11",
  "payload":{"ice_parameters":{"username":"Kq3z","password":"w8Jd0aYxVb2sTn5eLr7uCp"},
    "domain":{"name":"wiki.lab.test","proxy_ips":["100.96.0.1","100.96.0.2","fd00:2021:1111:8000::","fd00:2021:1111:8000::1"]}},
  "peer":{"persistent_keepalive":25,"public_key":"pVQ+CPF+kfKjnnWfZlovWSnIF8yEIGHxfGSkBILSkQQ=",
    "preshared_key":"s7QEoxMQTq4dGqRw5SlNIwoENs4tksnt/A7zNoFJ9cU=","ipv4":"100.80.3.17","ipv6":"fd00:2021:1111::3:11"}}})";
  const auto request = read<RequestConnection>("request_connection", payload);
  EXPECT_EQ(request.ref, "SFMyNTY.b3BhcXVl.c2ln");
  EXPECT_EQ(request.expires_at, 1790003600);
  EXPECT_EQ(request.resource.type, Resource::Type::dns);
  EXPECT_EQ(request.resource.pattern, "*.lab.test");
  ASSERT_EQ(request.resource.filters.size(), 2U);
  EXPECT_EQ(request.client.id, ClientId::parse(kClient));
  EXPECT_EQ(request.client.v4.to_string(), "100.80.3.17");
  EXPECT_EQ(base64(request.client.preshared_key.expose()),
            "s7QEoxMQTq4dGqRw5SlNIwoENs4tksnt/A7zNoFJ9cU=");
  EXPECT_EQ(request.client_ice.username, "Kq3z");
  ASSERT_TRUE(request.domain);
  EXPECT_EQ(request.domain->name, "wiki.lab.test");
  EXPECT_EQ(request.domain->proxy_ips.size(), 4U);
  EXPECT_FALSE(
      read<RequestConnection>("request_connection", replaced(payload, "1790003600", "null"))
          .expires_at);
  expect_malformed("request_connection", replaced(payload, R"(,"expires_at":1790003600)", ""));
}

TEST(Codec, AllowAccessOfTheSpecIsRead) {
  const std::string payload =
      R"({"ref":"SFMyNTY.cmVm.Mg","client_id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11","client_ipv4":"100.80.3.17",
 "client_ipv6":"fd00:2021:1111::3:11","resource":)" +
      kCidrResource + R"(,"expires_at":1790003600,"payload":null,"flow_id":"x"})";
  const auto access = read<AllowAccess>("allow_access", payload);
  EXPECT_FALSE(access.domain);
  EXPECT_EQ(access.resource.network.to_string(), "10.20.0.0/16");
  EXPECT_EQ(read<AllowAccess>("allow_access",
                              replaced(payload, R"("payload":null)", R"("payload":"a.b")"))
                .domain->name,
            "a.b");
  EXPECT_FALSE(
      read<AllowAccess>("allow_access", replaced(payload, R"(,"payload":null)", "")).domain);
  EXPECT_FALSE(
      read<AllowAccess>("allow_access", replaced(payload, "1790003600", "null")).expires_at);
  expect_malformed("allow_access", replaced(payload, R"(,"expires_at":1790003600)", ""));
  expect_malformed("allow_access",
                   replaced(payload, R"("payload":null)", R"("payload":{"name":"x"})"));
  expect_malformed("allow_access", replaced(payload, R"("payload":null)",
                                            R"("payload":{"name":"x","proxy_ips":["y"]})"));
  expect_malformed("allow_access", replaced(payload, R"("payload":null)", R"("payload":7)"));
}

TEST(Codec, BothDialectsOfAnAuthorizationAreRead) {
  const auto c = read<Authorize>(
      "create_authorization",
      authorize_with(kCidrResource, R"(,"expires_at":1790003600,"use_iceless":true)"));
  EXPECT_EQ(c.dialect, Authorize::Dialect::create_authorization);
  EXPECT_TRUE(c.use_iceless);
  EXPECT_EQ(c.ref, "SFMyNTY.cmVm.Mw");
  EXPECT_EQ(c.client_ice.username, "277o");
  EXPECT_EQ(c.gateway_ice.password.expose(), "vvzsh3aql5cprilhk5hpja");
  ASSERT_EQ(c.resource.filters.size(), 1U);
  EXPECT_EQ(c.resource.filters[0], (Filter{Filter::Protocol::udp, 53, 53}));
  const auto b =
      read<Authorize>("authorize_flow", authorize_with(kCidrResource, R"(,"use_iceless":null)"));
  EXPECT_EQ(b.dialect, Authorize::Dialect::authorize_flow);
  EXPECT_FALSE(b.use_iceless);
  EXPECT_FALSE(b.expires_at);
}

TEST(Codec, ExpiryOfAnAuthorizationMayBeAbsentNullOrFarAway) {
  const auto expiry = [](const std::string& text) {
    return read<Authorize>("create_authorization",
                           authorize_with(kCidrResource, ",\"expires_at\":" + text))
        .expires_at;
  };
  EXPECT_EQ(expiry("null"), std::nullopt);
  EXPECT_EQ(expiry("0"), 0);
  EXPECT_EQ(expiry("18446744073709551615"), std::numeric_limits<std::int64_t>::max());
  for (const auto* text : {"-1", "1.5", "\"1790003600\"", "1e9"}) {
    expect_malformed("create_authorization",
                     authorize_with(kCidrResource, std::string{",\"expires_at\":"} + text));
  }
}

TEST(Codec, AnIngestTokenIsNotNeededNorLookedAt) {
  for (const auto* token :
       {"", R"(,"flow_logs_ingest_token":"not a token")", R"(,"flow_logs_ingest_token":null)"}) {
    (void)read<Authorize>("create_authorization", authorize_with(kCidrResource, token));
  }
}

TEST(Codec, AnIngestTokenIsKeptAsItIs) {
  const auto message =
      read<Authorize>("create_authorization",
                      authorize_with(kCidrResource, R"(,"flow_logs_ingest_token":"a.b.c")"));
  EXPECT_EQ(message.ingest_token.expose(), "a.b.c");
  EXPECT_TRUE(read<Authorize>("authorize_flow",
                              authorize_with(kCidrResource, R"(,"flow_logs_ingest_token":"a.b.c")"))
                  .ingest_token.empty());
}

TEST(Codec, FlowLogSettingsAreReadAndNeverRefuseAnInit) {
  const auto of = [](const std::string& value) {
    return read<Init>("init", init_with(R"("flow_logs":)" + value)).flow_logs;
  };
  EXPECT_EQ(
      of(R"({"api_url":"https://x/","upload_interval_secs":60,"upload_batch_size":18446744073709551615})"),
      (FlowLogs{"https://x/", 60, 18'446'744'073'709'551'615U}));
  EXPECT_EQ(read<Init>("init", init_with("")).flow_logs, std::nullopt);
  for (const auto* wrong :
       {"null", "[]", "{}", R"({"api_url":"x","upload_interval_secs":-1,"upload_batch_size":1})",
        R"({"api_url":1,"upload_interval_secs":1,"upload_batch_size":1})",
        R"({"api_url":"x","upload_interval_secs":1})"}) {
    EXPECT_EQ(of(wrong), std::nullopt) << wrong;
  }
}

TEST(Codec, FactsOfAClientAreReadOfGenerationBWhereTheyAreTexts) {
  const auto payload = authorize_with(
      kCidrResource,
      R"(,"subject":{"actor_name":"Test User","actor_id":5,"actor_email":null,"auth_provider_id":"p"})");
  const auto facts = read<Authorize>("authorize_flow", payload).facts;
  EXPECT_EQ(facts.version, "1.5.12");
  EXPECT_EQ(facts.device_serial, std::nullopt);
  EXPECT_EQ(facts.actor_name, "Test User");
  EXPECT_EQ(facts.actor_id, std::nullopt);
  EXPECT_EQ(facts.auth_provider_id, "p");
  EXPECT_EQ(read<Authorize>("create_authorization", payload).facts.version, std::nullopt);
}

TEST(Codec, UseIcelessIsNotNullableInC) {
  expect_malformed("create_authorization", authorize_with(kCidrResource, R"(,"use_iceless":null)"));
}

TEST(Codec, ARefOfAnyLengthIsKept) {
  const auto text = authorize_with(kCidrResource);
  EXPECT_EQ(read<Authorize>("authorize_flow", replaced(text, "SFMyNTY.cmVm.Mw", "")).ref, "");
  const std::string longer(300, 'r');
  EXPECT_EQ(read<Authorize>("authorize_flow", replaced(text, "SFMyNTY.cmVm.Mw", longer)).ref,
            longer);
  expect_malformed("authorize_flow", replaced(text, "\"SFMyNTY.cmVm.Mw\"", "5"));
}

TEST(Codec, KeysAreStrict) {
  for (const auto* key : {
           "pVQ+CPF+kfKjnnWfZlovWSnIF8yEIGHxfGSkBILSkQQ",       // no padding
           "pVQ-CPF-kfKjnnWfZlovWSnIF8yEIGHxfGSkBILSkQQ=",      // url-safe
           "pVQ+CPF+kfKjnnWfZlovWSnIF8yEIGHxfGSkBILSkQR=",      // trailing bits
           "pVQ+CPF+kfKjnnWfZlovWSnIF8yEIGHxfGSkBILSkQ==",      // 31 bytes
           "pVQ+CPF+kfKjnnWfZlovWSnIF8yEIGHxfGSkBILSkQQEAA==",  // 34 bytes
           "",
       }) {
    expect_malformed("create_authorization", authorize_with(kCidrResource, "", key));
  }
}

TEST(Codec, NetworksAreStrict) {
  const auto network = [](const char* text) {
    return replaced(kCidrResource, "10.20.0.0/16", text);
  };
  EXPECT_EQ(
      read<ResourceUpdated>("resource_updated", network("fd20::/64")).resource.network.to_string(),
      "fd20::/64");
  EXPECT_EQ(read<ResourceUpdated>("resource_updated", network("10.0.0.1/32"))
                .resource.network.to_string(),
            "10.0.0.1/32");
  EXPECT_EQ(
      read<ResourceUpdated>("resource_updated", network("0.0.0.0/0")).resource.network.prefix(), 0);
  for (const auto* text :
       {"10.0.0.1/8", "10.0.0.1", "10.0.0.0/33", "10.0.0.0/", "fd20::1/64", "x"}) {
    expect_malformed("resource_updated", network(text));
  }
}

TEST(Codec, AResourceNeedsItsFiltersAndAKnownType) {
  const auto without_filters =
      replaced(kCidrResource,
               R"(,"filters":[{"protocol":"udp","port_range_start":53,"port_range_end":53}])", "");
  expect_malformed("resource_updated", without_filters);
  expect_malformed("resource_updated",
                   replaced(without_filters, "10.20.0.0/16\"", "10.20.0.0/16\",\"filters\":null"));
  expect_malformed("resource_updated",
                   replaced(kCidrResource, "\"cidr\"", "\"static_device_pool\""));
  expect_malformed("resource_updated", replaced(kCidrResource, R"("type":"cidr",)", ""));
  expect_malformed("resource_updated",
                   replaced(kCidrResource, R"("name":"lab")", R"("name":null)"));
  EXPECT_EQ(
      read<ResourceUpdated>("resource_updated", replaced(kCidrResource, R"("name":"lab",)", ""))
          .resource.name,
      "");
  const auto internet = read<ResourceUpdated>(
      "resource_updated", R"({"type":"internet","id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04"})");
  EXPECT_EQ(internet.resource.type, Resource::Type::internet);
}

TEST(Codec, FiltersAreReadAsTheTableSays) {
  const auto with = [](const std::string& filter) {
    return replaced(kCidrResource,
                    R"({"protocol":"udp","port_range_start":53,"port_range_end":53})", filter);
  };
  const auto filters = [&](const std::string& filter) {
    return read<ResourceUpdated>("resource_updated", with(filter)).resource.filters;
  };
  using enum Filter::Protocol;
  EXPECT_TRUE(filters("").empty());
  EXPECT_EQ(filters(R"({"protocol":"tcp"})"), (std::vector<Filter>{{tcp, 0, 65535}}));
  EXPECT_EQ(filters(R"({"port_range_start":0,"protocol":"tcp","port_range_end":65535})"),
            (std::vector<Filter>{{tcp, 0, 65535}}));
  EXPECT_EQ(filters(R"({"protocol":"udp","port_range_start":80})"),
            (std::vector<Filter>{{udp, 80, 65535}}));
  EXPECT_EQ(filters(R"({"protocol":"udp","port_range_start":80,"port_range_end":79})"),
            (std::vector<Filter>{{udp, 80, 79}}));
  EXPECT_EQ(filters(R"({"protocol":"icmp","port_range_start":"x"})"),
            (std::vector<Filter>{{icmp, 0, 65535}}));
  for (const auto* filter :
       {R"({"protocol":"tcp","port_range_start":70000})",
        R"({"protocol":"tcp","port_range_end":null})", R"({"protocol":"tcp","port_range_end":-1})",
        R"({"protocol":"sctp"})", R"({})", R"("tcp")", R"({"protocol":"tcp","protocol":"tcp"})"}) {
    expect_malformed("resource_updated", with(filter));
  }
}

TEST(Codec, IdsAreReadInAllTheirForms) {
  const auto client = [](const std::string& text) {
    return read<RejectAccess>(
               "reject_access",
               R"({"client_id":")" + text +
                   R"(","resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04","flow_id":null})")
        .client;
  };
  for (const auto* text :
       {"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11", "7D0F1C52-9B1E-4C63-8A57-2F6D3F0B9E11",
        "7d0f1c529b1e4c638a572f6d3f0b9e11", "{7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11}",
        "urn:uuid:7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11"}) {
    EXPECT_EQ(client(text), ClientId::parse(kClient)) << text;
  }
}

TEST(Codec, CandidatesThatAreNoStringsAreSkipped) {
  const std::string payload =
      R"({"client_id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11","candidates":["candidate:1",7,null,"x",{}]})";
  const auto added = read<IceCandidates>("ice_candidates", payload);
  EXPECT_EQ(added.candidates, (std::vector<std::string>{"candidate:1", "x"}));
  EXPECT_FALSE(added.invalidated);
  EXPECT_TRUE(read<IceCandidates>("invalidate_ice_candidates", payload).invalidated);
  expect_malformed("ice_candidates", R"({"client_id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11"})");
  expect_malformed("ice_candidates",
                   R"({"client_id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11","candidates":null})");
}

TEST(Codec, RelaysPresenceMayNameARelayTwice) {
  const auto presence = read<RelaysPresence>(
      "relays_presence",
      R"({"disconnected_ids":["4a7e0b9d-5c21-4f38-86ad-d3f9172c6e50"],"connected":[)" + kTurnV4 +
          "]}");
  ASSERT_EQ(presence.disconnected.size(), 1U);
  ASSERT_EQ(presence.connected.size(), 1U);
  EXPECT_EQ(presence.disconnected[0], presence.connected[0].id);
  expect_malformed("relays_presence", R"({"disconnected_ids":[]})");
  expect_malformed("relays_presence", R"({"connected":[]})");
  expect_malformed("relays_presence", R"({"disconnected_ids":["x"],"connected":[]})");
}

TEST(Codec, ExpiryUpdatesAreRead) {
  EXPECT_EQ(read<ExpiryUpdated>("access_authorization_expiry_updated", kAuthorization).expires_at,
            1790003600);
}

TEST(Codec, UnknownMembersAreIgnoredAlsoDoubledOnes) {
  (void)read<RejectAccess>(
      "reject_access",
      R"({"x":null,"x":1,"client_id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11","resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04"})");
  expect_malformed(
      "reject_access",
      R"({"client_id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11","resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04","resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04"})");
}

}  // namespace
}  // namespace fg::portal
