#include "control/flow_log/delivery.h"

#include <gtest/gtest.h>

namespace fg::flow_log {
namespace {

using Range = Delivery::Range;

struct World {
  SeededRandom random{1};
  Delivery delivery;
  WallTime wall{std::chrono::seconds{1'790'000'000}};
  explicit World(std::size_t records) : delivery(records, random) {}
  bool status(unsigned code, std::optional<std::string_view> retry_after = std::nullopt) {
    return delivery.on_status(code, retry_after, wall);
  }
};

TEST(Delivery, StoredRecordsAreDone) {
  for (const unsigned status : {200U, 201U, 202U, 204U}) {
    World w{5};
    EXPECT_EQ(w.delivery.next(), (Range{0, 5}));
    EXPECT_TRUE(w.status(status));
    EXPECT_FALSE(w.delivery.next());
    EXPECT_FALSE(w.delivery.was_refused());
  }
}

TEST(Delivery, TooLargeIsHalvedUntilOneRecordIsLeftWhichStays) {
  World w{3};
  EXPECT_FALSE(w.status(413));
  EXPECT_EQ(w.delivery.next(), (Range{0, 1}));
  EXPECT_FALSE(w.status(413));
  EXPECT_TRUE(w.delivery.was_refused());
  EXPECT_EQ(w.delivery.next(), (Range{1, 2}));
  EXPECT_FALSE(w.status(413));
  EXPECT_EQ(w.delivery.next(), (Range{1, 1}));
  EXPECT_TRUE(w.status(200));
  EXPECT_EQ(w.delivery.next(), (Range{2, 1}));
  EXPECT_TRUE(w.status(200));
  EXPECT_FALSE(w.delivery.next());
}

TEST(Delivery, TooManyWaitsAsToldAndSpendsNothing) {
  World w{1};
  (void)w.status(429, "7");
  EXPECT_EQ(w.delivery.pause(), 7s);
  (void)w.status(429);
  EXPECT_EQ(w.delivery.pause(), 1s);
  (void)w.status(429, "soon");
  EXPECT_EQ(w.delivery.pause(), 1s);
  for (int i = 0; i < 100; ++i) (void)w.status(429, "3600");
  EXPECT_EQ(w.delivery.next(), (Range{0, 1}));
  EXPECT_TRUE(w.status(200));
}

TEST(Delivery, ServersInTroubleAreAskedAgainForFiveMinutes) {
  for (const unsigned status : {408U, 500U, 502U, 503U, 0U}) {
    World w{2};
    Duration spent{};
    int tries = 0;
    Duration first{};
    while (w.delivery.next()) {
      if (status == 0)
        w.delivery.on_failure();
      else
        (void)w.status(status);
      if (tries++ == 0) first = w.delivery.pause();
      EXPECT_LE(w.delivery.pause(), 60s);
      spent += w.delivery.pause();
    }
    EXPECT_GE(first, 250ms);
    EXPECT_LE(first, 750ms);
    EXPECT_GT(spent, 3min);
    EXPECT_LE(spent, 5min);
    EXPECT_GT(tries, 10);
    EXPECT_TRUE(w.delivery.was_refused());
  }
}

TEST(Delivery, EveryOtherStatusKeepsTheBatch) {
  for (const unsigned status : {303U, 304U, 400U, 401U, 403U, 404U, 422U, 100U}) {
    World w{2};
    EXPECT_FALSE(w.status(status));
    EXPECT_FALSE(w.delivery.next());
    EXPECT_TRUE(w.delivery.was_refused());
  }
}

TEST(Delivery, OnlyFourStatusesRedirect) {
  for (unsigned status = 300; status < 400; ++status)
    EXPECT_EQ(is_redirect(status),
              status == 301 || status == 302 || status == 307 || status == 308);
}

TEST(Delivery, TheBodyListsTheRecordsOfItsRange) {
  EXPECT_EQ(body_of({"{\"a\":1}", "{}", "{\"b\":2}"}, {0, 2}), R"({"flow_logs":[{"a":1},{}]})");
  EXPECT_EQ(body_of({"{}", "{\"b\":2}"}, {1, 1}), R"({"flow_logs":[{"b":2}]})");
}

}  // namespace
}  // namespace fg::flow_log
