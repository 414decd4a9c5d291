#include "runtime/worker_pool.h"

#include <thread>

#include "tests/unit/runtime/pool_fixture.h"

namespace fg::runtime::testing {
namespace {

class WorkerPoolTest : public PoolTest {};

TEST(DefaultWorkers, AreBetweenOneAndSixteen) {
  EXPECT_GE(default_workers(), 1U);
  EXPECT_LE(default_workers(), 16U);
  EXPECT_LE(default_workers(), std::max(std::thread::hardware_concurrency(), 2U) - 1);
}

TEST_F(WorkerPoolTest, EventsOfAllWorkersArriveWithTheirSender) {
  start(3);
  for (unsigned w = 0; w < 3; ++w) {
    command(w, pipeline::AddClient{ClientSlot{w}, tunnel(w), {}, policy_.get()});
    command(w, pipeline::RemoveClient{ClientSlot{w}});
  }
  wait_until([&] { return events_.size() == 6; });
  for (unsigned w = 0; w < 3; ++w) {
    EXPECT_EQ(std::ranges::count_if(events_, [&](const auto& e) { return number(e.worker) == w; }),
              2);
  }
}

TEST_F(WorkerPoolTest, AWorkerThatDoesNotTurnIsStalled) {
  start(2);
  EXPECT_TRUE(pool_->stalled().empty()) << "nothing to compare with";
  pollfd nothing{-1, 0, 0};
  (void)::poll(&nothing, 1, 300);
  EXPECT_TRUE(pool_->stalled().empty());
  pool_->stop();
  (void)pool_->stalled();
  EXPECT_EQ(pool_->stalled().size(), 2U);
}

TEST_F(WorkerPoolTest, PuntsArriveInOrderAndInPlace) {
  start(1);
  ASSERT_TRUE(pool_->send(WorkerIndex{0}, pipeline::ExpectSource{remote(1).ip}));
  constexpr std::size_t kPunts = 500;
  for (std::size_t i = 0; i < kPunts; ++i) {
    ByteVector stun(20, 0);
    store_be32(stun.data() + 4, 0x2112A442);
    store_be32(stun.data() + 8, static_cast<std::uint32_t>(i));
    ports_[0]->deliver(stun, remote(1));
  }
  wait_until([&] { return punts_.size() == kPunts; });
  for (std::size_t i = 0; i < kPunts; ++i) EXPECT_EQ(load_be32(punts_[i].bytes.data() + 8), i);
}

TEST_F(WorkerPoolTest, AFullPuntRingIsCountedAndTheRestArrives) {
  start(1);
  ASSERT_TRUE(pool_->send(WorkerIndex{0}, pipeline::ExpectSource{remote(1).ip}));
  for (int i = 0; i < 1200; ++i) {
    ByteVector stun(20, 0);
    store_be32(stun.data() + 4, 0x2112A442);
    ports_[0]->deliver(stun, remote(1));
  }
  const auto dropped = [&] {
    return pool_->total().drops[static_cast<std::size_t>(DropReason::punt_ring_full)];
  };
  for (int i = 0; i < 2000 && pool_->total().punts + dropped() < 1200; ++i) {
    pollfd nothing{-1, 0, 0};
    (void)::poll(&nothing, 1, 5);
  }
  EXPECT_EQ(pool_->total().punts, 1024U);
  EXPECT_EQ(dropped(), 176U);
  wait_until([&] { return punts_.size() == 1024; });
}

TEST_F(WorkerPoolTest, AStrangersPuntWaitsForSevenOfClientsButNotForAll) {
  start(1);
  ASSERT_TRUE(pool_->send(WorkerIndex{0}, pipeline::ExpectSource{remote(1).ip}));
  ByteVector stun(20, 0);
  store_be32(stun.data() + 4, 0x2112A442);
  const auto deliver = [&](const SocketAddress& from, int count) {
    for (int i = 0; i < count; ++i) ports_[0]->deliver(stun, from);
  };
  deliver(remote(2), 4);
  deliver(remote(1), 40);
  for (int i = 0; i < 2000 && pool_->total().punts < 44; ++i) {
    pollfd nothing{-1, 0, 0};
    (void)::poll(&nothing, 1, 5);
  }
  take_all();
  ASSERT_EQ(punts_.size(), 44U);
  std::vector<std::size_t> strangers;
  for (std::size_t i = 0; i < punts_.size(); ++i) {
    if (punts_[i].from == remote(2)) strangers.push_back(i);
  }
  EXPECT_EQ(strangers, (std::vector<std::size_t>{7, 15, 23, 31}));
}

TEST_F(WorkerPoolTest, ARefusedCommandIsUntouchedAndCounted) {
  start(1);
  // The worker drains while we fill: keep on until one is refused, or it is too fast for us
  // altogether.
  std::size_t refused = 0;
  for (int i = 0; i < 200'000 && refused == 0; ++i) {
    pipeline::Command c = pipeline::SendInner{.slot = ClientSlot{9}, .length = 1280};
    if (!pool_->send(WorkerIndex{0}, std::move(c))) {
      ++refused;
      EXPECT_TRUE(std::holds_alternative<pipeline::SendInner>(c));
    }
  }
  EXPECT_EQ(pool_->total().drops[static_cast<std::size_t>(DropReason::command_ring_full)], refused);
}

TEST_F(WorkerPoolTest, StopFinishesWhatWasCommanded) {
  start(2);
  for (unsigned n = 0; n < 100; ++n) {
    ASSERT_TRUE(pool_->send(WorkerIndex{1},
                            pipeline::AddClient{ClientSlot{n}, tunnel(n), {}, policy_.get()}));
    ASSERT_TRUE(pool_->send(WorkerIndex{1}, pipeline::RemoveClient{ClientSlot{n}}));
  }
  pool_->stop();
  take_all();
  EXPECT_EQ(count<pipeline::ClientRemoved>(), 100U);
  EXPECT_EQ(count<pipeline::PolicyRetired>(), 100U);
  pool_->stop();
}

TEST_F(WorkerPoolTest, OwnDatagramsGoByTheSender) {
  start(1);
  const ByteVector bytes{1, 2, 3};
  const std::array batch{
      OutgoingDatagrams{.to = remote(1), .from = ip("198.51.100.1"), .segment = 3, .bytes = bytes},
      OutgoingDatagrams{.to = remote(2), .from = {}, .segment = 3, .bytes = bytes}};
  EXPECT_TRUE(pool_->udp_send(batch));
  ASSERT_EQ(sender_->sent.size(), 2U);
  EXPECT_EQ(sender_->sent[0].to, remote(1));
  EXPECT_EQ(sender_->sent[1].to, remote(2));
  EXPECT_EQ(sender_->sent[1].bytes, bytes);
}

TEST_F(WorkerPoolTest, SixteenWorkersStartAndStop) {
  start(16, {.clients_max = 16, .aead = {}, .pin = true});
  EXPECT_EQ(pool_->size(), 16U);
  auto client = connect(15, 1);
  ports_[15]->deliver(seal(client, request(1)), remote(1));
  EXPECT_EQ(ports_[15]->wait_tun(1).size(), 1U);
}

}  // namespace
}  // namespace fg::runtime::testing
