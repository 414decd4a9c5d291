#include "control/turn/requests.h"

#include <gtest/gtest.h>

namespace fg::turn {
namespace {

constexpr Instant kStart{Duration{5'000'000'000'000}};
const SocketAddress kServer = *SocketAddress::parse("198.51.100.30:3478");
using Kind = Request::Kind;
using What = Requests::Due::What;

Request request(Kind kind, std::uint8_t id = 1) {
  return {.kind = kind, .to = kServer, .id = {id}};
}

// Times at which a request is sent again, and when it is given up.
std::vector<Duration> schedule(Kind kind) {
  Requests requests;
  requests.add(request(kind), kStart);
  std::vector<Duration> out;
  while (const auto at = requests.next()) {
    EXPECT_FALSE(requests.next_due(*at - 1ns));
    const auto due = requests.next_due(*at);
    out.push_back(*at - kStart);
    if (!due || due->what == What::give_up) break;
  }
  return out;
}

// spec connectivity 3.5 and 10.6
TEST(TurnRequests, AreSentAgainAt1And2500And4750AndGivenUpAt8125) {
  for (const Kind kind :
       {Kind::binding, Kind::allocate, Kind::refresh, Kind::remove, Kind::channel_bind}) {
    EXPECT_EQ(schedule(kind), (std::vector<Duration>{1s, 2500ms, 4750ms, 8125ms}));
  }
}

TEST(TurnRequests, ProactiveRefreshIsGivenUpAfterOneSecond) {
  EXPECT_EQ(schedule(Kind::proactive_refresh), (std::vector<Duration>{1s}));
}

TEST(TurnRequests, AQuestionAfterSilenceIsRepeatedSooner) {
  EXPECT_EQ(schedule(Kind::confirm),
            (std::vector<Duration>{200ms, 400ms, 600ms, 800ms, 1500ms, 2500ms, 4750ms, 8125ms}));
  Requests requests;
  requests.add(request(Kind::confirm), kStart);
  EXPECT_TRUE(requests.has_binding_to(kServer));
  EXPECT_FALSE(requests.has_binding_to(*SocketAddress::parse("198.51.100.31:3478")));
}

TEST(TurnRequests, ALateCallSkipsMissedSends) {
  Requests requests;
  requests.add(request(Kind::binding), kStart);
  EXPECT_EQ(requests.next_due(kStart + 5s)->what, What::resend);
  EXPECT_FALSE(requests.next_due(kStart + 5s));
  EXPECT_EQ(requests.next(), kStart + 8125ms);
}

TEST(TurnRequests, AVeryLateCallGivesUp) {
  Requests requests;
  requests.add(request(Kind::binding), kStart);
  EXPECT_EQ(requests.next_due(kStart + 9s)->what, What::give_up);
}

TEST(TurnRequests, AreFoundByTransactionMethodAndServer) {
  Requests requests;
  requests.add(request(Kind::binding, 1), kStart);
  requests.add(request(Kind::remove, 2), kStart);
  const auto other = *SocketAddress::parse("198.51.100.30:3479");
  EXPECT_EQ(requests.find({2}, stun::Method::refresh, kServer), 1U);
  EXPECT_FALSE(requests.find({2}, stun::Method::binding, kServer));
  EXPECT_FALSE(requests.find({3}, stun::Method::refresh, kServer));
  EXPECT_FALSE(requests.find({2}, stun::Method::refresh, other));
  EXPECT_TRUE(requests.has(stun::TransactionId{2}));
  EXPECT_FALSE(requests.has(stun::TransactionId{3}));
  EXPECT_EQ(requests.remove(0).kind, Kind::binding);
  EXPECT_EQ(requests.find({2}, stun::Method::refresh, kServer), 0U);
}

TEST(TurnRequests, KnowWhichPeersAreBeingBound) {
  Requests requests;
  auto bind = request(Kind::channel_bind);
  bind.peer = *SocketAddress::parse("192.0.2.1:1");
  requests.add(bind, kStart);
  EXPECT_TRUE(requests.has(Kind::channel_bind));
  EXPECT_FALSE(requests.has(Kind::refresh));
  EXPECT_TRUE(requests.has_bind_for(bind.peer));
  EXPECT_FALSE(requests.has_bind_for(*SocketAddress::parse("192.0.2.1:2")));
  requests.clear();
  EXPECT_TRUE(requests.empty());
  EXPECT_FALSE(requests.next());
}

}  // namespace
}  // namespace fg::turn
