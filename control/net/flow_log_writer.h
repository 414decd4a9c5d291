// The thread that does what may block for flow logs: it writes the spool and the file of lines, and
// uploads the spool. The control thread hands it work and never waits for it, except at the end.
// Bounded: kRecordsMax records wait at most, and kOrdersMax tokens and settings; the rest is lost
// and counted (spec policy 6.6).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "base/secret.h"
#include "base/time.h"
#include "control/flow_log/spool.h"
#include "control/net/flow_uploader.h"
#include "control/net/loop.h"

namespace fg::net {

inline constexpr std::size_t kRecordsMax = 10'000;  // spec policy 6.6
inline constexpr std::size_t kOrdersMax = 10'000;
inline constexpr Duration kDrainMax = 5s;  // spec policy 6.6

class FlowLogWriter {
 public:
  struct Options {
    std::string spool;      // directory
    std::string line_file;  // empty: none
    std::string ca_file;
    std::uint32_t mark = 0;
    FlowUploader::ProxyFor proxy_for;  // called on the writer's thread
    std::uint16_t port = 443;
    std::size_t records_max = kRecordsMax;
    std::size_t orders_max = kOrdersMax;
  };
  struct Status {
    std::uint64_t lost = 0;      // records that found no room, or could not be written
    std::size_t waiting = 0;     // to be written
    std::size_t spooled = 0;     // reports on disk
    std::uint64_t uploaded = 0;  // reports
    std::optional<Instant> last_upload;
    std::string last_error;  // of uploading, until something is uploaded again
    std::optional<Instant> last_error_at;
  };

  // Its log lines are written by `owner`'s thread, which calls everything here.
  FlowLogWriter(Loop& owner, Options options, LogSink& sink);
  ~FlowLogWriter();  // stop()
  FlowLogWriter(const FlowLogWriter&) = delete;
  FlowLogWriter& operator=(const FlowLogWriter&) = delete;

  void start();
  // False: too much waits already, the record is lost.
  bool write(flow_log::Report report);
  bool append(std::string line);
  // False likewise: without its token an authorization's records are not uploaded.
  bool keep_token(std::string directory, SecretText token);
  bool keep_settings(std::optional<flow_log::UploadSettings> settings);
  void reopen();
  // Writes what waits, for kDrainMax at most.
  void stop();

  [[nodiscard]] Status status() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fg::net
