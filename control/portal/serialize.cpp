#include "control/portal/codec.h"
#include "control/portal/json.h"

namespace fg::portal {
namespace {

template <class List, class Append>
void append_list(std::string& out, const List& list, Append append) {
  out += '[';
  bool is_first = true;
  for (const auto& element : list) {
    if (!is_first) out += ',';
    is_first = false;
    append(out, element);
  }
  out += ']';
}

void append_domain_response(std::string& out, const std::optional<DomainResponse>& response) {
  out += R"("domain_response":)";
  if (!response) {
    out += "null";
    return;
  }
  out += R"({"domain":)";
  append_json_text(out, response->domain);
  out += R"(,"address":)";
  append_list(out, response->addresses,
              [](std::string& to, const IpAddress& ip) { append_json_text(to, ip.to_string()); });
  out += '}';
}

Message message_of(const ConnectionReady& ready) {
  std::string out = R"({"ref":)";
  append_json_text(out, ready.ref);
  if (ready.ice) {
    out += R"(,"gateway_payload":{"ConnectionAccepted":{"ice_parameters":{"username":)";
    append_json_text(out, ready.ice->username);
    out += R"(,"password":)";
    append_json_text(out, ready.ice->password.expose());
    out += "},";
  } else {
    out += R"(,"gateway_payload":{"ResourceAccepted":{)";
  }
  append_domain_response(out, ready.domain);
  out += "}}}";
  return {"connection_ready", std::move(out)};
}

Message message_of(const Authorized& authorized) {
  std::string out = R"({"ref":)";
  append_json_text(out, authorized.ref);
  out += '}';
  const bool is_flow = authorized.dialect == Authorize::Dialect::authorize_flow;
  return {is_flow ? "flow_authorized" : "authorization_created", std::move(out)};
}

Message message_of(const BroadcastCandidates& broadcast) {
  std::string out = R"({"client_ids":[)";
  append_json_text(out, broadcast.client.to_string());
  out += R"(],"candidates":)";
  append_list(out, broadcast.candidates,
              [](std::string& to, const std::string& line) { append_json_text(to, line); });
  out += '}';
  return {
      broadcast.invalidated ? "broadcast_invalidated_ice_candidates" : "broadcast_ice_candidates",
      std::move(out)};
}

Message message_of(const NoRelays& /*none*/) { return {"no_relays", "{}"}; }

}  // namespace

Message serialize(const Egress& egress) {
  return std::visit([](const auto& message) { return message_of(message); }, egress);
}

std::string frame(std::string_view topic, std::string_view event, std::string_view payload,
                  std::uint64_t ref) {
  std::string out;
  out.reserve(payload.size() + 96);
  out += R"({"topic":)";
  append_json_text(out, topic);
  out += R"(,"event":)";
  append_json_text(out, event);
  out += R"(,"payload":)";
  out += payload;
  out += R"(,"ref":)";
  out += std::to_string(ref);
  out += '}';
  return out;
}

}  // namespace fg::portal
