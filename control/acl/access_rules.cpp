// What a client's grants permit, as rules for filter::Policy (spec policy 3.2, 3.3).
#include <map>

#include "control/acl/access.h"

namespace fg::acl {
namespace {

using Type = portal::Resource::Type;

}  // namespace

filter::RuleFilter rule_filter_of(const portal::Resource& resource) {
  filter::RuleFilter out;
  out.everything = resource.filters.empty();
  for (const auto& entry : resource.filters) {
    switch (entry.protocol) {
      case portal::Filter::Protocol::tcp:
        out.tcp.push_back({entry.first_port, entry.last_port});
        break;
      case portal::Filter::Protocol::udp:
        out.udp.push_back({entry.first_port, entry.last_port});
        break;
      case portal::Filter::Protocol::icmp:
        out.icmp = true;
        break;
    }
  }
  return out;
}

filter::PolicyRules AccessList::rules_for(ClientId client) const {
  filter::PolicyRules rules;
  const auto at = clients_.find(client);
  if (at == clients_.end()) return rules;
  struct Reached {
    const std::string* name;
    IpAddress proxy;
  };
  std::map<ResourceId, std::vector<Reached>> reached;
  for (const auto& [address, proxy] : at->second.names.proxies()) {
    for (const auto& resource : proxy.resources)
      reached[resource].push_back({&proxy.name, address});
  }
  for (const auto& [id, entries] : at->second.resources) {
    for (const auto& entry : entries) {
      switch (entry.resource.type) {
        case Type::cidr:
          rules.rules.push_back({entry.resource.network, id, rule_filter_of(entry.resource)});
          break;
        case Type::internet:
          if (!rules.internet) rules.internet = id;  // the lowest of several (spec policy 2.1)
          break;
        case Type::dns: {
          // A grants each name by itself, and its clients may use the real addresses.
          filter::HostRule rule{id, rule_filter_of(entry.resource), entry.real};
          const auto name = entry.domain ? dns::folded(entry.domain->name) : std::string{};
          for (const auto& proxy : reached[id]) {
            if (!entry.domain || *proxy.name == name) rule.hosts.push_back(proxy.proxy);
          }
          if (!rule.hosts.empty()) rules.hosts.push_back(std::move(rule));
          break;
        }
      }
    }
  }
  return rules;
}

}  // namespace fg::acl
