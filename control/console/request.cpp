#include "control/console/request.h"

#include <nlohmann/json.hpp>

namespace fg::console {
namespace {

using Json = nlohmann::ordered_json;

std::optional<std::string> text(const Json& object, const char* key) {
  const auto at = object.find(key);
  if (at == object.end() || !at->is_string()) return std::nullopt;
  return at->get<std::string>();
}

std::optional<std::string> word(const Json& object, const char* key) {
  auto out = text(object, key);
  if (!out || out->empty() || out->size() > kWordMax) return std::nullopt;
  return out;
}

Result<Request, RequestError> parse_peers(const Json& object) {
  AskPeers out;
  if (!object.contains("after")) return out;
  const auto after = text(object, "after");
  out.after = after ? ClientId::parse(*after) : std::nullopt;
  if (!out.after) return fail(RequestError::malformed);
  return out;
}

Result<Request, RequestError> parse_explain(const Json& object) {
  using Kind = filter::ProtoKind;
  auto client = word(object, "client");
  auto destination = word(object, "destination");
  const auto protocol = text(object, "protocol");
  if (!client || !destination || !protocol) return fail(RequestError::malformed);
  AskExplain out{std::move(*client), std::move(*destination), Kind::echo, 0, std::nullopt};
  if (*protocol != name_of(Kind::echo)) {
    out.protocol = *protocol == name_of(Kind::tcp) ? Kind::tcp : Kind::udp;
    const auto port = object.find("port");
    if (*protocol != name_of(out.protocol) || port == object.end() || !port->is_number_unsigned() ||
        port->get<std::uint64_t>() > 65535)
      return fail(RequestError::malformed);
    out.port = port->get<std::uint16_t>();
  }
  if (object.contains("source")) {
    const auto source = text(object, "source");
    out.source = source ? IpAddress::parse(*source) : std::nullopt;
    if (!out.source) return fail(RequestError::malformed);
  }
  return out;
}

Json envelope(const char* what) { return {{"version", kVersion}, {"do", what}}; }

Json json_of(const AskStatus& /*none*/) { return envelope("status"); }
Json json_of(const AskPeers& ask) {
  auto out = envelope("peers");
  if (ask.after) out["after"] = ask.after->to_string();
  return out;
}
Json json_of(const AskPeer& ask) {
  auto out = envelope("peer");
  out["client"] = ask.client;
  return out;
}
Json json_of(const AskExplain& ask) {
  auto out = envelope("explain");
  out["client"] = ask.client;
  out["destination"] = ask.destination;
  out["protocol"] = name_of(ask.protocol);
  if (ask.protocol != filter::ProtoKind::echo) out["port"] = ask.port;
  if (ask.source) out["source"] = ask.source->to_string();
  return out;
}

}  // namespace

std::string_view sentence_of(RequestError error) {
  switch (error) {
    case RequestError::not_json:
      return "the request is no JSON object on one line";
    case RequestError::other_version:
      return "the gateway speaks version 1 of its control protocol: use the firegate program it "
             "was "
             "started from";
    case RequestError::unknown:
      return "the gateway knows no such request: use the firegate program it was started from";
    case RequestError::malformed:
      return "the request lacks something, or it is malformed";
  }
  return "";
}

std::string_view name_of(filter::ProtoKind protocol) {
  switch (protocol) {
    case filter::ProtoKind::tcp:
      return "tcp";
    case filter::ProtoKind::udp:
      return "udp";
    case filter::ProtoKind::echo:
      return "icmp";
    case filter::ProtoKind::icmp_other:
    case filter::ProtoKind::other_ip:
      break;
  }
  return "other";
}

Result<Request, RequestError> parse_request(std::string_view line) {
  const auto object = Json::parse(line, nullptr, false);
  if (!object.is_object()) return fail(RequestError::not_json);
  const auto version = object.find("version");
  if (version == object.end() || !version->is_number_unsigned() ||
      version->get<std::uint64_t>() != kVersion)
    return fail(RequestError::other_version);
  const auto what = text(object, "do").value_or("");
  if (what == "status") return AskStatus{};
  if (what == "peers") return parse_peers(object);
  if (what == "peer") {
    auto client = word(object, "client");
    if (!client) return fail(RequestError::malformed);
    return AskPeer{std::move(*client)};
  }
  if (what == "explain") return parse_explain(object);
  return fail(RequestError::unknown);
}

std::string write_request(const Request& request) {
  return std::visit([](const auto& ask) { return json_of(ask); }, request)
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace fg::console
