#include "control/console/reply.h"

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "control/console/request.h"

namespace fg::console {
namespace {

using Json = nlohmann::ordered_json;
using controller::ClientReport;
using controller::PathReport;
using controller::RelayedWhy;
using controller::ResourceReport;

std::int64_t seconds(Duration duration) {
  return std::chrono::floor<std::chrono::seconds>(duration).count();
}

// ISO 8601, UTC.
std::string utc(WallTime at) {
  using namespace std::chrono;
  const auto whole = floor<std::chrono::seconds>(at.time_since_epoch());
  const auto day = floor<days>(whole);
  const year_month_day date{sys_days{day}};
  const hh_mm_ss time{whole - day};
  std::array<char, 40> out{};
  std::snprintf(out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ",
                static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                static_cast<int>(time.minutes().count()), static_cast<int>(time.seconds().count()));
  return out.data();
}

Json past(Instant at, const Clock& clock) {
  return {{"at", utc(clock.wall - (clock.now - at))}, {"ago_s", seconds(clock.now - at)}};
}
Json past(const std::optional<Instant>& at, const Clock& clock) {
  return at ? past(*at, clock) : Json{};
}
Json future(const std::optional<Instant>& at, const Clock& clock) {
  if (!at) return {};
  return {{"at", utc(clock.wall + (*at - clock.now))}, {"in_s", seconds(*at - clock.now)}};
}

template <class T>
Json text(const std::optional<T>& value) {
  return value ? Json(value->to_string()) : Json{};
}

Json json_of(const controller::RelayReport& relay) {
  Json out{{"id", relay.id.to_string()},
           {"server", text(relay.server)},
           {"answering", relay.is_answering},
           {"suspended", relay.is_suspended},
           {"round_trip_ms", nullptr}};
  if (relay.round_trip)
    out["round_trip_ms"] = std::chrono::duration<double, std::milli>(*relay.round_trip).count();
  return out;
}

const char* sentence_of(RelayedWhy why) {
  switch (why) {
    case RelayedWhy::no_remote_address:
      return "the client has offered no address of its own";
    case RelayedWhy::no_own_address:
      return "no relay has told us an address of ours";
    case RelayedWhy::no_common_family:
      return "client and gateway have no IP family in common";
    case RelayedWhy::unanswered:
      return "nothing comes through directly: NAT or firewall on either side";
  }
  return "";
}

Json json_of(const PathReport& path, const Clock& clock) {
  using Kind = pipeline::Path::Kind;
  if (path.kind == Kind::none) return {{"kind", "none"}, {"since", past(path.since, clock)}};
  // Through any relay, ours or the client's.
  const bool is_relayed = path.kind == Kind::relayed || path.is_remote_relayed;
  Json out{{"kind", is_relayed ? "relayed" : "direct"},
           {"local", path.local.to_string()},
           {"remote", path.remote.to_string()},
           {"through", Json::array()},
           {"relay", nullptr},
           {"why", nullptr},
           {"since", past(path.since, clock)}};
  if (path.kind == Kind::relayed) out["through"].push_back("our relay");
  if (path.is_remote_relayed) out["through"].push_back("the client's relay");
  if (path.relay) out["relay"] = json_of(*path.relay);
  if (path.why) out["why"] = sentence_of(*path.why);
  return out;
}

const char* name_of(ClientReport::State state) {
  switch (state) {
    case ClientReport::State::absent:
      return "absent";
    case ClientReport::State::connecting:
      return "connecting";
    case ClientReport::State::connected:
      return "connected";
    case ClientReport::State::idle:
      return "idle";
  }
  return "";
}

Json json_of(const ClientReport& peer, const Clock& clock) {
  Json out{{"client", peer.id.to_string()},
           {"ipv4", peer.v4.to_string()},
           {"ipv6", peer.v6.to_string()},
           {"state", name_of(peer.state)},
           {"generation", peer.is_legacy ? "A" : "B or C"},
           {"ice", !peer.is_iceless},
           {"connected_since", past(peer.created, clock)},
           {"last_handshake", past(peer.last_handshake, clock)},
           {"path", nullptr},
           {"worker", nullptr},
           {"traffic", nullptr},
           {"resources", peer.resources},
           {"expires", future(peer.expires, clock)}};
  if (peer.state != ClientReport::State::absent) out["path"] = json_of(peer.path, clock);
  if (peer.worker) out["worker"] = number(*peer.worker);
  if (peer.traffic) {
    out["traffic"] = {{"packets_in", peer.traffic->packets_in},
                      {"bytes_in", peer.traffic->bytes_in},
                      {"packets_out", peer.traffic->packets_out},
                      {"bytes_out", peer.traffic->bytes_out},
                      {"flows", peer.traffic->flows}};
  }
  return out;
}

// "tcp 80", "udp 100-200", "icmp".
std::string text_of(const portal::Filter& filter) {
  using Protocol = portal::Filter::Protocol;
  if (filter.protocol == Protocol::icmp) return "icmp";
  std::string out = filter.protocol == Protocol::tcp ? "tcp" : "udp";
  if (filter.first_port == 0 && filter.last_port == 65535) return out;
  out += " " + std::to_string(filter.first_port);
  if (filter.first_port != filter.last_port) out += "-" + std::to_string(filter.last_port);
  return out;
}

const char* name_of(portal::Resource::Type type) {
  switch (type) {
    case portal::Resource::Type::dns:
      return "dns";
    case portal::Resource::Type::cidr:
      return "cidr";
    case portal::Resource::Type::internet:
      return "internet";
  }
  return "";
}

Json json_of(const ResourceReport& resource, const Clock& clock) {
  Json out{{"id", resource.id.to_string()},
           {"type", name_of(resource.type)},
           {"name", resource.name},
           {"address", resource.address},
           {"filters", Json::array()},
           {"filters_left_out", resource.filter_count - resource.filters.size()},
           {"since", past(resource.since, clock)},
           {"filters_since", past(resource.filters_since, clock)},
           {"expires", future(resource.expires, clock)}};
  for (const auto& filter : resource.filters) out["filters"].push_back(text_of(filter));
  return out;
}

Json json_of(const controller::TranslationReport& translation) {
  return {{"name", translation.name},
          {"proxy", translation.proxy.to_string()},
          {"real", text(translation.real)}};
}

const char* sentence_of(acl::EndedWhy why) {
  switch (why) {
    case acl::EndedWhy::expired:
      return "expired";
    case acl::EndedWhy::rejected:
      return "taken away by the portal";
    case acl::EndedWhy::unlisted:
      return "no longer in the portal's list";
    case acl::EndedWhy::readdressed:
      return "ended when the client came with other tunnel addresses";
    case acl::EndedWhy::full:
      return "ended as its new filters exceed what this gateway holds";
    case acl::EndedWhy::left:
      return "ended with the client's goodbye";
  }
  return "";
}

Json json_of(const controller::EndedReport& ended, const Clock& clock) {
  Json out{{"why", sentence_of(ended.why)}, {"since", past(ended.at, clock)}};
  const auto resource = json_of(ended.resource, clock);
  for (const auto* key : {"id", "type", "name", "address", "filters"}) out[key] = resource[key];
  return out;
}

Json answer_of(const pipeline::Refusal& refusal, bool v4) {
  if (!refusal.answer) return {};
  const bool prohibited = *refusal.answer == packet::IcmpAnswer::prohibited;
  if (v4)
    return prohibited ? "ICMP type 3 code 13, administratively prohibited"
                      : "ICMP type 3 code 0, network unreachable";
  return prohibited ? "ICMPv6 type 1 code 1, administratively prohibited"
                    : "ICMPv6 type 1 code 3, address unreachable";
}

Json json_of(const FlowLogStatus& of, const Clock& clock) {
  Json out{{"enabled", of.is_on},
           {"open", of.open},
           {"untracked_packets", of.untracked},
           {"over_share_packets", of.over_share},
           {"recorded", of.recorded},
           {"lost", of.lost},
           {"spooled", of.spooled},
           {"uploaded", of.uploaded},
           {"last_upload", past(of.last_upload, clock)},
           {"upload_error", nullptr}};
  if (!of.last_error.empty())
    out["upload_error"] = {{"reason", of.last_error}, {"when", past(of.last_error_at, clock)}};
  return out;
}

std::string line_of(Json body) {
  Json out{{"version", kVersion}};
  out.update(body);
  return out.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string write_status(const Status& status, const Clock& clock) {
  Json portal{{"joined", status.is_joined},
              {"host", status.portal_host},
              {"generation", nullptr},
              {"since", past(status.portal_since, clock)}};
  if (status.generation) portal["generation"] = std::string(1, *status.generation);
  Json workers = Json::array();
  WorkerStatus sum;
  for (const auto& worker : status.workers) {
    workers.push_back({{"packets_in", worker.packets_in},
                       {"bytes_in", worker.bytes_in},
                       {"packets_out", worker.packets_out},
                       {"bytes_out", worker.bytes_out}});
    sum.packets_in += worker.packets_in;
    sum.bytes_in += worker.bytes_in;
    sum.packets_out += worker.packets_out;
    sum.bytes_out += worker.bytes_out;
  }
  Json relays = Json::array();
  for (const auto& relay : status.relays) relays.push_back(json_of(relay));
  Json drops = Json::array();
  for (const auto& [reason, count] : status.drops)
    drops.push_back(
        {{"reason", fg::name_of(reason)}, {"count", count}, {"sentence", fg::sentence_of(reason)}});
  Json verdicts = Json::object();
  for (const auto& [name, count] : status.verdicts) verdicts[name] = count;
  const auto& summary = status.summary;
  const auto without =
      summary.connections - std::min(summary.connections, summary.direct + summary.relayed);
  return line_of(
      {{"status",
        {{"program", "firegate " + status.version},
         {"pid", status.pid},
         {"started", past(status.started, clock)},
         {"ready", status.not_ready.empty()},
         {"not_ready", status.not_ready},
         {"warnings", status.warnings},
         {"portal", portal},
         {"relays", relays},
         {"tunnel",
          {{"interface", status.interface}, {"ipv4", text(status.v4)}, {"ipv6", text(status.v6)}}},
         {"tracked_because", status.tracked_because},
         {"backend",
          {{"name", status.backend},
           {"detail", status.backend_detail},
           {"data_by_xdp", status.data_by_xdp},
           {"data_by_socket", status.data_by_socket},
           {"sent", status.sent},
           {"sent_by_xdp", status.sent_by_xdp},
           {"send_frames_short", status.send_frames_short},
           {"next_hops_crowded", status.next_hops_crowded},
           {"verdicts", verdicts},
           {"cipher", status.cipher}}},
         {"workers", workers},
         {"clients",
          {{"with_access", summary.clients},
           {"connections", summary.connections},
           {"direct", summary.direct},
           {"relayed", summary.relayed},
           {"without_path", without}}},
         {"traffic",
          {{"packets_in", sum.packets_in},
           {"bytes_in", sum.bytes_in},
           {"packets_out", sum.packets_out},
           {"bytes_out", sum.bytes_out}}},
         {"flow_logs", json_of(status.flow_logs, clock)},
         {"drops", drops}}}});
}

std::string write_peers(const std::vector<ClientReport>& peers, const std::optional<ClientId>& next,
                        const Clock& clock) {
  Json list = Json::array();
  for (const auto& peer : peers) list.push_back(json_of(peer, clock));
  return line_of({{"peers", list}, {"next", text(next)}});
}

std::string write_peer(const ClientReport& peer, const std::vector<ResourceReport>& resources,
                       const std::vector<controller::TranslationReport>& names,
                       const Clock& clock) {
  Json translations = Json::array();
  for (const auto& name : names) translations.push_back(json_of(name));
  Json list = Json::array();
  for (const auto& resource : resources) list.push_back(json_of(resource, clock));
  return line_of({{"peer", json_of(peer, clock)},
                  {"resources", list},
                  {"resources_left_out", peer.resources - resources.size()},
                  {"names", translations}});
}

std::string write_explanation(const controller::Explanation& of, const Clock& clock) {
  const auto& question = of.question;
  Json packet{{"source", of.source.to_string()},
              {"destination", question.destination.to_string()},
              {"protocol", console::name_of(question.protocol)}};
  if (question.protocol != filter::ProtoKind::echo) packet["port"] = question.port;
  Json out{{"passes", !of.refusal.has_value()},
           {"packet", packet},
           {"client", json_of(of.client, clock)},
           {"translation", nullptr},
           {"for_gateway", of.is_for_gateway},
           {"resource", nullptr},
           {"reason", nullptr},
           {"sentence", nullptr},
           {"answer", nullptr},
           {"refusing", Json::array()},
           {"ended", Json::array()},
           {"last_grant", nullptr}};
  if (of.translation) out["translation"] = json_of(*of.translation);
  if (of.resource) out["resource"] = json_of(*of.resource, clock);
  if (of.refusal) {
    out["reason"] = fg::name_of(of.refusal->reason);
    out["sentence"] = fg::sentence_of(of.refusal->reason);
    out["answer"] = answer_of(*of.refusal, question.destination.is_v4());
  }
  for (const auto& resource : of.refusing) out["refusing"].push_back(json_of(resource, clock));
  for (const auto& ended : of.ended) out["ended"].push_back(json_of(ended, clock));
  if (of.newest_ending) out["last_grant"] = json_of(*of.newest_ending, clock);
  return line_of({{"explanation", out}});
}

std::string write_error(std::string_view sentence) { return line_of({{"error", sentence}}); }

}  // namespace fg::console
