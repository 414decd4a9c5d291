#include "control/net/flow_uploader.h"

#include <algorithm>
#include <utility>

#include "control/net/boot_timer.h"

namespace fg::net {

FlowUploader::FlowUploader(Loop& loop, Resolver& resolver, FlowFiles& files, Random& random,
                           Options options, Log log)
    : loop_(loop),
      files_(files),
      random_(random),
      options_(std::move(options)),
      log_(std::move(log)),
      connection_(loop, resolver, options_.tls, log_, options_.mark) {}

FlowUploader::~FlowUploader() = default;

void FlowUploader::wait(Duration time, void (FlowUploader::*then)()) {
  timer_ = std::make_unique<BootTimer>(loop_.context(), [this, then] { (this->*then)(); });
  timer_->set(loop_.now() + time);
}

void FlowUploader::tell(std::size_t stored, const std::string& error) const {
  if (options_.told) options_.told(stored, error);
}

void FlowUploader::on_settings() {
  if (waits_for_settings_) wait({}, &FlowUploader::begin_pass);
}

void FlowUploader::begin_pass() {
  files_.prune(loop_.wall_now());
  const auto settings = files_.settings();
  const auto url = settings ? flow_log::UploadUrl::of_api(settings->api_url) : std::nullopt;
  waits_for_settings_ = !url;
  if (settings && !url) {
    log_.warn(
        "flow records are not uploaded: the portal names no https address on port 443 for them",
        {{"api_url", settings->api_url}});
    tell(0, "the portal names no https address on port 443");
  }
  if (!url) return wait(kUnconfiguredWait, &FlowUploader::begin_pass);
  settings_ = *settings;
  url_ = *url;
  authorizations_ = files_.authorizations();
  at_ = 0;
  redirects_ = flow_log::kRedirectsMax;
  has_backlog_ = false;
  next_authorization();
}

void FlowUploader::next_authorization() {
  for (; at_ < authorizations_.size(); ++at_) {
    batch_ = files_.read(authorizations_[at_], settings_.batch_size);
    if (batch_.payloads.empty()) continue;
    delivery_.emplace(batch_.payloads.size(), random_);
    return send();
  }
  end_pass();
}

void FlowUploader::send() {
  if (delivery_->next()) {
    if (delivery_->pause() == Duration{}) return send_now();
    return wait(delivery_->pause(), &FlowUploader::send_now);
  }
  has_backlog_ |= batch_.has_more && !delivery_->was_refused();
  ++at_;
  next_authorization();
}

void FlowUploader::send_now() {
  if (!connection_.is_open_to(url_.host)) {
    return connection_.connect(url_.host, options_.port,
                               options_.proxy_for ? options_.proxy_for(url_.host) : std::nullopt,
                               [this](const std::string& error) { on_connected(error); });
  }
  connection_.post(url_.target, batch_.token,
                   flow_log::body_of(batch_.payloads, *delivery_->next()),
                   [this](const Result<HttpsAnswer, HttpsFailure>& answer) { on_answer(answer); });
}

void FlowUploader::on_connected(const std::string& error) {
  if (error.empty()) return send_now();
  log_.warn(
      "flow records cannot be uploaded, trying again: allow TCP to port 443 of the host, set "
      "FIREGATE_CA_FILE if its certificate is of your own authority",
      {{"host", url_.host}, {"reason", error}});
  tell(0, url_.host + ": " + error);
  end_pass();
}

void FlowUploader::on_answer(const Result<HttpsAnswer, HttpsFailure>& answer) {
  if (!answer) {
    log_.info("upload of flow records interrupted, trying again",
              {{"host", url_.host}, {"reason", answer.error().reason}});
    tell(0, url_.host + ": " + answer.error().reason);
    if (!answer.error().is_timeout) return end_pass();
    delivery_->on_failure();
    return send();
  }
  if (flow_log::is_redirect(answer->status) && follow(*answer)) return send_now();
  const auto range = *delivery_->next();
  const auto retry_after =
      answer->retry_after ? std::optional<std::string_view>{*answer->retry_after} : std::nullopt;
  if (delivery_->on_status(answer->status, retry_after, loop_.wall_now())) {
    for (std::size_t i = 0; i < range.count; ++i)
      files_.remove(authorizations_[at_], batch_.files[range.first + i]);
    log_.debug("flow records uploaded", {{"records", range.count}});
    tell(range.count, {});
  } else {
    log_.info("the ingest server did not take flow records: they stay in the spool",
              {{"host", url_.host}, {"status", answer->status}, {"records", range.count}});
    tell(0, url_.host + ": status " + std::to_string(answer->status));
  }
  send();
}

bool FlowUploader::follow(const HttpsAnswer& answer) {
  if (redirects_ == 0 || !answer.location) return false;
  auto url = url_.redirected(*answer.location);
  if (!url) return false;
  --redirects_;
  url_ = std::move(*url);
  return true;
}

void FlowUploader::end_pass() {
  connection_.close();
  delivery_.reset();
  batch_ = {};
  const auto seconds = std::clamp<std::uint64_t>(
      settings_.interval_s, 1,
      static_cast<std::uint64_t>(
          std::chrono::duration_cast<std::chrono::seconds>(kUploadIntervalMax).count()));
  wait(has_backlog_ ? kBacklogWait : Duration{std::chrono::seconds{seconds}},
       &FlowUploader::begin_pass);
}

}  // namespace fg::net
