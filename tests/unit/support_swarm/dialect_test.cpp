// What the swarm's portal says, beside what the portal of the recordings said to original gateways:
// those refuse a message as a whole when a member is missing or of another type (spec portal 2.1).
#include "tests/support/swarm/dialect.h"

#include <gtest/gtest.h>

#include <array>
#include <fstream>

#include "base/encoding.h"
#include "control/portal/codec.h"
#include "tests/support/recordings.h"

namespace fg::swarm {
namespace {

constexpr std::array kGenerations = {Generation::a, Generation::b, Generation::c};
constexpr std::array kEvents = {"request_connection", "authorize_flow", "create_authorization"};

// The first line of a generation's direct session that has these members.
Json recorded(Generation generation, const Json& members) {
  std::ifstream in{test::recordings() / letter_of(generation) / "direct" / "portal.jsonl"};
  for (std::string text; std::getline(in, text);) {
    const auto line = Json::parse(text);
    bool fits = true;
    for (const auto& [name, value] : members.items())
      fits = fits && line.value(name, Json{}) == value;
    if (fits) return line;
  }
  ADD_FAILURE() << "not recorded: " << members;
  return {};
}

// Where `said` lacks a member of `theirs`, has another type there, or one that they have not.
// Lists are compared by their first elements.
std::vector<std::string> differences(const Json& said, const Json& theirs, const std::string& at) {
  if (std::string_view{said.type_name()} != theirs.type_name())
    return {at + ": " + said.type_name() + ", not " + theirs.type_name()};
  std::vector<std::string> out;
  const auto add = [&](std::vector<std::string> more) {
    out.insert(out.end(), more.begin(), more.end());
  };
  if (theirs.is_array() && !theirs.empty())
    add(said.empty() ? std::vector{at + ": empty"} : differences(said[0], theirs[0], at + "[0]"));
  if (!theirs.is_object()) return out;
  for (const auto& [name, value] : theirs.items()) {
    const auto where = at + "." + name;
    add(said.contains(name) ? differences(said[name], value, where)
                            : std::vector{where + ": missing"});
  }
  for (const auto& [name, value] : said.items())
    if (!theirs.contains(name)) out.push_back(at + "." + name + ": not theirs");
  return out;
}

Introduction somebody(Generation generation) {
  const ByteVector key(32, 7);
  Introduction out{.id = "5a5a5a5a-0000-4000-8000-000000000001",
                   .public_key = base64(key),
                   .preshared_key = base64(key),
                   .ipv4 = *IpAddress::parse("100.65.0.1"),
                   .ipv6 = *IpAddress::parse("fd00:2021:1111::1:1"),
                   .client = {"abcd", SecretText{"aaaabbbbccccddddeeeeff"}},
                   .gateway = std::nullopt};
  if (generation != Generation::a)
    out.gateway = ice::Credentials{"efgh", SecretText{"ffffgggghhhhiiiijjjjkk"}};
  return out;
}

Json resource() {
  return {{"type", "cidr"},
          {"id", "c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04"},
          {"name", "echo"},
          {"address", "10.20.0.2/32"},
          {"filters", Json::array()}};
}

Json relays() {
  return Json::array({relay_entry(*SocketAddress::parse("198.51.100.20:3478"), "1:a", "b")});
}

Json part(const std::string& token, std::size_t number) {
  std::size_t begin = 0;
  for (; number > 0; --number) begin = token.find('.', begin) + 1;
  const auto bytes = decode_base64url(token.substr(begin, token.find('.', begin) - begin));
  return bytes ? Json::parse(as_text(*bytes), nullptr, false) : Json{};
}

TEST(SwarmDialect, InitHasTheShapeThatOriginalsOfEachGenerationWereGiven) {
  for (const auto generation : kGenerations) {
    const auto theirs = recorded(generation, {{"what", "init"}, {"to", "gateway"}});
    const auto said = init_payload(generation, relays(), {});
    EXPECT_EQ(differences(said, theirs["payload"], letter_of(generation)),
              std::vector<std::string>{});
  }
}

TEST(SwarmDialect, AuthorizationsHaveTheShapeThatOriginalsOfEachGenerationWereGiven) {
  for (const auto generation : kGenerations) {
    const auto* event = kEvents[static_cast<std::size_t>(generation)];
    auto theirs = recorded(generation, {{"what", "to_gateway"}, {"event", event}})["payload"];
    auto said = authorization(generation, somebody(generation), resource());
    EXPECT_EQ(said.event, event);
    if (generation != Generation::a) {  // a string or null, only told
      theirs["subject"].erase("actor_id");
      said.payload["subject"].erase("actor_id");
    }
    EXPECT_EQ(differences(said.payload, theirs, letter_of(generation)), std::vector<std::string>{});
  }
}

TEST(SwarmDialect, TheIngestTokenHasEveryClaimOfTheRecordedOne) {
  const auto theirs =
      recorded(Generation::c, {{"what", "to_gateway"}, {"event", "create_authorization"}});
  const auto said = authorization(Generation::c, somebody(Generation::c), resource());
  const std::string token = said.payload["flow_logs_ingest_token"];
  const std::string recorded_token = theirs["payload"]["flow_logs_ingest_token"];
  for (const std::size_t i : {0U, 1U})
    EXPECT_EQ(differences(part(token, i), part(recorded_token, i), "token"),
              std::vector<std::string>{});
  EXPECT_EQ(part(token, 1)["role"], "responder");
  EXPECT_FALSE(token.ends_with('.'));
}

TEST(SwarmDialect, GrantsAreListedForThoseWhoRevokeTheOthers) {
  const auto grants = [](Generation generation) {
    return init_payload(generation, relays(), {{"c", "r"}}).value("authorizations", Json{});
  };
  EXPECT_TRUE(grants(Generation::a).is_null());
  for (const auto generation : {Generation::b, Generation::c}) {
    EXPECT_EQ(grants(generation)[0]["client_id"], "c");
    EXPECT_EQ(grants(generation)[0]["resource_id"], "r");
    EXPECT_TRUE(grants(generation)[0]["expires_at"].is_number_integer());
  }
}

TEST(SwarmDialect, OurOwnParserTakesAllOfIt) {
  for (const auto generation : kGenerations) {
    const auto said = authorization(generation, somebody(generation), resource());
    const auto init = init_payload(generation, relays(), {});
    EXPECT_TRUE(portal::parse_ingress(said.event, said.payload.dump())) << letter_of(generation);
    EXPECT_TRUE(portal::parse_ingress("init", init.dump())) << letter_of(generation);
  }
}

TEST(SwarmDialect, OriginalsAreRecognisedByTheirUpgradeRequests) {
  for (const auto generation : kGenerations) {
    std::ifstream in{test::recordings() / letter_of(generation) / "direct" / "portal.jsonl"};
    std::size_t asked = 0;
    for (std::string text; std::getline(in, text);) {
      const auto line = Json::parse(text);
      if (line["what"] != "upgrade" || line["path"].get<std::string>().find("/gateway/") != 0)
        continue;
      ++asked;
      EXPECT_EQ(generation_of(line["path"].get<std::string>(),
                              line["headers"].contains("x-authorization")),
                generation);
    }
    EXPECT_GT(asked, 0U);
  }
}

TEST(SwarmDialect, TheAnswersOfOriginalsAreUnderstood) {
  constexpr std::array kAnswers = {"connection_ready", "flow_authorized", "authorization_created"};
  for (const auto generation : kGenerations) {
    const auto* event = kAnswers[static_cast<std::size_t>(generation)];
    const auto line =
        recorded(generation, {{"what", "from"}, {"kind", "gateway"}, {"event", event}});
    const auto found = agreement(event, line["payload"]);
    ASSERT_TRUE(found) << event;
    EXPECT_EQ(found->reference, line["payload"]["ref"]);
    EXPECT_EQ(found->gateway.has_value(), generation == Generation::a);
    if (found->gateway) {
      EXPECT_EQ(found->gateway->ufrag.size(), ice::kUfragSize);
      EXPECT_EQ(found->gateway->password.expose().size(), ice::kPasswordSize);
    }
  }
  EXPECT_FALSE(agreement("no_relays", Json::object()));
}

TEST(SwarmDialect, LettersNameGenerations) {
  for (const auto generation : kGenerations)
    EXPECT_EQ(generation_of(letter_of(generation)), generation);
  for (const auto* other : {"", "D", "a", "AB"})
    EXPECT_FALSE(generation_of(std::string_view{other}));
}

}  // namespace
}  // namespace fg::swarm
