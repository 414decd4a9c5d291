#include "gateway/outgoing_filters.h"

#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

namespace fg::gateway {
namespace {

using Json = nlohmann::json;

std::string text(const Json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : "";
}

}  // namespace

std::optional<std::string> outgoing_filter(std::string_view json) {
  constexpr const char* kUnreadable = "an nftables table cannot be read";
  const auto root = Json::parse(json, nullptr, false);
  if (!root.is_object() || !root.contains("nftables") || !root["nftables"].is_array())
    return kUnreadable;
  std::set<std::tuple<std::string, std::string, std::string>> chains;
  const auto named = [](const std::string& family, const std::string& table,
                        const std::string& chain) {
    return "table " + family + " " + table + ", chain " + chain;
  };
  for (const auto& element : root["nftables"]) {
    if (!element.is_object() || element.size() != 1) return kUnreadable;
    const auto& body = element.begin().value();
    if (element.begin().key() != "chain" || !body.is_object()) continue;
    const auto hook = text(body, "hook");
    const auto family = text(body, "family");
    if (family == "arp" || (hook != "output" && hook != "postrouting" && hook != "egress"))
      continue;
    if (text(body, "policy") == "drop")
      return named(family, text(body, "table"), text(body, "name")) + " drops what leaves";
    chains.emplace(family, text(body, "table"), text(body, "name"));
  }
  for (const auto& element : root["nftables"]) {
    const auto& body = element.begin().value();
    if (element.begin().key() != "rule" || !body.is_object()) continue;
    const auto family = text(body, "family");
    const auto table = text(body, "table");
    const auto chain = text(body, "chain");
    if (chains.contains({family, table, chain}))
      return named(family, table, chain) + " has rules for what leaves";
  }
  return std::nullopt;
}

}  // namespace fg::gateway
