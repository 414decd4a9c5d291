// Flow logs as the program offers them (spec policy 6): what the workers report becomes records,
// told to the log, to a file of lines and to the spool, each only where it was asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/log.h"
#include "base/time.h"
#include "control/controller/controller.h"
#include "control/flow_log/book.h"
#include "control/net/flow_log_writer.h"
#include "control/net/loop.h"
#include "flow/tracker.h"
#include "gateway/configuration.h"

namespace fg::gateway {

class FlowLogs {
 public:
  FlowLogs(net::Loop& loop, const Configuration& configuration, LogSink& sink);

  void start() { writer_.start(); }
  void on_event(WorkerIndex worker, const flow::Event& event,
                const controller::Controller& controller);
  void on_news(const controller::FlowLogNews& news);
  // SIGHUP: the file of lines may have been moved away.
  void reopen() { writer_.reopen(); }
  [[nodiscard]] net::FlowLogWriter::Status status() const { return writer_.status(); }
  // Beginnings and ends of flows whose client is known.
  [[nodiscard]] std::uint64_t recorded() const { return recorded_; }
  // Writes what is left; nothing is recorded any more.
  void stop() { writer_.stop(); }

 private:
  void tell(const flow_log::Record& record);

  LogSink& sink_;
  const bool has_file_;
  flow_log::Book book_;
  net::FlowLogWriter writer_;
  std::uint64_t recorded_ = 0;
};

}  // namespace fg::gateway
