#include "wireguard/handshake.h"

#include <gtest/gtest.h>

#include "tests/unit/wireguard/peers.h"

namespace fg::wireguard {
namespace {

using test::kStart;
using test::kWallStart;

class Handshakes : public testing::Test {
 protected:
  test::Peers peers_;
  Handshake client_{peers_.client, peers_.client_config(), peers_.random, kStart};
  Handshake gateway_{peers_.gateway, peers_.gateway_config(), peers_.random, kStart};

  InitiationBytes start(Handshake& who, Instant now = kStart) {
    who.start(now, kWallStart + (now - kStart));
    const auto out = who.poll_initiation();
    EXPECT_TRUE(out);
    return out.value_or(InitiationBytes{});
  }
  static Result<Handshake::Answer, HandshakeError> answer(Handshake& who, const Identity& identity,
                                                          Bytes message, Instant now = kStart) {
    EXPECT_TRUE(identity.verify_mac1(message));
    auto opened = open_initiation(identity, message);
    if (!opened) return fail(HandshakeError::unauthentic);
    return who.on_initiation(std::move(*opened), now);
  }
  // Everything the initiator sends on its own until `until`.
  static std::vector<Instant> run(Handshake& who, Instant until) {
    std::vector<Instant> sent;
    while (const auto next = who.wakeup()) {
      if (next->at > until) break;
      who.on_timeout(next->at, kWallStart + (next->at - kStart));
      if (who.poll_initiation()) sent.push_back(next->at);
      if (who.poll_event()) break;
    }
    return sent;
  }
};

void expect_same_keys(const SessionKeys& initiator, const SessionKeys& responder) {
  EXPECT_EQ(initiator.send, responder.receive);
  EXPECT_EQ(initiator.receive, responder.send);
  EXPECT_EQ(initiator.remote_index, number(responder.local_index));
  EXPECT_EQ(responder.remote_index, number(initiator.local_index));
  EXPECT_EQ(initiator.role, Role::initiator);
  EXPECT_EQ(responder.role, Role::responder);
}

TEST_F(Handshakes, GiveBothSidesTheSameKeys) {
  const InitiationBytes init = start(client_);
  EXPECT_EQ(init.size(), 148U);
  auto reply = answer(gateway_, peers_.gateway, init);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->response.size(), 92U);
  EXPECT_TRUE(peers_.client.verify_mac1(reply->response));
  const auto keys = client_.on_response(reply->response, kStart + 1s);
  ASSERT_TRUE(keys);
  expect_same_keys(*keys, reply->keys);
  EXPECT_EQ(keys->established, kStart + 1s);
  EXPECT_EQ(keys->local_index, ReceiverIndex{0x00C1'1E00});
  EXPECT_EQ(reply->keys.local_index, ReceiverIndex{0x3A7E'1100});
  EXPECT_FALSE(client_.is_waiting());
}

TEST_F(Handshakes, WorkWithoutAPreSharedKey) {
  peers_.psk = Secret<32>{};
  Handshake client(peers_.client, peers_.client_config(), peers_.random, kStart);
  Handshake gateway(peers_.gateway, peers_.gateway_config(), peers_.random, kStart);
  auto reply = answer(gateway, peers_.gateway, start(client));
  ASSERT_TRUE(reply);
  const auto keys = client.on_response(reply->response, kStart);
  ASSERT_TRUE(keys);
  expect_same_keys(*keys, reply->keys);
}

TEST_F(Handshakes, FailAtTheInitiatorWhenThePreSharedKeyDiffers) {
  HandshakeConfig config = peers_.gateway_config();
  config.preshared.data()[0] ^= 1;
  Handshake gateway(peers_.gateway, std::move(config), peers_.random, kStart);
  auto reply = answer(gateway, peers_.gateway, start(client_));
  ASSERT_TRUE(reply);
  EXPECT_EQ(client_.on_response(reply->response, kStart).error(), HandshakeError::unauthentic);
  EXPECT_TRUE(client_.is_waiting()) << "a forged response must not end the attempt";
}

TEST_F(Handshakes, UseTheNextSlotForEachInitiationAndAnswer) {
  for (unsigned i = 0; i < 300; ++i) {
    const Instant now = kStart + i * 1s;
    auto reply = answer(gateway_, peers_.gateway, start(client_, now), now);
    ASSERT_TRUE(reply);
    EXPECT_EQ(number(reply->keys.local_index), 0x3A7E'1100U | (i % 256));
    ASSERT_TRUE(client_.on_response(reply->response, now));
  }
}

TEST_F(Handshakes, OpeningAnInitiationNamesItsSender) {
  const auto opened = open_initiation(peers_.gateway, start(client_));
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->initiator(), peers_.client.public_key());
}

TEST_F(Handshakes, AnInitiationForAnotherKeyIsNotOpened) {
  const Identity stranger(crypto::generate_key_pair(peers_.random));
  const InitiationBytes init = start(client_);
  EXPECT_FALSE(stranger.verify_mac1(init));
  EXPECT_FALSE(open_initiation(stranger, init));
  EXPECT_FALSE(open_initiation(peers_.gateway, Bytes{init}.first(147)));
}

TEST_F(Handshakes, AnUnknownInitiatorIsTheWrongPeer) {
  const Identity stranger(crypto::generate_key_pair(peers_.random));
  Handshake other(stranger, peers_.client_config(), peers_.random, kStart);
  EXPECT_EQ(answer(gateway_, peers_.gateway, start(other)).error(), HandshakeError::wrong_peer);
}

TEST_F(Handshakes, AnyChangedFieldOfAnInitiationIsRejected) {
  const InitiationBytes init = start(client_);
  for (std::size_t at = 8; at < 116; ++at) {
    InitiationBytes changed = init;
    changed[at] ^= 1;
    auto opened = open_initiation(peers_.gateway, changed);
    if (!opened) continue;
    EXPECT_FALSE(gateway_.on_initiation(std::move(*opened), kStart)) << at;
  }
  EXPECT_TRUE(answer(gateway_, peers_.gateway, init)) << "and the genuine one still works";
}

TEST_F(Handshakes, AnyChangedFieldOfAResponseIsRejected) {
  auto reply = answer(gateway_, peers_.gateway, start(client_));
  ASSERT_TRUE(reply);
  for (std::size_t at = 8; at < 60; ++at) {
    ResponseBytes changed = reply->response;
    changed[at] ^= 1;
    EXPECT_FALSE(client_.on_response(changed, kStart)) << at;
  }
  EXPECT_TRUE(client_.on_response(reply->response, kStart));
}

TEST_F(Handshakes, AReplayedInitiationIsRejected) {
  const InitiationBytes init = start(client_);
  EXPECT_TRUE(answer(gateway_, peers_.gateway, init));
  EXPECT_EQ(answer(gateway_, peers_.gateway, init).error(), HandshakeError::replayed);
}

TEST_F(Handshakes, AnOlderTimestampIsRejectedAndAnEqualOneToo) {
  Handshake twin(peers_.client, peers_.client_config(), peers_.random, kStart);
  Handshake later(peers_.client, peers_.client_config(), peers_.random, kStart);
  const InitiationBytes old = start(client_);
  const InitiationBytes same = start(twin);
  EXPECT_TRUE(answer(gateway_, peers_.gateway, old));
  EXPECT_EQ(answer(gateway_, peers_.gateway, same).error(), HandshakeError::replayed);
  EXPECT_TRUE(answer(gateway_, peers_.gateway, start(later, kStart + 1ns)));
  EXPECT_EQ(answer(gateway_, peers_.gateway, old).error(), HandshakeError::replayed);
}

TEST_F(Handshakes, ANewConnectionObjectAcceptsAnOldTimestamp) {
  const InitiationBytes init = start(client_);
  EXPECT_TRUE(answer(gateway_, peers_.gateway, init));
  Handshake fresh(peers_.gateway, peers_.gateway_config(), peers_.random, kStart);
  EXPECT_TRUE(answer(fresh, peers_.gateway, init));
}

TEST_F(Handshakes, TimestampsIncreaseEvenWhenTheWallClockGoesBack) {
  Handshake client(peers_.client, peers_.client_config(), peers_.random, kStart);
  for (int i = 0; i < 5; ++i) {
    const Instant now = kStart + i * 1min;
    client.start(now, kWallStart - i * 1h);
    auto reply = answer(gateway_, peers_.gateway, *client.poll_initiation(), now);
    ASSERT_TRUE(reply) << i;
    ASSERT_TRUE(client.on_response(reply->response, now));
  }
}

TEST_F(Handshakes, StampsAreTai64N) {
  EXPECT_EQ(tai64n(WallTime{Duration{0}}), (Timestamp{0x40, 0, 0, 0, 0, 0, 0, 0x0A, 0, 0, 0, 0}));
  EXPECT_EQ(tai64n(WallTime{1s + 258ns}), (Timestamp{0x40, 0, 0, 0, 0, 0, 0, 0x0B, 0, 0, 1, 2}));
}

TEST_F(Handshakes, ALateResponseToASupersededInitiationIsNotWaitedFor) {
  const InitiationBytes first = start(client_);
  auto reply = answer(gateway_, peers_.gateway, first);
  ASSERT_TRUE(reply);
  ASSERT_EQ(run(client_, kStart + 6s).size(), 1U);
  EXPECT_EQ(client_.on_response(reply->response, kStart + 6s).error(), HandshakeError::not_waiting);
}

TEST_F(Handshakes, AResponseIsUsedOnce) {
  auto reply = answer(gateway_, peers_.gateway, start(client_));
  EXPECT_TRUE(client_.on_response(reply->response, kStart));
  EXPECT_EQ(client_.on_response(reply->response, kStart).error(), HandshakeError::not_waiting);
  EXPECT_EQ(gateway_.on_response(reply->response, kStart).error(), HandshakeError::not_waiting);
  EXPECT_EQ(client_.on_response(Bytes{reply->response}.first(91), kStart).error(),
            HandshakeError::malformed);
}

TEST_F(Handshakes, CrossingInitiationsGiveTwoSessions) {
  const InitiationBytes a = start(client_), b = start(gateway_);
  auto from_gateway = answer(gateway_, peers_.gateway, a);
  auto from_client = answer(client_, peers_.client, b);
  ASSERT_TRUE(from_gateway && from_client);
  const auto at_client = client_.on_response(from_gateway->response, kStart);
  const auto at_gateway = gateway_.on_response(from_client->response, kStart);
  ASSERT_TRUE(at_client && at_gateway);
  expect_same_keys(*at_client, from_gateway->keys);
  expect_same_keys(*at_gateway, from_client->keys);
  EXPECT_NE(at_client->local_index, from_client->keys.local_index);
}

TEST_F(Handshakes, RetransmitEveryFiveSecondsWithJitterAndGiveUpAfterNinety) {
  start(client_);
  Instant previous = kStart;
  const std::vector<Instant> sent = run(client_, kStart + 200s);
  for (const Instant at : sent) {
    EXPECT_GE(at - previous, 5s);
    EXPECT_LE(at - previous, 5s + 333ms);
    previous = at;
  }
  EXPECT_GE(sent.size(), 16U);
  EXPECT_LE(sent.size(), 17U);
  EXPECT_LT(previous, kStart + 90s);
  EXPECT_FALSE(client_.is_waiting());
}

TEST_F(Handshakes, GivingUpIsReportedOnceAtNinetySeconds) {
  start(client_);
  client_.on_timeout(kStart + 90s - 1ns, kWallStart);
  (void)client_.poll_initiation();
  EXPECT_FALSE(client_.poll_event());
  client_.on_timeout(kStart + 90s, kWallStart);
  EXPECT_EQ(client_.poll_event(), Handshake::Event::unanswered);
  EXPECT_FALSE(client_.poll_initiation());
  EXPECT_FALSE(client_.poll_event());
}

TEST_F(Handshakes, GiveUpAfterTwentySecondsInAGatewayWithIce) {
  HandshakeConfig config = peers_.gateway_config();
  config.attempt_time = 20s;
  Handshake gateway(peers_.gateway, std::move(config), peers_.random, kStart);
  start(gateway);
  EXPECT_EQ(run(gateway, kStart + 20s - 1ns).size(), 3U);
  gateway.on_timeout(kStart + 20s, kWallStart);
  EXPECT_EQ(gateway.poll_event(), Handshake::Event::unanswered);
}

TEST_F(Handshakes, StartingWhileWaitingDoesNothing) {
  start(client_);
  client_.start(kStart + 1s, kWallStart);
  EXPECT_FALSE(client_.poll_initiation());
}

TEST_F(Handshakes, AnEarlyTimeoutDoesNothingAndALateOneCatchesUpOnce) {
  start(client_);
  client_.on_timeout(kStart + 4s, kWallStart);
  EXPECT_FALSE(client_.poll_initiation());
  client_.on_timeout(kStart + 30s, kWallStart + 30s);
  EXPECT_TRUE(client_.poll_initiation());
  EXPECT_FALSE(client_.poll_initiation());
  EXPECT_GE(client_.wakeup()->at, kStart + 35s);
}

TEST_F(Handshakes, QueuedOutputWakesAtOnce) {
  client_.start(kStart + 3s, kWallStart);
  ASSERT_TRUE(client_.wakeup());
  EXPECT_LE(client_.wakeup()->at, kStart + 3s);
}

TEST_F(Handshakes, NoSessionFor540SecondsIsReportedCountingFromCreation) {
  gateway_.on_timeout(kStart + 540s - 1ns, kWallStart);
  EXPECT_FALSE(gateway_.poll_event());
  EXPECT_EQ(gateway_.wakeup()->at, kStart + 540s);
  gateway_.on_timeout(kStart + 540s, kWallStart);
  EXPECT_EQ(gateway_.poll_event(), Handshake::Event::no_session);
}

TEST_F(Handshakes, ANewSessionRestartsThe540Seconds) {
  auto reply = answer(gateway_, peers_.gateway, start(client_, kStart + 500s), kStart + 500s);
  ASSERT_TRUE(client_.on_response(reply->response, kStart + 501s));
  EXPECT_EQ(gateway_.wakeup()->at, kStart + 500s + 540s);
  EXPECT_EQ(client_.wakeup()->at, kStart + 501s + 540s);
}

TEST_F(Handshakes, AConfirmedSessionOfTheOtherSideEndsOurAttempt) {
  start(client_);
  client_.on_session_confirmed(kStart + 1s);
  EXPECT_TRUE(run(client_, kStart + 100s).empty());
}

TEST_F(Handshakes, ACookieReplyIsUsedByTheNextRetransmission) {
  HandshakeLimiter limiter(peers_.gateway, peers_.random, kStart);
  const IpAddress source = IpAddress::v4(198, 51, 100, 4);
  const InitiationBytes first = start(client_);
  EXPECT_TRUE(equal(mac2_of(first), Mac{}));
  ASSERT_TRUE(client_.on_cookie_reply(limiter.cookie_reply(first, source, kStart), kStart));
  EXPECT_FALSE(client_.poll_initiation()) << "not at once";
  const Instant again = client_.wakeup()->at;
  EXPECT_GE(again, kStart + 5s);
  client_.on_timeout(again, kWallStart + 5s);
  const auto second = client_.poll_initiation();
  ASSERT_TRUE(second);
  for (int i = 0; i < 101; ++i)
    EXPECT_EQ(limiter.check(*second, source, again), HandshakeVerdict::process);
}

TEST_F(Handshakes, ACookieReplyForNothingWeSentIsRejected) {
  HandshakeLimiter limiter(peers_.gateway, peers_.random, kStart);
  const IpAddress source = IpAddress::v4(198, 51, 100, 4);
  InitiationBytes first = start(client_);
  CookieReplyBytes reply = limiter.cookie_reply(first, source, kStart);
  EXPECT_EQ(gateway_.on_cookie_reply(reply, kStart).error(), HandshakeError::not_waiting);
  EXPECT_EQ(client_.on_cookie_reply(Bytes{reply}.first(63), kStart).error(),
            HandshakeError::malformed);
  reply[40] ^= 1;
  EXPECT_EQ(client_.on_cookie_reply(reply, kStart).error(), HandshakeError::unauthentic);
  first[116] ^= 1;
  EXPECT_EQ(client_.on_cookie_reply(limiter.cookie_reply(first, source, kStart), kStart).error(),
            HandshakeError::unauthentic);
}

TEST_F(Handshakes, APeerKeyOfLowOrderNeverGetsASession) {
  HandshakeConfig config = peers_.client_config();
  config.remote = {};
  Handshake client(peers_.client, std::move(config), peers_.random, kStart);
  client.start(kStart, kWallStart);
  EXPECT_FALSE(client.poll_initiation());
  EXPECT_TRUE(run(client, kStart + 200s).empty());
}

}  // namespace
}  // namespace fg::wireguard
