// Sessions of a whole client: handshakes, goodbyes, idleness.
#include "packet/control_message.h"
#include "tests/unit/control/controller/client.h"

namespace fg {
namespace {

using test::at;
using test::Client;
using test::Connected;
using test::ip;
using test::World;

TEST_F(Connected, TellsTheWorkersWhereTheClientMayBe) {
  ASSERT_FALSE(world.commanded<pipeline::ExpectSource>().empty());
  EXPECT_EQ(world.commanded<pipeline::ExpectSource>().front()->address, client.address.ip);
}

TEST_F(Connected, ReachesTheClientDirectlyAndInstallsItsSession) {
  ASSERT_FALSE(world.commanded<pipeline::SetPath>().empty());
  const auto& path = world.commanded<pipeline::SetPath>().back()->path;
  EXPECT_EQ(path.kind, pipeline::Path::Kind::direct);
  EXPECT_EQ(path.remote, client.address);
  EXPECT_EQ(path.local, world.host_v4.ip);
  ASSERT_FALSE(world.commanded<pipeline::InstallSession>().empty());
  const auto& keys = world.commanded<pipeline::InstallSession>().back()->keys;
  EXPECT_EQ(keys.role, wireguard::Role::responder);
  EXPECT_EQ(pipeline::worker_of(keys.local_index), WorkerIndex{0});
  ASSERT_FALSE(client.events.empty());
  EXPECT_EQ(client.events[0], wireguard::Tunnel::Event::established);
  EXPECT_EQ(world.controller.summary().direct, 1U);
}

TEST_F(Connected, NeverStartsAHandshakeByItself) {
  client.run(30s);
  for (const auto* install : world.commanded<pipeline::InstallSession>())
    EXPECT_EQ(install->keys.role, wireguard::Role::responder);
}

TEST_F(Connected, SilenceAfterDataIsAskedAboutOnceAndEndsTheConnectionAfterTwentySeconds) {
  client.is_cut = true;
  const auto slot = world.commanded<pipeline::AddClient>().back()->slot;
  world.controller.on_event(
      pipeline::HandshakeNeeded{slot, pipeline::HandshakeNeeded::Why::nothing_heard}, world.now,
      world.wall());
  world.settle();
  world.advance(19s);
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
  world.advance(3s);
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
  EXPECT_EQ(world.controller.summary().clients, 1U) << "grants survive";
}

TEST_F(Connected, TheLastGrantsEndSaysGoodbyeInsideTheTunnel) {
  world.portal_says(portal::RejectAccess{client.id, client.request().resource.id});
  ASSERT_EQ(world.commanded<pipeline::SendInner>().size(), 1U);
  const auto& goodbye = *world.commanded<pipeline::SendInner>()[0];
  EXPECT_TRUE(equal(Bytes{goodbye.bytes}.first(goodbye.length), packet::goodbye_packet()));
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
}

TEST_F(Connected, AGoodbyeOfTheClientForgetsItWithoutAnAnswer) {
  pipeline::Punt punt;
  punt.kind = pipeline::Punt::Kind::inner;
  punt.slot = world.commanded<pipeline::AddClient>().back()->slot;
  const auto bytes = packet::goodbye_packet();
  punt.length = static_cast<std::uint16_t>(bytes.size());
  std::copy(bytes.begin(), bytes.end(), punt.bytes.begin());
  world.controller.on_punt(punt, world.now, world.wall());
  world.settle();
  EXPECT_TRUE(world.commanded<pipeline::SendInner>().empty());
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
  EXPECT_EQ(world.controller.summary().clients, 0U);
}

TEST_F(Connected, KeepalivesLeaveOnEveryPathInUseAndToTheRelay) {
  const auto asked = world.relay.asked;
  world.controller.send_keepalives(world.now);
  ASSERT_TRUE(world.controller.wakeup());
  EXPECT_EQ(world.controller.wakeup()->at, world.now);
  world.settle();
  ASSERT_EQ(world.commanded<pipeline::SendInner>().size(), 1U);
  EXPECT_EQ(world.commanded<pipeline::SendInner>()[0]->length, 0U);
  EXPECT_GT(world.relay.asked, asked);
}

TEST_F(Connected, ShutdownSaysGoodbyeToEveryConnectedClient) {
  world.controller.shut_down(world.now);
  world.settle();
  EXPECT_EQ(world.commanded<pipeline::SendInner>().size(), 1U);
}

TEST_F(Connected, ShutdownWithdrawsEveryCandidateTheClientWasToldOf) {
  std::vector<std::string> told;
  for (const auto* message : world.all_said<portal::BroadcastCandidates>())
    told.insert(told.end(), message->candidates.begin(), message->candidates.end());
  world.said.clear();
  world.controller.shut_down(world.now);
  world.settle();
  const auto said = world.all_said<portal::BroadcastCandidates>();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_TRUE(said[0]->invalidated);
  EXPECT_EQ(said[0]->client, client.id);
  EXPECT_EQ(said[0]->candidates, told);
}

TEST_F(Connected, WhatAProcessLeftBehindItsSuccessorWithdrawsAndTheClientFailsWithinItsGrace) {
  ASSERT_FALSE(world.reachable.empty());
  controller::Options options;
  options.left_behind = world.reachable;
  World next{2, std::move(options)};
  portal::Init init{ip("100.71.20.9"), ip("fd00:2021:1111::9:14"), {}, std::nullopt, std::nullopt};
  init.authorizations.emplace();
  for (int i = 0; i < 2; ++i)
    init.authorizations->push_back({client.id, client.request().resource.id, 2'000'000'000});
  next.portal_says(init);
  next.portal_says(init);
  const auto said = next.all_said<portal::BroadcastCandidates>();
  ASSERT_EQ(said.size(), 1U) << "once a client, and once";
  EXPECT_TRUE(said[0]->invalidated);

  ASSERT_TRUE(client.agent.is_connected());
  for (const auto& line : said[0]->candidates)
    (void)client.agent.invalidate_remote(line, world.now);
  EXPECT_EQ(client.agent.state(), ice::AgentState::disconnected);
}

TEST_F(Connected, IdleClientsAreCheckedEveryTwentyFiveSecondsAndWakeAtOnce) {
  // Both sides quiet for a minute: the server's idle profile.
  client.run(60s);
  int checks = 0;
  world.to_client = [&](const controller::Datagram& datagram) {
    if (packet::classify(datagram.bytes) == packet::DatagramKind::stun) ++checks;
  };
  world.on_step = nullptr;
  world.advance(24s);
  EXPECT_LE(checks, 2) << "one a live pair";
  const auto slot = world.commanded<pipeline::AddClient>().back()->slot;
  checks = 0;
  world.controller.on_event(pipeline::ClientActivity{slot}, world.now, world.wall());
  world.settle();
  world.advance(1s);
  EXPECT_GE(checks, 1);
}

TEST_F(Connected, ChecksOfIdleClientsFallTogetherInHalfSeconds) {
  client.run(60s);
  world.advance(137ms);
  world.controller.on_event(
      pipeline::ClientActivity{world.commanded<pipeline::AddClient>().back()->slot}, world.now,
      world.wall());
  world.settle();
  client.run(22s);
  std::vector<Instant> checked;
  world.to_client = [&](const controller::Datagram& datagram) {
    if (packet::classify(datagram.bytes) == packet::DatagramKind::stun)
      checked.push_back(world.now);
  };
  world.on_step = nullptr;
  world.advance(30s);
  ASSERT_FALSE(checked.empty());
  for (const auto at : checked) EXPECT_EQ(at.time_since_epoch() % 500ms, 0ns);
}

class Repeating : public Connected {
 protected:
  void SetUp() override {
    Connected::SetUp();
    client.put_worker_between();
  }
  void wake() {
    world.controller.on_event(
        pipeline::ClientActivity{world.commanded<pipeline::AddClient>().back()->slot}, world.now,
        world.wall());
    world.settle();
  }
  // Awake for that long, and what of STUN the controller itself sent meanwhile.
  std::size_t run_busy(Duration by) {
    std::size_t sent = 0;
    world.to_client = [&](const controller::Datagram& datagram) {
      if (packet::classify(datagram.bytes) == packet::DatagramKind::stun) ++sent;
      client.receive(datagram);
    };
    for (const auto end = world.now + by; world.now < end;) {
      wake();
      client.run(5s);
    }
    return sent;
  }
};

TEST_F(Repeating, ChecksOfAnIdleClientAreAnsweredByAWorkerFromTheSecondOn) {
  client.agent.set_profile(ice::kClientIdle, world.now);
  client.run(5min);
  EXPECT_GT(client.worker->answers.size(), 0U);
  const auto before = client.worker->answered;
  std::size_t by_controller = 0;
  world.to_client = [&](const controller::Datagram& datagram) {
    if (packet::classify(datagram.bytes) == packet::DatagramKind::stun) ++by_controller;
    client.receive(datagram);
  };
  client.run(100s);
  EXPECT_GE(client.worker->answered - before, 4U);
  EXPECT_EQ(by_controller, 0U) << "neither answers nor questions";
  EXPECT_TRUE(client.agent.is_connected());
  EXPECT_EQ(client.worker->taken_back, 0U);
}

TEST_F(Repeating, ChecksOfABusyClientAreAnsweredByAWorkerOnceItsPathHasStoodForThreeSeconds) {
  client.run(500ms);
  EXPECT_EQ(client.worker->answers.size(), 0U) << "connected 2.5 s ago";
  (void)run_busy(60s);
  const auto pairs = client.worker->answers.size();
  ASSERT_GT(pairs, 0U);
  const auto before = client.worker->answered;
  const auto sent = run_busy(60s);
  EXPECT_GE(client.worker->answered - before, 39U * pairs) << "every 1.5 s";
  EXPECT_LE(sent, 4U * pairs) << "its own, every 15 s";
  EXPECT_EQ(client.worker->taken_back, 0U);
  EXPECT_TRUE(client.agent.is_connected());
}

TEST_F(Repeating, AClientThatFallsSilentOrWakesIsAnsweredAllTheTime) {
  (void)run_busy(10s);
  client.agent.set_profile(ice::kClientIdle, world.now);
  client.run(2min);
  wake();
  client.agent.set_profile(ice::kClientDefault, world.now);
  const auto before = client.worker->answered;
  (void)run_busy(10s);
  EXPECT_GT(client.worker->answered, before + 5);
  EXPECT_EQ(client.worker->taken_back, 0U);
}

TEST_F(Repeating, ABusyClientIsWatchedThoughTheWorkerAnswers) {
  (void)run_busy(10s);
  ASSERT_GT(client.worker->answers.size(), 0U);
  world.said.clear();
  (void)run_busy(60s);
  EXPECT_TRUE(world.all_said<portal::BroadcastCandidates>().empty()) << "heard all the time";
  client.is_cut = true;
  wake();
  world.controller.on_event(pipeline::ChannelActivity{RelaySlot{0}, ChannelNumber{0x4000}},
                            world.now + 2s, world.wall());
  client.run(3s);
  EXPECT_FALSE(world.all_said<portal::BroadcastCandidates>().empty()) << "no longer heard";
}

TEST_F(Repeating, ACandidateThatIsInvalidatedIsNoLongerAnsweredFor) {
  (void)run_busy(10s);
  ASSERT_GT(client.worker->answers.size(), 0U);
  portal::IceCandidates gone{client.id, {}, true};
  for (const auto& candidate : client.agent.local_candidates())
    gone.candidates.push_back(client.agent.line_of(candidate));
  world.portal_says(std::move(gone));
  EXPECT_EQ(client.worker->answers.size(), 0U);
}

TEST_F(Repeating, AConnectionThatEndsOrAPairThatIsGoneIsNoLongerAnsweredFor) {
  client.agent.set_profile(ice::kClientIdle, world.now);
  client.run(2min);
  auto& answers = client.worker->answers;
  ASSERT_GT(answers.size(), 0U);
  const auto connection = world.commanded<pipeline::SetStandingAnswer>().back()->connection;
  world.controller.on_event(pipeline::CheckAnswered{connection, 4711, false, world.now}, world.now,
                            world.wall());
  world.settle();
  EXPECT_EQ(answers.size(), 0U) << "no such pair";
  client.run(60s);
  ASSERT_GT(answers.size(), 0U);
  world.controller.shut_down(world.now);
  world.settle();
  EXPECT_EQ(answers.size(), 0U);
  world.controller.on_event(pipeline::CheckAnswered{connection, 1, false, world.now}, world.now,
                            world.wall());
}

TEST(Controller, AnsweredHandshakesWaitForTheNomination) {
  World world;
  Client client{world};
  world.init();
  world.portal_says(client.request());
  // The initiation overtakes the checks: nothing may leave before a pair is nominated.
  std::vector<ByteVector> handshakes;
  world.to_client = [&](const controller::Datagram& datagram) {
    if (packet::classify(datagram.bytes) == packet::DatagramKind::wireguard_response)
      handshakes.push_back(datagram.bytes);
    else
      client.receive(datagram);
  };
  client.tunnel.initiate(world.now, world.wall());
  while (auto out = client.tunnel.poll_datagram())
    world.deliver(client.address, world.host_v4, *out);
  world.settle();
  EXPECT_TRUE(handshakes.empty());
  EXPECT_EQ(world.commanded<pipeline::InstallSession>().size(), 1U);
  client.exchange_candidates();
  client.run(1s);
  EXPECT_GE(handshakes.size(), 1U);
}

TEST(Controller, OfAnswersThatWaitForTheNominationTheNewest128AreSentOnceInOrder) {
  World world;
  Client client{world};
  world.init();
  world.portal_says(client.request());
  constexpr std::uint32_t kSent = 130;
  std::vector<std::uint32_t> answered;
  world.to_client = [&](const controller::Datagram& datagram) {
    if (packet::classify(datagram.bytes) == packet::DatagramKind::wireguard_response)
      answered.push_back(load_le32(datagram.bytes.data() + 8) >> 8);
    else
      client.receive(datagram);
  };
  for (std::uint32_t i = 0; i < kSent; ++i) {
    wireguard::HandshakeConfig config;
    config.remote = world.identity.public_key();
    config.preshared = Secret<32>{Client::kPreshared};
    config.index_base = ReceiverIndex{i << 8};
    wireguard::Handshake handshake{client.identity, std::move(config), world.random, world.now};
    handshake.start(world.now, world.wall());
    world.deliver(client.address, world.host_v4, *handshake.poll_initiation());
    world.settle();
    world.advance(20ms);
  }
  ASSERT_EQ(world.commanded<pipeline::InstallSession>().size(), kSent);
  EXPECT_TRUE(answered.empty());
  client.exchange_candidates();
  client.run(1s);
  // The last is the client's own, sent as it nominated.
  ASSERT_EQ(answered.size(), controller::kEarlyMessagesMax);
  EXPECT_EQ(answered.back(), 0x123456U);
  answered.pop_back();
  for (std::size_t i = 0; i < answered.size(); ++i)
    EXPECT_EQ(answered[i], i + kSent + 1 - controller::kEarlyMessagesMax);
}

TEST_F(Connected, TheSummaryFollowsPathsAndEnds) {
  EXPECT_EQ(world.controller.summary().direct, 1U);
  EXPECT_EQ(world.controller.summary().relayed, 0U);
  world.portal_says(portal::RejectAccess{client.id, client.request().resource.id});
  EXPECT_EQ(world.controller.summary().direct, 0U);
}

TEST_F(Connected, AfterThreeIdleMinutesTheClientsHandshakeIsAnswered) {
  const auto before = world.commanded<pipeline::InstallSession>().size();
  client.run(185s);
  EXPECT_GT(world.commanded<pipeline::InstallSession>().size(), before);
  EXPECT_EQ(world.controller.summary().connections, 1U);
}

}  // namespace
}  // namespace fg
