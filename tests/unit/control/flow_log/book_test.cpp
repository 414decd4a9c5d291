#include "control/flow_log/book.h"

#include <gtest/gtest.h>

#include "tests/unit/control/flow_log/samples.h"

namespace fg::flow_log {
namespace {

constexpr WorkerIndex kWorker{1};
constexpr Instant kBoot{100s};
const WallTime kWall{std::chrono::seconds{1'790'000'000}};

flow::OuterPath path(std::uint16_t port) {
  return {{test::ip("203.0.113.7"), port}, {test::ip("198.51.100.2"), 1}};
}
flow::Event started(std::uint32_t id, Instant at = kBoot) {
  return {id, at, flow::Started{test::key(), path(1)}};
}

Book::Beginning everyones(const flow::Started&) { return {test::ingest(), ""}; }
Book::Beginning nobodys(const flow::Started&) { return {}; }

TEST(FlowBook, JoinsBeginningPathsAndEndToOneRecord) {
  Book book{kBoot, kWall};
  const auto named = [](const flow::Started& of) {
    EXPECT_EQ(of.name, 7U);
    return Book::Beginning{test::ingest(), "db.example.com"};
  };
  const auto open =
      book.on_event(kWorker, {3, kBoot + 5s, flow::Started{test::key(), path(1), 7}}, named);
  ASSERT_TRUE(open);
  EXPECT_FALSE(open->end);
  EXPECT_EQ(open->start, kWall + 5s);
  EXPECT_FALSE(book.on_event(kWorker, {3, kBoot + 6s, flow::PathChanged{path(2)}}, named));
  const auto record =
      book.on_event(kWorker, {3, kBoot + 9s, flow::Completed{kBoot + 8s, 1, 2, 3, 4}}, named);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->domain, "db.example.com");
  EXPECT_EQ(record->start, kWall + 5s);
  ASSERT_EQ(record->outers.size(), 2U);
  EXPECT_EQ(record->outers[1].path, path(2));
  EXPECT_EQ(record->outers[1].activated, kWall + 6s);
  EXPECT_EQ(record->end->at, kWall + 9s);
  EXPECT_EQ(record->end->last_packet, kWall + 8s);
  EXPECT_EQ(record->end->tx_bytes, 4U);
  EXPECT_EQ(book.open(), 0U);
}

TEST(FlowBook, AFlowKeepsTheTokenItBeganWith) {
  Book book{kBoot, kWall};
  const auto first = test::ingest();
  (void)book.on_event(kWorker, started(1),
                      [&](const flow::Started&) { return Book::Beginning{first, ""}; });
  const auto record = book.on_event(kWorker, {1, kBoot + 1s, flow::Completed{}}, everyones);
  EXPECT_EQ(record->whose, first);
}

TEST(FlowBook, WhatIsNobodysIsNotRecordedNotEvenItsEnd) {
  Book book{kBoot, kWall};
  EXPECT_FALSE(book.on_event(kWorker, started(1), nobodys));
  EXPECT_FALSE(book.on_event(kWorker, {1, kBoot, flow::PathChanged{path(2)}}, everyones));
  EXPECT_FALSE(book.on_event(kWorker, {1, kBoot, flow::Completed{}}, everyones));
  EXPECT_EQ(book.open(), 0U);
}

TEST(FlowBook, FlowsOfDifferentWorkersDoNotMix) {
  Book book{kBoot, kWall};
  (void)book.on_event(kWorker, started(1), everyones);
  (void)book.on_event(WorkerIndex{2}, started(1, kBoot + 1s), everyones);
  EXPECT_EQ(book.open(), 2U);
  EXPECT_EQ(book.on_event(kWorker, {1, kBoot + 2s, flow::Completed{}}, everyones)->start, kWall);
}

TEST(FlowBook, HoldsNoMorePathsThanARecordMayName) {
  Book book{kBoot, kWall};
  (void)book.on_event(kWorker, started(1), everyones);
  for (std::uint16_t i = 2; i < 40; ++i)
    (void)book.on_event(kWorker, {1, kBoot, flow::PathChanged{path(i)}}, everyones);
  EXPECT_EQ(book.on_event(kWorker, {1, kBoot, flow::Completed{}}, everyones)->outers.size(),
            flow::kPathsMax);
}

}  // namespace
}  // namespace fg::flow_log
