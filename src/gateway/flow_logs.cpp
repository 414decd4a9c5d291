#include "gateway/flow_logs.h"

#include <utility>

#include "control/flow_log/spool.h"
#include "gateway/host.h"

namespace fg::gateway {
namespace {

net::FlowLogWriter::Options options_of(const Configuration& configuration) {
  net::FlowLogWriter::Options out;
  out.spool = configuration.state_directory + "/flow_logs";
  out.line_file = configuration.flow_log_file;
  out.ca_file = configuration.ca_file;
  out.mark = kMark;
  out.proxy_for = [proxy = configuration.upload_proxy, exceptions = configuration.no_proxy](
                      const std::string& host) -> std::optional<portal::Proxy> {
    portal::ApiUrl url;
    url.host = host;
    if (!proxy || portal::is_direct(exceptions, url)) return std::nullopt;
    return proxy;
  };
  return out;
}

}  // namespace

FlowLogs::FlowLogs(net::Loop& loop, const Configuration& configuration, LogSink& sink)
    : sink_(sink),
      has_file_(!configuration.flow_log_file.empty()),
      book_(loop.now(), loop.wall_now()),
      writer_(loop, options_of(configuration), sink) {}

void FlowLogs::on_event(WorkerIndex worker, const flow::Event& event,
                        const controller::Controller& controller) {
  const auto record = book_.on_event(worker, event, [&](const flow::Started& started) {
    return controller.beginning_of(started);
  });
  if (!record) return;
  ++recorded_;
  tell(*record);
}

void FlowLogs::tell(const flow_log::Record& record) {
  if (const auto event = flow_log::event_of(record)) {
    if (sink_.is_enabled(LogLevel::trace, event->target))
      sink_.write(LogLevel::trace, event->target, event->message, event->fields);
    if (has_file_) (void)writer_.append(flow_log::line_of(record, *event));
  }
  if (auto report = flow_log::report_of(record)) (void)writer_.write(std::move(*report));
}

void FlowLogs::on_news(const controller::FlowLogNews& news) {
  if (const auto* told = std::get_if<portal::FlowLogs>(&news))
    return void(writer_.keep_settings(flow_log::settings_of(*told)));
  const auto& ingest = std::get<flow_log::Ingest>(*std::get<controller::FlowLogToken>(news).whose);
  if (auto directory = flow_log::directory_of(ingest.claims))
    (void)writer_.keep_token(std::move(*directory), ingest.token);
}

}  // namespace fg::gateway
