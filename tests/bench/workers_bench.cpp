// What a packet costs a worker over ports in memory: one worker with a thousand clients, two with
// half of them each. Processor time of the workers' threads, without what their ports need to make
// packets, so that a machine that does other things as well does not show. Without the cipher,
// which would hide what workers share.
//
//   workers_null_bench [--rounds N]       JSON: ns a packet, a round each
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "runtime/worker_pool.h"
#include "tests/bench/pipeline_world.h"

namespace fg::bench {
namespace {

constexpr std::uint32_t kClients = 1000;
constexpr std::size_t kTurns = 1000;  // of a measurement: a batch each way

// Makes packets of its streams, when told, as often as told.
class MemoryPort final : public io::Port {
 public:
  explicit MemoryPort(Streams& streams) : streams_(streams), fd_(::eventfd(0, EFD_NONBLOCK)) {}
  ~MemoryPort() override { ::close(fd_); }

  // ---- of the bench ----
  void run(std::size_t turns) {
    turns_ = turns;
    is_done_.store(false, std::memory_order_release);
    const std::uint64_t one = 1;
    (void)!::write(fd_, &one, sizeof one);
  }
  [[nodiscard]] bool is_done() const { return is_done_.load(std::memory_order_acquire); }
  // Of the last run, when it is done.
  [[nodiscard]] Duration busy() const { return busy_; }

  // ---- of the worker ----
  [[nodiscard]] std::span<const int> wait_fds() const noexcept override { return {&fd_, 1}; }
  std::span<ReceivedDatagrams> receive(io::ReadySet) noexcept override {
    if (turns_ == 0) return {};
    const auto start = clock_now(CLOCK_THREAD_CPUTIME_ID);
    if (!begun_) begun_ = start;
    const auto batch = streams_.sealed(confirming());
    making_ += clock_now(CLOCK_THREAD_CPUTIME_ID) - start;
    return batch;
  }
  std::span<TunRead> read_tun(io::ReadySet) noexcept override {
    if (turns_ == 0) return {};
    const auto start = clock_now(CLOCK_THREAD_CPUTIME_ID);
    if (--turns_ == 0) {
      finish(start);
      return {};
    }
    const auto batch = streams_.reads();
    making_ += clock_now(CLOCK_THREAD_CPUTIME_ID) - start;
    return batch;
  }
  void send(std::span<const OutgoingDatagrams>) noexcept override {}
  bool write_tun(const TunWrite&) noexcept override { return true; }
  [[nodiscard]] io::TunOffloads tun_offloads() const noexcept override { return {true, true}; }

 private:
  // The first packet of each client is sent before packets to it.
  std::optional<std::size_t> confirming() {
    if (confirmed_ >= streams_.size()) return std::nullopt;
    return std::exchange(confirmed_, confirmed_ + kBatch);
  }
  void finish(Instant now) {
    std::uint64_t count = 0;
    (void)!::read(fd_, &count, sizeof count);
    busy_ = now - *begun_ - making_;
    begun_.reset();
    making_ = {};
    is_done_.store(true, std::memory_order_release);
  }

  Streams& streams_;
  int fd_;
  std::size_t confirmed_ = 0;
  std::size_t turns_ = 0;
  std::optional<Instant> begun_;
  Duration making_{};
  Duration busy_{};
  alignas(128) std::atomic<bool> is_done_{true};
};

class NullSender final : public io::DatagramSender {
 public:
  bool send(std::span<const OutgoingDatagrams>) noexcept override { return true; }
};

class Pool {
 public:
  explicit Pool(unsigned workers) : policy_(policy_of(1)), engine_(best_cipher().choice) {
    const auto each = kClients / workers;
    for (unsigned i = 0; i < workers; ++i) {
      streams_.push_back(std::make_unique<Streams>(Shape{.clients = each}, engine_,
                                                   WorkerIndex{static_cast<std::uint8_t>(i)},
                                                   i * each, i + 1));
    }
    io::Backend backend;
    for (unsigned i = 0; i < workers; ++i) {
      auto port = std::make_unique<MemoryPort>(*streams_[i]);
      ports_.push_back(port.get());
      backend.ports.push_back(std::move(port));
    }
    backend.sender = std::make_unique<NullSender>();
    pool_ = runtime::WorkerPool::start(std::move(backend), {.clients_max = 1024}).value();
    for (unsigned i = 0; i < workers; ++i) {
      const WorkerIndex worker{static_cast<std::uint8_t>(i)};
      for (auto& command : streams_[i]->commands(policy_.get(), nullptr, clock_now()))
        send(worker, std::move(command));
    }
    (void)measure();  // sessions are confirmed, memory is touched
  }

  // ns a packet that arrived.
  double measure() {
    const auto before = arrived();
    for (auto* port : ports_) port->run(kTurns);
    while (std::ranges::any_of(ports_, [](auto* port) { return !port->is_done(); })) poll();
    poll();
    Duration busy{};
    for (const auto* port : ports_) busy += port->busy();
    return static_cast<double>(busy.count()) / static_cast<double>(arrived() - before);
  }

 private:
  [[nodiscard]] std::uint64_t arrived() const {
    const auto total = pool_->total();
    return total.to_resources + total.to_clients;
  }
  void poll() {
    while (pool_->poll_event()) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
  }
  void send(WorkerIndex worker, pipeline::Command&& command) {
    while (!pool_->send(worker, std::move(command))) poll();
  }

  std::unique_ptr<const filter::Policy> policy_;
  crypto::AeadEngine engine_;
  std::vector<std::unique_ptr<Streams>> streams_;
  std::vector<MemoryPort*> ports_;
  std::unique_ptr<runtime::WorkerPool> pool_;
};

int run(int argc, char** argv) {
  std::size_t rounds = 9;
  if (argc == 3 && std::string_view{argv[1]} == "--rounds")
    rounds = std::strtoul(argv[2], nullptr, 10);
  else if (argc != 1)
    return std::fprintf(stderr, "usage: %s [--rounds N]\n", argv[0]), 2;
  Pool one{1};
  Pool two{2};
  std::array<std::vector<double>, 2> out;
  for (std::size_t round = 0; round < rounds; ++round) {
    out[0].push_back(one.measure());
    out[1].push_back(two.measure());
  }
  constexpr std::array kNames{"1 worker", "2 workers"};
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::printf("%s\n  \"%s\": [", i == 0 ? "{" : ",", kNames[i]);
    for (std::size_t round = 0; round < rounds; ++round)
      std::printf("%s%.1f", round == 0 ? "" : ", ", out[i][round]);
    std::printf("]");
  }
  std::printf("\n}\n");
  return 0;
}

}  // namespace
}  // namespace fg::bench

int main(int argc, char** argv) { return fg::bench::run(argc, argv); }
