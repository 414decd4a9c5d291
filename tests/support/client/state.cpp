#include "tests/support/client/state.h"

#include <nlohmann/json.hpp>

namespace fg::client {
namespace {

using Json = nlohmann::ordered_json;

std::int64_t in_ms(Duration duration) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
}

Json optional_ms(const std::optional<Duration>& duration) {
  return duration ? Json(in_ms(*duration)) : Json(nullptr);
}

Json gateway_of(const Connection& connection, Instant now) {
  Json out;
  out["id"] = connection.gateway.to_string();
  out["state"] = connection.is_connected ? "connected" : "connecting";
  const auto path = connection.agent.route();
  if (path) {
    out["path"] = path->local_relayed || path->remote_relayed ? "relayed" : "direct";
    out["local"] = path->local.to_string();
    out["remote"] = path->remote.to_string();
  }
  const auto* ice = connection.agent.ice();
  out["ice"] = ice != nullptr ? ice::name_of(ice->state()) : "none";
  out["idle"] = connection.is_idle;
  out["since_ms"] = in_ms(now - connection.since);
  out["handshake"] = connection.has_session;
  out["established_ms"] = optional_ms(connection.established_after);
  if (connection.relay) out["relay"] = connection.relay->to_string();
  return out;
}

Json counters_of(const EngineCounters& engine, const TrafficCounters& traffic,
                 const StateFacts& facts) {
  return {{"joins", facts.joins},
          {"requests", engine.requests},
          {"grants", engine.grants},
          {"refusals", engine.refusals},
          {"ignored_grants", engine.ignored_grants},
          {"connections", engine.connections},
          {"failures", engine.failures},
          {"handshakes", engine.handshakes},
          {"prohibited", engine.prohibited},
          {"goodbyes", engine.goodbyes},
          {"queue_dropped", engine.queue_dropped},
          {"unroutable", engine.unroutable},
          {"dropped_datagrams", engine.dropped_datagrams},
          {"announcements", engine.announcements},
          {"statuses", engine.statuses},
          {"packets_sent", traffic.packets_sent},
          {"packets_received", traffic.packets_received},
          {"bytes_sent", traffic.bytes_sent},
          {"bytes_received", traffic.bytes_received},
          {"malformed", traffic.malformed},
          {"unknown_receiver", traffic.unknown_receiver},
          {"tun_write_failed", traffic.tun_write_failed},
          {"udp_send_failed", facts.udp_failed}};
}

}  // namespace

std::string state_json(const Engine& engine, const TrafficCounters& traffic,
                       const StateFacts& facts, Instant now) {
  Json out;
  out["joined"] = facts.is_joined && engine.interface();
  if (const auto& interface = engine.interface()) {
    out["interface"] = {{"ipv4", interface->v4.to_string()}, {"ipv6", interface->v6.to_string()}};
  } else {
    out["interface"] = nullptr;
  }
  out["gateways"] = Json::array();
  for (const auto& [key, connection] : engine.connections())
    out["gateways"].push_back(gateway_of(*connection, now));
  for (const auto& failure : engine.failures()) {
    out["gateways"].push_back({{"id", failure.gateway.to_string()},
                               {"state", "failed"},
                               {"reason", failure.reason},
                               {"since_ms", in_ms(now - failure.at)},
                               {"handshake", false}});
  }
  out["resources"] = Json::array();
  for (const auto& resource : engine.resources()) {
    out["resources"].push_back({{"id", resource.id.to_string()},
                                {"type", name_of(resource.type)},
                                {"address", resource.address}});
  }
  out["relays"] = Json::array();
  for (const auto& id : engine.relays().ids()) {
    const auto* allocation = engine.relays().find(id);
    const auto server = allocation != nullptr ? allocation->active_server() : std::nullopt;
    out["relays"].push_back(
        {{"id", id.to_string()}, {"server", server ? Json(server->to_string()) : Json(nullptr)}});
  }
  out["statuses"] = Json::array();
  for (const auto& [resource, domain, status] : engine.statuses())
    out["statuses"].push_back({{"resource", resource}, {"domain", domain}, {"status", status}});
  out["established_ms"] = optional_ms(engine.established_after());
  out["counters"] = counters_of(engine.counters(), traffic, facts);
  return out.dump();
}

}  // namespace fg::client
