#include "control/net/flow_log_writer.h"

#include <pthread.h>

#include <atomic>
#include <csignal>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.h"
#include "control/net/line_file.h"

namespace fg::net {
namespace {

constexpr std::uint64_t kSayEvery = 1'000;  // spec policy 6.6: the first, then every 1000th

// Lines of the writer's thread, written by the owner's.
class RemoteSink final : public LogSink {
 public:
  RemoteSink(Loop& owner, LogSink& sink) : owner_(owner), sink_(sink) {}
  [[nodiscard]] bool is_enabled(LogLevel level, std::string_view target) const override {
    return sink_.is_enabled(level, target);
  }
  void write(LogLevel level, std::string_view target, std::string_view message,
             std::span<const LogField> fields) override {
    owner_.post([&sink = sink_, level, to = std::string{target}, text = std::string{message},
                 values = std::vector<LogField>{fields.begin(), fields.end()}] {
      sink.write(level, to, text, values);
    });
  }

 private:
  Loop& owner_;
  LogSink& sink_;
};

}  // namespace

struct FlowLogWriter::Impl {
  Impl(Loop& the_owner, Options given, LogSink& to)
      : options(std::move(given)),
        owner(the_owner),
        owner_log(to, "flow_log"),
        sink(the_owner, to),
        log(sink, "flow_log") {}

  void run();
  void open();
  void on_upload(std::size_t stored, const std::string& error);
  bool push(std::atomic<std::size_t>& waiting, std::size_t max, std::function<void()> work);
  void count_loss(const char* message, const std::string& reason);
  [[nodiscard]] bool is_late() const {
    return loop.now().time_since_epoch().count() > give_up_at.load(std::memory_order_relaxed);
  }

  const Options options;
  Loop& owner;
  Log owner_log;
  RemoteSink sink;
  Log log;
  Loop loop;
  std::thread thread;
  std::atomic<std::size_t> waiting_records{0};
  std::atomic<std::size_t> waiting_orders{0};
  std::atomic<bool> reopens{false};
  std::atomic<std::uint64_t> lost{0};
  std::atomic<std::size_t> spooled{0};
  const std::shared_ptr<Status> uploads = std::make_shared<Status>();  // of the owner's thread
  std::atomic<std::int64_t> give_up_at{INT64_MAX};

  // Of the thread.
  std::unique_ptr<Resolver> resolver;
  std::unique_ptr<SeededRandom> random;
  std::unique_ptr<FlowFiles> files;
  std::unique_ptr<LineFile> lines;
  std::unique_ptr<FlowUploader> uploader;
};

void FlowLogWriter::Impl::run() {
  ::pthread_setname_np(::pthread_self(), "fg-flow-log");
  loop.run();
  uploader.reset();
  resolver.reset();
}

void FlowLogWriter::Impl::open() {
  files = std::make_unique<FlowFiles>(options.spool);
  spooled.store(files->reports(), std::memory_order_relaxed);
  if (!options.line_file.empty()) lines = std::make_unique<LineFile>(options.line_file);
  auto tls = TlsContext::create(options.ca_file);
  if (!tls) {
    log.warn("flow records are not uploaded: name a readable PEM file in FIREGATE_CA_FILE",
             {{"reason", tls.error()}});
    return;
  }
  ResolverOptions resolving;
  resolving.mark = options.mark;
  resolver = std::make_unique<Resolver>(loop, std::move(resolving));
  random = std::make_unique<SeededRandom>(
      static_cast<std::uint64_t>(loop.wall_now().time_since_epoch().count()));
  uploader = std::make_unique<FlowUploader>(
      loop, *resolver, *files, *random,
      FlowUploader::Options{
          std::move(*tls), options.mark, options.proxy_for, options.port,
          [this](std::size_t stored, const std::string& error) { on_upload(stored, error); }},
      log);
  uploader->start();
}

void FlowLogWriter::Impl::on_upload(std::size_t stored, const std::string& error) {
  spooled.store(files->reports(), std::memory_order_relaxed);
  owner.post([told = uploads, stored, error, now = loop.now()] {
    told->uploaded += stored;
    told->last_error = error;
    (error.empty() ? told->last_upload : told->last_error_at) = now;
  });
}

bool FlowLogWriter::Impl::push(std::atomic<std::size_t>& waiting, std::size_t max,
                               std::function<void()> work) {
  if (waiting.load(std::memory_order_relaxed) >= max) {
    if (lost.fetch_add(1, std::memory_order_relaxed) % kSayEvery == 0) {
      owner_log.warn("flow records are lost: the disk does not keep up with writing them",
                     {{"lost", lost.load(std::memory_order_relaxed)}});
    }
    return false;
  }
  waiting.fetch_add(1, std::memory_order_relaxed);
  loop.post([this, &waiting, work = std::move(work)] {
    waiting.fetch_sub(1, std::memory_order_relaxed);
    if (is_late())
      lost.fetch_add(1, std::memory_order_relaxed);
    else
      work();
  });
  return true;
}

void FlowLogWriter::Impl::count_loss(const char* message, const std::string& reason) {
  if (lost.fetch_add(1, std::memory_order_relaxed) % kSayEvery == 0)
    log.warn(message, {{"reason", reason}, {"lost", lost.load(std::memory_order_relaxed)}});
}

FlowLogWriter::FlowLogWriter(Loop& owner, Options options, LogSink& sink)
    : impl_(std::make_unique<Impl>(owner, std::move(options), sink)) {}

FlowLogWriter::~FlowLogWriter() { stop(); }

void FlowLogWriter::start() {
  impl_->loop.post([impl = impl_.get()] { impl->open(); });
  // Signals are the control thread's.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  impl_->thread = std::thread{[impl = impl_.get()] { impl->run(); }};
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

bool FlowLogWriter::write(flow_log::Report report) {
  auto& impl = *impl_;
  return impl.push(
      impl.waiting_records, impl.options.records_max, [&impl, report = std::move(report)] {
        const auto written = impl.files->write(report);
        impl.spooled.store(impl.files->reports(), std::memory_order_relaxed);
        switch (written) {
          case FlowFiles::Written::written:
          case FlowFiles::Written::discarded:
            return;
          case FlowFiles::Written::full:
            return impl.count_loss(
                "flow records are lost: the spool is full, see why it is not uploaded",
                impl.options.spool);
          case FlowFiles::Written::failed:
            return impl.count_loss(
                "flow records are lost: they cannot be written, make the spool writable",
                impl.files->last_error());
        }
      });
}

bool FlowLogWriter::append(std::string line) {
  auto& impl = *impl_;
  return impl.push(impl.waiting_records, impl.options.records_max, [&impl, line = std::move(line)] {
    if (impl.lines != nullptr && !impl.lines->append(line)) {
      impl.count_loss("flow records are lost: the file of FIREGATE_FLOW_LOG_FILE cannot be written",
                      impl.lines->last_error());
    }
  });
}

bool FlowLogWriter::keep_token(std::string directory, SecretText token) {
  auto& impl = *impl_;
  return impl.push(impl.waiting_orders, impl.options.orders_max,
                   [&impl, directory = std::move(directory), token] {
                     if (!impl.files->keep_token(directory, token)) {
                       impl.log.warn(
                           "flow records of a client will not be uploaded: make the spool writable",
                           {{"reason", impl.files->last_error()}});
                     }
                   });
}

bool FlowLogWriter::keep_settings(std::optional<flow_log::UploadSettings> settings) {
  auto& impl = *impl_;
  return impl.push(
      impl.waiting_orders, impl.options.orders_max, [&impl, settings = std::move(settings)] {
        if (!impl.files->keep_settings(settings)) {
          impl.log.warn("where flow records are uploaded cannot be kept: make the spool writable",
                        {{"reason", impl.files->last_error()}});
        }
        if (impl.uploader != nullptr) impl.uploader->on_settings();
      });
}

void FlowLogWriter::reopen() {
  if (impl_->reopens.exchange(true)) return;
  impl_->loop.post([impl = impl_.get()] {
    impl->reopens = false;
    if (impl->lines != nullptr) impl->lines->reopen();
  });
}

void FlowLogWriter::stop() {
  if (!impl_->thread.joinable()) return;
  impl_->give_up_at.store((impl_->loop.now() + kDrainMax).time_since_epoch().count(),
                          std::memory_order_relaxed);
  // Behind everything that waits.
  impl_->loop.post([impl = impl_.get()] { impl->loop.stop(); });
  impl_->thread.join();
}

FlowLogWriter::Status FlowLogWriter::status() const {
  auto out = *impl_->uploads;
  out.lost = impl_->lost.load(std::memory_order_relaxed);
  out.waiting = impl_->waiting_records.load(std::memory_order_relaxed);
  out.spooled = impl_->spooled.load(std::memory_order_relaxed);
  return out;
}

}  // namespace fg::net
