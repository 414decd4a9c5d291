// Connections without ICE: a client that is a WireGuard handshake and nothing else, against the
// controller (spec connectivity 5, 9.5).
#include <gtest/gtest.h>

#include "packet/channel_data.h"
#include "tests/unit/control/controller/world.h"
#include "wireguard/handshake.h"

namespace fg {
namespace {

using test::at;
using test::ip;
using test::kClient;
using test::World;

const auto kHost = at("198.51.100.20:52625");
const auto kRelayed = at("198.51.100.31:60000");
constexpr std::array<std::uint8_t, 32> kPreshared{9, 8, 7};

class Iceless : public ::testing::Test {
 protected:
  void SetUp() override {
    world.to_client = [this](const controller::Datagram& datagram) {
      received.push_back(datagram);
    };
    world.init();
    world.portal_says(request());
    world.portal_says(portal::IceCandidates{
        kClient,
        {path::to_line(path::make_candidate(ice::CandidateKind::host, kHost, kHost)),
         path::to_line(path::make_candidate(ice::CandidateKind::relay, kRelayed, kHost))},
        false});
    start();
  }

  [[nodiscard]] portal::Authorize request(bool use_iceless = true) const {
    auto out = test::authorization();
    out.client.public_key = identity.public_key();
    out.client.preshared_key = Secret<32>{kPreshared};
    out.use_iceless = use_iceless;
    return out;
  }
  void start() {
    wireguard::HandshakeConfig config;
    config.remote = world.identity.public_key();
    config.preshared = Secret<32>{kPreshared};
    config.index_base = ReceiverIndex{0x12345600};
    handshake.emplace(identity, std::move(config), world.random, world.now);
  }
  ByteVector initiation() {
    handshake->on_session_confirmed(world.now);  // an earlier one is over
    handshake->start(world.now, world.wall());
    const auto bytes = handshake->poll_initiation();
    return {bytes->begin(), bytes->end()};
  }
  // As the gateway's socket sees it.
  void arrive(const SocketAddress& from, Bytes bytes) {
    world.deliver(from, world.host_v4, bytes);
    world.settle();
  }
  void arrive_by_relay(const SocketAddress& peer, Bytes bytes) {
    for (const auto& [number, bound] : world.relay.channels) {
      if (bound != peer) continue;
      ByteVector framed(packet::kChannelHeader);
      packet::write_channel_header(framed.data(), ChannelNumber{number},
                                   static_cast<std::uint16_t>(bytes.size()));
      framed.insert(framed.end(), bytes.begin(), bytes.end());
      return arrive(world.relay.v4, framed);
    }
    ADD_FAILURE() << "no channel to " << peer.to_string();
  }
  void confirm() {
    const auto& keys = world.commanded<pipeline::InstallSession>().back()->keys;
    world.controller.on_event(pipeline::SessionConfirmed{slot(), keys.local_index}, world.now,
                              world.wall());
    world.settle();
    world.advance(0s);
  }
  void probe(const pipeline::Route& route, packet::Probe what) {
    world.controller.on_event(pipeline::RouteActivity{slot(), route, what}, world.now,
                              world.wall());
    world.settle();
  }
  [[nodiscard]] pipeline::Route direct(const SocketAddress& from = kHost) const {
    return {world.host_v4, from, std::nullopt, {}};
  }
  // Everything asked on paths that `answers` approves is answered.
  template <class Answers>
  void answer_probes(Answers answers) {
    for (const auto* sent : world.commanded<pipeline::SendProbe>()) {
      if (answered.contains(sent->probe.sequence << 16 | sent->probe.id) || sent->probe.is_reply ||
          !answers(*sent)) {
        continue;
      }
      answered.insert(sent->probe.sequence << 16 | sent->probe.id);
      probes_to_answer.push_back(*sent);
    }
    for (const auto& sent : std::exchange(probes_to_answer, {})) {
      auto reply = sent.probe;
      reply.is_reply = true;
      if (sent.path.kind == pipeline::Path::Kind::direct)
        probe(direct(sent.path.remote), reply);
      else
        probe({world.host_v4, sent.path.remote, RelaySlot{0}, sent.path.channel}, reply);
    }
  }
  [[nodiscard]] ClientSlot slot() const {
    return world.commanded<pipeline::AddClient>().back()->slot;
  }
  [[nodiscard]] std::vector<pipeline::Path> paths() const {
    std::vector<pipeline::Path> out;
    for (const auto* set : world.commanded<pipeline::SetPath>()) out.push_back(set->path);
    return out;
  }
  void connect() {
    arrive(kRelayed, initiation());
    confirm();
    answer_probes([](const auto& sent) { return sent.path.remote == kHost; });
    ASSERT_EQ(paths().back().remote, kHost);
    received.clear();
  }

  World world;
  wireguard::Identity identity{crypto::generate_key_pair(world.random)};
  std::optional<wireguard::Handshake> handshake;
  std::vector<controller::Datagram> received;
  std::vector<pipeline::SendProbe> probes_to_answer;
  std::set<int> answered;
};

TEST_F(Iceless, TellsItsCandidatesWithBasesAndWithoutUfrags) {
  const auto told = world.all_said<portal::BroadcastCandidates>();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0]->candidates.size(), 6U);
  EXPECT_EQ(told[0]->candidates[1],
            "candidate:3076542731798106508 1 udp 2130706431 198.51.100.10 52625 typ host");
  for (const auto& line : told[0]->candidates) EXPECT_EQ(line.find("ufrag"), std::string::npos);
}

TEST_F(Iceless, SaysNothingToTheClientUnasked) {
  world.advance(9s);
  EXPECT_TRUE(received.empty());
  EXPECT_TRUE(world.commanded<pipeline::SendProbe>().empty());
}

// Spec connectivity 9.5, row 4.
TEST_F(Iceless, HasNoPathBeforeTheFirstInitiationMadeOne) {
  EXPECT_TRUE(paths().empty());
  arrive(kRelayed, initiation());
  ASSERT_EQ(paths().size(), 1U);
  EXPECT_EQ(paths()[0].kind, pipeline::Path::Kind::direct);
  EXPECT_EQ(paths()[0].remote, kRelayed);
}

// Spec connectivity 9.5, row 1.
TEST_F(Iceless, AnInitiationOnFourPathsIsAnsweredOnEachAndTakenOnce) {
  world.advance(1s);  // the channel of the relayed candidate
  const auto bytes = initiation();
  arrive(kRelayed, bytes);
  arrive_by_relay(kRelayed, bytes);
  arrive(kHost, bytes);
  arrive(at("203.0.113.1:1"), bytes);
  EXPECT_EQ(world.commanded<pipeline::InstallSession>().size(), 1U);
  ASSERT_EQ(received.size(), 3U);
  EXPECT_EQ(received[0].to, kRelayed);
  EXPECT_EQ(received[0].from, world.host_v4.ip);
  EXPECT_EQ(received[1].to, kHost);
  EXPECT_EQ(received[2].to, at("203.0.113.1:1"));
  for (const auto& datagram : received) EXPECT_EQ(datagram.bytes, received[0].bytes);
  EXPECT_EQ(received[0].bytes.size(), 92U);
  EXPECT_TRUE(handshake->on_response(received[0].bytes, world.now));
}

TEST_F(Iceless, CopiesDoNotCountAgainstTheHandshakeRate) {
  const auto bytes = initiation();
  for (int i = 0; i < 500; ++i) arrive(kRelayed, bytes);
  EXPECT_EQ(received.size(), 500U);
  EXPECT_EQ(world.controller.drops().of(DropReason::handshake_rate_limited), 0U);
}

// Spec connectivity 9.5, row 2.
TEST_F(Iceless, ACopyTenSecondsLaterIsDropped) {
  const auto bytes = initiation();
  arrive(kRelayed, bytes);
  world.advance(9900ms);
  arrive(kRelayed, bytes);
  EXPECT_EQ(received.size(), 2U);
  world.advance(200ms);
  arrive(kRelayed, bytes);
  EXPECT_EQ(received.size(), 2U);
  EXPECT_EQ(world.commanded<pipeline::InstallSession>().size(), 1U);
  EXPECT_EQ(world.controller.drops().of(DropReason::bad_handshake), 1U);
}

// Spec connectivity 9.5, row 3.
TEST_F(Iceless, AnInitiationFromNowhereIsAnsweredThereAndMakesAPath) {
  arrive(at("203.0.113.1:1"), initiation());
  ASSERT_EQ(received.size(), 1U);
  EXPECT_EQ(received[0].to, at("203.0.113.1:1"));
  ASSERT_EQ(paths().size(), 1U);
  EXPECT_EQ(paths()[0].remote, at("203.0.113.1:1"));
}

TEST_F(Iceless, ProbesEveryPairWhenTheSessionMaySendAndTakesTheBest) {
  arrive(kRelayed, initiation());
  EXPECT_TRUE(world.commanded<pipeline::SendProbe>().empty());
  confirm();
  // From the host address to both of the client's, and over the relay to the one with a channel;
  // that to the other is asked for (spec connectivity 2.9).
  EXPECT_EQ(world.commanded<pipeline::SendProbe>().size(), 3U);
  EXPECT_EQ(world.relay.channels.size(), 2U);
  answer_probes([](const auto&) { return true; });
  EXPECT_EQ(paths().back().remote, kHost);
  EXPECT_EQ(world.controller.summary().direct, 1U);
}

TEST_F(Iceless, AnswersAProbeOnTheWayItCame) {
  connect();
  const auto before = world.commanded<pipeline::SendProbe>().size();
  const auto nowhere = at("203.0.113.1:1");
  probe(direct(nowhere), {.is_reply = false, .id = 7, .sequence = 8});
  const auto sent = world.commanded<pipeline::SendProbe>();
  ASSERT_GT(sent.size(), before);
  EXPECT_EQ(sent[before]->probe, (packet::Probe{.is_reply = true, .id = 7, .sequence = 8}));
  EXPECT_EQ(sent[before]->path.remote, nowhere);
  EXPECT_EQ(sent[before]->path.local, world.host_v4.ip);
}

TEST_F(Iceless, AnswersAProbeOverTheChannelItCameBy) {
  connect();
  world.advance(1s);
  ASSERT_FALSE(world.relay.channels.empty());
  const auto [number, peer] = *world.relay.channels.begin();
  const auto before = world.commanded<pipeline::SendProbe>().size();
  probe({world.host_v4, world.relay.v4, RelaySlot{0}, ChannelNumber{number}},
        {.is_reply = false, .id = 7, .sequence = 8});
  const auto& sent = *world.commanded<pipeline::SendProbe>()[before];
  EXPECT_TRUE(sent.probe.is_reply);
  EXPECT_EQ(
      sent.path,
      (pipeline::Path{pipeline::Path::Kind::relayed, {}, world.relay.v4, ChannelNumber{number}}));
}

TEST_F(Iceless, AProbeOnAChannelThatIsNotIsForgotten) {
  connect();
  const auto before = world.commanded<pipeline::SendProbe>().size();
  probe({world.host_v4, world.relay.v4, RelaySlot{0}, ChannelNumber{0x4ABC}},
        {.is_reply = false, .id = 7, .sequence = 8});
  probe({world.host_v4, world.relay.v4, RelaySlot{9}, ChannelNumber{0x4000}},
        {.is_reply = false, .id = 7, .sequence = 8});
  EXPECT_EQ(world.commanded<pipeline::SendProbe>().size(), before);
}

TEST_F(Iceless, ALaterHandshakeIsAnsweredOnItsPathAndMovesNothing) {
  connect();
  const auto before = paths().size();
  arrive(kRelayed, initiation());
  ASSERT_EQ(received.size(), 1U);
  EXPECT_EQ(received[0].to, kRelayed);
  EXPECT_EQ(paths().size(), before);
}

// Spec connectivity 4.6, 5.5: every two seconds, on the primary, until the peer is searched for.
TEST_F(Iceless, AsksForAHandshakeOnThePrimaryEveryTwoSecondsAndGivesUpAfterNinety) {
  connect();
  world.controller.on_event(
      pipeline::HandshakeNeeded{slot(), pipeline::HandshakeNeeded::Why::nothing_heard}, world.now,
      world.wall());
  world.settle();
  ASSERT_EQ(received.size(), 1U);
  EXPECT_EQ(received[0].to, kHost);
  EXPECT_EQ(received[0].bytes.size(), 148U);
  world.advance(2400ms);
  EXPECT_EQ(received.size(), 2U);
  world.advance(80s);
  EXPECT_EQ(received.size(), 2U) << "none without a primary";
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
  world.advance(10s);
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
}

TEST_F(Iceless, SendsWhereItDidUntilSomethingBetterAnswers) {
  connect();
  world.advance(15s);
  const auto before = paths().size();
  arrive(kRelayed, initiation());
  arrive(kRelayed, initiation());  // distress
  world.advance(5s);
  EXPECT_EQ(paths().size(), before);
  answer_probes([](const auto& sent) { return sent.path.remote == kRelayed; });
  ASSERT_EQ(paths().size(), before + 1);
  EXPECT_EQ(paths().back().remote, kRelayed);
}

TEST_F(Iceless, IsTheSameConnectionWhateverTheIceCredentials) {
  connect();
  auto again = request();
  again.client_ice.username = "abcd";
  again.gateway_ice.username = "efgh";
  world.portal_says(std::move(again));
  EXPECT_EQ(world.commanded<pipeline::AddClient>().size(), 1U);
  EXPECT_EQ(world.all_said<portal::BroadcastCandidates>().size(), 2U) << "all of them, again";
  world.portal_says(request(false));
  EXPECT_EQ(world.commanded<pipeline::AddClient>().size(), 2U);
  EXPECT_FALSE(world.commanded<pipeline::AddClient>().back()->is_iceless);
  world.portal_says(request(true));
  EXPECT_TRUE(world.commanded<pipeline::AddClient>().back()->is_iceless);
}

// Spec connectivity 5.9, 9.5 row 12.
TEST_F(Iceless, ARelayTakenAwayIsNotWithdrawnAndTheSessionStays) {
  connect();
  const auto told = world.all_said<portal::BroadcastCandidates>().size();
  world.portal_says(portal::RelaysPresence{{world.relay_id}, {}});
  const auto all = world.all_said<portal::BroadcastCandidates>();
  for (std::size_t i = told; i < all.size(); ++i) EXPECT_FALSE(all[i]->invalidated);
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
  answer_probes([](const auto& sent) { return sent.path.remote == kHost; });
  EXPECT_EQ(paths().back().remote, kHost);
}

// Spec connectivity 3.8: the next send tries again, not the answer.
TEST_F(Iceless, AChannelThatItsRelayRefusesIsNotAskedForWithoutPause) {
  arrive_by_relay(kRelayed, initiation());
  confirm();
  const auto run = [&](int seconds) {
    for (int i = 0; i < seconds; ++i) {
      world.advance(1s);
      answer_probes(
          [](const auto& sent) { return sent.path.kind == pipeline::Path::Kind::relayed; });
    }
  };
  run(20);
  ASSERT_EQ(paths().back().kind, pipeline::Path::Kind::relayed);
  world.controller.on_event(pipeline::ChannelActivity{RelaySlot{0}, paths().back().channel},
                            world.now, world.wall());
  world.relay.refuses_channels = 441;
  run(330);  // the channel is to be renewed
  EXPECT_GT(world.relay.refusals, 0U);
  EXPECT_LT(world.relay.refusals, 400U) << "once a second";
  world.relay.refuses_channels = 0;
  run(10);
  EXPECT_EQ(paths().back().kind, pipeline::Path::Kind::relayed);
}

TEST_F(Iceless, FailsWithoutCandidatesOfTheClient) {
  world.portal_says(request(false));
  world.portal_says(request(true));
  world.advance(11s);
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 3U);
  EXPECT_EQ(world.controller.summary().clients, 1U) << "grants survive";
}

TEST_F(Iceless, AClientThatAnswersNoDataIsToldOfACandidateThatLeadsNowhere) {
  connect();
  world.said.clear();
  world.controller.on_event(pipeline::ChannelActivity{RelaySlot{0}, ChannelNumber{0x4000}},
                            world.now, world.wall());
  world.controller.on_event(
      pipeline::HandshakeNeeded{slot(), pipeline::HandshakeNeeded::Why::nothing_heard}, world.now,
      world.wall());
  world.settle();
  const auto said = world.all_said<portal::BroadcastCandidates>();
  ASSERT_EQ(said.size(), 2U);
  ASSERT_EQ(said[0]->candidates.size(), 1U);
  EXPECT_FALSE(said[0]->invalidated);
  EXPECT_TRUE(said[1]->invalidated);
  EXPECT_EQ(said[0]->candidates, said[1]->candidates);
  EXPECT_NE(said[0]->candidates[0].find(" typ relay raddr 192.0.2."), std::string::npos);
}

}  // namespace
}  // namespace fg
