// The control thread's time for what a portal can say at once: parsing, comparing, commands for
// the workers; and for clients that are there and do nothing.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <set>

#include "base/encoding.h"
#include "control/controller/controller.h"
#include "control/portal/codec.h"
#include "pipeline/standing_answers.h"
#include "tests/unit/control/controller/world.h"
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

// Connected clients that only keep their paths open: each end checks every pair every 25 s (spec
// connectivity 2.19), and a worker answers what was asked before. The clients' own work and the
// worker's are not counted, nor is any system call.
class IdleTown {
 public:
  explicit IdleTown(std::uint32_t clients) {
    // Set-up goes through World's own hands, what clients get meanwhile is carried afterwards.
    world_.to_client = [this](const Datagram& out) { inbox_.push_back(out); };
    world_.init();
    for (std::uint32_t n = 0; n < clients; ++n) move_in(n);
    run(kIdleAfter + kClientsRest);
    for (auto& agent : agents_) agent->set_profile(ice::kClientIdle, world_.now);
    run(2 * kClientsRest);
  }

  // Nanoseconds in the controller.
  double run(Duration by) {
    spent_ = {};
    for (const auto end = world_.now + by; world_.now < end;) {
      auto next = end;
      if (const auto due = world_.controller.wakeup()) next = std::min(next, due->at);
      if (!due_.empty()) next = std::min(next, due_.begin()->first);
      if (!told_.empty()) next = std::min(next, told_.front().at + 1s);
      world_.now = std::max(world_.now, next);
      const auto now = world_.now;
      tell();
      if (const auto due = world_.controller.wakeup(); due && due->at <= now)
        count([&] { world_.controller.on_timeout(now, world_.wall()); });
      while (!due_.empty() && due_.begin()->first <= now) {
        const auto n = due_.begin()->second;
        agents_[n]->on_timeout(now);
        pump(n);
      }
      carry();
    }
    return std::chrono::duration<double, std::nano>(spent_).count();
  }
  [[nodiscard]] std::size_t connections() const { return world_.controller.summary().connections; }

 private:
  static constexpr Duration kClientsRest = 25s;
  static constexpr std::uint16_t kFirstPort = 10'000;

  template <class F>
  void count(F f) {
    const auto began = std::chrono::steady_clock::now();
    f();
    spent_ += std::chrono::steady_clock::now() - began;
  }
  void move_in(std::uint32_t n) {
    const auto digits = std::to_string(10'000 + n);
    const auto ufrag = [&](char side) { return side + digits; };
    const auto password = [&](char side) { return SecretText{ufrag(side) + "vvzsh3aql5cprilhk5"}; };
    portal::Authorize request;
    request.ref = "ref";
    request.resource.id = *ResourceId::parse(id_of('f', 1));
    request.resource.network = *Cidr::parse("10.20.0.0/24", true);
    request.client.id = *ClientId::parse(id_of('c', n));
    store_be32(request.client.public_key.data(), n + 1);
    request.client.v4 =
        IpAddress::v4(100, 80, static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n));
    request.client.v6 = *IpAddress::parse("fd00:2021:1111::1:" + std::to_string(n % 10'000));
    request.client_ice = {ufrag('c'), password('c')};
    request.gateway_ice = {ufrag('g'), password('g')};
    ice::Agent::Options options;
    options.role = ice::Role::controlling;
    options.local = {ufrag('c'), password('c')};
    options.remote = {ufrag('g'), password('g')};
    options.profile = ice::kClientDefault;
    agents_.push_back(std::make_unique<ice::Agent>(std::move(options), world_.random, world_.now));
    due_of_.emplace_back();
    (void)agents_[n]->add_local(ice::LocalAddress::host(address_of(n)), world_.now);
    world_.said.clear();
    world_.portal_says(std::move(request));
    for (const auto* said : world_.all_said<portal::BroadcastCandidates>()) {
      for (const auto& line : said->candidates) (void)agents_[n]->add_remote(line, world_.now);
    }
    for (const auto& local : agents_[n]->local_candidates()) {
      world_.portal_says(portal::IceCandidates{
          *ClientId::parse(id_of('c', n)), {agents_[n]->line_of(local)}, false});
    }
    pump(n);
    run(5ms);
  }
  static SocketAddress address_of(std::uint32_t n) {
    return {IpAddress::v4(203, 0, 113, 7), static_cast<std::uint16_t>(kFirstPort + n)};
  }
  void deliver(const SocketAddress& from, const SocketAddress& to, Bytes bytes) {
    const pipeline::Path path{pipeline::Path::Kind::direct, to.ip, from, {}};
    if (const auto* standing = answers_.find(bytes, path, world_.now)) {
      ByteVector out(standing->answer.size());
      pipeline::StandingAnswers::write(*standing, bytes, out);
      inbox_.push_back({from, to.ip, std::move(out)});
      told_.push_back({standing->connection, standing->pair, standing->nominates, world_.now});
      return;
    }
    pipeline::Punt punt;
    punt.local = to;
    punt.from = from;
    punt.length = static_cast<std::uint16_t>(bytes.size());
    std::ranges::copy(bytes, punt.bytes.begin());
    count([&] { world_.controller.on_punt(punt, world_.now, world_.wall()); });
  }
  void pump(std::uint32_t n) {
    auto& agent = *agents_[n];
    while (const auto out = agent.poll_transmit()) {
      if (!out->relayed) deliver(out->local, out->remote, out->bytes);
    }
    while (agent.poll_event()) {
    }
    if (due_of_[n]) due_.erase({*due_of_[n], n});
    due_of_[n].reset();
    if (const auto wake = agent.wakeup()) {
      due_of_[n] = wake->at;
      due_.emplace(wake->at, n);
    }
  }
  void carry() {
    while (true) {
      std::optional<Datagram> out;
      count([&] { out = world_.controller.poll_datagram(); });
      if (out) inbox_.push_back(std::move(*out));
      if (inbox_.empty()) break;
      const auto next = std::move(inbox_.front());
      inbox_.pop_front();
      carry(next);
    }
    while (true) {
      std::optional<WorkerCommand> out;
      count([&] { out = world_.controller.poll_command(); });
      if (!out) break;
      if (auto* set = std::get_if<pipeline::SetStandingAnswer>(&out->command))
        (void)answers_.set(std::move(*set));
      if (const auto* drop = std::get_if<pipeline::DropStandingAnswers>(&out->command))
        answers_.drop(drop->connection);
    }
    while (world_.controller.poll_portal()) {
    }
  }
  // Once a second, as a worker does.
  void tell() {
    if (told_.empty() || world_.now < told_.front().at + 1s) return;
    for (const auto& event : told_)
      count([&] { world_.controller.on_event(event, world_.now, world_.wall()); });
    told_.clear();
  }
  void carry(const Datagram& out) {
    if (out.to.ip == address_of(0).ip) {
      const auto n = static_cast<std::uint32_t>(out.to.port - kFirstPort);
      if (const auto message = stun::Message::parse(out.bytes))
        (void)agents_[n]->on_message(*message, address_of(n), world_.host_v4, world_.now);
      pump(n);
    } else {
      const auto& us = out.to.ip.is_v4() ? world_.host_v4 : world_.host_v6;
      if (const auto answer = world_.relay.answer(us, out.bytes)) deliver(out.to, us, *answer);
    }
  }

  test::World world_;
  std::deque<Datagram> inbox_;
  pipeline::StandingAnswers answers_;
  std::vector<pipeline::CheckAnswered> told_;
  std::vector<std::unique_ptr<ice::Agent>> agents_;
  std::vector<std::optional<Instant>> due_of_;
  std::set<std::pair<Instant, std::uint32_t>> due_;
  std::chrono::steady_clock::duration spent_{};
};

void idle_clients(benchmark::State& state) {
  const auto clients = static_cast<std::uint32_t>(state.range(0));
  IdleTown town{clients};
  double spent = 0;
  double seconds = 0;
  for (auto _ : state) {
    const auto ns = town.run(25s);
    state.SetIterationTime(ns / 1e9);
    spent += ns;
    seconds += 25;
  }
  if (town.connections() != clients)
    state.SkipWithError(("not all stayed: " + std::to_string(town.connections())).c_str());
  state.counters["ns_a_client_second"] = spent / seconds / clients;
}
// No handshakes: a connection without a session lasts 540 s.
BENCHMARK(idle_clients)->Arg(100)->Arg(2000)->Iterations(8)->UseManualTime();

}  // namespace
}  // namespace fg::controller
