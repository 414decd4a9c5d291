// The control thread's time for what a portal can say at once: parsing, comparing, commands for
// the workers.
#include <benchmark/benchmark.h>

#include "base/encoding.h"
#include "control/controller/controller.h"
#include "control/portal/codec.h"
#include "wireguard/identity.h"

namespace fg::controller {
namespace {

class NoLog final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel, std::string_view) const override { return false; }
  void write(LogLevel, std::string_view, std::string_view, std::span<const LogField>) override {}
};

constexpr std::int64_t kUnixStart = 1'790'000'000;
const Instant kNow{std::chrono::hours{1}};
const WallTime kWall{std::chrono::seconds{kUnixStart}};

std::string id_of(char kind, std::size_t n) {
  auto digits = std::to_string(n);
  return std::string{"7d0f1c52-9b1e-4c63-8a5"} + kind + "-" + std::string(12 - digits.size(), '0') +
         digits;
}

// Clients with as many resources each; the client's number is its tunnel address.
struct Tenants {
  std::size_t clients;
  std::size_t resources;

  [[nodiscard]] std::string init(std::int64_t expires_at, std::size_t left_out = 0) const {
    std::string text =
        R"({"interface":{"ipv4":"100.71.20.9","ipv6":"fd00:2021:1111::9:14"},"relays":[],"authorizations":[)";
    for (std::size_t i = left_out; i < clients * resources; ++i) {
      text += std::string{i == left_out ? "" : ","} + R"({"client_id":")" +
              id_of('c', i / resources) + R"(","resource_id":")" + id_of('f', i % resources) +
              R"(","expires_at":)" + std::to_string(expires_at) + "}";
    }
    return text + "]}";
  }
  void grant(Controller& controller) const {
    portal::AllowAccess grant;
    for (std::size_t i = 0; i < clients * resources; ++i) {
      const auto client = i / resources;
      grant.client = *ClientId::parse(id_of('c', client));
      grant.client_v4 = IpAddress::v4(100, 80, static_cast<std::uint8_t>(client >> 8),
                                      static_cast<std::uint8_t>(client));
      grant.client_v6 = *IpAddress::parse("fd00:2021:1111::1:" + std::to_string(client % 10'000));
      grant.resource.id = *ResourceId::parse(id_of('f', i % resources));
      grant.resource.network = Cidr{IpAddress::v4(10, static_cast<std::uint8_t>(i % resources >> 8),
                                                  static_cast<std::uint8_t>(i % resources), 0),
                                    24};
      grant.expires_at = kUnixStart + 3600;
      controller.on_portal(grant, kNow, kWall);
    }
  }
};

struct World {
  NoLog log;
  SeededRandom random{1};
  wireguard::Identity identity{crypto::generate_key_pair(random)};
  Controller controller{{}, identity, random, Log{log, "controller"}, kNow, kWall};

  void hear(const std::string& init) {
    controller.on_portal(*portal::parse_ingress("init", init), kNow, kWall);
    while (controller.poll_command() || controller.poll_portal() || controller.poll_interface()) {
    }
  }
};

void init_again(benchmark::State& state) {
  const Tenants tenants{static_cast<std::size_t>(state.range(0)),
                        static_cast<std::size_t>(state.range(1))};
  World world;
  world.hear(tenants.init(kUnixStart + 3600));
  tenants.grant(world.controller);
  const auto same = tenants.init(kUnixStart + 3600);
  for (auto _ : state) world.hear(same);
}
BENCHMARK(init_again)
    ->Args({1000, 10})
    ->Args({10, 1000})
    ->Args({1000, 100})
    ->Unit(benchmark::kMillisecond);

void init_that_moves_every_expiry(benchmark::State& state) {
  const Tenants tenants{1000, 10};
  World world;
  world.hear(tenants.init(kUnixStart + 3600));
  tenants.grant(world.controller);
  const std::array texts{tenants.init(kUnixStart + 7200), tenants.init(kUnixStart + 3600)};
  std::size_t turn = 0;
  for (auto _ : state) world.hear(texts[turn++ % 2]);
}
BENCHMARK(init_that_moves_every_expiry)->Unit(benchmark::kMillisecond);

void init_of_strangers(benchmark::State& state) {
  const auto text = Tenants{1000, 10}.init(kUnixStart + 3600);
  World world;
  for (auto _ : state) world.hear(text);
}
BENCHMARK(init_of_strangers)->Unit(benchmark::kMillisecond);

void parsing_alone(benchmark::State& state) {
  const auto text = Tenants{1000, 10}.init(kUnixStart + 3600);
  for (auto _ : state) benchmark::DoNotOptimize(portal::parse_ingress("init", text));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}
BENCHMARK(parsing_alone)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace fg::controller
