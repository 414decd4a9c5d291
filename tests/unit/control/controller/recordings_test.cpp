// Fed the portal's side of every recording, the controller must say what the recorded gateway said:
// the same answers with the same references and shapes, before any candidate, and candidate lines
// of the same syntax. Where ours differs on purpose: requests that came before a relay was measured
// are held instead of refused (spec policy 2.2), and lines are those of ICE also where the portal
// chose ICE-less connections, which this gateway never offers.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>

#include "control/portal/codec.h"
#include "tests/support/recordings.h"
#include "tests/unit/control/controller/world.h"

namespace fg {
namespace {

using nlohmann::json;

// Objects by their keys, arrays by their first element, values by their type.
json shape_of(const json& value) {
  if (value.is_object()) {
    json out = json::object();
    for (const auto& [key, member] : value.items()) out[key] = shape_of(member);
    return out;
  }
  if (value.is_array()) return value.empty() ? json::array() : json::array({shape_of(value[0])});
  return value.type_name();
}

bool is_answer(const std::string& event) {
  return event == "connection_ready" || event == "flow_authorized" ||
         event == "authorization_created";
}

struct Said {
  std::string event;
  json payload;
};

class Recording : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    const auto path = test::recordings() / GetParam() / "portal.jsonl";
    std::ifstream in{path};
    ASSERT_TRUE(in) << path
                    << " is missing: the recordings belong beside the repository, or set FG_SHARED";
    for (std::string line; std::getline(in, line);) replay(json::parse(line));
  }

  void replay(const json& line) {
    const auto what = line["what"];
    if (what == "init" && line["to"] == "gateway") feed("init", line["payload"]);
    if (what == "to_gateway") feed(line["event"], line["payload"]);
    if (what == "from" && line["kind"] == "gateway" && line["event"] != "phx_join" &&
        line["event"] != "set_snownet_capabilities") {
      theirs.push_back({line["event"], line["payload"]});
    }
  }
  void feed(const std::string& event, const json& payload) {
    auto message = portal::parse_ingress(event, payload.dump());
    ASSERT_TRUE(message) << event << ' ' << payload.dump();
    if (auto* init = std::get_if<portal::Init>(&*message)) {
      // The relay of the recording answers with the recorded credentials.
      ASSERT_FALSE(init->relays.empty());
      const auto& relay = init->relays[0];
      world.relay_id = relay.id;
      world.relay.username = relay.username;
      world.relay.password = relay.password;
      if (relay.v4) world.relay.v4 = *relay.v4;
      if (relay.v6) world.relay.v6 = *relay.v6;
    }
    world.portal_says(std::move(*message));
    while (auto query =
               world.queries.empty() ? std::nullopt : std::optional{world.queries.back()}) {
      world.queries.clear();
      world.controller.on_resolved(
          query->id, {std::vector{test::ip("10.20.0.2")}, std::vector{test::ip("fd20::2")}},
          world.now, world.wall());
      world.settle();
    }
    for (const auto& egress : world.said) {
      const auto out = portal::serialize(egress);
      ours.push_back({out.event, json::parse(out.payload)});
    }
    world.said.clear();
  }
  [[nodiscard]] std::map<std::string, Said> answers(const std::vector<Said>& all) const {
    std::map<std::string, Said> out;
    for (const auto& said : all) {
      if (is_answer(said.event)) out[said.payload["ref"]] = said;
    }
    return out;
  }

  test::World world;
  std::vector<Said> theirs;
  std::vector<Said> ours;
};

TEST_P(Recording, EveryAnswerHasTheRecordedNameReferenceAndShape) {
  const auto recorded = answers(theirs);
  const auto made = answers(ours);
  ASSERT_FALSE(recorded.empty());
  for (const auto& [ref, said] : recorded) {
    const auto found = made.find(ref);
    ASSERT_NE(found, made.end()) << "no answer to " << ref;
    EXPECT_EQ(found->second.event, said.event);
    EXPECT_EQ(shape_of(found->second.payload), shape_of(said.payload));
  }
}

TEST_P(Recording, TheFirstAnswerPrecedesTheFirstCandidatesAsRecorded) {
  for (const auto* all : {&theirs, &ours}) {
    const auto first = [&](auto&& matches) {
      return std::find_if(all->begin(), all->end(), matches) - all->begin();
    };
    EXPECT_LT(first([](const Said& s) { return is_answer(s.event); }),
              first([](const Said& s) { return s.event == "broadcast_ice_candidates"; }));
  }
}

TEST_P(Recording, CandidatesHaveTheRecordedShapeKindsAndSyntax) {
  const std::string folder = GetParam();
  const bool is_a = folder.starts_with("A/");
  const bool is_iceless = folder.find("iceless") != std::string::npos;
  // Spec connectivity 2.8, 5.3.
  const std::regex syntax{
      is_a ? R"(candidate:[0-9a-f]{24} 1 udp [0-9]+ [0-9a-f.:]+ [0-9]+ typ (host|srflx|relay))"
      : is_iceless
          ? R"(candidate:[0-9]{1,20} 1 udp (2130706431 \S+ [0-9]+ typ host|(1694498815 \S+ [0-9]+ typ srflx|16777215 \S+ [0-9]+ typ relay) raddr [0-9a-f.:]+ rport 52625))"
          : R"(candidate:[0-9a-f]{24} 1 udp [0-9]+ [0-9a-f.:]+ [0-9]+ typ (host|(srflx|relay) raddr (0\.0\.0\.0|::) rport 0) ufrag [a-z2-7]{4})"};
  int lines = 0;
  for (const auto* all : {&theirs, &ours}) {
    for (const auto& said : *all) {
      if (said.event != "broadcast_ice_candidates") continue;
      EXPECT_EQ(shape_of(said.payload),
                json::parse(R"({"candidates":["string"],"client_ids":["string"]})"));
      for (const auto& line : said.payload["candidates"]) {
        EXPECT_TRUE(std::regex_match(line.get<std::string>(), syntax)) << line;
        ++lines;
      }
    }
  }
  EXPECT_GT(lines, 0);
}

INSTANTIATE_TEST_SUITE_P(
    All, Recording,
    ::testing::Values("A/direct", "A/relayed", "B/direct", "B/relayed", "C/direct", "C/relayed",
                      "C/iceless", "C/iceless-relayed"),
    [](const ::testing::TestParamInfo<const char*>& folder) {
      std::string name = folder.param;
      std::replace_if(name.begin(), name.end(), [](char c) { return c == '/' || c == '-'; }, '_');
      return name;
    });

}  // namespace
}  // namespace fg
