// Spec policy 5.1-5.4 and 10.7.
#include "nat/flow_table.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::nat {
namespace {

using Kind = packet::ProtoClass::Kind;
using Found = FlowTable::Found;
using test::ip;

constexpr std::uint8_t kFin = 1;
constexpr std::uint8_t kSyn = 2;
constexpr std::uint8_t kRst = 4;

class FlowTableTest : public ::testing::Test {
 protected:
  FlowTableTest() { fill(); }
  void fill() {
    while (!store_.is_full()) store_.refill();
  }
  // What a worker does between batches.
  void make_room() {
    fill();
    table_.make_room(now_);
  }
  std::optional<std::uint16_t> send(const Inside& inside, std::uint8_t flags = 0) {
    make_room();
    const auto out = table_.on_outgoing(inside, real_, flags, now_);
    if (!out) return std::nullopt;
    EXPECT_EQ(out->kind, inside.kind);
    return out->port;
  }
  Found answer(const Outside& outside, std::uint8_t flags = 0) {
    return table_.on_incoming(outside, flags, now_, back_);
  }
  // From wake-up to wake-up, as a worker would.
  void advance(Duration by) {
    const auto end = now_ + by;
    while (const auto at = table_.next_sweep()) {
      if (*at > end) break;
      now_ = std::max(now_, *at);
      table_.sweep(now_);
    }
    now_ = end;
  }
  static Inside inside(Kind kind, std::uint16_t port, std::string_view proxy = "100.96.0.1") {
    return {{kind, port, ip(proxy)}};
  }
  static Outside outside(Kind kind, std::uint16_t port, std::string_view real = "192.0.2.1") {
    return {{kind, port, ip(real)}};
  }

  // Not on a whole second: deadlines are exact, sweeps are not.
  Instant now_{std::chrono::milliseconds{3'600'300}};
  FlowStore store_{42};
  FlowTable table_{store_, 42, now_};
  IpAddress real_ = ip("192.0.2.1");
  Inside back_;
  std::uint16_t ended_ = 0;
};

TEST_F(FlowTableTest, KeepsThePortAndTakesAnswersBack) {
  for (const auto kind : {Kind::tcp, Kind::udp, Kind::echo}) {
    EXPECT_EQ(send(inside(kind, 5000)), 5000);
    EXPECT_EQ(answer(outside(kind, 5000)), Found::live);
    EXPECT_EQ(back_, inside(kind, 5000));
  }
  EXPECT_EQ(answer(outside(Kind::tcp, 5001)), Found::unknown);
  EXPECT_EQ(answer(outside(Kind::tcp, 5000, "192.0.2.2")), Found::unknown);
  EXPECT_EQ(table_.size(), 3U);
}

TEST_F(FlowTableTest, ASecondNameOfTheSameRealAddressGetsTheNextPort) {
  EXPECT_EQ(send(inside(Kind::echo, 7)), 7);
  EXPECT_EQ(send(inside(Kind::echo, 7, "100.96.0.2")), 8);
  EXPECT_EQ(send(inside(Kind::echo, 7, "fd00:2021:1111:8000::1")), 9);
  EXPECT_EQ(send(inside(Kind::echo, 8, "100.96.0.2")), 10);
  EXPECT_EQ(answer(outside(Kind::echo, 8)), Found::live);
  EXPECT_EQ(back_, inside(Kind::echo, 7, "100.96.0.2"));
  EXPECT_EQ(answer(outside(Kind::echo, 9)), Found::live);
  EXPECT_EQ(back_, inside(Kind::echo, 7, "fd00:2021:1111:8000::1"));
}

TEST_F(FlowTableTest, PortsWrapBehind65535ToOneAndZeroIsKeptOnlyForZero) {
  EXPECT_EQ(send(inside(Kind::udp, 65535)), 65535);
  EXPECT_EQ(send(inside(Kind::udp, 65535, "100.96.0.2")), 1);
  EXPECT_EQ(send(inside(Kind::udp, 65535, "100.96.0.3")), 2);
  EXPECT_EQ(send(inside(Kind::udp, 0)), 0);
  EXPECT_EQ(send(inside(Kind::udp, 0, "100.96.0.2")), 3);
}

TEST_F(FlowTableTest, WithEveryPortTakenNothingMoreLeaves) {
  for (unsigned port = 1; port <= 65535; ++port)
    ASSERT_EQ(send(inside(Kind::udp, static_cast<std::uint16_t>(port))), port);
  EXPECT_EQ(send(inside(Kind::udp, 5, "100.96.0.2")), std::nullopt);
  EXPECT_EQ(send(inside(Kind::udp, 0, "100.96.0.2")), 0);
  EXPECT_EQ(send(inside(Kind::tcp, 5, "100.96.0.2")), 5);
  EXPECT_EQ(send(inside(Kind::udp, 5)), 5);
}

TEST_F(FlowTableTest, SearchesForAPortAreLimitedASecond) {
  table_.clear();
  FlowTable table{store_, 1, now_, {.looks_per_second = 3}};
  const auto from = [&](std::string_view proxy, std::uint16_t port) {
    return table.on_outgoing(inside(Kind::udp, port, proxy), real_, 0, now_).has_value();
  };
  for (std::uint16_t port = 1; port <= 3; ++port) EXPECT_TRUE(from("100.96.0.1", port));
  EXPECT_TRUE(from("100.96.0.2", 1));   // three looks
  EXPECT_FALSE(from("100.96.0.3", 4));  // none left
  EXPECT_TRUE(from("100.96.0.3", 5));   // free at once
  now_ += 1s;
  EXPECT_TRUE(from("100.96.0.3", 4));
}

TEST_F(FlowTableTest, AFlowKeepsItsRealAddressWhateverTheProxyStandsForNow) {
  EXPECT_EQ(send(inside(Kind::tcp, 5000)), 5000);
  real_ = ip("192.0.2.2");
  EXPECT_EQ(table_.on_outgoing(inside(Kind::tcp, 5000), real_, 0, now_)->address, ip("192.0.2.1"));
  EXPECT_EQ(table_.on_outgoing(inside(Kind::tcp, 5001), real_, 0, now_)->address, ip("192.0.2.2"));
  EXPECT_EQ(answer(outside(Kind::tcp, 5000)), Found::live);
  EXPECT_EQ(answer(outside(Kind::tcp, 5001, "192.0.2.2")), Found::live);
}

// ---- lifetimes ----

struct Lifetime {
  Kind kind;
  Duration confirmed;
};
TEST_F(FlowTableTest, ToldToFollowItGoesWhereItsProxyLeadsNow) {
  FlowTable table{store_, 1, now_};
  table.set_when_moved(FlowTable::WhenMoved::follows);
  const auto to = [&](const char* real) {
    return table.on_outgoing(inside(Kind::tcp, 5000), ip(real), 0, now_)->address;
  };
  EXPECT_EQ(to("192.0.2.1"), ip("192.0.2.1"));
  EXPECT_EQ(to("192.0.2.2"), ip("192.0.2.2"));
  Inside back;
  EXPECT_EQ(table.on_incoming(outside(Kind::tcp, 5000), 0, now_, back), Found::expired);
  EXPECT_EQ(table.on_incoming(outside(Kind::tcp, 5000, "192.0.2.2"), 0, now_, back), Found::live);
  EXPECT_EQ(table.size(), 1U);
}

class FlowLifetimeTest : public FlowTableTest, public ::testing::WithParamInterface<Lifetime> {};
INSTANTIATE_TEST_SUITE_P(Kinds, FlowLifetimeTest,
                         ::testing::Values(Lifetime{Kind::tcp, 7440s}, Lifetime{Kind::udp, 120s},
                                           Lifetime{Kind::echo, 120s}));

TEST_P(FlowLifetimeTest, WithoutAnswerItEndsSixtySecondsAfterTheLastPacketSent) {
  (void)send(inside(GetParam().kind, 5000));
  advance(59s);
  (void)send(inside(GetParam().kind, 5000));
  advance(60s - 1ns);
  EXPECT_EQ(table_.size(), 1U);
  advance(1s);
  EXPECT_EQ(table_.size(), 0U);
  EXPECT_EQ(answer(outside(GetParam().kind, 5000)), Found::expired);
}

TEST_P(FlowLifetimeTest, AnsweredItLivesOnFromTheLastPacketEitherWay) {
  const auto kind = GetParam().kind;
  (void)send(inside(kind, 5000));
  EXPECT_EQ(answer(outside(kind, 5000)), Found::live);
  advance(GetParam().confirmed - 1ns);
  EXPECT_EQ(answer(outside(kind, 5000)), Found::live);
  advance(GetParam().confirmed - 1ns);
  (void)send(inside(kind, 5000));
  advance(GetParam().confirmed - 1ns);
  EXPECT_EQ(table_.size(), 1U);
  advance(1s);
  EXPECT_EQ(answer(outside(kind, 5000)), Found::expired);
}

TEST_F(FlowTableTest, TcpKeepalivesOfTwoHoursKeepAConnection) {
  (void)send(inside(Kind::tcp, 5000));
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(answer(outside(Kind::tcp, 5000)), Found::live);
    advance(2h);
    (void)send(inside(Kind::tcp, 5000));
  }
  EXPECT_EQ(answer(outside(Kind::tcp, 5000)), Found::live);
}

TEST_F(FlowTableTest, AResetOfEitherSideEndsItAtTheNextSweep) {
  for (const bool outgoing : {true, false}) {
    (void)send(inside(Kind::tcp, 5000), kSyn);
    (void)answer(outside(Kind::tcp, 5000));
    advance(20s);
    if (outgoing)
      (void)send(inside(Kind::tcp, 5000), kRst);
    else
      EXPECT_EQ(answer(outside(Kind::tcp, 5000), kRst), Found::live);
    EXPECT_EQ(table_.size(), 1U);
    advance(1s);
    EXPECT_EQ(table_.size(), 0U);
  }
}

TEST_F(FlowTableTest, FinOfBothSidesEndsItAfterFiveSecondsOfOneSideNever) {
  (void)send(inside(Kind::tcp, 5000));
  (void)send(inside(Kind::tcp, 5000), kFin);
  (void)answer(outside(Kind::tcp, 5000));
  advance(100s);
  EXPECT_EQ(answer(outside(Kind::tcp, 5000), kFin), Found::live);
  advance(3s);
  EXPECT_EQ(answer(outside(Kind::tcp, 5000)), Found::live);
  advance(5s - 1ns);
  EXPECT_EQ(table_.size(), 1U);
  advance(1s);
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(FlowTableTest, AConnectionOpenedAgainIsNotAClosedOne) {
  (void)send(inside(Kind::tcp, 5000));
  (void)answer(outside(Kind::tcp, 5000), kFin);
  (void)send(inside(Kind::tcp, 5000), kFin);
  advance(4s);
  (void)send(inside(Kind::tcp, 5000), kSyn);
  advance(10s);
  EXPECT_EQ(answer(outside(Kind::tcp, 5000)), Found::live);
  (void)send(inside(Kind::tcp, 5000), kRst);
  (void)send(inside(Kind::tcp, 5000), kSyn);
  advance(10s);
  EXPECT_EQ(answer(outside(Kind::tcp, 5000)), Found::live);
}

TEST_F(FlowTableTest, TheFirstPacketsFlagsDoNotCloseWhatItOpens) {
  (void)send(inside(Kind::tcp, 5000), kRst | kFin);
  advance(59s);
  EXPECT_EQ(answer(outside(Kind::tcp, 5000), kFin), Found::live);
  advance(10s);
  EXPECT_EQ(table_.size(), 1U);
}

// ---- what expired ----

TEST_F(FlowTableTest, TheSamePortsAgainForgetThatTheyExpired) {
  (void)send(inside(Kind::udp, 5000));
  advance(61s);
  EXPECT_EQ(answer(outside(Kind::udp, 5000)), Found::expired);
  EXPECT_EQ(send(inside(Kind::udp, 5000)), 5000);
  EXPECT_EQ(table_.expired(), 0U);
  EXPECT_EQ(answer(outside(Kind::udp, 5000)), Found::live);
}

TEST_F(FlowTableTest, AnExpiredFlowIsForgottenAfterFiveMinutes) {
  (void)send(inside(Kind::udp, 5000));
  advance(61s);
  advance(298s);
  EXPECT_EQ(answer(outside(Kind::udp, 5000)), Found::expired);
  advance(2s);
  EXPECT_EQ(answer(outside(Kind::udp, 5000)), Found::unknown);
  EXPECT_TRUE(table_.is_empty());
  EXPECT_FALSE(table_.next_sweep());
}

TEST_F(FlowTableTest, APacketThatGoesThereDirectlyForgetsTheExpiredFlowOnly) {
  (void)send(inside(Kind::udp, 5000));
  advance(61s);
  (void)send(inside(Kind::udp, 5001));
  table_.on_direct(outside(Kind::udp, 5001));
  table_.on_direct(outside(Kind::tcp, 5000));
  EXPECT_EQ(answer(outside(Kind::udp, 5000)), Found::expired);
  table_.on_direct(outside(Kind::udp, 5000));
  EXPECT_EQ(answer(outside(Kind::udp, 5000)), Found::unknown);
  EXPECT_EQ(answer(outside(Kind::udp, 5001)), Found::live);
}

TEST_F(FlowTableTest, OfTheExpiredTheOldestAreForgottenFirst) {
  FlowTable table{store_, 1, now_, {.expired = 2}};
  for (std::uint16_t port = 1; port <= 3; ++port) {
    (void)table.on_outgoing(inside(Kind::udp, port), real_, 0, now_);
    now_ += 2s;
  }
  for (int i = 0; i < 70; ++i) table.sweep(now_ += 1s);
  EXPECT_EQ(table.expired(), 2U);
  EXPECT_EQ(table.on_incoming(outside(Kind::udp, 1), 0, now_, back_), Found::unknown);
  EXPECT_EQ(table.on_incoming(outside(Kind::udp, 2), 0, now_, back_), Found::expired);
  EXPECT_EQ(table.on_incoming(outside(Kind::udp, 3), 0, now_, back_), Found::expired);
}

// ---- limits ----

TEST_F(FlowTableTest, AtTheLimitTheOldestExpiredMakesRoomThenTheOldestUnansweredThenNobody) {
  FlowTable table{store_, 1, now_, {.flows = 3}};
  const auto begin = [&](std::uint16_t port) {
    return table.on_outgoing(inside(Kind::udp, port), real_, 0, now_).has_value();
  };
  const auto found = [&](std::uint16_t port) {
    return table.on_incoming(outside(Kind::udp, port), 0, now_, back_);
  };
  EXPECT_TRUE(begin(1));
  table.sweep(now_ += 61s);
  EXPECT_TRUE(begin(2) && begin(3));
  EXPECT_EQ(table.expired(), 1U);
  EXPECT_TRUE(begin(4));
  EXPECT_EQ(found(1), Found::unknown);
  EXPECT_EQ(found(2), Found::live);
  EXPECT_TRUE(begin(5));
  EXPECT_EQ(found(3), Found::unknown);
  EXPECT_EQ(found(4), Found::live);
  EXPECT_EQ(found(5), Found::live);
  EXPECT_FALSE(begin(6));
  EXPECT_TRUE(begin(5));
  EXPECT_EQ(table.size(), 3U);
}

TEST_F(FlowTableTest, WhatOutrunsItsRoomIsRefusedUntilThereIsMore) {
  const auto begin = [&](unsigned port) {
    return table_.on_outgoing(inside(Kind::udp, static_cast<std::uint16_t>(port)), real_, 0, now_)
        .has_value();
  };
  unsigned port = 0;
  while (begin(port + 1)) ++port;
  EXPECT_EQ(port, 448U);
  EXPECT_TRUE(begin(1)) << "a known flow needs no room";
  EXPECT_EQ(table_.next_sweep(), now_) << "and room is wanted at once";
  table_.sweep(now_);
  EXPECT_TRUE(begin(++port));
  // The index has room, the store has none left.
  FlowStore empty{1};
  FlowTable other{empty, 1, now_};
  EXPECT_FALSE(other.on_outgoing(inside(Kind::udp, 1), real_, 0, now_));
  EXPECT_EQ(empty.take_table(now_), nullptr);
  empty.refill();
  EXPECT_TRUE(other.on_outgoing(inside(Kind::udp, 1), real_, 0, now_));
  EXPECT_FALSE(empty.is_full());
}

TEST_F(FlowTableTest, AnIndexThatMovesLosesNobody) {
  std::size_t steps = 0;
  for (std::uint16_t port = 1; port <= 30'000; ++port) {
    fill();
    // Rarely, so that it is met at every state of a move; every third flow ends meanwhile.
    if (port % 97 == 0 && table_.next_sweep() <= now_ + 1ms) {
      table_.make_room(now_);
      ++steps;
    }
    ASSERT_TRUE(table_.on_outgoing(inside(Kind::tcp, port), real_, 0, now_));
    if (port % 3 == 0) (void)answer(outside(Kind::tcp, port), kRst);
    if (port % 1000 != 0) continue;
    for (std::uint16_t known = 1; known <= port; ++known) {
      ASSERT_EQ(answer(outside(Kind::tcp, known)),
                known % 3 == 0 && known <= ended_ ? Found::expired : Found::live)
          << known << " of " << port;
      ASSERT_EQ(back_.port, known % 3 == 0 && known <= ended_ ? back_.port : known);
    }
    if (port == 9000 || port == 17'000) {
      table_.sweep(now_ += 2s);
      ended_ = port;
    }
  }
  EXPECT_GT(steps, 5U);
}

TEST_F(FlowTableTest, ASweepTakesABoundedNumberAndTheRestSoonAfter) {
  FlowTable table{store_, 1, now_, {.per_sweep = 100}};
  for (std::uint16_t port = 1; port <= 250; ++port)
    (void)table.on_outgoing(inside(Kind::udp, port), real_, 0, now_);
  table.sweep(now_ += 61s);
  EXPECT_EQ(table.size(), 150U);
  EXPECT_EQ(table.next_sweep(), now_ + 1ms);
  table.sweep(now_ += 1ms);
  EXPECT_EQ(table.size(), 50U);
  table.sweep(now_ += 1ms);
  EXPECT_EQ(table.size(), 0U);
  EXPECT_GT(*table.next_sweep(), now_ + 1s);
}

// A batch looks for its flows before it has worked on the first packet.
TEST_F(FlowTableTest, WhatWasFoundAheadIsNotBelievedWhenTheFlowHasEndedSince) {
  FlowTable table{store_, 42, now_, {.flows = 1}};
  const auto first = inside(Kind::udp, 1);
  (void)table.on_outgoing(first, real_, 0, now_);
  FlowTable::Search search{42, first};
  ASSERT_TRUE(table.find_outgoing(search));
  // Takes the place of the first, which nobody has answered.
  (void)table.on_outgoing(inside(Kind::udp, 2), real_, 0, now_);
  const auto* again = table.on_outgoing(first, search, real_, 0, now_);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->inside(), first);
  EXPECT_EQ(again->outside(), outside(Kind::udp, 1));
}

TEST_F(FlowTableTest, WhatWasFoundAheadIsNotBelievedWhenTheFlowIsForgotten) {
  send(inside(Kind::tcp, 1));
  FlowTable::Search out{42, inside(Kind::tcp, 1)};
  FlowTable::Search back{42, outside(Kind::tcp, 1)};
  ASSERT_TRUE(table_.find_outgoing(out));
  ASSERT_TRUE(table_.find_incoming(back));
  send(inside(Kind::tcp, 1), kRst);
  advance(2s);
  EXPECT_EQ(table_.on_incoming(outside(Kind::tcp, 1), back, 0, now_).found, Found::expired);
  table_.on_direct(outside(Kind::tcp, 1));
  EXPECT_EQ(table_.on_incoming(outside(Kind::tcp, 1), back, 0, now_).found, Found::unknown);
  ASSERT_NE(table_.on_outgoing(inside(Kind::tcp, 1), out, real_, 0, now_), nullptr);
  EXPECT_EQ(table_.size(), 1U);
}

TEST_F(FlowTableTest, AFlowKnowsWhatItAddsToASum) {
  const auto* mapping = table_.on_outgoing(
      inside(Kind::udp, 9), FlowTable::Search{42, inside(Kind::udp, 9)}, real_, 0, now_);
  ASSERT_NE(mapping, nullptr);
  const auto sum = [](const FlowEnd& end) { return packet::sum_of(end.address.bytes()); };
  EXPECT_EQ(packet::add(sum(mapping->inside()), mapping->address_change), sum(mapping->outside()));
  EXPECT_EQ(mapping->port_change, 0xFFFF);  // the port stays: zero
}

TEST_F(FlowTableTest, LongSleepsLoseNothing) {
  (void)send(inside(Kind::tcp, 5000));
  (void)answer(outside(Kind::tcp, 5000));
  (void)send(inside(Kind::udp, 5000));
  table_.sweep(now_ += 1h);
  EXPECT_EQ(table_.size(), 1U);
  table_.sweep(now_ += 24h);
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(FlowTableTest, AClearedTableKnowsNothing) {
  (void)send(inside(Kind::udp, 5000));
  advance(61s);
  (void)send(inside(Kind::udp, 5001));
  table_.clear();
  EXPECT_TRUE(table_.is_empty());
  EXPECT_FALSE(table_.next_sweep());
  EXPECT_EQ(answer(outside(Kind::udp, 5000)), Found::unknown);
  EXPECT_EQ(answer(outside(Kind::udp, 5001)), Found::unknown);
  EXPECT_EQ(send(inside(Kind::udp, 5001, "100.96.0.2")), 5001);
}

TEST_F(FlowTableTest, AHundredThousandFlowsFitInto64MiB) {
  for (unsigned i = 0; i < 100'000; ++i) {
    const auto proxy = IpAddress::v4(100, 96, 0, static_cast<std::uint8_t>(1 + i / 50'000));
    const Inside key{{Kind::udp, static_cast<std::uint16_t>(i % 50'000), proxy}};
    const auto real = IpAddress::v4(192, 0, 2, static_cast<std::uint8_t>(1 + i / 50'000));
    make_room();
    ASSERT_TRUE(table_.on_outgoing(key, real, 0, now_));
  }
  EXPECT_EQ(table_.size(), 100'000U);
  EXPECT_LE(table_.memory(), 64U << 20);
  std::printf("100,000 flows: %zu KiB\n", table_.memory() >> 10);
}

}  // namespace
}  // namespace fg::nat
