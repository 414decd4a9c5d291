// What arrives at a worker and belongs to another one (pipeline/inbound.cpp).
#include "tests/unit/pipeline/world.h"

namespace fg::pipeline::testing {
namespace {

class TwoWorkers : public World {
 protected:
  TwoWorkers()
      : second_({.worker = WorkerIndex{1}, .workers = 2, .clients_max = 16}, engine_, second_out_) {
  }
  void TearDown() override {
    World::TearDown();
    expect_conserved(second_);
  }
  Recorder second_out_;
  Pipeline second_;
};

TEST_F(TwoWorkers, AnotherWorkersDataIsHandedOverAndDeliveredThere) {
  Recorder first_out;
  Pipeline first{{.worker = WorkerIndex{0}, .workers = 2, .clients_max = 16}, engine_, first_out};
  RemoteClient client{engine_, ClientSlot{4}, make_receiver_index(WorkerIndex{1}, 99, 1), 5, now_};
  second_.apply(AddClient{ClientSlot{4}, tunnel_v4(4), tunnel_v6(4), allow_all_.get()}, now_);
  second_.apply(client.install(), now_);
  second_.flush(now_);

  std::vector<ByteVector> datagrams;
  std::vector<ReceivedDatagrams> batch;
  for (std::uint8_t i = 0; i < 150; ++i) {
    datagrams.push_back(client.seal(
        udp().from(tunnel_v4(4), 5000).to("10.1.2.3", i).payload(ByteVector(50, i)).build()));
  }
  for (auto& d : datagrams) {
    batch.push_back({.bytes = d,
                     .segment = static_cast<std::uint16_t>(d.size()),
                     .ecn = 3,
                     .from = remote(4),
                     .local = {}});
  }
  first.on_datagrams(batch, now_);
  ASSERT_EQ(first_out.handoffs.size(), 150U);
  EXPECT_EQ(first_out.handoffs[0].first, WorkerIndex{1});
  for (auto& [worker, handoff] : first_out.handoffs) {
    auto slot = handoff;
    second_.on_handoff(slot, now_);
    slot.bytes.fill(0xFF);  // the ring's place is used again at once
  }
  second_.flush(now_);
  EXPECT_EQ(second_out_.tun.size(), 150U);
  for (std::uint8_t i = 0; i < second_out_.tun.size(); ++i) EXPECT_EQ(second_out_.tun[i].back(), i);
  expect_conserved(first);
}

TEST_F(TwoWorkers, AHandoffIsNeverHandedOnAgain) {
  Handoff stray;
  const auto message = [&] {
    ByteVector m(60, 0);
    store_be32(m.data(), 0x04000000);
    store_le32(m.data() + 4, number(make_receiver_index(WorkerIndex{0}, 1, 1)));
    return m;
  }();
  std::copy(message.begin(), message.end(), stray.bytes.begin());
  stray.length = 60;
  second_.on_handoff(stray, now_);
  second_.flush(now_);
  EXPECT_TRUE(second_out_.handoffs.empty());
  EXPECT_EQ(second_.counters().drops.of(DropReason::unknown_receiver), 1U);
}

TEST_F(TwoWorkers, AWorkerThatDoesNotExistAndAFullRingAreCounted) {
  auto client = connect(1);
  auto message = client.seal(request(1));
  store_le32(message.data() + 4, number(make_receiver_index(WorkerIndex{1}, kConnection + 1, 1)));
  receive(message, 1);
  EXPECT_EQ(dropped(DropReason::unknown_receiver), 1U);
  Recorder out;
  out.handoffs_max = 0;
  Pipeline p{{.worker = WorkerIndex{0}, .workers = 2, .clients_max = 1}, engine_, out};
  ReceivedDatagrams r{.bytes = message,
                      .segment = static_cast<std::uint16_t>(message.size()),
                      .ecn = 0,
                      .from = remote(1),
                      .local = {}};
  p.on_datagrams({&r, 1}, now_);
  EXPECT_EQ(p.counters().drops.of(DropReason::handoff_ring_full), 1U);
  expect_conserved(p);
}

}  // namespace
}  // namespace fg::pipeline::testing
