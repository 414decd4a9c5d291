// The spool of flow records on disk (spec policy 6.6): directories 0700, files 0600, each written
// under another name, made durable and renamed, so that a file is whole or not there. Names are
// those of control/flow_log; others found there are left alone. Bounded: no more reports than
// kSpoolReportsMax. For one thread, which may block.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/secret.h"
#include "base/time.h"
#include "control/flow_log/spool.h"

namespace fg::net {

inline constexpr std::size_t kSpoolReportsMax = 200'000;

class FlowFiles {
 public:
  explicit FlowFiles(std::string root, std::size_t reports_max = kSpoolReportsMax);

  enum class Written : std::uint8_t {
    written,
    discarded,  // the authorization has no token
    full,
    failed,  // see last_error()
  };
  [[nodiscard]] bool keep_token(const std::string& directory, const SecretText& token);
  [[nodiscard]] Written write(const flow_log::Report& report);
  // None removes the file.
  [[nodiscard]] bool keep_settings(const std::optional<flow_log::UploadSettings>& settings);
  [[nodiscard]] std::size_t reports() const { return reports_; }
  [[nodiscard]] const std::string& last_error() const { return last_error_; }

  [[nodiscard]] std::optional<flow_log::UploadSettings> settings() const;
  // Removes what has no future, and what a crash left half written.
  void prune(WallTime now);
  // Those with a token, sorted.
  [[nodiscard]] std::vector<std::string> authorizations() const;
  struct Batch {
    SecretText token;
    std::vector<std::string> payloads;
    std::vector<flow_log::Pick> files;  // of each payload
    bool has_more = false;
  };
  // What is corrupt is removed on the way.
  [[nodiscard]] Batch read(const std::string& directory, std::size_t batch_size);
  void remove(const std::string& directory, const flow_log::Pick& report);

 private:
  [[nodiscard]] std::string path_of(std::string_view name) const;
  [[nodiscard]] bool make_directories(const std::string& path);
  [[nodiscard]] bool put(const std::string& path, std::string_view content);
  void erase(const std::string& path);

  std::string root_;
  std::size_t reports_max_;
  std::size_t reports_ = 0;
  std::string last_error_;  // operation, path and why
};

}  // namespace fg::net
