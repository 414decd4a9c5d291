// Nanoseconds a packet of the worker's pipeline, batches of 64, both directions, one or many
// clients, rules and flows. All cases take turns, so that what else the machine does falls on all
// of them, and within a turn the median batch counts. Built twice: with the cipher and without.
// tests/bench/pipeline runs both and compares with what is wanted.
//
//   pipeline_bench [--rounds N] [--only TEXT] [--json]
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "tests/bench/pipeline_world.h"

namespace fg::bench {
namespace {

using pipeline::Pipeline;

class NullOutput final : public pipeline::Output {
 public:
  void write_tun(const TunWrite& packet) noexcept override { keep(packet.parts.data()); }
  void transmit(std::span<const OutgoingDatagrams> batch) noexcept override { keep(batch.data()); }
  pipeline::Event* reserve_event(bool) noexcept override { return &event_; }
  pipeline::Punt* reserve_punt(pipeline::PuntClass) noexcept override { return nullptr; }
  pipeline::Handoff* reserve_handoff(WorkerIndex) noexcept override { return nullptr; }
  flow::Event* reserve_flow_event() noexcept override { return &flow_event_; }
  void publish() noexcept override {}

 private:
  static void keep(const void* p) { asm volatile("" : : "g"(p) : "memory"); }
  pipeline::Event event_;
  flow::Event flow_event_;
};

struct World {
  explicit World(const Shape& shape)
      : engine(best_cipher().choice),
        streams(shape, engine),
        translations(nat::Translations::compile({streams.translation()}, false)),
        policy(policy_of(shape.rules)),
        pipeline({.clients_max = 4096}, engine, output) {
    for (auto& command : streams.commands(policy.get(), translations.get(), kNow))
      pipeline.apply(std::move(command), kNow);
    if (shape.is_tracked) pipeline.apply(pipeline::SetFlowTracking{true}, kNow);
    pipeline.flush(kNow);
    // The first packets of each client confirm its session, those of each flow begin it.
    for (std::size_t k = 0; k < streams.size(); k += kBatch) {
      pipeline.on_datagrams(streams.sealed(k), now);
      pipeline.on_tun(streams.reads(k), now);
      // Between batches, as its worker does: room for more flows.
      for (auto due = pipeline.wakeup(); due && due->at <= now + 1ms; due = pipeline.wakeup())
        pipeline.on_timeout(now += 1ms);
    }
  }

  Instant now = kNow;
  crypto::AeadEngine engine;
  Streams streams;
  NullOutput output;
  std::unique_ptr<const nat::Translations> translations;
  std::unique_ptr<const filter::Policy> policy;
  Pipeline pipeline;
};

// Of one batch, a packet.
double inbound(World& world) {
  const auto batch = world.streams.sealed();
  const auto start = clock_now();
  world.pipeline.on_datagrams(batch, world.now);
  return static_cast<double>((clock_now() - start).count()) / kBatch;
}
double outbound(World& world) {
  const auto batch = world.streams.reads();
  const auto start = clock_now();
  world.pipeline.on_tun(batch, world.now);
  return static_cast<double>((clock_now() - start).count()) / kBatch;
}
double outbound_super(World& world) {
  static const auto read = world.streams.super_packet();
  static auto copy = read;
  std::ranges::copy(read, copy.begin());
  TunRead batch{copy};
  const auto before = world.pipeline.counters().to_clients.load();
  const auto start = clock_now();
  world.pipeline.on_tun({&batch, 1}, world.now);
  const auto took = clock_now() - start;
  return static_cast<double>(took.count()) /
         static_cast<double>(world.pipeline.counters().to_clients.load() - before);
}

struct Case {
  std::string name;
  Shape shape;
  double (*batch)(World&);
  std::unique_ptr<World> world{};
  std::vector<double> rounds{};
};

std::vector<Case> all_cases() {
  std::vector<Case> out;
  for (const std::string way : {"in", "out"}) {
    auto* batch = way == "in" ? inbound : outbound;
    out.push_back({way + " 1280", {}, batch});
    out.push_back({way + " 64", {.bytes = 64}, batch});
    out.push_back({way + " 1280, 64 clients", {.clients = 64}, batch});
    out.push_back({way + " 1280, 4000 clients", {.clients = 4000}, batch});
    out.push_back({way + " 1280, 10000 rules", {.rules = 10'000}, batch});
    out.push_back(
        {way + " 1280, 4000 clients, 10000 rules", {.clients = 4000, .rules = 10'000}, batch});
    for (const std::uint32_t flows : {1U, 50'000U}) {
      const auto head = way + " 64, " + std::to_string(flows) + " flows";
      out.push_back({head, {.bytes = 64, .flows = flows}, batch});
      out.push_back(
          {head + ", translated", {.bytes = 64, .flows = flows, .is_translated = true}, batch});
      out.push_back({head + ", tracked", {.bytes = 64, .flows = flows, .is_tracked = true}, batch});
    }
  }
  out.push_back({"out 1280, super-packets", {}, outbound_super});
  return out;
}

double median(std::vector<double> values) {
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2));
  return values[values.size() / 2];
}

int run(int argc, char** argv) {
  std::size_t rounds = 15;
  std::string_view only;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg{argv[i]};
    if (arg == "--rounds" && i + 1 < argc)
      rounds = std::strtoul(argv[++i], nullptr, 10);
    else if (arg == "--only" && i + 1 < argc)
      only = argv[++i];
    else if (arg == "--json")
      json = true;
    else
      return std::fprintf(stderr, "usage: %s [--rounds N] [--only TEXT] [--json]\n", argv[0]), 2;
  }
  auto cases = all_cases();
  const bool is_exact = std::ranges::any_of(cases, [&](const Case& c) { return c.name == only; });
  std::erase_if(cases, [&](const Case& c) {
    return is_exact ? c.name != only : c.name.find(only) == std::string::npos;
  });
  for (auto& c : cases) c.world = std::make_unique<World>(c.shape);
  // As many batches as touch every client once bring back what the other cases pushed out.
  constexpr int kWarm = 80;
  constexpr int kTimed = 80;
  for (std::size_t round = 0; round < rounds; ++round) {
    for (auto& c : cases) {
      for (int i = 0; i < kWarm; ++i) (void)c.batch(*c.world);
      std::vector<double> batches;
      for (int i = 0; i < kTimed; ++i) batches.push_back(c.batch(*c.world));
      c.rounds.push_back(median(batches));
    }
  }
  if (json) std::printf("{");
  const char* separator = "";
  for (const auto& c : cases) {
    if (const auto n = c.world->pipeline.counters().drops.total(); n != 0)
      return std::fprintf(stderr, "%s: %zu packets were dropped\n", c.name.c_str(), n), 1;
    if (!json) {
      std::printf("%-44s %7.1f\n", c.name.c_str(), median(c.rounds));
      continue;
    }
    std::printf("%s\n  \"%s\": [", std::exchange(separator, ","), c.name.c_str());
    for (std::size_t i = 0; i < rounds; ++i) std::printf("%s%.1f", i ? ", " : "", c.rounds[i]);
    std::printf("]");
  }
  if (json) std::printf("\n}\n");
  return 0;
}

}  // namespace
}  // namespace fg::bench

int main(int argc, char** argv) { return fg::bench::run(argc, argv); }
