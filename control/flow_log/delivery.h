// One batch of records on its way to the ingest server: what is asked next, and what an answer
// means for the files (spec policy 6.7). Sans-IO. Redirects are the caller's, who owns the
// connection.
//
//   2xx stored · 413 halved until one record is left, which stays · 429 asked again when the server
//   said · 408, 5xx and failures asked again with growing pauses, five minutes in all · every other
//   status: kept for a later pass
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/time.h"

namespace fg::flow_log {

inline constexpr Duration kPauseFirst = 500ms;
inline constexpr double kPauseFactor = 1.5;
inline constexpr Duration kPauseMax = 60s;
inline constexpr Duration kPausesMax = 5min;  // all pauses of one batch
inline constexpr Duration kRetryAfterDefault = 1s;
inline constexpr int kRedirectsMax = 5;  // a pass

[[nodiscard]] constexpr bool is_redirect(unsigned status) {
  return status == 301 || status == 302 || status == 307 || status == 308;
}

class Delivery {
 public:
  struct Range {
    std::size_t first = 0;
    std::size_t count = 0;
    friend bool operator==(const Range&, const Range&) = default;
  };

  Delivery(std::size_t records, Random& jitter);

  // What the next request carries; none: done.
  [[nodiscard]] std::optional<Range> next() const;
  // How long to wait before it.
  [[nodiscard]] Duration pause() const { return pause_; }

  // True: the records of next() are stored and their files can go.
  bool on_status(unsigned status, std::optional<std::string_view> retry_after, WallTime wall);
  // No answer, though the connection can be made anew.
  void on_failure();

  // Something was not stored.
  [[nodiscard]] bool was_refused() const { return was_refused_; }

 private:
  void keep();
  void pause_longer();

  Random* jitter_;
  std::deque<Range> ranges_;
  Duration pause_{};
  Duration interval_ = kPauseFirst;
  Duration spent_{};
  bool was_refused_ = false;
};

// {"flow_logs":[…]}
[[nodiscard]] std::string body_of(const std::vector<std::string>& payloads, Delivery::Range range);

}  // namespace fg::flow_log
