#include "gateway/forward_policy.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace fg::gateway {
namespace {

using Json = nlohmann::json;

struct Chain {
  std::string name;
  std::string last;  // what the policy does to what no rule takes: "drop", or the last rule
};

struct Table {
  std::string family;
  std::string name;
  std::vector<Chain> forward;  // base chains that refuse in the end
  bool accepts_interface = false;
  bool is_docker = false;
  bool is_ufw = false;
};

std::string text(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

// {"match": {"left": {"meta": {"key": "iifname"}}, "right": "tun*"}}
bool names_interface(const Json& statement, const std::string& interface) {
  const auto match = statement.find("match");
  if (match == statement.end() || !match->is_object() || text(*match, "op") == "!=") return false;
  const auto left = match->find("left");
  if (left == match->end() || !left->is_object() || !left->contains("meta") ||
      !(*left)["meta"].is_object())
    return false;
  const auto key = text((*left)["meta"], "key");
  if (key != "iifname" && key != "oifname" && key != "iif" && key != "oif") return false;
  const auto matches = [&](const Json& value) {
    if (!value.is_string()) return false;
    const auto name = value.get<std::string>();
    return name == interface ||
           (name.ends_with('*') && interface.starts_with(name.substr(0, name.size() - 1)));
  };
  const auto right = match->find("right");
  if (right == match->end()) return false;
  if (right->is_object() && right->contains("set") && (*right)["set"].is_array())
    return std::ranges::any_of((*right)["set"], matches);
  return matches(*right);
}

// Of a rule without conditions: "drop", "reject", or nothing.
std::string refuses_all(const Json& statements) {
  for (const auto& statement : statements) {
    if (!statement.is_object()) return "";
    if (statement.contains("match") || statement.contains("vmap") || statement.contains("limit"))
      return "";
    if (statement.contains("drop")) return "drop";
    if (statement.contains("reject")) return "reject";
  }
  return "";
}

bool lets_pass(const Json& statement) {
  return statement.is_object() &&
         (statement.contains("accept") || statement.contains("jump") || statement.contains("goto"));
}

std::string mend(const Table& table, const Chain& chain, const std::string& interface) {
  const std::string iptables = table.family == "ip6" ? "ip6tables" : "iptables";
  const auto pair = [&](const std::string& in_chain) {
    return "'" + iptables + " -I " + in_chain + " -i " + interface + " -j ACCEPT' and '" +
           iptables + " -I " + in_chain + " -o " + interface + " -j ACCEPT'";
  };
  if (table.name == "firewalld")
    return "'firewall-cmd --permanent --zone=trusted --add-interface=" + interface +
           "' and 'firewall-cmd --reload'";
  if (table.is_ufw)
    return "'ufw route allow in on " + interface + "' and 'ufw route allow out on " + interface +
           "'";
  if (table.is_docker) return pair("DOCKER-USER");
  if (table.name == "filter" && chain.name == "FORWARD") return pair("FORWARD");
  const auto rule = "nft insert rule " + table.family + " " + table.name + " " + chain.name;
  return "'" + rule + " iifname " + interface + " accept' and '" + rule + " oifname " + interface +
         " accept'";
}

}  // namespace

std::vector<std::string> forward_obstacles(std::string_view ruleset_json,
                                           const std::string& interface) {
  const auto root = Json::parse(ruleset_json, nullptr, false);
  if (!root.is_object() || !root.contains("nftables") || !root["nftables"].is_array()) return {};
  std::map<std::pair<std::string, std::string>, Table> tables;
  std::map<std::tuple<std::string, std::string, std::string>, bool> is_forward;
  const auto table_of = [&](const Json& object) -> Table& {
    auto& table = tables[{text(object, "family"), text(object, "table")}];
    table.family = text(object, "family");
    table.name = text(object, "table");
    return table;
  };
  for (const auto& element : root["nftables"]) {
    if (!element.is_object()) continue;
    if (const auto at = element.find("chain"); at != element.end() && at->is_object()) {
      auto& table = table_of(*at);
      const auto name = text(*at, "name");
      table.is_docker |= name.starts_with("DOCKER-USER");
      table.is_ufw |= name.starts_with("ufw-") || name.starts_with("ufw6-");
      if (text(*at, "hook") != "forward" || text(*at, "type") != "filter") continue;
      is_forward[{table.family, table.name, name}] = true;
      if (text(*at, "policy") == "drop") table.forward.push_back({name, "policy drop"});
    } else if (const auto rule = element.find("rule"); rule != element.end() && rule->is_object()) {
      const auto expressions = rule->find("expr");
      if (expressions == rule->end() || !expressions->is_array()) continue;
      auto& table = table_of(*rule);
      if (std::ranges::any_of(*expressions, lets_pass) &&
          std::ranges::any_of(*expressions, [&](const Json& statement) {
            return statement.is_object() && names_interface(statement, interface);
          }))
        table.accepts_interface = true;
      const auto chain = text(*rule, "chain");
      if (!is_forward.contains({table.family, table.name, chain})) continue;
      if (const auto verdict = refuses_all(*expressions); !verdict.empty())
        table.forward.push_back({chain, "a last rule " + verdict});
    }
  }
  std::vector<std::string> out;
  for (const auto& [key, table] : tables) {
    if (table.forward.empty() || table.accepts_interface) continue;
    const auto& chain = table.forward.front();
    out.push_back("the firewall does not forward clients' packets: chain '" + chain.name +
                  "' of table '" + table.family + " " + table.name + "' has " + chain.last +
                  " and no rule that accepts '" + interface + "'; run " +
                  mend(table, chain, interface));
  }
  return out;
}

}  // namespace fg::gateway
