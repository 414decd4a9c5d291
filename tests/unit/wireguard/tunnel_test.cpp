#include "wireguard/tunnel.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/wireguard/peers.h"

namespace fg::wireguard {
namespace {

using test::kStart;
using test::kWallStart;
constexpr Duration kLatency = 20ms;

ByteVector packet(std::uint32_t mark, std::size_t size = 60) {
  ByteVector out(size);
  out[0] = 0x45;
  store_be16(out.data() + 2, static_cast<std::uint16_t>(size));
  store_be32(out.data() + 4, mark);
  return out;
}
std::uint32_t mark_of(Bytes inner) { return load_be32(inner.data() + 4); }

struct Sent {
  Instant at;
  bool by_client;
  MessageType type;
  std::size_t size;
};

// Two tunnels and a link with a latency that can be cut; drains both after every input and checks
// the contract of a machine each time.
class Link {
 public:
  explicit Link(TunnelConfig client = {}, TunnelConfig gateway = {}) {
    client.handshake = peers.client_config();
    const Duration attempt = gateway.handshake.attempt_time;
    gateway.handshake = peers.gateway_config();
    gateway.handshake.attempt_time = attempt;
    client_ =
        std::make_unique<Tunnel>(peers.client, std::move(client), engine_, peers.random, kStart);
    gateway_ =
        std::make_unique<Tunnel>(peers.gateway, std::move(gateway), engine_, peers.random, kStart);
  }

  Tunnel& client() { return *client_; }
  Tunnel& gateway() { return *gateway_; }
  [[nodiscard]] WallTime wall() const { return kWallStart + (now - kStart); }

  void client_sends(std::uint32_t mark) {
    client_->encapsulate(packet(mark), now, wall()), drain(true);
  }
  void gateway_sends(std::uint32_t mark) {
    gateway_->encapsulate(packet(mark), now, wall()), drain(false);
  }

  void run_for(Duration d) { run_until(now + d); }
  void run_until(Instant end) {
    for (;;) {
      Instant next = end;
      bool any = false;
      const auto consider = [&](std::optional<Instant> at) {
        if (at && *at <= next) next = *at, any = true;
      };
      consider(wakeup(*client_));
      consider(wakeup(*gateway_));
      if (!wire_.empty()) consider(wire_.front().at);
      if (!any) break;
      ASSERT_GE(next, now) << "a wake-up in the past";
      ASSERT_LT(++steps_, 100'000) << "busy loop";
      now = next;
      step();
    }
    now = end;
  }

  std::size_t count(bool by_client, MessageType type, Instant since = kStart) const {
    std::size_t n = 0;
    for (const Sent& s : sent)
      n += s.by_client == by_client && s.type == type && s.at >= since ? 1U : 0U;
    return n;
  }

  test::Peers peers;
  Instant now = kStart;
  std::vector<Sent> sent;
  std::vector<std::uint32_t> at_client, at_gateway;
  std::vector<Tunnel::Event> client_events, gateway_events;
  bool cut_to_gateway = false, cut_to_client = false;
  std::function<void(ByteVector&)> tamper;  // with what the client sends

 private:
  struct Flying {
    Instant at;
    bool by_client;
    ByteVector bytes;
  };
  static std::optional<Instant> wakeup(const Tunnel& tunnel) {
    const auto w = tunnel.wakeup();
    return w ? std::optional{w->at} : std::nullopt;
  }
  void step() {
    if (!wire_.empty() && wire_.front().at <= now) {
      const Flying f = std::move(wire_.front());
      wire_.pop_front();
      if (f.by_client ? cut_to_gateway : cut_to_client) return;
      (f.by_client ? gateway_ : client_)->on_datagram(f.bytes, IpAddress::v4(192, 0, 2, 1), now);
      drain(!f.by_client);
      return;
    }
    client_->on_timeout(now, wall());
    drain(true);
    gateway_->on_timeout(now, wall());
    drain(false);
  }
  void drain(bool is_client) {
    Tunnel& tunnel = is_client ? *client_ : *gateway_;
    const auto before = wakeup(tunnel);
    bool queued = false;
    while (auto datagram = tunnel.poll_datagram()) {
      queued = true;
      if (is_client && tamper) tamper(*datagram);
      sent.push_back({now, is_client, *classify(*datagram), datagram->size()});
      wire_.push_back({now + kLatency, is_client, std::move(*datagram)});
    }
    while (auto inner = tunnel.poll_inner())
      (is_client ? at_client : at_gateway).push_back(mark_of(*inner));
    while (auto event = tunnel.poll_event())
      (is_client ? client_events : gateway_events).push_back(*event);
    if (queued) {
      ASSERT_TRUE(before && *before <= now) << "queued output wakes at once";
    }
    if (const auto after = wakeup(tunnel)) {
      ASSERT_GE(*after, now);
    }
  }

  crypto::AeadEngine engine_;
  std::unique_ptr<Tunnel> client_, gateway_;
  std::deque<Flying> wire_;
  int steps_ = 0;
};

TunnelConfig gateway_config() {
  TunnelConfig config;
  config.initiate_on_data = false;
  config.handshake.attempt_time = 20s;
  return config;
}

TEST(Tunnel, AQueuedPacketStartsTheHandshakeAndFollowsIt) {
  Link link;
  link.client_sends(1);
  link.client_sends(2);
  EXPECT_EQ(link.client().queued(), 2U);
  link.run_for(1s);
  EXPECT_EQ(link.at_gateway, (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(link.count(true, MessageType::initiation), 1U);
  EXPECT_EQ(link.count(false, MessageType::response), 1U);
  EXPECT_EQ(link.count(true, MessageType::data), 2U) << "no keepalive needed beside queued data";
  link.gateway_sends(3);
  link.run_for(1s);
  EXPECT_EQ(link.at_client, (std::vector<std::uint32_t>{3}));
}

TEST(Tunnel, AnInitiatorWithoutDataConfirmsWithAKeepalive) {
  Link link;
  link.client().initiate(link.now, link.wall());
  link.run_for(1s);
  EXPECT_EQ(link.count(true, MessageType::data), 1U);
  EXPECT_EQ(link.sent.back().size, 32U);
  EXPECT_EQ(link.gateway_events, (std::vector{Tunnel::Event::established}));
  EXPECT_EQ(link.client_events, (std::vector{Tunnel::Event::established}));
}

TEST(Tunnel, TheQueueHolds128PacketsAndDropsTheOldest) {
  Link link;
  link.cut_to_gateway = true;
  for (std::uint32_t i = 0; i < 128; ++i) link.client_sends(i);
  EXPECT_EQ(link.client().counters().queue_dropped, 0U);
  link.client_sends(128);
  EXPECT_EQ(link.client().counters().queue_dropped, 1U);
  link.run_for(1s);
  link.cut_to_gateway = false;
  link.run_for(10s);
  ASSERT_EQ(link.at_gateway.size(), 128U);
  EXPECT_EQ(link.at_gateway.front(), 1U);
  EXPECT_EQ(link.at_gateway.back(), 128U);
}

TEST(Tunnel, AGatewayDropsInsteadOfStartingAHandshake) {
  Link link({}, gateway_config());
  link.gateway_sends(1);
  link.run_for(30s);
  EXPECT_TRUE(link.sent.empty());
  EXPECT_EQ(link.gateway().counters().queue_dropped, 1U);
}

TEST(Tunnel, PacketsOnTheOldSessionAreStillReadWhileTheNewOneIsUnconfirmed) {
  Link link({}, gateway_config());
  link.client_sends(1);
  link.run_for(1s);
  link.cut_to_client = true;  // the response is lost: the client goes on with the old session
  link.client().initiate(link.now, link.wall());
  link.run_for(1s);
  EXPECT_EQ(link.gateway().counters().sessions, 2U);
  link.cut_to_client = false;
  link.client_sends(2);
  link.gateway_sends(3);
  link.run_for(1s);
  EXPECT_EQ(link.at_gateway, (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(link.at_client, (std::vector<std::uint32_t>{3}))
      << "the gateway sends on the old session";
}

TEST(Tunnel, ARekeyAtTwoMinutesLosesNoPacket) {
  Link link({}, gateway_config());
  for (std::uint32_t i = 0; i < 300; ++i) {
    link.client_sends(i);
    link.gateway_sends(1000 + i);
    link.run_for(1s);
  }
  EXPECT_EQ(link.at_gateway.size(), 300U);
  EXPECT_EQ(link.at_client.size(), 299U)
      << "only what the gateway sent before the first session is dropped";
  EXPECT_EQ(link.count(true, MessageType::initiation), 3U) << "at 0, 120 and 240 s";
  EXPECT_EQ(link.count(false, MessageType::initiation), 0U) << "the responder never renews by age";
  EXPECT_EQ(link.gateway().counters().bad_tag + link.client().counters().unknown_receiver, 0U);
}

TEST(Tunnel, AnIdleInitiatorRenewsAt180Seconds) {
  Link link({}, gateway_config());
  link.client().initiate(link.now, link.wall());
  link.run_for(179s);
  EXPECT_EQ(link.count(true, MessageType::initiation), 1U);
  link.run_for(3s);
  EXPECT_EQ(link.count(true, MessageType::initiation), 2U);
  EXPECT_EQ(link.count(false, MessageType::initiation), 0U);
}

TEST(Tunnel, ReceivedDataIsAnsweredByOneKeepaliveThatIsNotAnswered) {
  Link link;
  link.client_sends(1);
  link.run_for(1s);
  const Instant since = link.now;
  link.client_sends(2);
  link.run_for(60s);
  EXPECT_EQ(link.count(false, MessageType::data, since), 1U);
  EXPECT_EQ(link.count(true, MessageType::data, since), 1U) << "the keepalive is not answered";
}

TEST(Tunnel, DataIntoSilenceStartsAHandshakeAfter15SecondsAndGivesUpAfter20More) {
  Link link({}, gateway_config());
  link.client_sends(1);
  link.run_for(20s);
  link.cut_to_gateway = true;
  const Instant since = link.now;
  link.gateway_sends(2);
  link.run_for(15s - 1ms);
  EXPECT_EQ(link.count(false, MessageType::initiation), 0U);
  link.run_for(2ms);
  EXPECT_EQ(link.count(false, MessageType::initiation), 1U);
  link.cut_to_client = true;
  link.run_until(since + 35s - 1ms);
  EXPECT_EQ(link.gateway_events, (std::vector{Tunnel::Event::established}));
  link.run_until(since + 35s + 1ms);
  EXPECT_EQ(link.gateway_events.back(), Tunnel::Event::unanswered);
  EXPECT_EQ(link.count(false, MessageType::initiation), 4U);
}

TEST(Tunnel, CrossingInitiationsEndInAWorkingTunnel) {
  Link link;
  link.client_sends(1);
  link.gateway_sends(2);
  link.run_for(1s);
  link.client_sends(3);
  link.gateway_sends(4);
  link.run_for(20s);
  EXPECT_EQ(link.at_gateway, (std::vector<std::uint32_t>{1, 3}));
  EXPECT_EQ(link.at_client, (std::vector<std::uint32_t>{2, 4}));
  EXPECT_EQ(link.count(true, MessageType::initiation) + link.count(false, MessageType::initiation),
            2U);
}

TEST(Tunnel, ASessionOfTheOtherSideEndsOurOwnAttempt) {
  Link link;
  link.cut_to_client = true;  // the gateway's answer is lost, so is what it starts itself
  link.client().initiate(link.now, link.wall());
  link.run_for(1s);
  link.cut_to_client = false;
  link.gateway_sends(1);
  link.run_for(30s);
  EXPECT_EQ(link.at_client, (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(link.count(true, MessageType::initiation), 1U);
  EXPECT_EQ(link.count(false, MessageType::initiation), 1U);
}

TEST(Tunnel, RenewsTheSessionByMessageCount) {
  test::Peers peers;
  crypto::AeadEngine engine;
  TunnelConfig config;
  config.handshake = peers.client_config();
  Tunnel client(peers.client, std::move(config), engine, peers.random, kStart);
  Handshake gateway(peers.gateway, peers.gateway_config(), peers.random, kStart);
  const IpAddress from = IpAddress::v4(192, 0, 2, 2);
  client.initiate(kStart, kWallStart);
  auto opened = open_initiation(peers.gateway, *client.poll_datagram());
  ASSERT_TRUE(opened);
  auto answer = gateway.on_initiation(std::move(*opened), kStart);
  ASSERT_TRUE(answer);
  Session session(std::move(answer->keys), engine,
                  1ULL << 60);  // whitepaper §6.1: REKEY_AFTER_MESSAGES
  client.on_datagram(answer->response, from, kStart);
  while (client.poll_datagram()) {
  }
  client.encapsulate(packet(1), kStart, kWallStart);
  EXPECT_EQ(classify(*client.poll_datagram()), MessageType::data);
  EXPECT_FALSE(client.poll_datagram());
  ByteVector message(32);
  ASSERT_TRUE(session.seal(message.data(), 0));
  client.on_datagram(message, from, kStart);
  client.encapsulate(packet(2), kStart, kWallStart);
  EXPECT_EQ(classify(*client.poll_datagram()), MessageType::data);
  EXPECT_EQ(classify(*client.poll_datagram()), MessageType::initiation);
}

TEST(Tunnel, KeysAreGoneAfter540SecondsWithoutANewSession) {
  Link link({}, gateway_config());
  link.client_sends(1);
  link.run_for(1s);
  link.cut_to_gateway = link.cut_to_client = true;
  const Instant session = kStart + kLatency;
  link.run_until(session + 200s);
  EXPECT_EQ(link.gateway().sessions().size(), 0U) << "nothing decrypts after 180 s";
  link.run_until(session + 540s - 1ms);
  EXPECT_EQ(link.gateway_events.size(), 1U);
  link.run_until(session + 540s + 1ms);
  EXPECT_EQ(link.gateway_events.back(), Tunnel::Event::expired);
}

TEST(Tunnel, AnUnansweredAttemptDropsTheQueueAndNewDataStartsAgain) {
  Link link;
  link.cut_to_gateway = true;
  link.client_sends(1);
  link.run_for(91s);
  EXPECT_EQ(link.client_events, (std::vector{Tunnel::Event::unanswered}));
  EXPECT_EQ(link.client().queued(), 0U);
  link.cut_to_gateway = false;
  link.client_sends(2);
  link.run_for(1s);
  EXPECT_EQ(link.at_gateway, (std::vector<std::uint32_t>{2}));
}

TEST(Tunnel, PersistentKeepaliveHoldsTheTunnelOpen) {
  TunnelConfig client;
  client.timers.persistent_keepalive = 25s;
  Link link(std::move(client));
  link.client().initiate(link.now, link.wall());
  link.run_for(170s);
  EXPECT_EQ(link.count(true, MessageType::data), 1U + 6U);
  EXPECT_EQ(link.count(false, MessageType::data), 0U);
}

TEST(Tunnel, NineQuickHandshakesLeaveAWorkingTunnel) {
  Link link({}, gateway_config());
  for (std::uint32_t i = 0; i < 9; ++i) {
    link.client().initiate(link.now, link.wall());
    link.run_for(200ms);
  }
  EXPECT_EQ(link.gateway().sessions().size(), 8U);
  link.client_sends(1);
  link.gateway_sends(2);
  link.run_for(1s);
  EXPECT_EQ(link.at_gateway, (std::vector<std::uint32_t>{1}));
  EXPECT_EQ(link.at_client, (std::vector<std::uint32_t>{2}));
}

TEST(Tunnel, UnderLoadTheInitiatorReturnsTheCookie) {
  Link link;
  link.client().initiate(link.now, link.wall());
  const auto first = link.client().poll_datagram();
  ASSERT_TRUE(first);
  // The same message fills the gateway's window: all but the first are replays, and all count.
  for (int i = 0; i < 101; ++i)
    link.gateway().on_datagram(*first, IpAddress::v4(192, 0, 2, 1), link.now);
  EXPECT_EQ(link.gateway().counters().cookie_replies_sent, 1U);
  std::optional<ByteVector> reply;
  while (auto datagram = link.gateway().poll_datagram()) {
    if (classify(*datagram) == MessageType::cookie_reply) reply = datagram;
  }
  ASSERT_TRUE(reply);
  link.client().on_datagram(*reply, IpAddress::v4(192, 0, 2, 2), link.now);
  EXPECT_EQ(link.client().counters().bad_handshakes, 0U);
  const Instant again = link.client().wakeup()->at;
  link.client().on_timeout(again, link.wall() + 5s);
  const auto second = link.client().poll_datagram();
  ASSERT_TRUE(second);
  EXPECT_FALSE(equal(mac2_of(*second), Mac{}));
}

TEST(Tunnel, ForgedAndForeignDatagramsAreCountedAndChangeNothing) {
  Link link;
  link.client_sends(1);
  link.run_for(1s);
  Tunnel& gateway = link.gateway();
  const IpAddress from = IpAddress::v4(192, 0, 2, 1);
  gateway.on_datagram(ByteVector(20), from, link.now);
  EXPECT_EQ(gateway.counters().malformed, 1U);
  ByteVector data(48);
  write_data_header(data.data(), 0xDEAD, 1);
  gateway.on_datagram(data, from, link.now);
  EXPECT_EQ(gateway.counters().unknown_receiver, 1U);
  ByteVector init(148);
  init[0] = 1;
  gateway.on_datagram(init, from, link.now);
  EXPECT_EQ(gateway.counters().bad_mac1, 1U);
  EXPECT_FALSE(gateway.poll_datagram());
  link.client_sends(2);
  link.run_for(1s);
  EXPECT_EQ(link.at_gateway, (std::vector<std::uint32_t>{1, 2}));
}

TEST(Tunnel, ReplayedAndTamperedDataIsCountedAndDropped) {
  Link link;
  link.client_sends(1);
  link.run_for(1s);
  ByteVector copy;
  link.tamper = [&](ByteVector& d) { copy = d; };
  link.client_sends(2);
  link.run_for(1s);
  link.gateway().on_datagram(copy, IpAddress::v4(192, 0, 2, 1), link.now);
  EXPECT_EQ(link.gateway().counters().replayed, 1U);
  link.tamper = [](ByteVector& d) { d.back() ^= 1; };
  link.client_sends(3);
  link.run_for(1s);
  EXPECT_EQ(link.gateway().counters().bad_tag, 1U);
  EXPECT_EQ(link.at_gateway, (std::vector<std::uint32_t>{1, 2}));
}

TEST(Tunnel, AnInnerPacketWithALyingLengthIsDroppedAndPaddingIsCut) {
  Link link;
  link.client_sends(1);
  link.run_for(1s);
  ByteVector lying = packet(2);
  store_be16(lying.data() + 2, 61);
  link.client().encapsulate(lying, link.now, link.wall());
  ByteVector padded = packet(3);
  padded.resize(64);
  link.client().encapsulate(padded, link.now, link.wall());
  while (auto d = link.client().poll_datagram())
    link.gateway().on_datagram(*d, IpAddress::v4(192, 0, 2, 1), link.now);
  EXPECT_EQ(link.gateway().counters().malformed, 1U);
  const auto inner = link.gateway().poll_inner();
  ASSERT_TRUE(inner);
  EXPECT_EQ(*inner, packet(3));
}

}  // namespace
}  // namespace fg::wireguard
