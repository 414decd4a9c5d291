#include "control/flow_log/delivery.h"

#include <algorithm>

#include "control/portal/retry_after.h"

namespace fg::flow_log {
namespace {

constexpr unsigned kRequestTimeout = 408;
constexpr unsigned kTooLarge = 413;
constexpr unsigned kTooMany = 429;

}  // namespace

Delivery::Delivery(std::size_t records, Random& jitter) : jitter_(&jitter) {
  if (records != 0) ranges_.push_back({0, records});
}

std::optional<Delivery::Range> Delivery::next() const {
  if (ranges_.empty()) return std::nullopt;
  return ranges_.front();
}

bool Delivery::on_status(unsigned status, std::optional<std::string_view> retry_after,
                         WallTime wall) {
  pause_ = {};
  if (ranges_.empty()) return false;
  if (status / 100 == 2) {
    ranges_.pop_front();
    return true;
  }
  if (status == kTooMany) {
    const auto told = retry_after ? portal::parse_retry_after(*retry_after, wall) : std::nullopt;
    pause_ = told.value_or(kRetryAfterDefault);
  } else if (status == kTooLarge && ranges_.front().count > 1) {
    const auto whole = ranges_.front();
    const auto half = whole.count / 2;
    ranges_.front() = {whole.first + half, whole.count - half};
    ranges_.push_front({whole.first, half});
  } else if (status == kRequestTimeout || status / 100 == 5) {
    pause_longer();
  } else {
    keep();
  }
  return false;
}

void Delivery::on_failure() {
  pause_ = {};
  if (!ranges_.empty()) pause_longer();
}

void Delivery::keep() {
  was_refused_ = true;
  ranges_.pop_front();
}

void Delivery::pause_longer() {
  // interval × [0.5, 1.5)
  constexpr std::uint32_t kSteps = 1U << 30;
  const double factor = 0.5 + static_cast<double>(jitter_->below(kSteps)) / kSteps;
  pause_ = std::min(std::chrono::duration_cast<Duration>(interval_ * factor), kPauseMax);
  interval_ = std::min(std::chrono::duration_cast<Duration>(interval_ * kPauseFactor), kPauseMax);
  spent_ += pause_;
  if (spent_ <= kPausesMax) return;
  pause_ = {};
  was_refused_ = true;
  ranges_.clear();
}

std::string body_of(const std::vector<std::string>& payloads, Delivery::Range range) {
  std::string out = "{\"flow_logs\":[";
  for (std::size_t i = 0; i < range.count; ++i) {
    if (i != 0) out += ',';
    out += payloads[range.first + i];
  }
  return out + "]}";
}

}  // namespace fg::flow_log
