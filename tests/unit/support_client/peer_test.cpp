#include "tests/support/client/peer.h"

#include <gtest/gtest.h>

#include "crypto/crypto.h"
#include "tests/unit/wireguard/peers.h"
#include "wireguard/tunnel.h"

namespace fg::client::test {
namespace {

using wireguard::Tunnel;
using wireguard::test::kStart;
using wireguard::test::kWallStart;

// An IPv4 packet with this much behind its header.
ByteVector packet(std::size_t payload) {
  ByteVector out(20 + payload, 0x5A);
  out[0] = 0x45;
  store_be16(out.data() + 2, static_cast<std::uint16_t>(out.size()));
  return out;
}

struct Pair {
  Pair() {
    crypto::init();
    PeerConfig ours;
    ours.handshake = keys.client_config();
    peer.emplace(keys.client, std::move(ours), engine, keys.random, kStart);
    wireguard::TunnelConfig theirs;
    theirs.handshake = keys.gateway_config();
    theirs.initiate_on_data = false;
    gateway.emplace(keys.gateway, std::move(theirs), engine, keys.random, kStart);
  }

  // Until neither has anything to say.
  void exchange(Instant now) {
    for (bool is_busy = true; is_busy;) {
      is_busy = false;
      while (auto message = peer->poll_message()) {
        is_busy = true;
        gateway->on_datagram(*message, IpAddress::v4(192, 0, 2, 1), now);
      }
      while (auto message = gateway->poll_datagram()) {
        is_busy = true;
        if (wireguard::classify(*message) == wireguard::MessageType::data)
          (void)peer->open(*message, now);
        else
          peer->on_message(*message, IpAddress::v4(192, 0, 2, 2), now);
      }
    }
  }

  wireguard::test::Peers keys;
  crypto::AeadEngine engine;
  std::optional<Peer> peer;
  std::optional<Tunnel> gateway;
};

TEST(ClientPeer, AHandshakeGivesASessionThatBothMayUse) {
  Pair pair;
  EXPECT_FALSE(pair.peer->can_send(kStart));
  pair.peer->start_handshake(kStart, kWallStart);
  pair.exchange(kStart);
  EXPECT_TRUE(pair.peer->can_send(kStart));
  EXPECT_EQ(pair.peer->poll_event(), Peer::Event::established);
  // The gateway sends only after it has heard the client's empty packet.
  pair.gateway->encapsulate(packet(100), kStart, kWallStart);
  auto message = pair.gateway->poll_datagram();
  ASSERT_TRUE(message);
  const auto opened = pair.peer->open(*message, kStart);
  EXPECT_TRUE(opened.is_authentic);
  EXPECT_TRUE(equal(opened.inner, packet(100)));
}

TEST(ClientPeer, SealsInPlace) {
  Pair pair;
  pair.peer->start_handshake(kStart, kWallStart);
  pair.exchange(kStart);
  const auto inner = packet(1000);
  ByteVector message(inner.size() + 32);
  std::copy(inner.begin(), inner.end(), message.begin() + 16);
  ASSERT_TRUE(pair.peer->seal(message.data(), inner.size(), kStart));
  pair.gateway->on_datagram(message, IpAddress::v4(192, 0, 2, 1), kStart);
  EXPECT_EQ(pair.gateway->poll_inner(), inner);
}

TEST(ClientPeer, WhatDoesNotAuthenticateIsCountedAndNothingElse) {
  Pair pair;
  pair.peer->start_handshake(kStart, kWallStart);
  pair.exchange(kStart);
  pair.gateway->encapsulate(packet(100), kStart, kWallStart);
  auto message = *pair.gateway->poll_datagram();
  message.back() ^= 1;
  EXPECT_FALSE(pair.peer->open(message, kStart).is_authentic);
  EXPECT_EQ(pair.peer->refused(), 1U);
}

// Spec connectivity 4.6.
TEST(ClientPeer, AnUnansweredHandshakeEndsAfterItsAttemptTime) {
  Pair pair;
  PeerConfig config;
  config.handshake = pair.keys.client_config();
  config.handshake.attempt_time = 20s;
  Peer peer{pair.keys.client, std::move(config), pair.engine, pair.keys.random, kStart};
  peer.start_handshake(kStart, kWallStart);
  auto now = kStart;
  int initiations = 0;
  std::optional<Peer::Event> event;
  while (!event && now < kStart + 60s) {
    while (peer.poll_message()) ++initiations;
    now = std::max(now, peer.wakeup()->at);
    peer.on_timeout(now, kWallStart + (now - kStart));
    event = peer.poll_event();
  }
  EXPECT_EQ(event, Peer::Event::unanswered);
  EXPECT_EQ(now - kStart, 20s);
  EXPECT_EQ(initiations, 4);
}

TEST(ClientPeer, KeepsThePathOpenInGenerationA) {
  Pair pair;
  PeerConfig config;
  config.handshake = pair.keys.client_config();
  config.timers.persistent_keepalive = 10s;
  pair.peer.emplace(pair.keys.client, std::move(config), pair.engine, pair.keys.random, kStart);
  pair.peer->start_handshake(kStart, kWallStart);
  pair.exchange(kStart);
  pair.peer->on_timeout(kStart + 10s, kWallStart + 10s);
  const auto message = pair.peer->poll_message();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->size(), 32U);
}

}  // namespace
}  // namespace fg::client::test
