#include "control/flow_log/record.h"

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/assert.h"

namespace fg::flow_log {
namespace {

using Json = nlohmann::json;  // keys sorted

std::string dumped(const auto& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool is_tcp(const Record& record) { return record.key.protocol == flow::Protocol::tcp; }

Json outers_of(const Record& record) {
  auto out = Json::array();
  for (const auto& outer : record.outers) {
    out.push_back({{"src_ip", outer.path.source.ip.to_string()},
                   {"src_port", outer.path.source.port},
                   {"dst_ip", outer.path.destination.ip.to_string()},
                   {"dst_port", outer.path.destination.port},
                   {"path_activated_at", format_rfc3339(outer.activated)}});
  }
  return out;
}

class Fields {
 public:
  explicit Fields(std::vector<LogField>& out) : out_(out) {}
  template <class T>
  void add(std::string_view key, const T& value) {
    out_.emplace_back(key, value);
  }
  void add(std::string_view key, const std::optional<std::string>& value) {
    if (value) out_.emplace_back(key, *value);
  }

 private:
  std::vector<LogField>& out_;
};

void add_ingest(Fields& to, const IngestClaims& claims) {
  to.add("role", claims.role);
  to.add("initiator_device_id", claims.initiator_device_id);
  to.add("responder_device_id", claims.responder_device_id);
  to.add("policy_authorization_id", claims.policy_authorization_id);
  to.add("policy_id", claims.policy_id);
  to.add("resource_id", claims.resource_id);
  to.add("resource_name", claims.resource_name);
  to.add("resource_address", claims.resource_address);
  to.add("initiator_actor_id", claims.initiator_actor_id);
  to.add("initiator_actor_email", claims.initiator_actor_email);
  to.add("initiator_actor_name", claims.initiator_actor_name);
  to.add("initiator_auth_provider_id", claims.initiator_auth_provider_id);
  to.add("authorized_at", claims.authorized_at);
  to.add("authorization_expires_at", claims.authorization_expires_at);
  to.add("initiator_client_version", claims.initiator_client_version);
  to.add("initiator_device_os_name", claims.initiator_device_os_name);
  to.add("initiator_device_os_version", claims.initiator_device_os_version);
  to.add("initiator_device_serial", claims.initiator_device_serial);
  to.add("initiator_device_uuid", claims.initiator_device_uuid);
  to.add("initiator_device_identifier_for_vendor", claims.initiator_device_identifier_for_vendor);
  to.add("initiator_device_firebase_installation_id",
         claims.initiator_device_firebase_installation_id);
}

void add_inner(Fields& to, const flow::Key& key) {
  to.add("inner_src_ip", key.inner_client);
  to.add("inner_src_port", key.client_port);
  to.add("inner_dst_ip", key.remote);
  to.add("inner_dst_port", key.remote_port);
}

void add_counts(Fields& to, const End& end) {
  to.add("rx_packets", end.rx_packets);
  to.add("tx_packets", end.tx_packets);
  to.add("rx_bytes", end.rx_bytes);
  to.add("tx_bytes", end.tx_bytes);
}

Event event_of_ingest(const Record& record, const IngestClaims& claims) {
  Event out{"flow_logs", "", {}};
  if (is_tcp(record))
    out.message = record.end ? "TCP flow completed" : "TCP flow started";
  else
    out.message = record.end ? "UDP flow completed" : "UDP flow started";
  Fields to{out.fields};
  to.add("protocol", is_tcp(record) ? "tcp" : "udp");
  add_ingest(to, claims);
  add_inner(to, record.key);
  if (!record.domain.empty()) to.add("domain", record.domain);
  to.add("outers", dumped(outers_of(record)));
  to.add("flow_start", format_rfc3339(record.start));
  if (record.end) {
    to.add("flow_end", format_rfc3339(record.end->at));
    to.add("last_packet", format_rfc3339(record.end->last_packet));
    add_counts(to, *record.end);
  }
  return out;
}

// Spec policy 6.4 [B]. The Internet resource has no address of its own.
std::string address_of(const portal::Resource& resource, Family family) {
  switch (resource.type) {
    case portal::Resource::Type::dns:
      return resource.pattern;
    case portal::Resource::Type::cidr:
      return resource.network.to_string();
    case portal::Resource::Type::internet:
      break;
  }
  return family == Family::v4 ? "0.0.0.0/0" : "::/0";
}

Event event_of_known(const Record& record, const Known& known) {
  Event out{is_tcp(record) ? "flow_logs::tcp" : "flow_logs::udp",
            is_tcp(record) ? "TCP flow completed" : "UDP flow completed",
            {}};
  const auto& facts = known.facts;
  const bool is_internet = known.resource.type == portal::Resource::Type::internet;
  Fields to{out.fields};
  to.add("client_id", known.client);
  to.add("client_version", facts.version);
  to.add("device_os_name", facts.device_os_name);
  to.add("device_os_version", facts.device_os_version);
  to.add("device_serial", facts.device_serial);
  to.add("device_uuid", facts.device_uuid);
  to.add("device_identifier_for_vendor", facts.identifier_for_vendor);
  to.add("device_firebase_installation_id", facts.firebase_installation_id);
  to.add("auth_provider_id", facts.auth_provider_id);
  to.add("actor_name", facts.actor_name);
  to.add("actor_id", facts.actor_id);
  to.add("actor_email", facts.actor_email);
  to.add("resource_id", known.resource.id);
  to.add("resource_name", is_internet ? std::string{"Internet"} : known.resource.name);
  to.add("resource_address", address_of(known.resource, record.key.remote.family()));
  to.add("start", format_rfc3339(record.start));
  to.add("end", format_rfc3339(record.end->at));
  to.add("last_packet", format_rfc3339(record.end->last_packet));
  add_inner(to, record.key);
  if (!record.domain.empty()) to.add("inner_domain", record.domain);
  if (!record.outers.empty()) {
    const auto& path = record.outers.front().path;
    to.add("outer_src_ip", path.source.ip);
    to.add("outer_src_port", path.source.port);
    to.add("outer_dst_ip", path.destination.ip);
    to.add("outer_dst_port", path.destination.port);
  }
  add_counts(to, *record.end);
  return out;
}

}  // namespace

std::string format_rfc3339(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time.time_since_epoch());
  const std::chrono::year_month_day date{std::chrono::sys_days{day}};
  const std::chrono::hh_mm_ss clock{time.time_since_epoch() - day};
  std::array<char, 48> text{};
  const int n = std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%09dZ",
      static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
      static_cast<unsigned>(date.day()), static_cast<int>(clock.hours().count()),
      static_cast<int>(clock.minutes().count()), static_cast<int>(clock.seconds().count()),
      static_cast<int>(clock.subseconds().count()));
  FG_ASSERT(n > 0 && static_cast<std::size_t>(n) < text.size());
  return {text.data(), static_cast<std::size_t>(n)};
}

std::string ingest_payload(const Record& record) {
  Json out{{"protocol", is_tcp(record) ? "tcp" : "udp"},
           {"inner_src_ip", record.key.inner_client.to_string()},
           {"inner_src_port", record.key.client_port},
           {"inner_dst_ip", record.key.remote.to_string()},
           {"inner_dst_port", record.key.remote_port},
           {"outers", outers_of(record)},
           {"flow_start", format_rfc3339(record.start)}};
  if (!record.domain.empty()) out["domain"] = record.domain;
  if (record.end) {
    out["flow_end"] = format_rfc3339(record.end->at);
    out["last_packet"] = format_rfc3339(record.end->last_packet);
    out["rx_packets"] = record.end->rx_packets;
    out["tx_packets"] = record.end->tx_packets;
    out["rx_bytes"] = record.end->rx_bytes;
    out["tx_bytes"] = record.end->tx_bytes;
  }
  return dumped(out);
}

std::optional<Event> event_of(const Record& record) {
  if (const auto* ingest = std::get_if<Ingest>(record.whose.get()))
    return event_of_ingest(record, ingest->claims);
  if (!record.end) return std::nullopt;
  return event_of_known(record, std::get<Known>(*record.whose));
}

std::string line_of(const Record& record, const Event& event) {
  nlohmann::ordered_json out{{"message", event.message}};
  for (const auto& field : event.fields) {
    if (field.key == "outers")
      out[field.key] = outers_of(record);
    else if (field.quoted)
      out[field.key] = field.value;
    else
      out[field.key] = nlohmann::ordered_json::parse(field.value, nullptr, false);
  }
  return dumped(out) + "\n";
}

}  // namespace fg::flow_log
