#include "runtime/worker.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>

#include "control/stun/builder.h"
#include "tests/unit/runtime/pool_fixture.h"

namespace fg::runtime::testing {
namespace {

class WorkerTest : public PoolTest {};

TEST_F(WorkerTest, MovesPacketsInBothDirections) {
  start(1);
  auto client = connect(0, 1);
  wait_until([&] { return true; });
  ports_[0]->deliver(seal(client, request(1)), remote(1));
  EXPECT_EQ(ports_[0]->wait_tun(1).at(0), request(1));
  ports_[0]->deliver_tun(reply(1));
  auto sent = ports_[0]->wait_sent(1);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(sent[0].to, remote(1));
  const auto opened = client.open(sent[0].bytes, monotonic_now());
  EXPECT_EQ(opened.status, wireguard::OpenStatus::ok);
  EXPECT_TRUE(equal(opened.inner, reply(1)));
}

TEST_F(WorkerTest, SleepsWhileThereIsNothingToDo) {
  start(1);
  auto client = connect(0, 1);
  ports_[0]->deliver(seal(client, request(1)), remote(1));
  wait_until([&] { return count<pipeline::SessionConfirmed>() == 1; });
  ports_[0]->deliver(ByteVector{1, 2, 3}, remote(1));
  for (int i = 0;
       i < 1000 &&
       pool_->counters(WorkerIndex{0}).drops[static_cast<std::size_t>(DropReason::not_wireguard)] ==
           0;
       ++i) {
    pollfd p{pool_->notify_fd(), POLLIN, 0};
    (void)::poll(&p, 1, 5);
  }
  const auto before = pool_->counters(WorkerIndex{0});
  pollfd nothing{-1, 0, 0};
  (void)::poll(&nothing, 1, 50);
  const auto after = pool_->counters(WorkerIndex{0});
  EXPECT_LE(after.turns - before.turns, 2U);
}

TEST_F(WorkerTest, StaysAwakeAfterAPacketForAsLongAsItWasToldAndHearsCommandsMeanwhile) {
  start(1, {.clients_max = 256, .aead = {}, .spin = 1h});
  const auto counters = [this] { return pool_->counters(WorkerIndex{0}); };
  const auto turned = [&](std::uint64_t turns) {
    const auto end = monotonic_now() + 10s;
    while (counters().turns < turns && monotonic_now() < end) ::sched_yield();
    return counters().turns >= turns;
  };
  auto first = connect(0, 1);
  wait_until([] { return true; });
  ports_[0]->deliver(seal(first, request(1)), remote(1));
  EXPECT_EQ(ports_[0]->wait_tun(1).at(0), request(1));
  const auto before = counters();
  ASSERT_TRUE(turned(before.turns + 100));
  auto second = connect(0, 2);
  ASSERT_TRUE(turned(counters().turns + 2));
  ports_[0]->deliver(seal(second, request(2)), remote(2));
  EXPECT_EQ(ports_[0]->wait_tun(2).at(1), request(2));
  EXPECT_EQ(counters().sleeps, before.sleeps);
}

TEST_F(WorkerTest, SleepsWhenItHasBeenAwakeForLongEnough) {
  start(1, {.clients_max = 256, .aead = {}, .spin = 20ms});
  auto client = connect(0, 1);
  wait_until([] { return true; });
  const auto sleeps = [this] { return pool_->counters(WorkerIndex{0}).sleeps; };
  const auto before = sleeps();
  ports_[0]->deliver(seal(client, request(1)), remote(1));
  EXPECT_EQ(ports_[0]->wait_tun(1).at(0), request(1));
  const auto delivered = monotonic_now();
  while (sleeps() == before && monotonic_now() < delivered + 10s) ::sched_yield();
  EXPECT_GT(sleeps(), before);
}

TEST_F(WorkerTest, WhatCanWaitIsToldAlthoughNothingElseHappens) {
  start(1);
  const SecretText key{"password"};
  const auto built = [&](stun::Class kind) {
    std::array<std::uint8_t, 200> buffer{};
    stun::Builder builder{buffer, stun::Method::binding, kind, {}};
    builder.xor_mapped_address(remote(1)).integrity(as_bytes(key.expose())).fingerprint();
    return copy_of(*builder.finish());
  };
  const auto question = built(stun::Class::request);
  // Of the address the port receives at, whatever it is.
  command(0, pipeline::SetStandingAnswer{7,
                                         1,
                                         false,
                                         {pipeline::Path::Kind::direct, {}, remote(1), {}},
                                         key,
                                         question,
                                         built(stun::Class::success)});
  ASSERT_TRUE(pool_->prepare_to_sleep());
  ports_[0]->deliver(question, remote(1));
  EXPECT_EQ(ports_[0]->wait_sent(1).at(0).bytes, built(stun::Class::success));
  pollfd bell{pool_->notify_fd(), POLLIN, 0};
  ASSERT_EQ(::poll(&bell, 1, 10'000), 1) << "nobody rang";
  pool_->awake();
  take_all();
  EXPECT_EQ(count<pipeline::CheckAnswered>(), 1U);
  EXPECT_TRUE(punts_.empty());
}

TEST_F(WorkerTest, APacketOfAnotherWorkerGoesThroughTheRingInBothDirections) {
  start(3);
  auto client = connect(2, 1);
  // Every worker has the command before any packet comes.
  for (unsigned w = 0; w < 3; ++w)
    command(w, pipeline::AddClient{ClientSlot{250}, tunnel(200 + w), {}, policy_.get()});
  for (unsigned w = 0; w < 3; ++w) command(w, pipeline::RemoveClient{ClientSlot{250}});
  wait_until([&] { return count<pipeline::ClientRemoved>() == 3; });
  ports_[0]->deliver(seal(client, request(1)), remote(1));
  EXPECT_EQ(ports_[2]->wait_tun(1).at(0), request(1));
  ports_[1]->deliver_tun(reply(1));
  EXPECT_EQ(ports_[2]->wait_sent(1).size(), 1U);
  EXPECT_EQ(pool_->total().handed_over, 2U);
}

// A port whose only descriptor reports an error for as long as nobody writes to it.
class BrokenPort final : public io::Port {
 public:
  BrokenPort() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
    fds_[0] = ends[0];
    ::close(ends[1]);
  }
  ~BrokenPort() override { ::close(fds_[0]); }
  [[nodiscard]] int open_writer() const {
    return ::open(("/proc/self/fd/" + std::to_string(fds_[0])).c_str(), O_WRONLY | O_CLOEXEC);
  }
  [[nodiscard]] std::span<const int> wait_fds() const noexcept override { return fds_; }
  std::span<ReceivedDatagrams> receive(io::ReadySet) noexcept override { return {}; }
  void send(std::span<const OutgoingDatagrams>) noexcept override {}
  std::span<TunRead> read_tun(io::ReadySet) noexcept override {
    char byte = 0;
    if (::read(fds_[0], &byte, 1) == 1) read_one = true;
    return {};
  }
  bool write_tun(const TunWrite&) noexcept override { return false; }
  [[nodiscard]] io::TunOffloads tun_offloads() const noexcept override { return {}; }

  std::atomic<bool> read_one{false};

 private:
  std::array<int, 1> fds_{};
};

TEST_F(WorkerTest, ADeviceThatIsGoneIsGivenUpAndWatchedAgainOnRequest) {
  io::Backend backend;
  auto owned = std::make_unique<BrokenPort>();
  auto& port = *owned;
  backend.ports.push_back(std::move(owned));
  auto pool = WorkerPool::start(std::move(backend), {.clients_max = 16});
  ASSERT_TRUE(pool) << pool.error().to_string();
  const auto wait = [&](int milliseconds, const std::function<bool()>& enough) {
    for (int i = 0; i < milliseconds && !enough(); ++i) {
      pollfd nothing{-1, 0, 0};
      (void)::poll(&nothing, 1, 1);
    }
    return enough();
  };
  const auto turns = [&] { return (*pool)->total().turns; };
  ASSERT_TRUE(wait(5000, [&] { return turns() > 16; }));
  std::uint64_t before = 0;
  ASSERT_TRUE(wait(5000, [&] { return std::exchange(before, turns()) == turns(); }))
      << "it never sleeps";
  const int writer = port.open_writer();
  ASSERT_GE(writer, 0);
  ASSERT_EQ(::write(writer, "x", 1), 1);
  EXPECT_FALSE(wait(50, [&] { return port.read_one.load(); })) << "it was given up";
  (*pool)->watch_again();
  EXPECT_TRUE(wait(5000, [&] { return port.read_one.load(); }));
  (*pool)->stop();
  ::close(writer);
}

TEST_F(WorkerTest, ManyPacketsFromEverywhereAllArriveAndAreCounted) {
  constexpr unsigned kPackets = 3000;
  start(3);
  std::vector<wireguard::Session> clients;
  for (unsigned n = 0; n < 6; ++n) clients.push_back(connect(n % 3, n));
  for (unsigned w = 0; w < 3; ++w)
    command(w, pipeline::AddClient{ClientSlot{250}, tunnel(200 + w), {}, policy_.get()});
  for (unsigned w = 0; w < 3; ++w) command(w, pipeline::RemoveClient{ClientSlot{250}});
  wait_until([&] { return count<pipeline::ClientRemoved>() == 3; });
  for (unsigned i = 0; i < kPackets; ++i) {
    const auto n = i % 6;
    ports_[i % 3]->deliver(seal(clients[n], request(n)), remote(n));
  }
  pool_->stop();
  take_all();
  // Hand-offs may have found a full ring or a stopped worker; nothing else may be missing.
  const auto total = pool_->total();
  std::size_t written = 0;
  for (auto* port : ports_) written += port->wait_tun(0).size();
  EXPECT_EQ(written, total.to_resources);
  EXPECT_LE(written, kPackets);
}

}  // namespace
}  // namespace fg::runtime::testing
