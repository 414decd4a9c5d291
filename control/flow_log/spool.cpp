#include "control/flow_log/spool.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "base/encoding.h"
#include "crypto/hash.h"

namespace fg::flow_log {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kStart = ".start.json";
constexpr std::string_view kEnd = ".end.json";

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::uint64_t in_range(std::uint64_t batch_size) {
  return batch_size == 0 ? kBatchDefault : std::min(batch_size, kBatchMax);
}

std::string stem_of(const Record& record) {
  const auto& key = record.key;
  const auto identity = (key.protocol == flow::Protocol::tcp ? "tcp " : "udp ") +
                        SocketAddress{key.inner_client, key.client_port}.to_string() + " " +
                        SocketAddress{key.remote, key.remote_port}.to_string() + " " +
                        format_rfc3339(record.start);
  const auto digest = crypto::sha256({as_bytes(identity)});
  std::array<char, 16> start{};
  const auto seconds = std::chrono::floor<std::chrono::seconds>(record.start.time_since_epoch());
  std::snprintf(start.data(), start.size(), "%010lld", static_cast<long long>(seconds.count()));
  return std::string{start.data()} + "-" + hex(Bytes{digest}.first(8));
}

}  // namespace

bool is_role(std::string_view name) { return name == "initiator" || name == "responder"; }

bool is_authorization(std::string_view name) {
  if (name.size() != 36) return false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool is_hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    if (is_hyphen ? name[i] != '-' : !is_hex(name[i])) return false;
  }
  return true;
}

std::optional<std::string> directory_of(const IngestClaims& claims) {
  if (!is_role(claims.role) || !is_authorization(claims.policy_authorization_id))
    return std::nullopt;
  return claims.role + "/" + claims.policy_authorization_id;
}

std::optional<Report> report_of(const Record& record) {
  const auto* ingest = std::get_if<Ingest>(record.whose.get());
  if (ingest == nullptr || !ingest->claims.uploads_enabled) return std::nullopt;
  auto directory = directory_of(ingest->claims);
  if (!directory) return std::nullopt;
  return Report{std::move(*directory), stem_of(record) + std::string{record.end ? kEnd : kStart},
                enclose(ingest_payload(record))};
}

std::string enclose(std::string_view payload) {
  return "{\"checksum\":" + std::to_string(crypto::crc32(as_bytes(payload))) +
         ",\"payload\":" + std::string{payload} + "}";
}

std::optional<std::string> disclose(std::string_view content) {
  if (content.size() > kReportBytesMax) return std::nullopt;
  const auto json = Json::parse(content, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto checksum = json.find("checksum");
  const auto payload = json.find("payload");
  if (checksum == json.end() || payload == json.end() || !checksum->is_number_unsigned() ||
      !payload->is_object()) {
    return std::nullopt;
  }
  auto text = dumped(*payload);
  if (checksum->get<std::uint64_t>() != crypto::crc32(as_bytes(text))) return std::nullopt;
  return text;
}

Picked pick(std::vector<std::string> names, std::size_t batch_size) {
  std::ranges::sort(names);
  const std::set<std::string, std::less<>> known{names.begin(), names.end()};
  Picked out;
  for (const auto& name : names) {
    const std::string_view view = name;
    Pick taken{name, {}};
    if (view.starts_with('.')) continue;  // half written
    if (view.ends_with(kEnd)) {
      auto start = std::string{view.substr(0, view.size() - kEnd.size())} + std::string{kStart};
      if (known.contains(start)) taken.superseded = std::move(start);
    } else if (!view.ends_with(kStart) ||
               known.contains(std::string{view.substr(0, view.size() - kStart.size())} +
                              std::string{kEnd})) {
      continue;
    }
    if (out.picks.size() == batch_size) {
      out.has_more = true;
      break;
    }
    out.picks.push_back(std::move(taken));
  }
  return out;
}

bool is_stale(const std::optional<std::string>& token, Duration age, WallTime now) {
  if (!token) return age > kTokenlessMax;
  const auto claims = parse_ingest_token(*token);
  if (!claims) return false;
  const auto today = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch()).count();
  return claims->expires_at <= today;
}

std::optional<UploadSettings> settings_of(const portal::FlowLogs& told) {
  if (told.interval_s == 0) return std::nullopt;
  return UploadSettings{told.api_url, told.interval_s, in_range(told.batch_size)};
}

std::string to_json(const UploadSettings& settings) {
  return dumped(Json{{"api_url", settings.api_url},
                     {"interval", settings.interval_s},
                     {"batch_size", settings.batch_size}});
}

std::optional<UploadSettings> parse_settings(std::string_view text) {
  const auto json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto url = json.find("api_url");
  const auto interval = json.find("interval");
  const auto batch = json.find("batch_size");
  if (url == json.end() || !url->is_string() || interval == json.end() ||
      !interval->is_number_unsigned() || batch == json.end() || !batch->is_number_unsigned()) {
    return std::nullopt;
  }
  return settings_of(
      {url->get<std::string>(), interval->get<std::uint64_t>(), batch->get<std::uint64_t>()});
}

}  // namespace fg::flow_log
