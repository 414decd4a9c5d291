#include "control/console/table.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "control/console/request.h"

namespace fg::console {
namespace {

using Json = nlohmann::ordered_json;

const Json& at(const Json& object, const char* key) {
  static const Json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

// C0, DEL, and C1 in UTF-8.
std::string printable(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (c == 0xC2 && next >= 0x80 && next < 0xA0) {
      out += '?';
      ++i;
    } else {
      out += c < 0x20 || c == 0x7F ? '?' : text[i];
    }
  }
  return out;
}

std::string text(const Json& value) {
  if (value.is_string()) return printable(value.get<std::string>());
  if (value.is_number_integer() || value.is_number_unsigned()) return value.dump();
  return "-";
}
std::string text(const Json& object, const char* key) { return text(at(object, key)); }
bool is_true(const Json& object, const char* key) { return at(object, key) == Json(true); }

std::string span_of(std::int64_t seconds) {
  if (seconds < 0) return "0 s";
  if (seconds < 120) return std::to_string(seconds) + " s";
  if (seconds < 2 * 3600) return std::to_string(seconds / 60) + " min";
  if (seconds < 2 * 86'400) return std::to_string(seconds / 3600) + " h";
  return std::to_string(seconds / 86'400) + " d";
}

std::string age(const Json& moment) {
  const auto& seconds = at(moment, "ago_s");
  return seconds.is_number_integer() ? span_of(seconds.get<std::int64_t>()) : "-";
}
std::string remaining(const Json& moment) {
  const auto& seconds = at(moment, "in_s");
  return seconds.is_number_integer() ? span_of(seconds.get<std::int64_t>()) : "never";
}
std::string since(const Json& moment) {
  return moment.is_object() ? text(moment, "at") + " (" + age(moment) + " ago)" : "-";
}

std::string bytes(const Json& object, const char* key) {
  const auto& count = at(object, key);
  if (!count.is_number_unsigned() && !count.is_number_integer()) return "-";
  auto value = count.get<double>();
  static constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 40> out{};
  std::snprintf(out.data(), out.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return out.data();
}

// Characters, not bytes, so that columns stand.
std::size_t width(const std::string& cell) {
  return static_cast<std::size_t>(std::ranges::count_if(
      cell, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  }
  std::string out;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out += std::string(widths[i] - width(row[i]) + 2, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string path_text(const Json& path) {
  if (!path.is_object()) return "-";
  const auto kind = text(path, "kind");
  if (kind == "none") return "none";
  if (kind == "direct") return "direct " + text(path, "local") + " - " + text(path, "remote");
  std::string out = "relayed via ";
  const auto& relay = at(path, "relay");
  out += relay.is_object() ? text(relay, "server") : std::string{"the client's relay"};
  if (relay.is_object() && at(path, "through").size() > 1) out += " and the client's relay";
  return out;
}

std::string filters_text(const Json& resource) {
  const auto& filters = at(resource, "filters");
  std::string out;
  if (filters.is_array()) {
    for (const auto& filter : filters) out += (out.empty() ? "" : ", ") + text(filter);
  }
  if (const auto& rest = at(resource, "filters_left_out"); rest.is_number_integer() && rest != 0)
    out += ", and " + rest.dump() + " more";
  return out.empty() ? "everything" : out;
}

std::string resource_text(const Json& resource) {
  if (text(resource, "type") == "internet") return "the Internet resource";
  return "resource '" + text(resource, "name") + "' (" + text(resource, "address") + ")";
}

std::string counted(std::size_t count, const char* what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// In per cent; nothing where there is one way.
std::string share_by_xdp(const Json& by_xdp, const Json& all, const char* of_what) {
  if (!by_xdp.is_number() || !all.is_number() || by_xdp.get<double>() == 0) return "";
  std::array<char, 64> shown{};
  std::snprintf(shown.data(), shown.size(), ", %.1f %% of %s by AF_XDP",
                100 * by_xdp.get<double>() / all.get<double>(), of_what);
  return shown.data();
}

// Of the tunnel packets that came in, and of all that left.
std::string shares_by_xdp(const Json& backend) {
  const auto& in = at(backend, "data_by_xdp");
  const auto& by_socket = at(backend, "data_by_socket");
  const Json all_in = in.is_number() && by_socket.is_number()
                          ? Json(in.get<double>() + by_socket.get<double>())
                          : Json();
  return share_by_xdp(in, all_in, "tunnel packets") +
         share_by_xdp(at(backend, "sent_by_xdp"), at(backend, "sent"), "what left");
}

// Reports as they come, on disk, and away.
std::string flow_logs_text(const Json& of) {
  std::string out = is_true(of, "enabled") ? "" : "not recorded: ";
  out += text(of, "open") + " open, " + text(of, "recorded") + " recorded, " + text(of, "lost") +
         " lost, " + text(of, "spooled") + " in the spool, " + text(of, "uploaded") + " uploaded";
  if (const auto& last = at(of, "last_upload"); last.is_object()) out += ", last " + since(last);
  return out;
}

std::string status_text(const Json& status) {
  const auto& portal = at(status, "portal");
  const auto& tunnel = at(status, "tunnel");
  const auto& backend = at(status, "backend");
  const auto& clients = at(status, "clients");
  const auto& traffic = at(status, "traffic");
  std::string out = text(status, "program") + ", process " + text(status, "pid") + ", " +
                    (is_true(status, "ready") ? "ready" : "NOT READY") + ", up " +
                    age(at(status, "started")) + "\n";
  for (const auto& reason : at(status, "not_ready")) out += "  not ready: " + text(reason) + "\n";
  for (const auto& warning : at(status, "warnings")) out += "  warning: " + text(warning) + "\n";
  std::vector<std::vector<std::string>> rows;
  rows.push_back({"portal", std::string(is_true(portal, "joined") ? "joined" : "not joined") +
                                " since " + since(at(portal, "since")) + ", " +
                                text(portal, "host") + ", generation " +
                                text(portal, "generation")});
  rows.push_back({"tunnel", text(tunnel, "interface") + " " + text(tunnel, "ipv4") + " " +
                                text(tunnel, "ipv6")});
  for (const auto& relay : at(status, "relays")) {
    const auto& trip = at(relay, "round_trip_ms");
    std::array<char, 40> shown{};
    if (trip.is_number())
      std::snprintf(shown.data(), shown.size(), ", round trip %.1f ms", trip.get<double>());
    rows.push_back({"relay", text(relay, "server") +
                                 (is_true(relay, "answering")   ? " answers"
                                  : is_true(relay, "suspended") ? " allocates nothing"
                                                                : " does not answer") +
                                 shown.data()});
  }
  if (at(status, "relays").empty()) rows.push_back({"relay", "none"});
  if (const auto& why = at(status, "tracked_because"); why.is_string())
    rows.push_back({"tracking", why == "" ? "none of the tunnel's datagrams"
                                          : "of the tunnel's datagrams kept: " + text(why)});
  const auto detail = text(backend, "detail");
  rows.push_back({"backend", text(backend, "name") + (detail.empty() ? "" : " (" + detail + ")") +
                                 shares_by_xdp(backend) + ", " +
                                 counted(at(status, "workers").size(), "worker") + ", " +
                                 text(backend, "cipher")});
  rows.push_back({"clients", text(clients, "with_access") + " with access, " +
                                 text(clients, "connections") + " connections: " +
                                 text(clients, "direct") + " direct, " + text(clients, "relayed") +
                                 " relayed, " + text(clients, "without_path") + " without a path"});
  rows.push_back({"traffic", text(traffic, "packets_in") + " packets, " +
                                 bytes(traffic, "bytes_in") + " in from clients; " +
                                 text(traffic, "packets_out") + " packets, " +
                                 bytes(traffic, "bytes_out") + " out to them"});
  const auto& flow_logs = at(status, "flow_logs");
  rows.push_back({"flows", flow_logs_text(flow_logs)});
  if (const auto& error = at(flow_logs, "upload_error"); error.is_object())
    rows.push_back(
        {"", "upload failed " + since(at(error, "when")) + ": " + text(error, "reason")});
  out += table(rows);
  std::vector<std::vector<std::string>> drops;
  for (const auto& drop : at(status, "drops"))
    drops.push_back({"dropped", text(drop, "count"), text(drop, "reason"), text(drop, "sentence")});
  return out + table(drops);
}

std::string peers_text(const Json& peers) {
  std::vector<std::vector<std::string>> rows{{"CLIENT", "ADDRESSES", "STATE", "PATH", "SINCE",
                                              "AGE", "HANDSHAKE", "IN", "OUT", "RESOURCES",
                                              "EXPIRES"}};
  for (const auto& peer : peers) {
    const auto& path = at(peer, "path");
    const auto& traffic = at(peer, "traffic");
    rows.push_back({text(peer, "client"), text(peer, "ipv4") + " " + text(peer, "ipv6"),
                    text(peer, "state"), path_text(path), age(at(path, "since")),
                    age(at(peer, "connected_since")), age(at(peer, "last_handshake")),
                    bytes(traffic, "bytes_in"), bytes(traffic, "bytes_out"),
                    text(peer, "resources"), remaining(at(peer, "expires"))});
  }
  if (rows.size() == 1) return "no clients\n";
  return table(rows);
}

std::string peer_text(const Json& reply) {
  const auto& peer = at(reply, "peer");
  const auto& path = at(peer, "path");
  const auto& traffic = at(peer, "traffic");
  std::vector<std::vector<std::string>> rows{
      {"client", text(peer, "client")},
      {"addresses", text(peer, "ipv4") + " " + text(peer, "ipv6")},
      {"state", text(peer, "state") + ", generation " + text(peer, "generation") +
                    (is_true(peer, "ice") ? "" : ", without ICE")},
      {"path", path_text(path) +
                   (path.is_object() ? ", since " + since(at(path, "since")) : std::string{})}};
  if (at(path, "why").is_string()) rows.push_back({"", text(path, "why")});
  rows.push_back({"connected", since(at(peer, "connected_since"))});
  rows.push_back({"handshake", since(at(peer, "last_handshake"))});
  rows.push_back({"traffic", text(traffic, "packets_in") + " packets, " +
                                 bytes(traffic, "bytes_in") + " in; " +
                                 text(traffic, "packets_out") + " packets, " +
                                 bytes(traffic, "bytes_out") + " out; " + text(traffic, "flows") +
                                 " translated flows"});
  auto out = table(rows);
  std::vector<std::vector<std::string>> resources{
      {"RESOURCE", "NAME", "ADDRESS", "ALLOWS", "SINCE", "EXPIRES"}};
  for (const auto& resource : at(reply, "resources")) {
    const auto address = text(resource, "address");
    resources.push_back({text(resource, "id"), text(resource, "name"),
                         address.empty() ? "Internet" : address, filters_text(resource),
                         age(at(resource, "since")), remaining(at(resource, "expires"))});
  }
  out += resources.size() == 1 ? "no resources\n" : table(resources);
  if (const auto& rest = at(reply, "resources_left_out"); rest.is_number_integer() && rest != 0)
    out += "and " + rest.dump() + " more resources\n";
  std::vector<std::vector<std::string>> names{{"NAME", "PROXY", "REAL"}};
  for (const auto& name : at(reply, "names"))
    names.push_back({text(name, "name"), text(name, "proxy"), text(name, "real")});
  if (names.size() > 1) out += table(names);
  return out;
}

std::string ended_text(const Json& ended) {
  return resource_text(ended) + " " + text(ended, "why") + " " + since(at(ended, "since"));
}

Shown explanation_shown(const Json& of) {
  const auto& packet = at(of, "packet");
  const auto& client = at(of, "client");
  const bool passes = is_true(of, "passes");
  const auto& port = at(packet, "port");
  Shown out;
  out.exit_code = passes ? kWorked : kWouldNotPass;
  out.text = text(packet, "protocol") + " " + text(packet, "source") + " -> " +
             text(packet, "destination") +
             (port.is_number_integer() ? " port " + port.dump() : "") + ": " +
             (passes ? "passes" : "does not pass") + "\n";
  std::vector<std::vector<std::string>> rows;
  rows.push_back({"  client", text(client, "client") + ", " + text(client, "state")});
  if (is_true(of, "for_gateway"))
    rows.push_back({"  to", "the gateway's own tunnel address: ping and DNS on port 53535 only"});
  if (const auto& name = at(of, "translation"); name.is_object())
    rows.push_back({"  as", text(name, "name") + ", translated to " +
                                (at(name, "real").is_string() ? text(name, "real")
                                                              : std::string{"no address"})});
  if (const auto& resource = at(of, "resource"); resource.is_object()) {
    rows.push_back(
        {"  by",
         resource_text(resource) + ", granted " + since(at(resource, "since")) + ", expires: " +
             (at(resource, "expires").is_object() ? text(at(resource, "expires"), "at") + " (in " +
                                                        remaining(at(resource, "expires")) + ")"
                                                  : std::string{"never"})});
    rows.push_back({"  filter", filters_text(resource)});
  }
  if (!passes) {
    rows.push_back({"  why", text(of, "reason") + ": " + text(of, "sentence")});
    rows.push_back({"  answer", at(of, "answer").is_string() ? text(of, "answer") : "none"});
  }
  for (const auto& resource : at(of, "refusing"))
    rows.push_back({"  but", resource_text(resource) + " holds it and allows " +
                                 filters_text(resource) + ", since " +
                                 since(at(resource, "filters_since"))});
  for (const auto& ended : at(of, "ended"))
    rows.push_back({"  since", ended_text(ended) + "; it would have let it pass"});
  if (const auto& last = at(of, "last_grant"); last.is_object() && at(of, "ended").empty())
    rows.push_back({"  since", "its last grant, " + ended_text(last)});
  if (passes && text(client, "state") != "connected" && text(client, "state") != "idle")
    rows.push_back({"  note", "the client has no connection now: nothing of it arrives"});
  out.text += table(rows);
  return out;
}

Json parse_reply(std::string_view reply) {
  auto out = Json::parse(reply, nullptr, false);
  const bool fits = out.is_object() && at(out, "version") == Json(kVersion);
  return fits ? out : Json{};
}

}  // namespace

std::optional<Shown> show(std::string_view reply) {
  const auto json = parse_reply(reply);
  if (const auto& error = at(json, "error"); error.is_string()) return Shown{text(error), kRefused};
  if (const auto& status = at(json, "status"); status.is_object())
    return Shown{status_text(status), kWorked};
  if (const auto& peers = at(json, "peers"); peers.is_array())
    return Shown{peers_text(peers), kWorked};
  if (at(json, "peer").is_object()) return Shown{peer_text(json), kWorked};
  if (const auto& explanation = at(json, "explanation"); explanation.is_object())
    return explanation_shown(explanation);
  return std::nullopt;
}

std::optional<std::string> next_of(std::string_view reply) {
  const auto json = parse_reply(reply);
  const auto& next = at(json, "next");
  return next.is_string() ? std::optional{next.get<std::string>()} : std::nullopt;
}

std::string join_peers(const std::vector<std::string>& pages) {
  Json all = Json::array();
  for (const auto& page : pages) {
    const auto json = parse_reply(page);
    for (const auto& peer : at(json, "peers")) all.push_back(peer);
  }
  Json out;
  out["version"] = kVersion;
  out["peers"] = std::move(all);
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace fg::console
