#include "flow/tracker.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/packets.h"

namespace fg::flow {
namespace {

using test::ip;

constexpr std::uint8_t kFin = 0x01;
constexpr std::uint8_t kSyn = 0x02;
constexpr std::uint8_t kRst = 0x04;
constexpr std::uint8_t kAck = 0x10;

OuterPath path(std::uint16_t port) {
  return {{ip("203.0.113.7"), port}, {ip("198.51.100.2"), 51820}};
}

struct World final : Sink {
  explicit World(std::size_t flows_max = 64) : tracker(*this, 7, flows_max) {
    tracker.set(true, now);
  }
  Event* reserve_flow_event() noexcept override {
    if (events.size() == room) return nullptr;
    return &events.emplace_back();
  }
  void tx(const Key& key, std::uint8_t flags, std::uint32_t bytes = 0, std::uint16_t port = 1) {
    tracker.on_tx(key, path(port), {1, bytes, flags}, kNoName, now);
  }
  void rx(const Key& key, std::uint8_t flags, std::uint32_t bytes = 0, std::uint32_t packets = 1) {
    tracker.on_rx(key, {packets, bytes, flags}, now);
  }
  // To that time, on_timeout() whenever it is asked for.
  void pass(Duration time) {
    const auto until = now + time;
    while (const auto due = tracker.wakeup()) {
      if (due->at > until) break;
      now = std::max(now, due->at);
      tracker.on_timeout(now);
    }
    now = until;
  }
  template <class What>
  [[nodiscard]] std::size_t count() const {
    std::size_t n = 0;
    for (const auto& event : events) n += std::holds_alternative<What>(event.what) ? 1U : 0U;
    return n;
  }
  [[nodiscard]] const Completed& completed() const {
    return std::get<Completed>(events.back().what);
  }

  std::vector<Event> events;
  std::size_t room = 1'000'000;
  Instant now{1000s};
  Tracker tracker;
};

Key tcp(std::uint16_t port = 40'000) {
  Key key;
  key.client = ClientId{{1}};
  key.resource = ResourceId{{2}};
  key.inner_client = ip("100.80.3.17");
  key.remote = ip("10.20.0.5");
  key.client_port = port;
  key.remote_port = 443;
  return key;
}
Key udp(std::uint16_t port = 40'000) {
  auto key = tcp(port);
  key.protocol = Protocol::udp;
  return key;
}

TEST(FlowTracker, CountsPayloadOfBothDirectionsUntilBothHaveEnded) {
  World w;
  w.tx(tcp(), kSyn);
  const auto start = w.now;
  w.rx(tcp(), kSyn | kAck);
  w.tx(tcp(), kAck);
  w.tx(tcp(), kAck, 100);
  w.rx(tcp(), kAck, 2000, 2);
  w.rx(tcp(), kFin | kAck);
  w.tx(tcp(), kFin | kAck);
  w.now += 100ms;
  w.rx(tcp(), kAck);
  const auto last = w.now;
  EXPECT_EQ(w.count<Completed>(), 0U) << "the last acknowledgement still counts";
  w.pass(2s);
  ASSERT_EQ(w.events.size(), 2U);
  const auto& started = std::get<Started>(w.events[0].what);
  EXPECT_EQ(started.key, tcp());
  EXPECT_EQ(started.path, path(1));
  EXPECT_EQ(w.events[0].at, start);
  EXPECT_EQ(w.events[1].flow, w.events[0].flow);
  EXPECT_EQ(w.events[1].at, last) << "the end is the last packet";
  EXPECT_EQ(w.completed().last_packet, last);
  EXPECT_EQ(w.completed().tx_packets, 4U);
  EXPECT_EQ(w.completed().tx_bytes, 100U);
  EXPECT_EQ(w.completed().rx_packets, 5U);
  EXPECT_EQ(w.completed().rx_bytes, 2000U);
  EXPECT_EQ(w.tracker.counters().open, 0U);
  EXPECT_FALSE(w.tracker.wakeup());
}

TEST(FlowTracker, ARepeatedSynIsARetransmissionWhateverTheServerSaid) {
  World w;
  w.tx(tcp(), kSyn);
  w.tx(tcp(), kSyn);
  w.rx(tcp(), kSyn | kAck);
  w.tx(tcp(), kSyn);
  EXPECT_EQ(w.events.size(), 1U);
}

TEST(FlowTracker, ASynAfterTheClientSentMoreIsAnotherFlow) {
  World w;
  w.tx(tcp(), kSyn);
  w.rx(tcp(), kSyn | kAck);
  w.tx(tcp(), kAck);
  w.now += 1s;
  w.tx(tcp(), kSyn);
  ASSERT_EQ(w.events.size(), 3U);
  EXPECT_EQ(std::get<Completed>(w.events[1].what).tx_packets, 2U);
  EXPECT_EQ(w.events[1].at, w.now);
  EXPECT_TRUE(std::holds_alternative<Started>(w.events[2].what));
}

TEST(FlowTracker, WhatEndsOrOnlyAcknowledgesOpensNothing) {
  World w;
  for (const auto flags : {kAck, kFin, kRst, std::uint8_t{kFin | kAck}, std::uint8_t{kRst | kAck}})
    w.tx(tcp(), flags);
  w.rx(tcp(), kAck, 10);
  EXPECT_TRUE(w.events.empty());
  w.tx(tcp(), kAck, 10);
  EXPECT_EQ(w.count<Started>(), 1U) << "data without its SYN, after a restart of ours";
}

TEST(FlowTracker, AResetOfEitherSideEndsAtOnce) {
  for (const bool is_client : {true, false}) {
    World w;
    w.tx(tcp(), kSyn);
    w.now += 1s;
    is_client ? w.tx(tcp(), kRst) : w.rx(tcp(), kRst | kAck);
    ASSERT_EQ(w.count<Completed>(), 1U);
    EXPECT_EQ(w.events.back().at, w.now);
    w.rx(tcp(), kAck, 5);
    w.tx(tcp(), kAck);
    EXPECT_EQ(w.events.size(), 2U);
  }
}

TEST(FlowTracker, EndsWhatWasIdleForMoreThanTwoMinutes) {
  World w;
  w.tx(udp(), 0, 4);
  w.pass(119s);
  w.rx(udp(), 0, 4);
  const auto last = w.now;
  w.pass(120s);
  EXPECT_EQ(w.count<Completed>(), 0U) << "two minutes are not more than two minutes";
  w.pass(2s);
  ASSERT_EQ(w.count<Completed>(), 1U);
  EXPECT_GT(w.events.back().at, last + 120s);
  EXPECT_LE(w.events.back().at, last + 122s);
  EXPECT_EQ(w.completed().last_packet, last);
  EXPECT_EQ(w.completed().rx_bytes, 4U);
}

TEST(FlowTracker, EndsIdleFlowsAfterTheMachineSlept) {
  World w{256};
  for (std::uint16_t i = 0; i < 50; ++i, w.now += 3s) w.tx(udp(i), 0, 1);
  w.now += 24h;
  w.tracker.on_timeout(w.now);
  w.pass(1s);
  EXPECT_EQ(w.count<Completed>(), 50U);
}

TEST(FlowTracker, NamesEveryPathUntilTheSeventeenthSplits) {
  World w;
  w.tx(udp(), 0, 1, 1);
  for (std::uint16_t i = 2; i <= 16; ++i) {
    w.now += 1s;
    w.tx(udp(), 0, 1, i);
    w.tx(udp(), 0, 1, i);
    ASSERT_EQ(w.events.size(), i);
    EXPECT_EQ(std::get<PathChanged>(w.events.back().what).path, path(i));
    EXPECT_EQ(w.events.back().at, w.now);
  }
  w.tx(udp(), 0, 1, 1);
  ASSERT_EQ(w.events.size(), 18U);
  EXPECT_EQ(std::get<Completed>(w.events[16].what).tx_packets, 31U);
  EXPECT_EQ(std::get<Started>(w.events[17].what).path, path(1));
}

TEST(FlowTracker, APathReturnedToIsNamedAgain) {
  World w;
  w.tx(tcp(), kSyn, 0, 1);
  w.tx(tcp(), kAck, 1, 2);
  w.tx(tcp(), kAck, 1, 1);
  EXPECT_EQ(w.count<PathChanged>(), 2U);
}

TEST(FlowTracker, KeepsFlowsOfDifferentKeysApart) {
  World w;
  auto other_resource = tcp();
  other_resource.resource = ResourceId{{3}};
  auto other_client = tcp();
  other_client.client = ClientId{{9}};
  for (const auto& key : {tcp(), tcp(40'001), udp(), other_resource, other_client}) w.tx(key, kSyn);
  EXPECT_EQ(w.count<Started>(), 5U);
}

Key udp_of(std::uint8_t client, std::uint16_t port) {
  auto key = udp(port);
  key.client = ClientId{{client}};
  return key;
}

TEST(FlowTracker, OpensNoMoreThanItHoldsAndCountsTheRest) {
  World w{64};
  for (std::uint16_t i = 0; i < 65; ++i) w.tx(udp_of(static_cast<std::uint8_t>(i / 13), i), 0);
  EXPECT_EQ(w.count<Started>(), 64U);
  EXPECT_EQ(w.tracker.counters().table_full, 1U);
  w.pass(122s);
  EXPECT_EQ(w.count<Completed>(), 64U);
  w.tx(udp_of(4, 64), 0);
  EXPECT_EQ(w.count<Started>(), 65U);
}

TEST(FlowTracker, AClientHasAQuarterOfTheRoomAndTheOthersTheRest) {
  World w{64};
  for (std::uint16_t i = 0; i < 40; ++i) w.tx(udp_of(1, i), 0);
  EXPECT_EQ(w.count<Started>(), 16U);
  EXPECT_EQ(w.tracker.counters().share_full, 24U);
  for (std::uint16_t i = 0; i < 16; ++i) w.tx(udp_of(2, i), 0);
  EXPECT_EQ(w.count<Started>(), 32U);
  w.pass(122s);
  w.tx(udp_of(1, 16), 0);
  EXPECT_EQ(w.count<Started>(), 33U);
  EXPECT_EQ(w.tracker.counters().table_full, 0U);
}

TEST(FlowTracker, ManyFlowsComeAndGoWithoutLosingOne) {
  World w{4096};
  for (int round = 0; round < 20; ++round) {
    for (std::uint16_t i = 0; i < 1024; ++i)
      w.tx(tcp(static_cast<std::uint16_t>(i * 7 + round)), kSyn);
    for (std::uint16_t i = 0; i < 1024; ++i)
      w.rx(tcp(static_cast<std::uint16_t>((1023 - i) * 7 + round)), kRst);
  }
  EXPECT_EQ(w.count<Started>(), 20U * 1024);
  EXPECT_EQ(w.count<Completed>(), 20U * 1024);
  EXPECT_EQ(w.tracker.counters().open, 0U);
}

TEST(FlowTracker, WhatHasNoRoomIsNotOpenedAndWhatIsOpenEndsWhenThereIsRoom) {
  World w;
  w.tx(tcp(), kSyn);
  w.room = 1;
  w.tx(tcp(40'001), kSyn);
  w.tx(tcp(), kAck, 1, 2);
  w.rx(tcp(), kRst);
  EXPECT_EQ(w.events.size(), 1U);
  EXPECT_GE(w.tracker.counters().ring_full, 3U);
  const auto last = w.now;
  w.room = 3;
  w.pass(2s);
  ASSERT_EQ(w.count<Completed>(), 1U);
  EXPECT_EQ(w.events.back().at, last);
  w.tx(tcp(40'001), kSyn);
  EXPECT_EQ(w.count<Started>(), 2U);
}

TEST(FlowTracker, SwitchedOffItCompletesEverythingAFewAtATime) {
  World w{8000};
  for (std::uint16_t i = 0; i < 2000; ++i) w.tx(udp(i), 0);
  w.now += 1s;
  w.tracker.set(false, w.now);
  ASSERT_TRUE(w.tracker.wakeup());
  EXPECT_EQ(w.tracker.wakeup()->at, w.now);
  w.tracker.on_timeout(w.now);
  EXPECT_LT(w.count<Completed>(), 2000U);
  w.pass(0s);
  EXPECT_EQ(w.count<Completed>(), 2000U);
  EXPECT_EQ(w.events.back().at, w.now);
  EXPECT_FALSE(w.tracker.wakeup());
  w.tracker.set(true, w.now);
  w.tx(udp(1), 0);
  EXPECT_EQ(w.count<Started>(), 2001U);
}

TEST(FlowTracker, AFlowThatEndedIsNotCompletedAgain) {
  World w;
  w.tx(tcp(), kSyn);
  w.rx(tcp(), kRst);
  w.tx(udp(), 0);
  w.pass(122s);
  ASSERT_EQ(w.count<Completed>(), 2U);
  w.tracker.set(false, w.now);
  w.pass(0s);
  EXPECT_EQ(w.count<Completed>(), 2U);
}

TEST(FlowTracker, TrafficAloneAsksForNoAttention) {
  World w;
  w.tx(udp(), 0);
  const auto due = w.tracker.wakeup();
  ASSERT_TRUE(due);
  EXPECT_GT(due->at, w.now + 120s);
  for (int i = 0; i < 100; ++i, w.now += 1s) w.rx(udp(), 0, 100);
  EXPECT_EQ(w.tracker.wakeup()->at, due->at);
}

}  // namespace
}  // namespace fg::flow
