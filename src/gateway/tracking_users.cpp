#include "gateway/tracking_users.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

namespace fg::gateway {
namespace {

using Json = nlohmann::json;

// Statements and verdicts of libnftables-json(5) that leave tracking alone if no `ct` is in them.
constexpr std::array<std::string_view, 18> kHarmless{
    "match", "counter", "accept", "drop", "reject", "continue", "return", "jump",    "goto",
    "log",   "limit",   "quota",  "last", "set",    "map",      "mangle", "notrack", "vmap",
};
constexpr std::array<std::string_view, 4> kTranslations{"snat", "dnat", "masquerade", "redirect"};

std::string text(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

// As an expression or a statement: "ct", "ct count", "ct helper".
bool has_ct(const Json& value) {
  if (!value.is_structured()) return false;
  for (const auto& [key, inner] : value.items()) {
    if (value.is_object() && (key == "ct" || key.starts_with("ct "))) return true;
    if (has_ct(inner)) return true;
  }
  return false;
}

// What a rule does that concerns us, to be put behind the chain's name.
std::optional<std::string> use_in(const Json& rule) {
  const auto statements = rule.find("expr");
  if (statements == rule.end() || !statements->is_array()) return "has a rule that cannot be read";
  for (const auto& statement : *statements) {
    if (!statement.is_object() || statement.size() != 1) return "has a rule that cannot be read";
    if (has_ct(statement)) return "uses ct";
    const auto& name = statement.begin().key();
    if (name == "xt") return "has rules of iptables";
    if (std::ranges::find(kTranslations, name) != kTranslations.end())
      return "translates (" + name + ")";
    if (std::ranges::find(kHarmless, name) == kHarmless.end()) return "uses " + name;
  }
  return std::nullopt;
}

using ChainName = std::tuple<std::string, std::string, std::string>;

}  // namespace

std::optional<std::string> tracking_user(std::string_view json) {
  const auto root = Json::parse(json, nullptr, false);
  if (!root.is_object() || !root.contains("nftables") || !root["nftables"].is_array())
    return "an nftables table cannot be read";
  std::set<ChainName> only_forward;
  for (const auto& element : root["nftables"]) {
    if (!element.is_object() || !element.contains("chain") || !element["chain"].is_object())
      continue;
    const auto& chain = element["chain"];
    if (text(chain, "hook") == "forward")
      only_forward.emplace(text(chain, "family"), text(chain, "table"), text(chain, "name"));
  }
  for (const auto& element : root["nftables"]) {
    if (!element.is_object() || element.size() != 1) return "an nftables table cannot be read";
    const auto entry = element.begin();
    const auto& kind = entry.key();
    const auto& body = entry.value();
    const auto family = text(body, "family");
    const auto table = text(body, "table");
    if (family == "arp") continue;
    if (kind == "rule") {
      const auto chain = text(body, "chain");
      if (only_forward.contains({family, table, chain})) continue;
      if (const auto use = use_in(body)) {
        return "table " + family + " " + table + ", chain " + chain + " " + *use;
      }
    } else if ((kind == "set" || kind == "map") && has_ct(body)) {
      return "table " + family + " " + table + ", " + kind + " " + text(body, "name") + " uses ct";
    }
  }
  return std::nullopt;
}

std::optional<std::string> legacy_tracking_user(const std::string& proc) {
  for (const auto& [file, program] : {std::pair{"/net/ip_tables_names", "iptables-legacy"},
                                      {"/net/ip6_tables_names", "ip6tables-legacy"}}) {
    const auto path = proc + file;
    if (std::error_code error; !std::filesystem::exists(path, error) && !error) continue;
    std::ifstream in{path};
    if (!in) return path + " cannot be read";
    if (std::string table; std::getline(in, table))
      return std::string{program} + " has a table '" + table + "'";
  }
  // Three lines of headings.
  std::ifstream services{proc + "/net/ip_vs"};
  std::string line;
  for (int i = 0; std::getline(services, line); ++i) {
    if (i == 3) return "IPVS has services";
  }
  return std::nullopt;
}

}  // namespace fg::gateway
