// Nanoseconds a packet of the worker's pipeline, batches of 64, both directions, one or many
// clients and rules. Built twice: with the cipher and without (null_crypto). Only the pipeline's
// own call is timed; sealing for it and opening are not.
#include <benchmark/benchmark.h>

#include <ctime>
#include <memory>
#include <vector>

#include "base/random.h"
#include "filter/policy.h"
#include "packet/vnet_header.h"
#include "pipeline/pipeline.h"
#include "tests/support/packets.h"
#include "wireguard/session.h"

namespace fg::pipeline {
namespace {

constexpr std::size_t kBatch = 64;
const Instant kNow{std::chrono::hours{1}};

class NullOutput final : public Output {
 public:
  void write_tun(const TunWrite& packet) noexcept override {
    benchmark::DoNotOptimize(packet.parts.data());
  }
  void transmit(std::span<const OutgoingDatagrams> batch) noexcept override {
    benchmark::DoNotOptimize(batch.data());
  }
  Event* reserve_event() noexcept override { return &event_; }
  Punt* reserve_punt(PuntClass) noexcept override { return nullptr; }
  Handoff* reserve_handoff(WorkerIndex) noexcept override { return nullptr; }
  void publish() noexcept override {}

 private:
  Event event_;
};

const IpAddress kProxy = IpAddress::v4(100, 96, 0, 1);

IpAddress tunnel(std::uint32_t n) {
  return IpAddress::v4(100, 64, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n));
}

std::unique_ptr<const filter::Policy> policy_of(std::uint32_t rules) {
  filter::PolicyRules out;
  for (std::uint32_t i = 0; i < rules; ++i) {
    const auto network =
        IpAddress::v4(10, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i), 0);
    filter::RuleFilter filter;
    filter.tcp = {{80, 80}, {443, 443}, {8000, 9000}};
    out.rules.push_back({Cidr{network, 24}, ResourceId{}, filter});
    if (i == 0) out.rules.push_back({Cidr{kProxy, 32}, ResourceId{}, filter});
  }
  return filter::Policy::compile(out);
}

// What the gateway would use on this machine.
crypto::AeadChoice best_cipher() {
  static const auto choice =
      crypto::choose_aead([] {
        timespec t{};
        ::clock_gettime(CLOCK_MONOTONIC, &t);
        return Instant{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
      }).choice;
  return choice;
}

struct Bench {
  // `flows` of one client, by source port; `translated`: to a proxy address of destination(0).
  explicit Bench(const benchmark::State& state, std::uint32_t flow_count = 1,
                 bool translated = false)
      : size(static_cast<std::size_t>(state.range(0))),
        clients(static_cast<std::uint32_t>(state.range(1))),
        rules(static_cast<std::uint32_t>(state.range(2))),
        flows(flow_count),
        translations(nat::Translations::compile({{kProxy, destination(0), nat::NameId{1}}}, false)),
        policy(policy_of(rules)),
        pipeline({.clients_max = 4096}, engine, output) {
    SeededRandom random{1};
    for (std::uint32_t n = 0; n < clients; ++n) {
      const ClientSlot slot{n};
      const auto index = make_receiver_index(WorkerIndex{0}, (n * 2654435761U) & 0xFFFFF, 1);
      pipeline.apply(AddClient{slot, tunnel(n), IpAddress::v6({}), policy.get()}, kNow);
      pipeline.apply(
          SetPath{slot,
                  {Path::Kind::direct, IpAddress::v4(198, 51, 100, 1), {tunnel(n), 4000}, {}}},
          kNow);
      pipeline.apply(InstallSession{slot, keys(index, true)}, kNow);
      peers.emplace_back(keys(index, false), engine);
      if (translated) pipeline.apply(SetTranslations{slot, translations.get(), false}, kNow);
      for (std::uint32_t flow = 0; flow < flows; ++flow) {
        packets.push_back(test::tcp()
                              .from(tunnel(n), port_of(flow))
                              .to(translated ? kProxy : destination(n), 443)
                              .payload_size(size - 40)
                              .build());
      }
    }
    pipeline.flush(kNow);
    // The first packet of each confirms its session and begins its flow.
    for (std::uint32_t n = 0; n < packets.size(); n += kBatch) {
      refill(n);
      pipeline.on_datagrams(batch, kNow);
    }
    order.resize(1 << 16);
    for (auto& n : order) n = random.below(static_cast<std::uint32_t>(packets.size()));
  }

  static wireguard::SessionKeys keys(ReceiverIndex index, bool ours) {
    wireguard::SessionKeys k;
    k.local_index = ours ? index : ReceiverIndex{7};
    k.remote_index = ours ? 7 : number(index);
    k.role = ours ? wireguard::Role::responder : wireguard::Role::initiator;
    k.established = kNow;
    return k;
  }
  static std::uint16_t port_of(std::uint32_t flow) {
    return static_cast<std::uint16_t>(5000 + flow);
  }
  [[nodiscard]] IpAddress destination(std::uint32_t n) const {
    const auto rule = n * 7919U % rules;
    return IpAddress::v4(10, static_cast<std::uint8_t>(rule >> 8), static_cast<std::uint8_t>(rule),
                         9);
  }

  // A batch of 64 sealed packets: of client `first` and its neighbours, or of random clients.
  void refill(std::uint32_t first) {
    buffer.resize(kBatch * (size + 32));
    batch.clear();
    for (std::size_t i = 0; i < kBatch; ++i) {
      auto* message = buffer.data() + i * (size + 32);
      const auto k = order.empty() ? (first + i) % packets.size() : order[next++ % order.size()];
      const auto n = flows > 1 ? 0 : k;
      auto& packet = packets[k];
      // A TCP stream goes on: sequence number, and the checksum with it.
      std::copy(packet.begin(), packet.end(), message + 16);
      const auto sequence = load_be32(packet.data() + 24);
      const auto following = sequence + static_cast<std::uint32_t>(size - 40);
      auto sum = test::naive_sum(Bytes{packet}.subspan(24, 4));
      const auto checksum = load_be16(packet.data() + 36);
      std::uint32_t updated = static_cast<std::uint16_t>(~checksum) + (0xFFFFU - sum);
      store_be32(packet.data() + 24, following);
      updated = test::naive_sum(Bytes{packet}.subspan(24, 4), updated);
      while (updated > 0xFFFF) updated = (updated & 0xFFFF) + (updated >> 16);
      store_be16(packet.data() + 36, static_cast<std::uint16_t>(~updated));
      (void)peers[n].seal(message, size);
      if (clients == 1) continue;
      batch.push_back({.bytes = {message, size + 32},
                       .segment = static_cast<std::uint16_t>(size + 32),
                       .ecn = 0,
                       .from = {},
                       .local = {}});
    }
    if (clients == 1)
      batch.push_back({.bytes = buffer,
                       .segment = static_cast<std::uint16_t>(size + 32),
                       .ecn = 0,
                       .from = {},
                       .local = {}});
  }

  std::size_t size;
  std::uint32_t clients;
  std::uint32_t rules;
  std::uint32_t flows;
  std::unique_ptr<const nat::Translations> translations;
  std::unique_ptr<const filter::Policy> policy;
  crypto::AeadEngine engine{best_cipher()};
  NullOutput output;
  Pipeline pipeline;
  std::vector<wireguard::Session> peers;
  std::vector<ByteVector> packets;
  std::vector<std::uint32_t> order;
  std::size_t next = 0;
  ByteVector buffer;
  std::vector<ReceivedDatagrams> batch;
};

// CPU time of this thread: a machine that does other things as well must not show.
double cpu_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class Work>
void time_packets(benchmark::State& state, std::size_t packets, Work&& work) {
  const auto before = cpu_seconds();
  work();
  state.SetIterationTime((cpu_seconds() - before) / static_cast<double>(packets));
}

// One iteration is 64 packets; the time shown is that of one packet, so that little time is many.
constexpr double kSecondsOfOnePacket = 0.004;

void inbound(benchmark::State& state) {
  Bench bench{state};
  for ([[maybe_unused]] auto _ : state) {
    bench.refill(0);
    time_packets(state, kBatch, [&] { bench.pipeline.on_datagrams(bench.batch, kNow); });
  }
  const auto& c = bench.pipeline.counters();
  if (c.drops.total() != 0) state.SkipWithError("packets were dropped");
}

// One client's flows to a CIDR resource, or as many translated ones.
void inbound_flows(benchmark::State& state) {
  Bench bench{state, static_cast<std::uint32_t>(state.range(3)), state.range(4) != 0};
  for ([[maybe_unused]] auto _ : state) {
    bench.refill(0);
    time_packets(state, kBatch, [&] { bench.pipeline.on_datagrams(bench.batch, kNow); });
  }
  if (bench.pipeline.counters().drops.total() != 0) state.SkipWithError("packets were dropped");
}

void outbound_flows(benchmark::State& state) {
  Bench bench{state, static_cast<std::uint32_t>(state.range(3)), state.range(4) != 0};
  std::vector<ByteVector> reads(bench.flows);
  for (std::uint32_t flow = 0; flow < bench.flows; ++flow) {
    reads[flow].resize(kVnetHeaderSize);
    const auto packet = test::tcp()
                            .from(bench.destination(0), 443)
                            .to(tunnel(0), Bench::port_of(flow))
                            .payload_size(bench.size - 40)
                            .build();
    reads[flow].insert(reads[flow].end(), packet.begin(), packet.end());
  }
  std::vector<TunRead> batch(kBatch);
  ByteVector arena(kBatch * 2048);
  for ([[maybe_unused]] auto _ : state) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      const auto& read = reads[bench.order[bench.next++ % bench.order.size()]];
      batch[i].bytes = MutableBytes{arena}.subspan(i * 2048, read.size());
      std::ranges::copy(read, batch[i].bytes.begin());
    }
    time_packets(state, kBatch, [&] { bench.pipeline.on_tun(batch, kNow); });
  }
  if (bench.pipeline.counters().drops.total() != 0) state.SkipWithError("packets were dropped");
}

void outbound_super_packets(benchmark::State& state) {
  Bench bench{state};
  const auto payload = bench.size - 40;
  const auto segments = std::min<std::size_t>(50, 65'000 / payload);
  ByteVector read(kVnetHeaderSize);
  packet::VnetHeader{.flags = 1,
                     .gso_type = packet::VnetHeader::kGsoTcpV4,
                     .header_length = 40,
                     .gso_size = static_cast<std::uint16_t>(payload),
                     .checksum_start = 20,
                     .checksum_offset = 16}
      .store(read.data());
  const auto whole = test::tcp()
                         .from(bench.destination(0), 443)
                         .to(tunnel(0), 5000)
                         .payload_size(payload * segments)
                         .build();
  read.insert(read.end(), whole.begin(), whole.end());
  TunRead batch{read};
  for ([[maybe_unused]] auto _ : state) {
    time_packets(state, segments, [&] { bench.pipeline.on_tun({&batch, 1}, kNow); });
  }
  if (bench.pipeline.counters().drops.total() != 0) state.SkipWithError("packets were dropped");
}

void outbound_singles(benchmark::State& state) {
  Bench bench{state};
  std::vector<ByteVector> reads(bench.clients);
  for (std::uint32_t n = 0; n < bench.clients; ++n) {
    reads[n].resize(kVnetHeaderSize);
    const auto packet = test::tcp()
                            .from(bench.destination(n), 443)
                            .to(tunnel(n), 5000)
                            .payload_size(bench.size - 40)
                            .build();
    reads[n].insert(reads[n].end(), packet.begin(), packet.end());
  }
  std::vector<TunRead> batch(kBatch);
  ByteVector arena(kBatch * 2048);  // as warm as what the kernel just copied
  for ([[maybe_unused]] auto _ : state) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      const auto& read = reads[bench.order[bench.next++ % bench.order.size()]];
      batch[i].bytes = MutableBytes{arena}.subspan(i * 2048, read.size());
      std::ranges::copy(read, batch[i].bytes.begin());
    }
    time_packets(state, kBatch, [&] { bench.pipeline.on_tun(batch, kNow); });
  }
  if (bench.pipeline.counters().drops.total() != 0) state.SkipWithError("packets were dropped");
}

void cases(benchmark::internal::Benchmark* b) {
  b->ArgNames({"bytes", "clients", "rules"});
  for (const auto& args : std::vector<std::vector<std::int64_t>>{
           {1280, 1, 1}, {64, 1, 1}, {1280, 4000, 1}, {1280, 1, 10'000}, {1280, 4000, 10'000}}) {
    b->Args(args);
  }
  b->UseManualTime()->MinTime(kSecondsOfOnePacket);
}

BENCHMARK(inbound)->Apply(cases);
BENCHMARK(outbound_super_packets)->Apply([](benchmark::internal::Benchmark* b) {
  b->ArgNames({"bytes", "clients", "rules"})
      ->Args({1280, 1, 1})
      ->Args({104, 1, 1})
      ->UseManualTime()
      ->MinTime(kSecondsOfOnePacket);
});
BENCHMARK(outbound_singles)->Apply(cases);

void flow_cases(benchmark::internal::Benchmark* b) {
  b->ArgNames({"bytes", "clients", "rules", "flows", "translated"});
  for (const auto size : {64, 1280}) {
    for (const auto flows : {1, 50'000}) {
      for (const auto translated : {0, 1}) b->Args({size, 1, 1, flows, translated});
    }
  }
  b->UseManualTime()->MinTime(kSecondsOfOnePacket);
}
BENCHMARK(inbound_flows)->Apply(flow_cases);
BENCHMARK(outbound_flows)->Apply(flow_cases);

}  // namespace
}  // namespace fg::pipeline
