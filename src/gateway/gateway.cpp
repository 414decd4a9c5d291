#include "gateway/gateway.h"

#include <net/if.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <optional>
#include <utility>

#include "control/controller/controller.h"
#include "control/net/health_server.h"
#include "control/net/loop.h"
#include "control/net/portal_client.h"
#include "control/net/resolver.h"
#include "crypto/aead.h"
#include "crypto/crypto.h"
#include "crypto/random.h"
#include "gateway/data_path.h"
#include "gateway/dns_service.h"
#include "gateway/double_watch.h"
#include "gateway/fast_path.h"
#include "gateway/flow_logs.h"
#include "gateway/host.h"
#include "gateway/host_checks.h"
#include "gateway/identity.h"
#include "gateway/left_behind.h"
#include "gateway/loss_reports.h"
#include "gateway/operator_console.h"
#include "gateway/portal_mend.h"
#include "io/kernel/kernel_backend.h"
#include "runtime/worker_pool.h"
#include "wireguard/identity.h"

namespace fg::gateway {
namespace {

constexpr std::uint32_t kReceiveBuffer = 16U << 20;  // spec operations 10.2
constexpr std::uint32_t kSendBuffer = 2U << 20;      // spec operations 10.2
constexpr Duration kShutdownMax = 1s;
constexpr int kPuntsPerTurnMax = 512;
constexpr int kFlowEventsPerTurnMax = 512;
constexpr Duration kBusyWorkerWait = 1ms;  // before a worker whose ring is full is tried again
constexpr std::size_t kDatagramsAtOnce = 128;
constexpr Duration kReportInterval = 60s;
// The first announcement acts at once, those that follow it together.
constexpr Duration kNetworkCheckInterval = 300ms;

net::ResolverOptions resolver_options() {
  net::ResolverOptions out;
  out.mark = kMark;
  return out;
}

class Gateway final : public net::PortalHandler {
 public:
  Gateway(const Configuration& configuration, LogSink& sink)
      : configuration_(configuration),
        log_(sink, "gateway"),
        random_(),
        identity_(crypto::generate_key_pair(random_)),
        resolver_(loop_, resolver_options()),
        host_(loop_,
              {configuration.tun_name, configuration.masquerade, configuration.preserved_sources,
               configuration.untracked},
              Log{sink, "host"}),
        dns_(loop_, random_, configuration.tun_name, Log{sink, "dns"}),
        left_behind_(configuration.state_directory),
        flow_logs_(loop_, configuration, sink),
        fast_path_({configuration.backend, configuration.xdp_interfaces,
                    configuration.xdp_busy_poll.value_or(0), configuration.xdp_send},
                   Log{sink, "backend"}),
        losses_(log_) {}

  int run() {
    if (auto ready = prepare(); !ready) {
      log_.error(ready.error());
      clean_up();
      return 1;
    }
    const auto on_signal = [this](int signal) {
      if (signal == SIGHUP) return flow_logs_.reopen();
      if (stop_at_) stop_at_ = loop_.now();  // asked twice: no more goodbyes
      begin_shutdown(0);
    };
    loop_.on_signals({SIGINT, SIGTERM}, on_signal);
    // It ends a program that has nothing to reopen, as it does the original.
    if (!configuration_.flow_log_file.empty()) loop_.on_signals({SIGHUP}, on_signal);
    loop_.watch(pool_->notify_fd(), [this] { pool_->awake(); });
    if (fast_path_.fd() >= 0)
      loop_.watch(fast_path_.fd(), [this] { fast_path_.on_readable(loop_.now()); });
    host_.on_change([this](const HostChange& change) { on_host_change(change); });
    host_.on_mended([this] {
      pool_->watch_again();
      dns_.keep(host_.addresses());
    });
    host_.on_tracked([this] { controller_->send_keepalives(loop_.now()); });
    loop_.on_turn([this](Instant now) { turn(now); });
    portal_->start();
    turn(loop_.now());
    loop_.run();
    pool_->stop();
    while (drain_workers(loop_.now(), loop_.wall_now())) {
    }
    flow_logs_.stop();
    losses_.drops(LogLevel::info, drops());
    clean_up();
    log_.info("Goodbye!");
    return exit_status_;
  }

 private:
  Result<void, std::string> prepare();
  Result<void, std::string> start_workers();
  void start_portal(DeviceId id);
  void turn(Instant now);
  bool drain_workers(Instant now, WallTime wall);
  void steer(const controller::WorkerCommand& command);
  bool drain_controller();
  void send_datagrams();
  void begin_shutdown(int status);
  void clean_up();
  [[nodiscard]] std::uint64_t dropped_by_portal(DropReason reason) const;
  void on_host_change(const HostChange& change);
  void offer_health();
  void check_data_path();
  [[nodiscard]] std::vector<std::string> reasons_not_ready() const;
  [[nodiscard]] std::array<std::uint64_t, kDropReasons> drops() const;
  [[nodiscard]] console::FlowLogStatus flow_log_status() const;
  [[nodiscard]] console::Status status() const;

  void on_portal_joined(portal::Generation generation) override;
  void on_portal_message(portal::Ingress message) override;
  void on_portal_disconnected(const std::string& reason, Duration retry_in) override;
  void on_portal_fatal(const std::string& reason) override;

  const Configuration& configuration_;
  Log log_;
  crypto::SystemRandom random_;
  wireguard::Identity identity_;
  net::Loop loop_;
  net::Resolver resolver_;
  Host host_;
  DnsService dns_;
  LeftBehind left_behind_;
  FlowLogs flow_logs_;
  FastPath fast_path_;  // outlives the workers
  std::unique_ptr<runtime::WorkerPool> pool_;
  std::unique_ptr<controller::Controller> controller_;
  std::vector<controller::Datagram> outgoing_;  // in the hands of the system
  std::unique_ptr<net::PortalClient> portal_;
  std::unique_ptr<net::HealthServer> health_;
  std::unique_ptr<OperatorConsole> console_;
  std::shared_ptr<io::kernel::Upkeep> upkeep_;
  bool refusal_is_said_ = false;
  bool health_is_missing_ = false;
  std::string id_source_;
  std::optional<portal::Generation> generation_;  // joined once
  std::optional<Instant> portal_since_;           // joined, or lost
  bool was_joined_ = false;                       // when it was last heard of
  std::string cipher_;
  const Instant started_ = loop_.now();
  DoubleWatch double_;
  Instant data_path_at_{};
  DataPath data_path_;
  std::optional<Instant> stop_at_;           // shutting down
  std::optional<Instant> network_check_at_;  // the host changed
  Instant network_checked_{};
  Instant report_at_{};
  LossReports losses_;
  bool portal_closed_ = false;
  int exit_status_ = 0;
};

Result<void, std::string> Gateway::prepare() {
  if (configuration_.set_forwarding) {
    if (auto done = set_forwarding(); !done) return done;
  }
  const auto verdict = judge(read_host_facts());
  for (const auto& warning : verdict.warnings) log_.warn(warning);
  if (verdict.error) {
    if (configuration_.check_host) return fail(*verdict.error);
    log_.warn(*verdict.error);
  }
  DeviceId id{configuration_.id.value_or(""), "configuration"};
  if (!configuration_.id) {
    auto found = find_device_id({.state_directory = configuration_.state_directory}, random_);
    if (!found) return fail(found.error());
    id = std::move(*found);
  }
  id_source_ = id.source;
  log_.debug("identity", {{"source", id.source}});
  if (configuration_.increase_buffers) {
    for (const auto& line :
         raise_buffer_limits(configuration_.udp_receive_buffer.value_or(kReceiveBuffer),
                             configuration_.udp_send_buffer.value_or(kSendBuffer))) {
      log_.info(line);
    }
  }
  if (auto started = start_workers(); !started) return started;
  if (auto opened = host_.open(upkeep_); !opened) return opened;
  controller_ = std::make_unique<controller::Controller>(
      controller::Options{
          .workers = pool_->size(),
          .track_flows = configuration_.flow_logs || !configuration_.flow_log_file.empty(),
          .turn = {.first_allocate_without_auth = configuration_.lenient_turn,
                   .accept_unsigned_challenges = configuration_.lenient_turn},
          .left_behind = left_behind_.read()},
      identity_, random_, Log{log_.sink(), "controller"}, loop_.now(), loop_.wall_now());
  flow_logs_.start();
  start_portal(std::move(id));
  offer_health();
  console_ = std::make_unique<OperatorConsole>(loop_, log_, configuration_.control_socket,
                                               *controller_, [this] { return status(); });
  console_->keep_offered();
  return {};
}

// An address that is taken stops no tunnel: it is asked for again until it is free.
void Gateway::offer_health() {
  const bool is_first = health_ == nullptr;
  health_ = std::make_unique<net::HealthServer>(loop_, [this] { return reasons_not_ready(); });
  const auto listening = health_->listen(configuration_.health_address);
  health_is_missing_ = !listening;
  if (!listening && is_first) {
    log_.error(
        "health endpoint is not offered, trying again every 10 s: free the address or set "
        "HEALTH_CHECK_ADDR",
        {{"address", configuration_.health_address}, {"reason", listening.error().to_string()}});
  } else if (listening && !is_first) {
    log_.info("health endpoint is offered", {{"address", configuration_.health_address}});
  }
}

Result<void, std::string> Gateway::start_workers() {
  io::kernel::KernelOptions options;
  options.workers = configuration_.workers.value_or(runtime::default_workers());
  options.tun_name = configuration_.tun_name;
  options.mark = kMark;
  options.receive_buffer = configuration_.udp_receive_buffer.value_or(kReceiveBuffer);
  options.send_buffer = configuration_.udp_send_buffer.value_or(kSendBuffer);
  auto opened = fast_path_.open(options);
  if (!opened) return fail(describe(opened.error(), options.tun_name));
  if (auto told = report(opened->capabilities, options.receive_buffer, log_); !told) return told;
  const auto forced = crypto::parse_aead_provider(configuration_.aead);
  const auto aead = crypto::choose_aead([this] { return loop_.now(); }, forced);
  log_.info("cipher chosen", {{"choice", aead.to_string()}});
  cipher_ = aead.to_string();
  cipher_.resize(std::min(cipher_.find(';'), cipher_.size()));  // without what was measured
  auto pool = runtime::WorkerPool::start(std::move(opened->backend),
                                         {.aead = aead.choice,
                                          .seed = random_.u64(),
                                          .pin = configuration_.pin_workers,
                                          .spin = 1us * configuration_.spin.value_or(0)});
  if (!pool)
    return fail("worker threads do not start (" + pool.error().to_string() +
                "): raise the process's thread limit");
  pool_ = std::move(*pool);
  upkeep_ = std::move(opened->upkeep);
  log_.info("workers started", {{"workers", pool_->size()}});
  return fast_path_.start(loop_.now());
}

void Gateway::start_portal(DeviceId id) {
  net::PortalClientOptions options;
  options.login.url = configuration_.url;
  options.login.proxy = configuration_.proxy;
  options.login.token = configuration_.token;
  options.login.id = std::move(id.id);
  options.login.name = configuration_.name;
  options.login.public_key = identity_.public_key();
  options.login.system = read_system_facts();
  options.login.generation = configuration_.generation;
  options.login.reported_version = configuration_.reported_version;
  options.partition_time_max = configuration_.partition_time_max;
  options.mark = kMark;
  options.ca_file = configuration_.ca_file;
  portal_ = std::make_unique<net::PortalClient>(
      loop_, resolver_, random_, Log{log_.sink(), "portal"}, std::move(options), *this);
}

// One turn of the control thread: everything the workers reported, everything due, then all
// outputs; and asleep only when the workers had nothing more to say.
void Gateway::turn(Instant now) {
  const auto wall = loop_.wall_now();
  const bool more = drain_workers(now, wall);
  (void)drain_controller();  // what is queued is no timer that is due
  if (const auto due = controller_->wakeup(); due && due->at <= now)
    controller_->on_timeout(now, wall);
  if (network_check_at_ && *network_check_at_ <= now && !stop_at_) {
    network_check_at_.reset();
    network_checked_ = now;
    log_.debug("the host's network changed");
    controller_->on_network_changed(now);
    portal_->on_network_changed();
  }
  console_->on_turn(now);
  const bool are_workers_told = drain_controller();
  const bool is_done = portal_closed_ && pool_->total().flows_open == 0;
  if (stop_at_ && (is_done || *stop_at_ <= now)) {
    loop_.stop();
    return;
  }
  host_.on_turn(now);
  fast_path_.on_turn(now, host_.outgoing_filter());
  if (data_path_at_ <= now) {
    check_data_path();
    if (health_is_missing_) offer_health();
    console_->keep_offered();
    dns_.keep(host_.addresses());
    data_path_at_ = now + kDataPathInterval;
  }
  if (report_at_ <= now) {
    const auto total = pool_->total();
    losses_.drops(LogLevel::debug, drops());
    losses_.untracked_flows(total.flows_untracked, total.flows_over_share);
    report_at_ = now + kReportInterval;
  }
  auto deadline = std::min(
      {host_.wakeup(), fast_path_.wakeup(), data_path_at_, stop_at_.value_or(Instant::max())});
  if (const auto due = controller_->wakeup()) deadline = std::min(deadline, due->at);
  if (network_check_at_) deadline = std::min(deadline, *network_check_at_);
  if (const auto due = console_->wakeup()) deadline = std::min(deadline, *due);
  if (!are_workers_told) deadline = std::max(deadline, now + kBusyWorkerWait);
  if (more || !pool_->prepare_to_sleep()) deadline = now;
  loop_.set_deadline(deadline);
}

bool Gateway::drain_workers(Instant now, WallTime wall) {
  while (auto event = pool_->poll_event()) controller_->on_event(event->event, now, wall);
  for (int i = 0;; ++i) {
    if (i == kFlowEventsPerTurnMax) return true;
    const auto flow = pool_->poll_flow_event();
    if (!flow) break;
    flow_logs_.on_event(flow->worker, flow->event, *controller_);
  }
  for (int i = 0; i < kPuntsPerTurnMax; ++i) {
    const auto* punt = pool_->poll_punt();
    if (punt == nullptr) return false;
    controller_->on_punt(*punt, now, wall);
  }
  return true;
}

// Every worker is told who owns an address and which relays are in use; the device and the
// interfaces once.
static_assert(io::kernel::TunSteering::kOwnersMax >= 2 * controller::kClientsMax);
void Gateway::steer(const controller::WorkerCommand& command) {
  if (number(command.worker) != 0) return;
  if (const auto* told = std::get_if<pipeline::SetTunnelOwner>(&command.command); told != nullptr)
    upkeep_->steer(told->address, told->owner);
  if (const auto* relay = std::get_if<pipeline::SetRelay>(&command.command); relay != nullptr)
    fast_path_.on_relay(relay->relay, relay->server, loop_.now());
}

// False: commands wait for room in a worker's ring.
bool Gateway::drain_controller() {
  // Commands first: a session must be installed before the datagram that lets the client use it
  // leaves.
  controller::WorkerSet busy;
  while (auto command = controller_->poll_command(busy)) {
    steer(*command);
    if (pool_->send(command->worker, std::move(command->command))) continue;
    busy.set(number(command->worker));
    controller_->unpoll_command(std::move(*command));
  }
  send_datagrams();
  while (auto output = controller_->poll_portal()) {
    if (const auto* egress = std::get_if<portal::Egress>(&*output))
      portal_->send(*egress);
    else
      portal_->forget_client(std::get<controller::ForgetClient>(*output).client);
  }
  while (auto news = controller_->poll_flow_log_news()) flow_logs_.on_news(*news);
  while (auto query = controller_->poll_query()) {
    resolver_.look_up(query->name, [this, id = query->id](dns::Resolved resolved) {
      controller_->on_resolved(id, std::move(resolved), loop_.now(), loop_.wall_now());
    });
  }
  if (const auto lines = controller_->poll_reachable(); lines && !left_behind_.write(*lines)) {
    log_.debug("a successor of this process could not withdraw its addresses",
               {{"directory", configuration_.state_directory}});
  }
  while (auto interface = controller_->poll_interface()) {
    if (auto configured = host_.configure(interface->v4, interface->v6, loop_.now()); !configured) {
      log_.error(configured.error());
      begin_shutdown(1);
      continue;
    }
    dns_.start(host_.addresses(), [this] { begin_shutdown(1); });
  }
  return busy.none();
}

// One system call for many: the checks of connections come due together, and so do answers.
void Gateway::send_datagrams() {
  std::array<OutgoingDatagrams, kDatagramsAtOnce> batch;
  do {
    outgoing_.clear();
    while (outgoing_.size() < batch.size()) {
      auto datagram = controller_->poll_datagram();
      if (!datagram) break;
      outgoing_.push_back(std::move(*datagram));
    }
    std::size_t n = 0;
    for (const auto& [to, from, bytes] : outgoing_) {
      if (bytes.empty() || bytes.size() > kUdpPayloadMax) continue;
      batch[n++] = {.to = to,
                    .from = from,
                    .segment = static_cast<std::uint16_t>(bytes.size()),
                    .bytes = bytes};
    }
    (void)pool_->udp_send(std::span{batch}.first(n));
  } while (outgoing_.size() == batch.size());
}

// Any change may decide where packets leave, and from where; the tunnel's own do not.
void Gateway::on_host_change(const HostChange& change) {
  fast_path_.on_change(change, loop_.now());
  if (change.kind == HostChange::Kind::firewall || network_check_at_ ||
      change.index == ::if_nametoindex(configuration_.tun_name.c_str()))
    return;
  network_check_at_ = std::max(loop_.now(), network_checked_ + kNetworkCheckInterval);
}

void Gateway::begin_shutdown(int status) {
  if (stop_at_) return;
  if (status == 0) log_.info("Received SIGINT/SIGTERM");
  exit_status_ = status;
  const auto now = loop_.now();
  stop_at_ = now + kShutdownMax;
  controller_->shut_down(now);
  (void)drain_controller();
  portal_->shut_down([this] {
    portal_closed_ = true;
    loop_.set_deadline(loop_.now());
  });
  loop_.set_deadline(now);
}

void Gateway::clean_up() {
  console_.reset();
  left_behind_.clear();
  host_.clean_up();
}

std::uint64_t Gateway::dropped_by_portal(DropReason reason) const {
  const auto& counters = portal_->counters();
  if (reason == DropReason::unknown_portal_event) return counters.unknown_events;
  if (reason == DropReason::malformed_portal_message) return counters.malformed_messages;
  if (reason == DropReason::oversized_portal_message) return counters.oversized_messages;
  if (reason == DropReason::portal_queue_full)
    return counters.refused_messages + counters.refused_candidates + counters.forgotten_messages;
  return 0;
}

std::array<std::uint64_t, kDropReasons> Gateway::drops() const {
  auto out = pool_->total().drops;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    out[i] += controller_->drops().of(reason) + dns_.drops().of(reason) +
              fast_path_.drops().of(reason) + upkeep_->drops().of(reason) +
              dropped_by_portal(reason);
  }
  return out;
}

console::FlowLogStatus Gateway::flow_log_status() const {
  const auto workers = pool_->total();
  auto files = flow_logs_.status();
  return {.is_on = controller_->is_tracking_flows(),
          .open = workers.flows_open,
          .untracked = workers.flows_untracked,
          .over_share = workers.flows_over_share,
          .recorded = flow_logs_.recorded(),
          .lost = files.lost,
          .spooled = files.spooled,
          .uploaded = files.uploaded,
          .last_upload = files.last_upload,
          .last_error = std::move(files.last_error),
          .last_error_at = files.last_error_at};
}

console::Status Gateway::status() const {
  static constexpr std::array<char, 3> kNames{'A', 'B', 'C'};
  console::Status out;
  out.version = kVersion;
  out.pid = ::getpid();
  out.started = started_;
  out.is_joined = portal_->is_joined();
  out.portal_since = portal_since_;
  if (generation_) out.generation = kNames[static_cast<std::size_t>(*generation_)];
  out.portal_host = configuration_.url.host;
  out.relays = controller_->relay_reports();
  out.interface = configuration_.tun_name;
  out.v4 = host_.address(Family::v4);
  out.v6 = host_.address(Family::v6);
  auto backend = fast_path_.report();
  out.backend = std::move(backend.name);
  out.backend_detail = std::move(backend.detail);
  out.sent_by_xdp = backend.sent_by_xdp;
  out.send_frames_short = backend.send_frames_short;
  out.next_hops_crowded = backend.next_hops_crowded;
  out.verdicts = std::move(backend.verdicts);
  out.cipher = cipher_;
  for (unsigned i = 0; i < pool_->size(); ++i) {
    const auto counters = pool_->counters(WorkerIndex{static_cast<std::uint8_t>(i)});
    out.data_by_xdp += counters.data_by_xdp;
    out.data_by_socket += counters.data_by_socket;
    out.sent += counters.datagrams_sent;
    out.workers.push_back({counters.to_resources, counters.bytes_to_resources, counters.to_clients,
                           counters.bytes_to_clients});
  }
  out.summary = controller_->summary();
  out.flow_logs = flow_log_status();
  const auto counts = drops();
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    if (counts[i] > 0) out.drops.emplace_back(static_cast<DropReason>(i), counts[i]);
  }
  out.not_ready = reasons_not_ready();
  out.warnings = host_.warnings();
  out.tracked_because = host_.tracked_because();
  return out;
}

// Whether every worker's loop turns, and whether what they send leaves.
void Gateway::check_data_path() {
  if (pool_->last_send_error() == EPERM && !refusal_is_said_) {
    refusal_is_said_ = true;
    log_.info(
        "Encountered `PermissionDenied` IO error. Check your local firewall rules to allow "
        "outbound STUN/TURN/WireGuard and general UDP traffic.");  // spec operations 5
  }
  DataPath::Sent sent;
  for (unsigned i = 0; i < pool_->size(); ++i) {
    const auto counters = pool_->counters(WorkerIndex{static_cast<std::uint8_t>(i)});
    sent.datagrams += counters.datagrams_sent;
    sent.failed += counters.drops[static_cast<std::size_t>(DropReason::udp_send_failed)];
  }
  data_path_.check(pool_->stalled(), sent);
}

std::vector<std::string> Gateway::reasons_not_ready() const {
  std::vector<std::string> out;
  if (!portal_->is_joined()) {
    out.emplace_back(
        "the portal is not joined: see 'Hiccup in portal connection' in the log; check name "
        "resolution, TCP to FIREZONE_API_URL and the token");
  } else if (!host_.is_configured()) {
    out.emplace_back("the tunnel has no addresses: the portal has not told them yet, wait");
  }
  if (const auto summary = controller_->summary(); summary.relays_answering == 0) {
    out.push_back("none of " + std::to_string(summary.relays) +
                  " relays answers: allow UDP out to port 3478 of the relays");
  }
  out.insert(out.end(), host_.problems().begin(), host_.problems().end());
  if (dns_.problem()) out.push_back(*dns_.problem());
  out.insert(out.end(), data_path_.problems().begin(), data_path_.problems().end());
  return out;
}

void Gateway::on_portal_joined(portal::Generation generation) {
  static constexpr std::array<const char*, 3> kNames{"A", "B", "C"};
  log_.debug("portal generation", {{"generation", kNames[static_cast<std::size_t>(generation)]}});
  generation_ = generation;
  portal_since_ = loop_.now();
  was_joined_ = true;
  double_.on_joined();
  controller_->on_portal_joined(generation);
}

void Gateway::on_portal_message(portal::Ingress message) {
  controller_->on_portal(std::move(message), loop_.now(), loop_.wall_now());
}

// The session logs each hiccup with its reason; tunnels live on without the portal.
void Gateway::on_portal_disconnected(const std::string& reason, Duration) {
  if (std::exchange(was_joined_, false) || !portal_since_) portal_since_ = loop_.now();
  if (double_.on_disconnected(reason, loop_.now()))
    log_.warn("the portal keeps saying that this gateway is connected already: " +
              double_mend(id_source_));
}

void Gateway::on_portal_fatal(const std::string& reason) {
  log_.error("Eventloop failed: " + reason +
             mend_of_portal(reason, generation_.has_value(), id_source_));
  begin_shutdown(1);
}

}  // namespace

int run(const Configuration& configuration, LogSink& sink) {
  crypto::init();
  return Gateway{configuration, sink}.run();
}

}  // namespace fg::gateway
