// Lines of the recorded portal transcripts.
#pragma once

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/client/messages.h"
#include "tests/support/recordings.h"

namespace fg::client::test {

inline constexpr std::array kGenerations = {Generation::a, Generation::b, Generation::c};

// All of a generation's direct session that `wanted` accepts.
template <class Wanted>
std::vector<nlohmann::json> recorded(Generation generation, Wanted wanted) {
  static constexpr std::array kFolders = {"A/direct", "B/direct", "C/direct"};
  std::ifstream in{fg::test::recordings() / kFolders[static_cast<std::size_t>(generation)] /
                   "portal.jsonl"};
  std::vector<nlohmann::json> out;
  for (std::string line; std::getline(in, line);) {
    auto json = nlohmann::json::parse(line);
    if (wanted(json)) out.push_back(std::move(json));
  }
  return out;
}

// What the client sent under this event.
inline std::vector<nlohmann::json> recorded_from_client(Generation generation,
                                                        const std::string& event) {
  return recorded(generation, [&](const nlohmann::json& line) {
    return line["what"] == "from" && line["kind"] == "client" && line["event"] == event;
  });
}

inline portal::Json json_of(std::string_view text) { return *portal::parse_json(text); }

}  // namespace fg::client::test
