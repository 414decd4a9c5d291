// One worker: a thread that moves packets between its port and its pipeline, and messages between
// its rings and the control thread. It reads the clock once a turn, waits only in epoll, and sleeps
// when there is nothing to do, or has not been for as long as it was told to spin.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/ids.h"
#include "base/spsc_ring.h"
#include "base/sys_error.h"
#include "crypto/aead.h"
#include "io/port.h"
#include "pipeline/output.h"
#include "pipeline/pipeline.h"
#include "runtime/doorbell.h"

namespace fg::runtime {

inline constexpr std::size_t kCommandRing = 4096;
inline constexpr std::size_t kEventRing = 4096;
inline constexpr std::size_t kFlowEventRing = 4096;
inline constexpr std::size_t kPuntRing = 1024;
inline constexpr std::size_t kStrangerRing = 256;
// Before the control thread is woken for nothing but these: events that can wait, punts of
// strangers.
inline constexpr Duration kEventPatience = 250ms;
inline constexpr std::size_t kPatientEventsMax = kEventRing / 4;
inline constexpr Duration kStrangerPatience = 5ms;
inline constexpr std::size_t kHandoffRing = 256;

struct WorkerOptions {
  pipeline::PipelineOptions pipeline;
  crypto::AeadChoice aead;
  std::optional<int> cpu;            // to be pinned to
  Duration spin = Duration::zero();  // after packets, before it sleeps
};

class Worker final : private pipeline::Output {
 public:
  // control: rung when something is there for the control thread. Both references outlive the
  // worker.
  Worker(const WorkerOptions& options, io::Port& port, Doorbell& control);
  ~Worker() override;

  // Before start(): hand-offs of this worker to another one go through a ring that belongs to the
  // other.
  void connect(std::vector<std::unique_ptr<Worker>>& all);
  [[nodiscard]] std::optional<SysError> open();
  void start();
  // The thread ends when its commands are done.
  void request_stop() noexcept;
  void join();

  // ---- of the control thread ----
  // Descriptors that were given up for their errors are watched again: the device is back.
  void watch_again() noexcept {
    watch_again_.store(true, std::memory_order_release);
    bell_.ring();
  }
  SpscRing<pipeline::Command>& commands() { return commands_; }
  SpscRing<pipeline::Event>& events() { return events_; }
  SpscRing<flow::Event>& flow_events() { return flow_events_; }
  SpscRing<pipeline::Punt>& punts(pipeline::PuntClass punt_class) {
    return punts_[static_cast<std::size_t>(punt_class)];
  }
  [[nodiscard]] bool has_output() {
    return !events_.is_empty() || !flow_events_.is_empty() ||
           std::ranges::any_of(punts_, [](auto& ring) { return !ring.is_empty(); });
  }
  void ring() noexcept { bell_.ring(); }

  // ---- of anyone ----
  struct Turns {
    alignas(kCacheLines) std::atomic<std::uint64_t> turns{0};
    std::atomic<std::uint64_t> sleeps{0};
  };
  [[nodiscard]] const Turns& turns() const { return turns_; }
  [[nodiscard]] const pipeline::Counters& counters() const { return pipeline_.counters(); }
  [[nodiscard]] const flow::Counters& flow_counters() const { return pipeline_.flow_counters(); }
  [[nodiscard]] const io::Port& port() const { return port_; }

 private:
  static constexpr std::size_t kCommandsATurn = 256;
  static constexpr std::size_t kHandoffsATurn = 64;  // of each sender
  static constexpr unsigned kErrorsMax = 16;         // of a descriptor, in a row

  void write_tun(const TunWrite& packet) noexcept override;
  void transmit(std::span<const OutgoingDatagrams> batch) noexcept override;
  pipeline::Event* reserve_event(bool can_wait) noexcept override;
  flow::Event* reserve_flow_event() noexcept override;
  pipeline::Punt* reserve_punt(pipeline::PuntClass punt_class) noexcept override;
  pipeline::Handoff* reserve_handoff(WorkerIndex to) noexcept override;
  void publish() noexcept override;

  void run();
  void take_commands(Instant now);
  void take_handoffs(Instant now) noexcept;
  void move_packets(io::ReadySet ready, Instant now) noexcept;
  // Waits for work until `now` reaches the next wake-up; which descriptors of the port are
  // readable.
  [[nodiscard]] io::ReadySet wait(Instant now) noexcept;
  [[nodiscard]] bool has_messages() noexcept;
  void ring_control_by(Instant at) noexcept;
  void ring_control() noexcept;
  void watch_port() noexcept;
  [[nodiscard]] bool is_worth_reading(std::uint32_t fd, std::uint32_t events) noexcept;

  WorkerOptions options_;
  io::Port& port_;
  Doorbell& control_;
  crypto::AeadEngine engine_;
  pipeline::Pipeline pipeline_;
  io::TunOffloads offloads_;
  SpscRing<pipeline::Command> commands_{kCommandRing};
  SpscRing<pipeline::Event> events_{kEventRing};
  SpscRing<flow::Event> flow_events_{kFlowEventRing};
  std::array<SpscRing<pipeline::Punt>, pipeline::kPuntClasses> punts_{
      {SpscRing<pipeline::Punt>{kPuntRing}, SpscRing<pipeline::Punt>{kPuntRing},
       SpscRing<pipeline::Punt>{kStrangerRing}}};
  std::vector<std::unique_ptr<SpscRing<pipeline::Handoff>>>
      incoming_;  // by sender; none of our own
  struct Peer {
    Worker* worker = nullptr;
    SpscRing<pipeline::Handoff>* ring = nullptr;
    bool unpublished = false;
  };
  std::vector<Peer> peers_;
  bool has_control_output_ = false;
  bool has_patient_output_ = false;
  std::size_t patient_events_ = 0;  // nobody was woken for
  std::optional<Instant> ring_at_;  // for what nobody was woken for
  Instant turn_;
  Instant awake_until_{};
  bool has_handoffs_ = false;
  Doorbell bell_;
  int epoll_ = -1;
  std::array<unsigned, 32> errors_{};  // by descriptor of the port
  std::atomic<bool> stop_{false};
  std::atomic<bool> watch_again_{false};
  Turns turns_;
  std::thread thread_;
};

}  // namespace fg::runtime
