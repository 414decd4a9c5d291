#include "runtime/worker_pool.h"

#include <sched.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "base/assert.h"
#include "runtime/doorbell.h"
#include "runtime/worker.h"

namespace fg::runtime {
namespace {

// The CPUs this process may use, in order.
std::vector<int> allowed_cpus() {
  std::vector<int> out;
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return out;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(static_cast<std::size_t>(i), &set)) out.push_back(i);
  }
  return out;
}

void add_drops(std::array<std::uint64_t, kDropReasons>& to, const DropCounters& from) {
  for (std::size_t i = 0; i < kDropReasons; ++i) to[i] += from.of(static_cast<DropReason>(i));
}

}  // namespace

unsigned default_workers() {
  const auto cpus = static_cast<unsigned>(allowed_cpus().size());
  return std::clamp(cpus, 2U, pipeline::kWorkersMax + 1) - 1;
}

struct WorkerPool::State {
  io::Backend backend;
  Doorbell bell;  // the control thread's
  std::vector<std::unique_ptr<Worker>> workers;
  std::size_t next_event = 0;  // whose turn it is to be asked
  std::size_t next_punt = 0;
  std::size_t punts_taken = 0;
  SpscRing<pipeline::Punt>* held = nullptr;         // where the punt handed out lies
  DropCounters drops;                               // of the control thread
  std::vector<std::optional<std::uint64_t>> turns;  // when stalled() woke them

  [[nodiscard]] const pipeline::Punt* poll_punt(pipeline::PuntClass punt_class);
  void release_punt() {
    if (held != nullptr) std::exchange(held, nullptr)->pop();
  }
};

WorkerPool::WorkerPool(std::unique_ptr<State> state) : state_(std::move(state)) {}
WorkerPool::~WorkerPool() { stop(); }

Result<std::unique_ptr<WorkerPool>, SysError> WorkerPool::start(io::Backend backend,
                                                                const PoolOptions& options) {
  const auto count = backend.ports.size();
  FG_ASSERT(count >= 1 && count <= pipeline::kWorkersMax);
  auto state = std::make_unique<State>();
  state->backend = std::move(backend);
  if (const auto error = state->bell.open()) return fail(*error);
  const auto cpus = options.pin ? allowed_cpus() : std::vector<int>{};
  for (std::size_t i = 0; i < count; ++i) {
    WorkerOptions worker{.pipeline = {.worker = WorkerIndex{static_cast<std::uint8_t>(i)},
                                      .workers = static_cast<unsigned>(count),
                                      .clients_max = options.clients_max,
                                      .offloads = {},
                                      .seed = options.seed},
                         .aead = options.aead,
                         .cpu = {},
                         .spin = options.spin};
    if (!cpus.empty()) worker.cpu = cpus[(i + 1) % cpus.size()];
    state->workers.push_back(
        std::make_unique<Worker>(worker, *state->backend.ports[i], state->bell));
    if (const auto error = state->workers.back()->open()) return fail(*error);
  }
  for (auto& worker : state->workers) worker->connect(state->workers);
  for (auto& worker : state->workers) worker->start();
  return std::unique_ptr<WorkerPool>{new WorkerPool{std::move(state)}};
}

void WorkerPool::stop() {
  for (auto& worker : state_->workers) worker->request_stop();
  for (auto& worker : state_->workers) worker->join();
}

unsigned WorkerPool::size() const { return static_cast<unsigned>(state_->workers.size()); }

bool WorkerPool::send(WorkerIndex worker, pipeline::Command&& command) {
  auto& to = *state_->workers.at(number(worker));
  auto* place = to.commands().reserve();
  if (place == nullptr) {
    state_->drops.count(DropReason::command_ring_full);
    return false;
  }
  *place = std::move(command);
  to.commands().publish();
  to.ring();
  return true;
}

std::optional<WorkerEvent> WorkerPool::poll_event() {
  const auto n = state_->workers.size();
  for (std::size_t i = 0; i < n; ++i) {
    const auto at = (state_->next_event + i) % n;
    auto& ring = state_->workers[at]->events();
    const auto* event = ring.front();
    if (event == nullptr) continue;
    WorkerEvent out{WorkerIndex{static_cast<std::uint8_t>(at)}, *event};
    ring.pop();
    state_->next_event = at;  // one worker's events stay together; the next call begins with it
    return out;
  }
  return std::nullopt;
}

std::optional<WorkerFlowEvent> WorkerPool::poll_flow_event() {
  for (std::size_t at = 0; at < state_->workers.size(); ++at) {
    auto& ring = state_->workers[at]->flow_events();
    const auto* event = ring.front();
    if (event == nullptr) continue;
    WorkerFlowEvent out{WorkerIndex{static_cast<std::uint8_t>(at)}, *event};
    ring.pop();
    return out;
  }
  return std::nullopt;
}

const pipeline::Punt* WorkerPool::State::poll_punt(pipeline::PuntClass punt_class) {
  const auto n = workers.size();
  for (std::size_t i = 0; i < n; ++i) {
    const auto at = (next_punt + i) % n;
    auto& ring = workers[at]->punts(punt_class);
    const auto* punt = ring.front();
    if (punt == nullptr) continue;
    held = &ring;
    next_punt = (at + 1) % n;
    ++punts_taken;
    return punt;
  }
  return nullptr;
}

const pipeline::Punt* WorkerPool::poll_punt() {
  using enum pipeline::PuntClass;
  static constexpr std::array kShares = {trusted, expected, trusted, expected,
                                         trusted, expected, trusted, stranger};
  state_->release_punt();
  if (const auto* punt = state_->poll_punt(kShares[state_->punts_taken % kShares.size()]))
    return punt;
  for (const auto punt_class : {trusted, expected, stranger}) {
    if (const auto* punt = state_->poll_punt(punt_class)) return punt;
  }
  return nullptr;
}

int WorkerPool::notify_fd() const { return state_->bell.fd(); }
void WorkerPool::awake() { state_->bell.awake(true); }

bool WorkerPool::prepare_to_sleep() {
  // The punt handed out last is done with.
  state_->release_punt();
  state_->bell.announce();
  for (auto& worker : state_->workers) {
    if (!worker->has_output()) continue;
    state_->bell.awake(false);
    return false;
  }
  return true;
}

bool WorkerPool::udp_send(std::span<const OutgoingDatagrams> batch) {
  if (state_->backend.sender != nullptr) return state_->backend.sender->send(batch);
  for (const auto& datagrams : batch)
    state_->drops.count(DropReason::udp_send_failed, datagrams.count());
  return batch.empty();
}

void WorkerPool::watch_again() {
  for (auto& worker : state_->workers) worker->watch_again();
}

int WorkerPool::last_send_error() const {
  return state_->backend.sender != nullptr ? state_->backend.sender->last_error() : 0;
}

std::vector<WorkerIndex> WorkerPool::stalled() {
  std::vector<WorkerIndex> out;
  state_->turns.resize(state_->workers.size());
  for (std::size_t i = 0; i < state_->workers.size(); ++i) {
    auto& worker = *state_->workers[i];
    const auto turns = worker.turns().turns.load(std::memory_order_relaxed);
    if (state_->turns[i] == turns) out.push_back(WorkerIndex{static_cast<std::uint8_t>(i)});
    state_->turns[i] = turns;
    worker.ring();
  }
  return out;
}

WorkerCounters WorkerPool::counters(WorkerIndex worker) const {
  const auto& w = *state_->workers.at(number(worker));
  const auto& c = w.counters();
  const auto& p = w.port().counters();
  WorkerCounters out{.to_resources = c.to_resources,
                     .to_clients = c.to_clients,
                     .bytes_to_resources = c.bytes_to_resources,
                     .bytes_to_clients = c.bytes_to_clients,
                     .datagrams_received = p.datagrams_received,
                     .datagrams_sent = p.datagrams_sent,
                     .punts = c.punted,
                     .handed_over = c.handed_over,
                     .turns = w.turns().turns,
                     .sleeps = w.turns().sleeps,
                     .tun_reads = p.tun_reads,
                     .tun_writes = p.tun_writes,
                     .data_by_xdp = p.data_by_xdp,
                     .data_by_socket = p.data_by_socket,
                     .flows_open = w.flow_counters().open,
                     .flows_untracked = w.flow_counters().table_full,
                     .flows_over_share = w.flow_counters().share_full};
  add_drops(out.drops, c.drops);
  add_drops(out.drops, w.port().drops());
  out.drops[static_cast<std::size_t>(DropReason::event_ring_full)] += c.events_lost;
  return out;
}

WorkerCounters WorkerPool::total() const {
  WorkerCounters sum;
  for (std::size_t i = 0; i < state_->workers.size(); ++i) {
    const auto one = counters(WorkerIndex{static_cast<std::uint8_t>(i)});
    for (const auto member :
         {&WorkerCounters::to_resources, &WorkerCounters::to_clients,
          &WorkerCounters::bytes_to_resources, &WorkerCounters::bytes_to_clients,
          &WorkerCounters::datagrams_received, &WorkerCounters::datagrams_sent,
          &WorkerCounters::punts, &WorkerCounters::handed_over, &WorkerCounters::turns,
          &WorkerCounters::sleeps, &WorkerCounters::tun_reads, &WorkerCounters::tun_writes,
          &WorkerCounters::data_by_xdp, &WorkerCounters::data_by_socket,
          &WorkerCounters::flows_open, &WorkerCounters::flows_untracked,
          &WorkerCounters::flows_over_share}) {
      sum.*member += one.*member;
    }
    for (std::size_t r = 0; r < kDropReasons; ++r) sum.drops[r] += one.drops[r];
  }
  add_drops(sum.drops, state_->drops);
  if (state_->backend.sender != nullptr) add_drops(sum.drops, state_->backend.sender->drops());
  return sum;
}

}  // namespace fg::runtime
