#include "wireguard/traffic_timers.h"

#include <gtest/gtest.h>

namespace fg::wireguard {
namespace {

constexpr Instant kStart{100h};

TEST(TrafficTimers, NothingIsDueWithoutTraffic) {
  TrafficTimers timers;
  EXPECT_EQ(timers.next(), Instant::max());
  timers.on_session(Role::responder, kStart, kStart);
  EXPECT_EQ(timers.next(), Instant::max());
  const auto due = timers.poll(kStart + 1h);
  EXPECT_FALSE(due.send_keepalive || due.handshake);
}

TEST(TrafficTimers, ReceivedDataIsAnsweredByAKeepaliveAfterTenSeconds) {
  TrafficTimers timers;
  timers.on_session(Role::responder, kStart, kStart);
  timers.on_data_received(kStart);
  timers.on_data_received(kStart + 3s);  // does not postpone
  EXPECT_EQ(timers.next(), kStart + 10s);
  EXPECT_FALSE(timers.poll(kStart + 10s - 1ns).send_keepalive);
  EXPECT_TRUE(timers.poll(kStart + 10s).send_keepalive);
  EXPECT_FALSE(timers.poll(kStart + 10s).send_keepalive) << "once";
  EXPECT_EQ(timers.next(), Instant::max());
}

TEST(TrafficTimers, AnythingSentMakesTheKeepaliveNeedless) {
  TrafficTimers timers;
  timers.on_data_received(kStart);
  timers.on_keepalive_sent(kStart + 1s);
  EXPECT_EQ(timers.next(), Instant::max());
  timers.on_data_received(kStart + 2s);
  timers.on_data_sent(kStart + 3s);
  EXPECT_FALSE(timers.poll(kStart + 12s).send_keepalive);
}

TEST(TrafficTimers, AKeepaliveNeverAsksForAKeepalive) {
  TrafficTimers timers;
  timers.on_keepalive_received(kStart);
  EXPECT_EQ(timers.next(), Instant::max());
}

TEST(TrafficTimers, SilenceAfterSentDataAsksForAHandshakeInEitherRole) {
  for (const Role role : {Role::initiator, Role::responder}) {
    TrafficTimers timers;
    timers.on_session(role, kStart, kStart);
    timers.on_data_sent(kStart);
    timers.on_data_sent(kStart + 9s);  // counted from the first unanswered one
    EXPECT_EQ(timers.next(), kStart + 15s);
    EXPECT_FALSE(timers.poll(kStart + 15s - 1ns).handshake);
    const auto due = timers.poll(kStart + 15s);
    EXPECT_TRUE(due.handshake && due.nothing_heard);
    EXPECT_FALSE(timers.poll(kStart + 16s).handshake) << "once";
    timers.on_data_sent(kStart + 20s);
    EXPECT_TRUE(timers.poll(kStart + 35s).handshake) << "again for new data";
  }
}

TEST(TrafficTimers, HearingAnythingEndsTheSilence) {
  TrafficTimers timers;
  timers.on_session(Role::responder, kStart, kStart);
  timers.on_data_sent(kStart);
  timers.on_keepalive_received(kStart + 14s);
  EXPECT_FALSE(timers.poll(kStart + 1h).handshake);
  timers.on_data_sent(kStart + 20s);
  timers.on_data_received(kStart + 21s);
  EXPECT_FALSE(timers.poll(kStart + 22s + 15s).handshake);
}

TEST(TrafficTimers, SentKeepalivesDoNotStartTheSilence) {
  TrafficTimers timers;
  timers.on_session(Role::responder, kStart, kStart);
  timers.on_keepalive_sent(kStart);
  EXPECT_EQ(timers.next(), Instant::max());
}

TEST(TrafficTimers, AnInitiatorRenewsAfter120SecondsWhenItSentData) {
  TrafficTimers timers;
  timers.on_session(Role::initiator, kStart, kStart);
  timers.on_data_sent(kStart + 1s);
  timers.on_keepalive_received(kStart + 2s);
  EXPECT_EQ(timers.next(), kStart + 120s);
  const auto due = timers.poll(kStart + 120s);
  EXPECT_TRUE(due.handshake);
  EXPECT_FALSE(due.nothing_heard);
}

TEST(TrafficTimers, AnInitiatorRenewsAfter165SecondsWhenItOnlyReceived) {
  TrafficTimers timers;
  timers.on_session(Role::initiator, kStart, kStart);
  timers.on_data_received(kStart + 1s);
  timers.on_keepalive_sent(kStart + 11s);
  EXPECT_EQ(timers.next(), kStart + 165s);
  EXPECT_TRUE(timers.poll(kStart + 165s).handshake);
}

TEST(TrafficTimers, AnIdleInitiatorRenewsAfter180Seconds) {
  TrafficTimers timers;
  timers.on_session(Role::initiator, kStart, kStart);
  timers.on_keepalive_sent(kStart);
  EXPECT_EQ(timers.next(), kStart + 180s);
  EXPECT_TRUE(timers.poll(kStart + 180s).handshake);
}

TEST(TrafficTimers, AResponderNeverRenewsByAge) {
  TrafficTimers timers;
  timers.on_session(Role::responder, kStart, kStart);
  timers.on_data_sent(kStart);
  timers.on_data_received(kStart + 1s);
  (void)timers.poll(kStart + 11s);
  EXPECT_FALSE(timers.poll(kStart + 200s).handshake);
}

TEST(TrafficTimers, AStartedHandshakeIsNotAskedForAgain) {
  TrafficTimers timers;
  timers.on_session(Role::initiator, kStart, kStart);
  timers.on_data_sent(kStart);
  timers.on_handshake_started(kStart + 1s);
  EXPECT_EQ(timers.next(), Instant::max());
  timers.on_data_sent(kStart + 2s);
  EXPECT_EQ(timers.next(), kStart + 17s) << "silence is watched from the next data on";
}

TEST(TrafficTimers, RenewingByAgeCanBeSwitchedOff) {
  TrafficTimers timers({.rekey_by_age = false});
  timers.on_session(Role::initiator, kStart, kStart);
  timers.on_data_sent(kStart);
  timers.on_keepalive_received(kStart + 1s);
  EXPECT_FALSE(timers.poll(kStart + 200s).handshake);
}

TEST(TrafficTimers, IcelessConnectionsUseShorterTimes) {
  TrafficTimers timers({.keepalive_timeout = 5s, .rekey_timeout = 2s});
  timers.on_session(Role::initiator, kStart, kStart);
  timers.on_data_sent(kStart);
  EXPECT_EQ(timers.next(), kStart + 7s);
  timers.on_data_received(kStart + 1s);
  EXPECT_EQ(timers.next(), kStart + 6s);
  TrafficTimers receiving({.keepalive_timeout = 5s, .rekey_timeout = 2s});
  receiving.on_session(Role::initiator, kStart, kStart);
  receiving.on_data_received(kStart + 1s);
  receiving.on_keepalive_sent(kStart + 2s);
  EXPECT_EQ(receiving.next(), kStart + 173s);
}

TEST(TrafficTimers, PersistentKeepaliveIsRestartedByAnyTraffic) {
  TrafficTimers timers({.persistent_keepalive = 25s});
  timers.on_session(Role::responder, kStart, kStart);
  EXPECT_EQ(timers.next(), kStart + 25s);
  timers.on_keepalive_received(kStart + 5s);
  EXPECT_EQ(timers.next(), kStart + 30s);
  EXPECT_TRUE(timers.poll(kStart + 30s).send_keepalive);
  timers.on_keepalive_sent(kStart + 30s);
  EXPECT_EQ(timers.next(), kStart + 55s);
}

}  // namespace
}  // namespace fg::wireguard
