// WireGuard handshakes as the controller lets them through, and the life of a connection around
// them (spec connectivity 9.4).
#include <gtest/gtest.h>

#include "packet/demux.h"
#include "tests/unit/control/controller/world.h"
#include "wireguard/handshake.h"

namespace fg {
namespace {

using test::at;
using test::ip;
using test::World;

constexpr std::array<std::uint8_t, 32> kPreshared{9, 8, 7};

class HandshakesOfAClient : public ::testing::Test {
 protected:
  void SetUp() override {
    world.init();
    world.portal_says(request());
    world.to_client = [this](const controller::Datagram& datagram) {
      if (packet::classify(datagram.bytes) == packet::DatagramKind::wireguard_cookie) ++cookies;
    };
  }
  [[nodiscard]] portal::Authorize request() const {
    auto out = test::authorization();
    out.client.public_key = identity.public_key();
    out.client.preshared_key = Secret<32>{kPreshared};
    return out;
  }
  ByteVector initiation(const wireguard::Identity& from) {
    wireguard::HandshakeConfig config;
    config.remote = world.identity.public_key();
    config.preshared = Secret<32>{kPreshared};
    config.index_base = ReceiverIndex{0x12345600};
    wireguard::Handshake handshake{from, std::move(config), world.random, world.now};
    handshake.start(world.now, world.wall());
    return copy_of(*handshake.poll_initiation());
  }
  void deliver(Bytes bytes) {
    world.deliver(address, world.host_v4, bytes);
    world.settle();
  }
  [[nodiscard]] std::size_t sessions() const {
    return world.commanded<pipeline::InstallSession>().size();
  }
  [[nodiscard]] std::uint64_t dropped(DropReason reason) const {
    return world.controller.drops().of(reason);
  }
  World world;
  SocketAddress address = at("198.51.100.20:52625");
  wireguard::Identity identity{crypto::generate_key_pair(world.random)};
  int cookies = 0;
};

TEST_F(HandshakesOfAClient, AReplayedInitiationIsDroppedAndTheSessionStays) {
  const auto first = initiation(identity);
  deliver(first);
  ASSERT_EQ(sessions(), 1U);
  deliver(first);
  EXPECT_EQ(sessions(), 1U);
  EXPECT_EQ(dropped(DropReason::bad_handshake), 1U);
  EXPECT_EQ(world.controller.summary().connections, 1U);
}

// Whose it is, is known only after a Diffie-Hellman.
TEST_F(HandshakesOfAClient, AWrongMac1IsDroppedBeforeAnybodyAsksWhoseItIs) {
  const wireguard::Identity stranger{crypto::generate_key_pair(world.random)};
  auto forged = initiation(stranger);
  deliver(forged);
  EXPECT_EQ(dropped(DropReason::unknown_initiator), 1U);
  forged[116] ^= 1;
  deliver(forged);
  EXPECT_EQ(dropped(DropReason::bad_mac1), 1U);
  EXPECT_EQ(dropped(DropReason::unknown_initiator), 1U);
}

TEST_F(HandshakesOfAClient, TheHundredAndFirstMessageOfASecondIsAnsweredByACookieAlone) {
  const wireguard::Identity stranger{crypto::generate_key_pair(world.random)};
  const auto bytes = initiation(stranger);
  for (int i = 0; i < 100; ++i) deliver(bytes);
  EXPECT_EQ(cookies, 0);
  deliver(initiation(identity));
  EXPECT_EQ(cookies, 1);
  EXPECT_EQ(sessions(), 0U);
  EXPECT_EQ(dropped(DropReason::handshake_rate_limited), 1U);
  world.now += 1s;
  deliver(initiation(identity));
  EXPECT_EQ(sessions(), 1U);
}

TEST_F(HandshakesOfAClient, AClientThatNeverConnectedIsNotSaidGoodbye) {
  world.controller.shut_down(world.now);
  world.settle();
  EXPECT_TRUE(world.commanded<pipeline::SendInner>().empty());
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
}

TEST_F(HandshakesOfAClient, WhatWaitsToBeTakenWakesAtOnce) {
  world.advance(1s);
  auto again = request();
  again.client.v4 = ip("100.80.3.18");
  world.controller.on_portal(std::move(again), world.now, world.wall());
  ASSERT_TRUE(world.controller.wakeup());
  EXPECT_EQ(world.controller.wakeup()->at, world.now);
}

// Every number comes up many times in a row.
class Stutter final : public Random {
 public:
  void fill(MutableBytes out) override {
    std::fill(out.begin(), out.end(), static_cast<std::uint8_t>(1 + calls_++ / 40));
  }

 private:
  unsigned calls_ = 0;
};

TEST(Indices, AreNotUsedAgainWithinFiveSeconds) {
  test::QuietLog log;
  SeededRandom seeded{1};
  Stutter random;
  Instant now{std::chrono::hours{1}};
  const WallTime wall{std::chrono::seconds{World::kUnixStart}};
  const wireguard::Identity identity{crypto::generate_key_pair(seeded)};
  controller::Controller controller{{}, identity, random, Log{log, "controller"}, now, wall};
  controller.on_portal(portal::Init{ip("100.71.20.9"), ip("fd00:2021:1111::9:14"), {}, {}, {}}, now,
                       wall);
  controller.on_portal_joined(portal::Generation::a);
  const wireguard::Identity client{crypto::generate_key_pair(seeded)};
  std::set<std::uint32_t> used;
  std::uint32_t newest = 0;
  for (int i = 0; i < 40; ++i) {
    portal::RequestConnection request;
    request.resource.network = *Cidr::parse("10.20.0.0/24", true);
    request.client.public_key = client.public_key();
    request.client.v4 = ip("100.80.3.17");
    request.client.v6 = ip("fd00:2021:1111::3:11");
    request.client_ice = {"Kq3z", SecretText{"t8Jd0aYxVb2sTn5eLr7uCp"}};
    controller.on_portal(std::move(request), now, wall);
    wireguard::HandshakeConfig config;
    config.remote = identity.public_key();
    config.index_base = ReceiverIndex{0x12345600};
    wireguard::Handshake handshake{client, std::move(config), seeded, now};
    handshake.start(now, wall);
    const auto bytes = *handshake.poll_initiation();
    pipeline::Punt punt;
    punt.local = at("198.51.100.10:52625");
    punt.from = at("198.51.100.20:52625");
    punt.length = static_cast<std::uint16_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), punt.bytes.begin());
    controller.on_punt(punt, now, wall);
    while (auto out = controller.poll_command()) {
      if (const auto* session = std::get_if<pipeline::InstallSession>(&out->command))
        newest = pipeline::connection_of(session->keys.local_index);
      if (const auto* removed = std::get_if<pipeline::RemoveClient>(&out->command))
        controller.on_event(pipeline::ClientRemoved{removed->slot}, now, wall);
    }
    EXPECT_FALSE(used.contains(newest)) << i;
    used.insert(newest);
    now += 100ms;
    controller.on_timeout(now, wall);
  }
}

}  // namespace
}  // namespace fg
