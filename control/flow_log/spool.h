// How records lie on disk until they are uploaded (spec policy 6.6): names, contents and what may
// go. The files themselves are control/net's. What is read back is not trusted: a report whose
// checksum is wrong, or a name that leads elsewhere, is nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "base/time.h"
#include "control/flow_log/record.h"
#include "control/portal/messages.h"

namespace fg::flow_log {

inline constexpr std::uint64_t kBatchDefault = 1'000;  // spec policy 6.6
inline constexpr std::uint64_t kBatchMax = 10'000;
inline constexpr Duration kTokenlessMax = 60s;  // spec policy 6.7
inline constexpr std::size_t kReportBytesMax = 65'536;
inline constexpr std::string_view kTokenFile = "token";
inline constexpr std::string_view kSettingsFile = "upload.json";

// "responder/<policy authorization>"; none when either part could lead out of the spool.
[[nodiscard]] std::optional<std::string> directory_of(const IngestClaims& claims);
[[nodiscard]] bool is_role(std::string_view name);
[[nodiscard]] bool is_authorization(std::string_view name);  // a hyphenated UUID

// A report to be written. `name` is the file's, the same stem for beginning and end of a flow.
struct Report {
  std::string directory;
  std::string name;
  std::string content;
};
// None: generations A and B, uploads not wished, or a token that names no directory.
[[nodiscard]] std::optional<Report> report_of(const Record& record);

// {"checksum":…,"payload":{…}}; the payload is compact with sorted keys.
[[nodiscard]] std::string enclose(std::string_view payload);
// The payload, compact with sorted keys; none: malformed or its checksum is wrong.
[[nodiscard]] std::optional<std::string> disclose(std::string_view content);

// Of file names, what one batch takes: oldest first, the beginning of a flow goes with its end.
struct Pick {
  std::string name;
  std::string superseded;  // deleted with it; may be empty
};
struct Picked {
  std::vector<Pick> picks;
  bool has_more = false;
};
[[nodiscard]] Picked pick(std::vector<std::string> names, std::size_t batch_size);

// Whether an authorization's directory has no future: its token has expired, or it never got one.
[[nodiscard]] bool is_stale(const std::optional<std::string>& token, Duration age, WallTime now);

// upload.json. Batch sizes are brought into their range when read and written.
struct UploadSettings {
  std::string api_url;
  std::uint64_t interval_s = 0;
  std::uint64_t batch_size = kBatchDefault;
  friend bool operator==(const UploadSettings&, const UploadSettings&) = default;
};
// None: no uploads.
[[nodiscard]] std::optional<UploadSettings> settings_of(const portal::FlowLogs& told);
[[nodiscard]] std::string to_json(const UploadSettings& settings);
[[nodiscard]] std::optional<UploadSettings> parse_settings(std::string_view text);

}  // namespace fg::flow_log
