// Brings the spool to the ingest server (spec policy 6.7): a pass at once, then as often as
// upload.json says. One authorization a request. What an answer means is decided by
// flow_log::Delivery; here are the files, the connection and the waiting.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/random.h"
#include "base/time.h"
#include "control/flow_log/delivery.h"
#include "control/flow_log/upload_url.h"
#include "control/net/flow_files.h"
#include "control/net/https.h"

namespace fg::net {

inline constexpr Duration kUnconfiguredWait = 30s;
inline constexpr Duration kBacklogWait = 1s;
inline constexpr Duration kUploadIntervalMax = 24h;

class BootTimer;

class FlowUploader {
 public:
  using ProxyFor = std::function<std::optional<portal::Proxy>(const std::string& host)>;
  struct Options {
    std::shared_ptr<TlsContext> tls;
    std::uint32_t mark = 0;
    ProxyFor proxy_for;
    std::uint16_t port = 443;  // another one in tests only
    // Of every request, and of every pass that came to none: how many records were stored, and why
    // others were not (empty: nothing went wrong).
    std::function<void(std::size_t stored, const std::string& error)> told;
  };

  FlowUploader(Loop& loop, Resolver& resolver, FlowFiles& files, Random& random, Options options,
               Log log);
  ~FlowUploader();
  FlowUploader(const FlowUploader&) = delete;
  FlowUploader& operator=(const FlowUploader&) = delete;

  void start() { begin_pass(); }
  // upload.json has changed: who waited for it begins.
  void on_settings();

 private:
  void begin_pass();
  void next_authorization();
  void send();
  void send_now();
  void on_connected(const std::string& error);
  void on_answer(const Result<HttpsAnswer, HttpsFailure>& answer);
  bool follow(const HttpsAnswer& answer);
  void tell(std::size_t stored, const std::string& error) const;
  void end_pass();
  void wait(Duration time, void (FlowUploader::*then)());

  Loop& loop_;
  FlowFiles& files_;
  Random& random_;
  Options options_;
  Log log_;
  HttpsConnection connection_;
  std::unique_ptr<BootTimer> timer_;

  bool waits_for_settings_ = false;
  // Of the running pass.
  flow_log::UploadSettings settings_;
  flow_log::UploadUrl url_;
  std::vector<std::string> authorizations_;
  std::size_t at_ = 0;
  int redirects_ = 0;
  bool has_backlog_ = false;
  // Of the running batch.
  FlowFiles::Batch batch_;
  std::optional<flow_log::Delivery> delivery_;
};

}  // namespace fg::net
