// The whole data path over the real kernel: a client's UDP socket, the gateway's sockets and TUN
// device, a resource's socket on the same host. Everything in a network namespace of its own; needs
// root.
#include <net/route.h>

#include <thread>

#include "filter/policy.h"
#include "io/kernel/kernel_backend.h"
#include "io/kernel/udp_sender.h"
#include "io/kernel/upkeep.h"
#include "runtime/clock.h"
#include "runtime/worker_pool.h"
#include "tests/support/packets.h"
#include "tests/unit/io/kernel/network.h"
#include "wireguard/session.h"

namespace fg::runtime {
namespace {

using io::kernel::collect;
using io::kernel::NetworkTest;
using io::kernel::open_or_die;
using io::kernel::set_address;
using io::kernel::set_up;
using io::kernel::UdpSender;
using io::kernel::UdpSocket;

class DataPath : public NetworkTest {
 protected:
  static constexpr const char* kTun = "tun-test";

  void start(unsigned workers) {
    auto opened = io::kernel::open_kernel_backend({.workers = workers, .tun_name = kTun});
    ASSERT_TRUE(opened) << opened.error().to_string();
    gateway_port_ = opened->capabilities.v4->port;
    ASSERT_TRUE(set_up(kTun));
    ASSERT_TRUE(set_address(kTun, "100.64.0.1", "255.224.0.0"));
    ASSERT_TRUE(set_address("lo:1", "10.9.9.9", "255.255.255.255"));
    auto pool = WorkerPool::start(std::move(opened->backend), {.clients_max = 64});
    ASSERT_TRUE(pool) << pool.error().to_string();
    pool_ = std::move(*pool);
    upkeep_ = std::move(opened->upkeep);
    filter::RuleFilter everything;
    everything.everything = true;
    policy_ = filter::Policy::compile(
        {.rules = {{Cidr::parse("10.0.0.0/8", false).value(), ResourceId{}, everything}},
         .internet = {}});
  }
  void TearDown() override {
    if (pool_) pool_->stop();
  }

  // A client of that worker that listens on `socket`.
  wireguard::Session connect(unsigned worker, unsigned n, const UdpSocket& socket) {
    const WorkerIndex w{static_cast<std::uint8_t>(worker)};
    const ClientSlot slot{n};
    const auto index = pipeline::make_receiver_index(w, 0x77000 + n, 1);
    const SocketAddress remote{test::ip("127.0.0.1"), socket.port()};
    for (unsigned i = 0; i < pool_->size(); ++i) {
      EXPECT_TRUE(pool_->send(WorkerIndex{static_cast<std::uint8_t>(i)},
                              pipeline::SetTunnelOwner{tunnel(n), w}));
    }
    upkeep_->steer(tunnel(n), w);
    EXPECT_TRUE(
        pool_->send(w, pipeline::AddClient{slot, tunnel(n), IpAddress::v6({}), policy_.get()}));
    EXPECT_TRUE(pool_->send(
        w, pipeline::SetPath{slot,
                             {pipeline::Path::Kind::direct, test::ip("127.0.0.1"), remote, {}}}));
    EXPECT_TRUE(pool_->send(w, pipeline::InstallSession{slot, keys(index, true)}));
    return {keys(index, false), engine_};
  }
  static wireguard::SessionKeys keys(ReceiverIndex index, bool is_gateway) {
    wireguard::SessionKeys k;
    k.local_index = is_gateway ? index : ReceiverIndex{5};
    k.remote_index = is_gateway ? 5 : number(index);
    k.send = Secret<32>{
        {static_cast<std::uint8_t>(is_gateway), static_cast<std::uint8_t>(number(index) >> 8)}};
    k.receive = Secret<32>{
        {static_cast<std::uint8_t>(!is_gateway), static_cast<std::uint8_t>(number(index) >> 8)}};
    k.role = is_gateway ? wireguard::Role::responder : wireguard::Role::initiator;
    k.established = monotonic_now();
    return k;
  }
  static IpAddress tunnel(unsigned n) {
    return IpAddress::v4(100, 64, 2, static_cast<std::uint8_t>(n));
  }

  // Sends packets as one segmented datagram run; all must be equally long but the last.
  void send(UdpSocket& from, wireguard::Session& session, const std::vector<ByteVector>& packets) {
    ByteVector run;
    for (const auto& p : packets) {
      const auto at = run.size();
      run.resize(at + p.size() + 32);
      std::copy(p.begin(), p.end(), run.begin() + static_cast<std::ptrdiff_t>(at) + 16);
      ASSERT_TRUE(session.seal(run.data() + at, p.size()));
    }
    const OutgoingDatagrams d{.to = {test::ip("127.0.0.1"), gateway_port_},
                              .from = {},
                              .segment = static_cast<std::uint16_t>(packets[0].size() + 32),
                              .bytes = run};
    UdpSender sender{from.fd(), true};
    ASSERT_EQ(sender.send({&d, 1}).datagrams, packets.size());
  }
  static ByteVector request(unsigned n, std::uint16_t port, ByteVector payload) {
    return test::udp()
        .from(tunnel(n), 5000)
        .to("10.9.9.9", port)
        .payload(std::move(payload))
        .build();
  }

  std::uint16_t gateway_port_ = 0;
  std::unique_ptr<const filter::Policy> policy_;
  crypto::AeadEngine engine_;
  std::unique_ptr<WorkerPool> pool_;
  std::shared_ptr<io::kernel::Upkeep> upkeep_;
};

TEST_F(DataPath, ARunOfDatagramsReachesTheResourceAndItsAnswersTheClient) {
  start(1);
  auto client = open_or_die(Family::v4);
  auto resource = open_or_die(Family::v4);
  auto session = connect(0, 1, client);
  std::vector<ByteVector> packets;
  for (std::uint8_t i = 0; i < 40; ++i)
    packets.push_back(request(1, resource.port(), ByteVector(1200, i)));
  send(client, session, packets);
  const auto got = collect(resource, 40);
  ASSERT_EQ(got.size(), 40U);
  for (std::uint8_t i = 0; i < 40; ++i) EXPECT_EQ(got[i].bytes, ByteVector(1200, i));
  EXPECT_EQ(got[0].from, (SocketAddress{tunnel(1), 5000}));
  EXPECT_GT(got[0].segments_beside, 1U) << "written to the TUN device one by one";

  const auto answer = io::kernel::datagrams(30, 1000, 10);
  const OutgoingDatagrams d{
      .to = got[0].from, .from = test::ip("10.9.9.9"), .segment = 1000, .bytes = answer};
  ASSERT_EQ((UdpSender{resource.fd(), true}.send({&d, 1}).datagrams), 30U);
  auto answers = collect(client, 30);
  ASSERT_EQ(answers.size(), 30U);
  for (std::uint8_t i = 0; i < 30; ++i) {
    const auto opened = session.open(answers[i].bytes, monotonic_now());
    ASSERT_EQ(opened.status, wireguard::OpenStatus::ok);
    EXPECT_TRUE(test::has_right_checksums(opened.inner));
    EXPECT_EQ(opened.inner.size(), 28U + (i == 29 ? 10U : 1000U));
    EXPECT_EQ(opened.inner.back(), i);
  }
  EXPECT_EQ(pool_->total().to_resources, 40U);
  EXPECT_EQ(pool_->total().to_clients, 30U);
}

TEST_F(DataPath, WithSeveralWorkersEachClientIsServedByItsOwn) {
  constexpr unsigned kWorkers = 3;
  start(kWorkers);
  auto resource = open_or_die(Family::v4);
  std::vector<UdpSocket> sockets;
  std::vector<wireguard::Session> sessions;
  for (unsigned n = 0; n < kWorkers; ++n) {
    sockets.push_back(open_or_die(Family::v4));
    sessions.push_back(connect(n, n, sockets[n]));
  }
  for (unsigned n = 0; n < kWorkers; ++n)
    send(sockets[n], sessions[n], {request(n, resource.port(), ByteVector(100, 1))});
  const auto got = collect(resource, kWorkers);
  ASSERT_EQ(got.size(), kWorkers);
  for (unsigned n = 0; n < kWorkers; ++n)
    EXPECT_EQ(pool_->counters(WorkerIndex{static_cast<std::uint8_t>(n)}).to_resources, 1U);

  // From a flow the device has never seen: whichever queue it takes, the owner sends.
  for (const auto& request : got) {
    auto other = open_or_die(Family::v4);
    const ByteVector payload(50, 2);
    const OutgoingDatagrams d{
        .to = request.from, .from = test::ip("10.9.9.9"), .segment = 50, .bytes = payload};
    ASSERT_EQ((UdpSender{other.fd(), true}.send({&d, 1}).datagrams), 1U);
  }
  for (unsigned n = 0; n < kWorkers; ++n) {
    auto answers = collect(sockets[n], 1);
    ASSERT_EQ(answers.size(), 1U);
    EXPECT_EQ(sessions[n].open(answers[0].bytes, monotonic_now()).status,
              wireguard::OpenStatus::ok);
  }
}

TEST_F(DataPath, WhatTheHostSendsToAClientIsReadByItsWorker) {
  constexpr unsigned kWorkers = 3;
  constexpr unsigned kClients = 12;
  constexpr unsigned kFlows = 10;
  start(kWorkers);
  std::vector<UdpSocket> sockets;
  std::vector<wireguard::Session> sessions;
  for (unsigned n = 0; n < kClients; ++n) {
    sockets.push_back(open_or_die(Family::v4));
    sessions.push_back(connect(n % kWorkers, n, sockets[n]));
    // Once it is served, its worker and all others know it.
    auto resource = open_or_die(Family::v4);
    send(sockets[n], sessions[n], {request(n, resource.port(), ByteVector(100, 1))});
    ASSERT_EQ(collect(resource, 1).size(), 1U);
  }
  const ByteVector payload(50, 2);
  for (unsigned flow = 0; flow < kFlows; ++flow) {
    auto other = open_or_die(Family::v4);
    for (unsigned n = 0; n < kClients; ++n) {
      const OutgoingDatagrams d{
          .to = {tunnel(n), 5000}, .from = test::ip("10.9.9.9"), .segment = 50, .bytes = payload};
      ASSERT_EQ((UdpSender{other.fd(), true}.send({&d, 1}).datagrams), 1U);
    }
  }
  for (auto& socket : sockets) EXPECT_EQ(collect(socket, kFlows).size(), kFlows);
  std::printf("%u packets to clients, %llu handed from worker to worker\n", kClients * kFlows,
              static_cast<unsigned long long>(pool_->total().handed_over));
  EXPECT_EQ(pool_->total().to_clients, kClients * kFlows);
  EXPECT_EQ(pool_->total().handed_over, 0U);
}

TEST_F(DataPath, HandshakesReachTheControlThreadWithTheirAddresses) {
  start(2);
  auto client = open_or_die(Family::v4);
  ByteVector initiation(148, 0);
  initiation[0] = 1;
  const OutgoingDatagrams d{.to = {test::ip("127.0.0.7"), gateway_port_},
                            .from = {},
                            .segment = 148,
                            .bytes = initiation};
  ASSERT_EQ((UdpSender{client.fd(), true}.send({&d, 1}).datagrams), 1U);
  const pipeline::Punt* punt = pool_->poll_punt();
  while (punt == nullptr) {
    if (pool_->prepare_to_sleep()) {
      ASSERT_TRUE(io::kernel::wait_readable(pool_->notify_fd()));
      pool_->awake();
    }
    punt = pool_->poll_punt();
  }
  EXPECT_EQ(punt->length, 148);
  EXPECT_EQ(punt->from.port, client.port());
  EXPECT_EQ(punt->local, (SocketAddress{test::ip("127.0.0.7"), gateway_port_}));
  const ByteVector said{1, 2, 3};
  const OutgoingDatagrams one{
      .to = punt->from, .from = punt->local.ip, .segment = 3, .bytes = said};
  EXPECT_TRUE(pool_->udp_send({&one, 1}));
  const auto answer = collect(client, 1);
  ASSERT_EQ(answer.size(), 1U);
  EXPECT_EQ(answer[0].from, (SocketAddress{test::ip("127.0.0.7"), gateway_port_}));
}

TEST_F(DataPath, ADeviceThatIsTakenAwayDoesNotKeepTheWorkerBusy) {
  start(1);
  ASSERT_EQ(std::system("ip link delete tun-test"), 0);  // NOLINT: a test's own namespace
  pollfd nothing{-1, 0, 0};
  (void)::poll(&nothing, 1, 50);
  const auto before = pool_->total().turns;
  (void)::poll(&nothing, 1, 100);
  EXPECT_LE(pool_->total().turns - before, 2U);
}

}  // namespace
}  // namespace fg::runtime
