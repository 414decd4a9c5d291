// A pool over fake ports, one client session at hand, and the control thread's loop as
// worker_pool.h prescribes it.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <functional>

#include "filter/policy.h"
#include "runtime/clock.h"
#include "runtime/worker_pool.h"
#include "tests/support/packets.h"
#include "tests/unit/runtime/fake_port.h"
#include "wireguard/session.h"

namespace fg::runtime::testing {

using test::ip;
using test::udp;

class FakeSender final : public io::DatagramSender {
 public:
  bool send(std::span<const OutgoingDatagrams> batch) noexcept override {
    for (const auto& d : batch) sent.push_back({d.to, copy_of(d.bytes)});
    return true;
  }
  std::vector<FakePort::Sent> sent;
};

inline wireguard::SessionKeys keys(ReceiverIndex ours, bool is_gateway) {
  wireguard::SessionKeys k;
  k.local_index = is_gateway ? ours : ReceiverIndex{77};
  k.remote_index = is_gateway ? 77 : number(ours);
  k.send = Secret<32>{{static_cast<std::uint8_t>(is_gateway ? 1 : 2),
                       static_cast<std::uint8_t>(number(ours) >> 8)}};
  k.receive = Secret<32>{{static_cast<std::uint8_t>(is_gateway ? 2 : 1),
                          static_cast<std::uint8_t>(number(ours) >> 8)}};
  k.role = is_gateway ? wireguard::Role::responder : wireguard::Role::initiator;
  k.established = monotonic_now();
  return k;
}

class PoolTest : public ::testing::Test {
 protected:
  void start(unsigned workers, PoolOptions options = {.clients_max = 256}) {
    io::Backend backend;
    for (unsigned i = 0; i < workers; ++i) {
      auto port = std::make_unique<FakePort>();
      ports_.push_back(port.get());
      backend.ports.push_back(std::move(port));
    }
    auto sender = std::make_unique<FakeSender>();
    sender_ = sender.get();
    backend.sender = std::move(sender);
    auto pool = WorkerPool::start(std::move(backend), options);
    ASSERT_TRUE(pool) << pool.error().to_string();
    pool_ = std::move(*pool);
    filter::RuleFilter everything;
    everything.everything = true;
    policy_ = filter::Policy::compile(
        {.rules = {{Cidr::parse("10.0.0.0/8", false).value(), ResourceId{}, everything}},
         .internet = {}});
  }

  void command(unsigned worker, pipeline::Command c) {
    while (!pool_->send(WorkerIndex{static_cast<std::uint8_t>(worker)}, std::move(c))) take_all();
  }
  static IpAddress tunnel(unsigned n) {
    return IpAddress::v4(100, 64, 1, static_cast<std::uint8_t>(n));
  }
  static SocketAddress remote(unsigned n) {
    return {IpAddress::v4(203, 0, 113, static_cast<std::uint8_t>(n)), 4000};
  }
  static ReceiverIndex index_of(unsigned worker, unsigned n) {
    return pipeline::make_receiver_index(WorkerIndex{static_cast<std::uint8_t>(worker)}, 0x100 + n,
                                         1);
  }
  // A client of that worker; the far end of its session.
  wireguard::Session connect(unsigned worker, unsigned n) {
    const ClientSlot slot{n};
    command(worker, pipeline::AddClient{slot, tunnel(n), ip("fd00:2021:1111::" + std::to_string(n)),
                                        policy_.get()});
    command(worker, pipeline::SetPath{
                        slot, {pipeline::Path::Kind::direct, ip("198.51.100.1"), remote(n), {}}});
    command(worker, pipeline::InstallSession{slot, keys(index_of(worker, n), true)});
    for (unsigned w = 0; w < pool_->size(); ++w) {
      command(w,
              pipeline::SetTunnelOwner{tunnel(n), WorkerIndex{static_cast<std::uint8_t>(worker)}});
    }
    return {keys(index_of(worker, n), false), engine_};
  }
  static ByteVector seal(wireguard::Session& session, Bytes inner) {
    ByteVector message(inner.size() + 32);
    std::copy(inner.begin(), inner.end(), message.begin() + 16);
    EXPECT_TRUE(session.seal(message.data(), inner.size()));
    return message;
  }
  static ByteVector request(unsigned n) {
    return udp().from(tunnel(n), 5000).to("10.1.2.3", 80).payload("request").build();
  }
  static ByteVector reply(unsigned n) {
    return udp().from("10.1.2.3", 80).to(tunnel(n), 5000).payload("reply").build();
  }

  // Takes what the workers say until `enough`, sleeping in between as the gateway does.
  void wait_until(const std::function<bool()>& enough) {
    take_all();
    while (!enough()) {
      if (pool_->prepare_to_sleep()) {
        pollfd p{pool_->notify_fd(), POLLIN, 0};
        ASSERT_EQ(::poll(&p, 1, 10'000), 1) << "nothing more came";
        pool_->awake();
      }
      take_all();
    }
  }
  void take_all() {
    while (const auto event = pool_->poll_event()) events_.push_back(*event);
    while (const auto* punt = pool_->poll_punt()) punts_.push_back(*punt);
  }
  template <class E>
  [[nodiscard]] std::size_t count() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        events_, [](const WorkerEvent& e) { return std::holds_alternative<E>(e.event); }));
  }

  std::unique_ptr<const filter::Policy> policy_;
  crypto::AeadEngine engine_;
  std::vector<FakePort*> ports_;
  FakeSender* sender_ = nullptr;
  std::unique_ptr<WorkerPool> pool_;
  std::vector<WorkerEvent> events_;
  std::vector<pipeline::Punt> punts_;
};

}  // namespace fg::runtime::testing
