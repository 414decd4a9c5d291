// Path probes of clients without ICE on their way through a worker (spec connectivity 5.6, 9.5).
#include "tests/unit/pipeline/world.h"

namespace fg::pipeline {
namespace {

using namespace testing;

constexpr packet::Probe kRequest{.is_reply = false, .id = 0x1234, .sequence = 0x5678};
const auto kServer = at("192.0.2.50:3478");
constexpr ChannelNumber kChannel{0x4001};

class Probes : public World {
 protected:
  RemoteClient iceless(bool is_confirmed = true) {
    apply(AddClient{ClientSlot{1}, tunnel_v4(1), tunnel_v6(1), allow_all_.get(), false, true});
    apply(SetPath{ClientSlot{1}, {Path::Kind::direct, ip("198.51.100.1"), remote(1), {}}});
    auto client = install(1, 1);
    if (is_confirmed) {
      receive(client.keepalive(), 1);
      out_.events.clear();
    }
    return client;
  }
  static ByteVector framed(Bytes inner) {
    ByteVector out(4);
    packet::write_channel_header(out.data(), kChannel, static_cast<std::uint16_t>(inner.size()));
    out.insert(out.end(), inner.begin(), inner.end());
    return out;
  }
  [[nodiscard]] std::uint64_t probes_in() const { return pipeline_.counters().probes_in; }
};

TEST_F(Probes, AreReportedWithTheWayTheyCame) {
  auto client = iceless();
  receive(client.seal(kRequest.write()), at("203.0.113.77:9"));
  const auto heard = out_.take<RouteActivity>();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].slot, ClientSlot{1});
  EXPECT_EQ(heard[0].probe, kRequest);
  EXPECT_EQ(heard[0].route.local, at("198.51.100.1:52625"));
  EXPECT_EQ(heard[0].route.from, at("203.0.113.77:9"));
  EXPECT_FALSE(heard[0].route.relay);
}

TEST_F(Probes, OfARelayNameItsChannel) {
  auto client = iceless();
  apply(SetRelay{RelaySlot{2}, kServer});
  apply(SetChannel{RelaySlot{2}, kChannel, true});
  receive(framed(client.seal(kRequest.write())), kServer);
  const auto heard = out_.take<RouteActivity>();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].route.relay, RelaySlot{2});
  EXPECT_EQ(heard[0].route.channel, kChannel);
}

// Spec connectivity 9.5, row 14.
TEST_F(Probes, ReachNeitherTunnelNorFiltersNorAnswersNorCountersOfTraffic) {
  auto client = iceless();
  receive(client.seal(kRequest.write()), 1);
  auto padded = copy_of(kRequest.write());
  padded.resize(64);
  receive(client.seal(padded), 1);
  EXPECT_EQ(probes_in(), 2U);
  EXPECT_TRUE(out_.tun.empty());
  EXPECT_TRUE(out_.sent.empty());
  EXPECT_EQ(pipeline_.counters().bytes_to_resources, 0U);
  EXPECT_EQ(pipeline_.counters().drops.total(), 0U);
  EXPECT_TRUE(out_.take<ClientActivity>().empty());
}

TEST_F(Probes, OfAClientWithIceAreTrafficLikeAnyOther) {
  auto client = connect(1);
  receive(client.seal(kRequest.write()), 1);
  EXPECT_EQ(probes_in(), 0U);
  EXPECT_EQ(dropped(DropReason::spoofed_source), 1U);
}

TEST_F(Probes, DataOfAClientWithIceIsToldOfOnceWhenAskedForAndOnlyByThePathInUse) {
  auto client = connect(1);
  apply(SetPath{ClientSlot{1}, {Path::Kind::direct, ip("198.51.100.1"), remote(1), {}}});
  receive(client.keepalive(), 1);
  EXPECT_TRUE(out_.take<RouteActivity>().empty()) << "nobody asked";
  apply(AskRoute{ClientSlot{1}});
  apply(AskRoute{ClientSlot{9}});
  receive(client.keepalive(), at("203.0.113.77:9"));
  EXPECT_TRUE(out_.take<RouteActivity>().empty()) << "another way";
  receive(client.keepalive(), 1);
  receive(client.keepalive(), 1);
  const auto heard = out_.take<RouteActivity>();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].slot, ClientSlot{1});
  EXPECT_EQ(heard[0].route.from, remote(1));
  EXPECT_FALSE(heard[0].probe);
}

TEST_F(Probes, ThatAreMalformedAreCountedAndGone) {
  auto client = iceless();
  auto wrong = copy_of(kRequest.write());
  wrong[47] ^= 1;
  receive(client.seal(wrong), 1);
  EXPECT_EQ(dropped(DropReason::malformed_probe), 1U);
  EXPECT_TRUE(out_.take<RouteActivity>().empty());
  EXPECT_TRUE(out_.tun.empty());
}

TEST_F(Probes, OverTheRateAreCountedAndGone) {
  auto client = iceless();
  for (int i = 0; i < Client::kProbeBurst + 10; ++i) receive(client.seal(kRequest.write()), 1);
  EXPECT_EQ(dropped(DropReason::probe_rate_limited), 10U);
  advance(Client::kProbeInterval);
  receive(client.seal(kRequest.write()), 1);
  EXPECT_EQ(dropped(DropReason::probe_rate_limited), 10U);
}

TEST_F(Probes, AreSentOverAnyWayWhateverThePathOfDataIs) {
  auto client = iceless();
  apply(SendProbe{
      ClientSlot{1}, {Path::Kind::direct, ip("198.51.100.9"), at("203.0.113.8:8"), {}}, kRequest});
  apply(SendProbe{ClientSlot{1}, {Path::Kind::relayed, {}, kServer, kChannel}, kRequest});
  from_tun(reply(1));
  ASSERT_EQ(out_.sent.size(), 3U);
  EXPECT_EQ(out_.sent[0].to, at("203.0.113.8:8"));
  EXPECT_EQ(out_.sent[0].from, ip("198.51.100.9"));
  EXPECT_EQ(out_.sent[0].bytes.size(), packet::kProbeSize + 32);
  const auto inner = client.open(out_.sent[0], now_);
  ASSERT_TRUE(inner);
  EXPECT_EQ(packet::Probe::parse(*inner), kRequest);
  EXPECT_EQ(out_.sent[1].to, kServer);
  out_.sent[1].bytes.erase(out_.sent[1].bytes.begin(), out_.sent[1].bytes.begin() + 4);
  EXPECT_TRUE(client.open(out_.sent[1], now_));
  EXPECT_EQ(out_.sent[2].to, remote(1));
  EXPECT_EQ(pipeline_.counters().probes_out, 2U);
  EXPECT_EQ(pipeline_.counters().to_clients, 1U);
}

// Spec connectivity 5.6: the responder may not send before the client's first data.
TEST_F(Probes, AreNotSentBeforeTheSessionMaySend) {
  auto client = iceless(false);
  apply(
      SendProbe{ClientSlot{1}, {Path::Kind::direct, ip("198.51.100.9"), remote(1), {}}, kRequest});
  EXPECT_TRUE(out_.sent.empty());
  EXPECT_EQ(dropped(DropReason::not_connected), 1U);
  apply(
      SendProbe{ClientSlot{9}, {Path::Kind::direct, ip("198.51.100.9"), remote(1), {}}, kRequest});
  EXPECT_EQ(dropped(DropReason::not_connected), 2U);
}

// Spec connectivity 4.6: five seconds until a keepalive, seven until silence is asked about.
TEST_F(Probes, AreDataToTheTimersOfWireGuard) {
  auto client = iceless();
  receive(client.seal(kRequest.write()), 1);
  run_for(4900ms);
  EXPECT_TRUE(out_.sent.empty());
  run_for(200ms);
  EXPECT_EQ(out_.sent.size(), 1U);
  apply(
      SendProbe{ClientSlot{1}, {Path::Kind::direct, ip("198.51.100.1"), remote(1), {}}, kRequest});
  run_for(6900ms);
  EXPECT_TRUE(out_.take<HandshakeNeeded>().empty());
  run_for(200ms);
  EXPECT_EQ(out_.take<HandshakeNeeded>().size(), 1U);
}

// ---- other data ----

TEST_F(Probes, DataOnThePathInUseIsReportedEveryTwoSeconds) {
  auto client = iceless();
  advance(RouteReports::kInterval);
  for (int i = 0; i < 5; ++i) receive(client.seal(request(1)), 1);
  EXPECT_EQ(out_.take<RouteActivity>().size(), 1U);
  advance(RouteReports::kInterval);
  receive(client.keepalive(), 1);
  const auto heard = out_.take<RouteActivity>();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_FALSE(heard[0].probe);
  EXPECT_EQ(heard[0].route.from, remote(1));
}

TEST_F(Probes, DataOfAnotherWayIsReportedAtOnceButNotEveryPacketOfTwoInTurn) {
  auto client = iceless();
  receive(client.seal(request(1)), at("203.0.113.77:1"));
  EXPECT_EQ(out_.take<RouteActivity>().size(), 1U);
  advance(RouteReports::kElsewhereInterval);
  receive(client.seal(request(1)), at("203.0.113.77:1"));
  EXPECT_TRUE(out_.take<RouteActivity>().empty());
  receive(client.seal(request(1)), at("203.0.113.77:2"));
  EXPECT_EQ(out_.take<RouteActivity>().size(), 1U);
  receive(client.seal(request(1)), at("203.0.113.77:1"));
  receive(client.seal(request(1)), at("203.0.113.77:2"));
  EXPECT_TRUE(out_.take<RouteActivity>().empty());
}

TEST_F(Probes, AnotherSourceAddressOfOursIsAnotherWay) {
  auto client = iceless();
  apply(SetPath{ClientSlot{1}, {Path::Kind::direct, ip("198.51.100.2"), remote(1), {}}});
  receive(client.seal(request(1)), 1);
  EXPECT_EQ(out_.take<RouteActivity>().size(), 1U);
}

// Spec connectivity 5.8: whether data came between two handshakes decides.
TEST_F(Probes, DataAfterANewSessionIsReportedAtOnce) {
  auto client = iceless();
  receive(client.seal(request(1)), 1);
  (void)out_.take<RouteActivity>();
  (void)install(1, 2);
  receive(client.seal(request(1)), 1);
  EXPECT_EQ(out_.take<RouteActivity>().size(), 1U);
}

TEST_F(Probes, HandedOverKeepTheWayTheyCame) {
  Recorder first_out;
  Recorder second_out;
  Pipeline first{{.worker = WorkerIndex{0}, .workers = 2, .clients_max = 16}, engine_, first_out};
  Pipeline second{{.worker = WorkerIndex{1}, .workers = 2, .clients_max = 16}, engine_, second_out};
  RemoteClient client{engine_, ClientSlot{4}, make_receiver_index(WorkerIndex{1}, 99, 1), 5, now_};
  second.apply(AddClient{ClientSlot{4}, tunnel_v4(4), tunnel_v6(4), allow_all_.get(), false, true},
               now_);
  second.apply(client.install(), now_);
  first.apply(SetRelay{RelaySlot{2}, kServer}, now_);
  first.apply(SetChannel{RelaySlot{2}, kChannel, true}, now_);

  auto datagram = framed(client.seal(kRequest.write()));
  ReceivedDatagrams batch{.bytes = datagram,
                          .segment = static_cast<std::uint16_t>(datagram.size()),
                          .ecn = 0,
                          .from = kServer,
                          .local = at("198.51.100.1:52625")};
  first.on_datagrams({&batch, 1}, now_);
  ASSERT_EQ(first_out.handoffs.size(), 1U);
  second.on_handoff(first_out.handoffs[0].second, now_);
  first_out.handoffs.clear();
  second.flush(now_);
  const auto heard = second_out.take<RouteActivity>();
  ASSERT_EQ(heard.size(), 1U);
  EXPECT_EQ(heard[0].probe, kRequest);
  EXPECT_EQ(heard[0].route.from, kServer);
  EXPECT_EQ(heard[0].route.relay, RelaySlot{2});
  EXPECT_EQ(heard[0].route.channel, kChannel);
  expect_conserved(first);
  expect_conserved(second);
}

}  // namespace
}  // namespace fg::pipeline
