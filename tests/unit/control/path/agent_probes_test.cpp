// A client and a gateway in one process, joined by a wire with latency, NATs and broken paths, in
// virtual time. WireGuard is three messages: an initiation, its answer, data.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "control/path/agent.h"

namespace fg::path {
namespace {

SocketAddress at(std::string_view text) { return *SocketAddress::parse(text); }

const auto kClientHost = at("192.168.7.2:52625");
const auto kClientMapped = at("203.0.113.21:40000");
const auto kClientRelayed = at("198.51.100.30:50001");
const auto kGatewayHost = at("198.51.100.10:52625");
const auto kGatewayRelayed = at("198.51.100.30:50000");

struct Sent {
  Duration at{};  // since the start
  bool by_gateway = false;
  Path path;  // as the sender sees it
  std::optional<packet::Probe> probe;
  ByteVector initiation;
};

class Joined : public testing::Test {
 protected:
  static constexpr Instant kStart{1000h};

  struct Message {
    bool to_gateway = false;
    Path path;  // as the receiver sees it
    enum class Kind : std::uint8_t { probe, initiation, response, data } kind = Kind::data;
    packet::Probe probe;
    ByteVector bytes;
  };

  Joined() { add_candidates(); }

  void add_candidates() {
    using enum CandidateKind;
    signal(gateway_, client_, make_candidate(host, kGatewayHost, kGatewayHost));
    signal(gateway_, client_, make_candidate(relay, kGatewayRelayed, kGatewayHost));
    signal(client_, gateway_, make_candidate(host, kClientHost, kClientHost));
    signal(client_, gateway_, make_candidate(srflx, kClientMapped, kClientHost));
    signal(client_, gateway_, make_candidate(relay, kClientRelayed, kClientHost));
  }
  void signal(Agent& from, Agent& to, const Candidate& candidate) {
    ASSERT_TRUE(from.add_local(candidate, now_));
    (void)to.add_remote(to_line(candidate), now_);
  }

  void initiate(std::uint8_t number) {
    client_.on_own_initiation(ByteVector(148, number), now_);
    run(0s);
  }

  // What the receiver sees, or nothing when the path is broken.
  std::optional<Path> carried(bool by_gateway, const Path& path) const {
    auto local = path.local;
    if (!by_gateway && local == kClientHost) local = mapped_;  // the client is behind a NAT
    auto remote = path.remote;
    if (by_gateway && remote == mapped_)
      remote = kClientHost;
    else if (by_gateway && remote != kClientRelayed)
      return std::nullopt;
    if (broken_ && broken_(by_gateway, path)) return std::nullopt;
    return Path{remote, local};
  }
  void send(bool by_gateway, const Path& path, Message message) {
    const auto arrives = carried(by_gateway, path);
    if (!arrives) return;
    message.to_gateway = !by_gateway;
    message.path = *arrives;
    const bool is_relayed =
        path.local.ip == kClientRelayed.ip || path.remote.ip == kClientRelayed.ip;
    wire_.emplace(now_ + (is_relayed ? relay_latency_ : latency_), std::move(message));
  }

  void drain(Agent& agent, bool by_gateway) {
    while (auto out = agent.poll_transmit()) {
      Sent sent{.at = now_ - kStart,
                .by_gateway = by_gateway,
                .path = out->path,
                .probe = {},
                .initiation = {}};
      Message message;
      if (const auto* probe = std::get_if<packet::Probe>(&out->what)) {
        sent.probe = *probe;
        message.kind = Message::Kind::probe;
        message.probe = *probe;
      } else {
        sent.initiation = std::get<ByteVector>(out->what);
        message.kind = Message::Kind::initiation;
        message.bytes = sent.initiation;
      }
      sent_.push_back(std::move(sent));
      send(by_gateway, out->path, std::move(message));
    }
    while (agent.poll_event()) {
      if (agent.primary()) (by_gateway ? gateway_sends_to_ : client_sends_to_) = *agent.primary();
    }
  }

  void receive(const Message& message) {
    auto& agent = message.to_gateway ? gateway_ : client_;
    switch (message.kind) {
      case Message::Kind::probe:
        return agent.on_probe(message.path, message.probe, now_);
      case Message::Kind::data:
        if (message.to_gateway) gateway_.on_usable(now_);
        return agent.on_data(message.path, now_);
      case Message::Kind::initiation:
        // As the owner does: WireGuard takes each initiation once, its answer is repeated.
        if (taken_.insert(message.bytes).second) agent.on_initiation(message.path, now_);
        return send(
            message.to_gateway, message.path,
            {.path = {}, .kind = Message::Kind::response, .probe = {}, .bytes = message.bytes});
      case Message::Kind::response:
        if (!answered_.insert(message.bytes).second) return;
        agent.on_response(message.path, now_);
        if (!message.to_gateway && agent.primary())
          send(false, *agent.primary(),
               {.path = {}, .kind = Message::Kind::data, .probe = {}, .bytes = {}});
    }
  }

  void run(Duration how_long) {
    const auto end = now_ + how_long;
    drain(client_, false);
    drain(gateway_, true);
    for (int steps = 0; steps < 100'000; ++steps) {
      auto next = Instant::max();
      if (!wire_.empty()) next = std::min(next, wire_.begin()->first);
      for (const auto* agent : {&client_, &gateway_}) {
        if (const auto wakeup = agent->wakeup()) next = std::min(next, wakeup->at);
      }
      if (traffic_) next = std::min(next, next_packet_);
      if (next > end) {
        now_ = end;
        return;
      }
      now_ = std::max(now_, next);
      while (!wire_.empty() && wire_.begin()->first <= now_) {
        const auto message = wire_.extract(wire_.begin());
        receive(message.mapped());
      }
      if (traffic_ && next_packet_ <= now_) {
        next_packet_ = now_ + 100ms;
        if (client_sends_to_)
          send(false, *client_sends_to_,
               {.path = {}, .kind = Message::Kind::data, .probe = {}, .bytes = {}});
      }
      client_.on_timeout(now_);
      gateway_.on_timeout(now_);
      drain(client_, false);
      drain(gateway_, true);
    }
    FAIL() << "never rests";
  }

  void connect() {
    initiate(1);
    run(2s);
    ASSERT_EQ(gateway_.primary(), direct());
    ASSERT_TRUE(client_.primary());
  }
  // As the gateway sees it.
  [[nodiscard]] Path direct() const { return {kGatewayHost, mapped_}; }
  // The best one with a relay: the gateway's own address needs no other.
  [[nodiscard]] static Path relayed() { return {kGatewayHost, kClientRelayed}; }
  [[nodiscard]] std::vector<Sent> sent_since(std::size_t from, bool by_gateway) const {
    std::vector<Sent> out;
    for (std::size_t i = from; i < sent_.size(); ++i) {
      if (sent_[i].by_gateway == by_gateway) out.push_back(sent_[i]);
    }
    return out;
  }
  [[nodiscard]] static bool is_relayed(const Path& path) {
    return path.local.ip == kClientRelayed.ip || path.remote.ip == kClientRelayed.ip;
  }

  Instant now_ = kStart;
  Agent client_{Role::controlling, kStart};
  Agent gateway_{Role::controlled, kStart};
  Duration latency_ = 10ms;
  Duration relay_latency_ = 20ms;
  SocketAddress mapped_ = kClientMapped;  // of the client's host address
  std::function<bool(bool by_gateway, const Path&)> broken_;
  std::multimap<Instant, Message> wire_;
  std::set<ByteVector> taken_;
  std::set<ByteVector> answered_;
  std::vector<Sent> sent_;
  std::optional<Path> client_sends_to_;
  std::optional<Path> gateway_sends_to_;
  bool traffic_ = false;
  Instant next_packet_ = kStart;
};

// ---- bootstrap ----

// Spec connectivity 5.4, as an original client was observed to do it.
TEST_F(Joined, InitiationsClimbALadderOnEveryPairWithARelayAndOnNoOther) {
  broken_ = [](bool, const Path&) { return true; };
  initiate(1);
  run(10s);
  std::map<Path, std::vector<Duration>> times;
  for (const auto& sent : sent_) times[sent.path].push_back(sent.at);
  ASSERT_EQ(times.size(), 3U);
  for (const auto& [path, at] : times) {
    EXPECT_TRUE(is_relayed(path));
    EXPECT_EQ(
        at, (std::vector<Duration>{0ms, 50ms, 100ms, 150ms, 250ms, 450ms, 850ms, 1650ms, 3250ms}));
  }
}

TEST_F(Joined, ALaterInitiationGoesOutOnceAndIsWhatTheLadderRepeats) {
  broken_ = [](bool, const Path&) { return true; };
  initiate(1);
  run(2s);
  initiate(2);
  run(5s);
  std::vector<std::pair<Duration, std::uint8_t>> on_one;
  for (const auto& sent : sent_) {
    if (sent.path == Path{kClientRelayed, kGatewayHost})
      on_one.emplace_back(sent.at, sent.initiation[0]);
  }
  ASSERT_EQ(on_one.size(), 10U);
  EXPECT_EQ(on_one[8], std::pair(Duration{2000ms}, std::uint8_t{2}));
  EXPECT_EQ(on_one[9], std::pair(Duration{3250ms}, std::uint8_t{2}));
}

TEST_F(Joined, APairThatComesLateStartsAtOnce) {
  broken_ = [](bool, const Path&) { return true; };
  initiate(1);
  run(300ms);
  const auto before = sent_.size();
  signal(gateway_, client_,
         make_candidate(CandidateKind::relay, at("198.51.100.31:50000"), kGatewayHost));
  run(0s);
  EXPECT_EQ(sent_.size(), before + 2);
}

TEST_F(Joined, TheLadderEndsWithTheFirstSession) {
  initiate(1);
  run(5s);
  for (const auto& sent : sent_) {
    if (!sent.initiation.empty()) {
      EXPECT_LE(sent.at, 2 * relay_latency_);
    }
  }
}

// Spec connectivity 9.5, rows 1 and 4: the pair of the first initiation is the primary, and only it
// starts anything.
TEST_F(Joined, TheGatewayIsSilentUntilTheSessionIsUsable) {
  EXPECT_FALSE(gateway_.primary());
  gateway_.on_own_initiation(ByteVector(148, 9), now_);
  gateway_.on_initiation({kGatewayHost, kClientRelayed}, now_);
  EXPECT_EQ(gateway_.primary(), (Path{kGatewayHost, kClientRelayed}));
  run(5s);
  EXPECT_TRUE(sent_since(0, true).empty());
  gateway_.on_usable(now_);
  run(0s);
  EXPECT_EQ(sent_since(0, true).size(), gateway_.pairs().size());
}

TEST_F(Joined, MeetOnTheDirectPathAfterOneRoundTripOfProbes) {
  initiate(1);
  run(20ms + 20ms + 20ms);  // there, back, the client's first data
  EXPECT_TRUE(gateway_.primary());
  run(40ms);
  EXPECT_EQ(gateway_.primary(), direct());
  EXPECT_EQ(client_.primary(), (Path{kClientHost, kGatewayHost}));
}

TEST_F(Joined, MeetOnTheRelayThatNeedsNoOtherWhenThereIsNothingElse) {
  broken_ = [](bool, const Path& path) { return !is_relayed(path); };
  initiate(1);
  run(5s);
  EXPECT_EQ(gateway_.primary(), relayed());
  EXPECT_EQ(client_.primary(), (Path{kClientRelayed, kGatewayHost}));
}

// ---- choice ----

// Spec connectivity 9.5, row 5.
TEST_F(Joined, ABetterTierIsTakenAlthoughItIsSlower) {
  latency_ = 150ms;
  initiate(1);
  run(3s);
  EXPECT_EQ(gateway_.primary(), direct());
}

class Choice : public testing::Test {
 protected:
  static constexpr Instant kStart{1000h};
  const Path first_{at("198.51.100.10:1"), at("203.0.113.1:1")};
  const Path second_{at("198.51.100.10:1"), at("203.0.113.2:1")};
  Agent agent_{Role::controlled, kStart};

  Choice() {
    (void)agent_.add_local(make_candidate(CandidateKind::host, first_.local, first_.local), kStart);
    for (const auto& remote : {first_.remote, second_.remote})
      (void)agent_.add_remote(to_line(make_candidate(CandidateKind::host, remote, remote)), kStart);
    agent_.on_initiation(first_, kStart);
    agent_.on_usable(kStart);
  }
  // The next probe of the path is answered after `rtt`; those of others are lost.
  void measure(const Path& path, Duration rtt, Instant now) {
    agent_.on_timeout(now);
    while (const auto out = agent_.poll_transmit()) {
      auto probe = std::get<packet::Probe>(out->what);
      if (out->path != path || probe.is_reply) continue;
      probe.is_reply = true;
      agent_.on_probe(path, probe, now + rtt);
    }
  }
};

// Spec connectivity 9.5, row 6.
TEST_F(Choice, WithinATierOnlyAClearlyFasterPairIsTaken) {
  measure(first_, 100ms, kStart);
  measure(second_, 80ms, kStart + 200ms);  // a fifth is not more than a fifth
  EXPECT_EQ(agent_.primary(), first_);
  measure(second_, 60ms, kStart + 500ms);  // 70 ms on average
  EXPECT_EQ(agent_.primary(), second_);
}

TEST_F(Choice, TenMillisecondsAreTheLeastThatCounts) {
  measure(first_, 20ms, kStart);
  measure(second_, 11ms, kStart + 200ms);
  EXPECT_EQ(agent_.primary(), first_);
  measure(second_, 12ms, kStart + 500ms);
  EXPECT_EQ(agent_.primary(), first_);
  measure(second_, 4ms, kStart + 1s);
  EXPECT_EQ(agent_.primary(), second_);
}

// Spec connectivity 9.5, row 9.
TEST_F(Choice, AnAnswerToNothingMeasuresNothing) {
  agent_.on_timeout(kStart);
  std::optional<packet::Probe> asked;
  while (const auto out = agent_.poll_transmit()) {
    if (out->path == second_) asked = std::get<packet::Probe>(out->what);
  }
  ASSERT_TRUE(asked);
  asked->is_reply = true;
  auto stale = *asked;
  stale.id = static_cast<std::uint16_t>(stale.id + 1);
  auto unknown = *asked;
  unknown.sequence = 77;
  agent_.on_probe(second_, stale, kStart + 1ms);
  agent_.on_probe(second_, unknown, kStart + 1ms);
  agent_.on_probe({first_.local, at("203.0.113.9:9")}, *asked, kStart + 1ms);
  const auto rtt = [&] { return std::ranges::find(agent_.pairs(), second_, &Pair::path)->rtt(); };
  EXPECT_FALSE(rtt());
  // The address that sent it is followed all the same: it was inside the session. So the pairs
  // are probed anew, and the round that was under way still counts.
  agent_.on_probe(second_, *asked, kStart + 2ms);
  EXPECT_EQ(rtt(), 2ms);
  agent_.on_probe(second_, *asked, kStart + 300ms);
  EXPECT_EQ(rtt(), 2ms);
}

// Spec connectivity 9.5, row 10.
TEST_F(Choice, ARequestOnAQuietPairStartsItAgainOnAMeasuredOneItIsOnlyAnswered) {
  for (auto now = kStart; now < kStart + 15s; now += 100ms) measure(first_, 10ms, now);
  const packet::Probe request{.is_reply = false, .id = 4711, .sequence = 3};
  const auto now = kStart + 16s;
  const auto answers = [&](const Path& path) {
    agent_.on_probe(path, request, now);
    agent_.on_timeout(now);
    std::vector<packet::Probe> out;
    while (const auto transmit = agent_.poll_transmit()) {
      EXPECT_EQ(transmit->path, path);
      out.push_back(std::get<packet::Probe>(transmit->what));
    }
    return out;
  };
  const packet::Probe reply{.is_reply = true, .id = 4711, .sequence = 3};
  EXPECT_EQ(answers(first_), std::vector{reply});
  const auto triggered = answers(second_);
  ASSERT_EQ(triggered.size(), 2U);
  EXPECT_EQ(triggered[0], reply);
  EXPECT_FALSE(triggered[1].is_reply);
}

TEST_F(Choice, ARequestFromNowhereIsAnsweredWhereItCameFrom) {
  const Path nowhere{at("198.51.100.99:1"), at("203.0.113.99:1")};
  agent_.on_probe(nowhere, {.is_reply = false, .id = 1, .sequence = 2}, kStart);
  const auto out = agent_.poll_transmit();
  ASSERT_TRUE(out);
  EXPECT_EQ(out->path, nowhere);
}

TEST_F(Choice, WhatCannotBeSentIsBounded) {
  for (std::size_t i = 0; i < kTransmitsMax + 10; ++i)
    agent_.on_probe(first_, {.is_reply = false, .id = 1, .sequence = 2}, kStart);
  std::size_t sent = 0;
  while (agent_.poll_transmit()) ++sent;
  EXPECT_EQ(sent, kTransmitsMax);
  EXPECT_EQ(agent_.overflows(), 10U);
}

// ---- steady state ----

TEST_F(Joined, AtRestOnlyThePrimaryIsProbedEveryTwentyFiveSeconds) {
  connect();
  run(20s);
  const auto before = sent_.size();
  run(100s);
  std::vector<Duration> at;
  for (const auto& sent : sent_since(before, true)) {
    EXPECT_EQ(sent.path, direct());
    if (!sent.probe->is_reply) at.push_back(sent.at);
  }
  ASSERT_EQ(at.size(), 4U);
  EXPECT_EQ(at[1] - at[0], 25s);
}

TEST_F(Joined, ARelayedPrimaryThatAnswersIsKeptWhileDataArrivesElsewhere) {
  broken_ = [](bool, const Path& path) { return !is_relayed(path); };
  initiate(1);
  run(10s);
  client_sends_to_ = Path{kClientHost, kGatewayRelayed};
  traffic_ = true;
  const auto primary = gateway_.primary();
  ASSERT_EQ(primary, relayed());
  const auto pairs_probed = [&](std::size_t since) {
    std::set<Path> out;
    for (const auto& sent : sent_since(since, true)) out.insert(sent.path);
    return out;
  };
  run(5s);
  const auto before = sent_.size();
  run(60s);
  EXPECT_EQ(gateway_.primary(), primary);
  EXPECT_EQ(pairs_probed(before).count(*primary), 1U);
  EXPECT_LE(pairs_probed(before).size(), 2U);  // and answers to what the client probes
}

// ---- distress ----

// Spec connectivity 9.5, row 7.
TEST_F(Joined, TwoInitiationsWithoutDataInBetweenStartTheSearchAgain) {
  connect();
  broken_ = [](bool, const Path& path) { return !is_relayed(path); };
  gateway_.on_initiation({kGatewayHost, kClientRelayed}, now_);
  EXPECT_TRUE(gateway_.primary());
  gateway_.on_initiation({kGatewayHost, kClientRelayed}, now_);
  EXPECT_FALSE(gateway_.primary());
  run(1s);
  EXPECT_EQ(gateway_.primary(), relayed());
}

TEST_F(Joined, InitiationsWithDataInBetweenOnlyAskThePrimary) {
  connect();
  for (int i = 0; i < 5; ++i) {
    gateway_.on_initiation(direct(), now_);
    gateway_.on_data(direct(), now_);
    EXPECT_EQ(gateway_.primary(), direct());
    run(3s);
  }
  EXPECT_EQ(gateway_.primary(), direct());
}

TEST_F(Joined, OurOwnSecondUnansweredInitiationStartsTheSearchAgain) {
  connect();
  broken_ = [](bool, const Path& path) { return !is_relayed(path); };
  const auto before = sent_.size();
  gateway_.on_own_initiation(ByteVector(148, 7), now_);
  EXPECT_TRUE(gateway_.primary());
  gateway_.on_own_initiation(ByteVector(148, 8), now_);
  EXPECT_FALSE(gateway_.primary());
  gateway_.on_own_initiation(ByteVector(148, 9), now_);
  run(0s);
  std::vector<std::uint8_t> sent;
  for (const auto& out : sent_since(before, true)) {
    if (out.initiation.empty()) continue;
    EXPECT_EQ(out.path, direct());
    sent.push_back(out.initiation[0]);
  }
  EXPECT_EQ(sent, (std::vector<std::uint8_t>{7, 8}));  // without a primary nothing is sent
  run(1s);
  EXPECT_EQ(gateway_.primary(), relayed());
}

// Spec connectivity 5.8: what the originals do not notice for a minute.
TEST_F(Joined, AnIdlePrimaryThatDiesIsFoundOutByItsOwnKeepalive) {
  connect();
  run(15s);
  broken_ = [](bool, const Path& path) { return !is_relayed(path); };
  run(28s);
  EXPECT_EQ(gateway_.primary(), relayed());
}

TEST_F(Joined, DataElsewhereAndSilenceOnThePrimaryMakeItProveItself) {
  connect();
  run(15s);
  broken_ = [](bool, const Path& path) { return !is_relayed(path); };
  client_sends_to_ = Path{kClientRelayed, kGatewayHost};
  traffic_ = true;
  run(8s);
  EXPECT_EQ(gateway_.primary(), relayed());
}

TEST_F(Joined, AHalfDeadPathChosenByTheFirstInitiationIsLeft) {
  // What the gateway sends over the client's relay never arrives.
  broken_ = [](bool by_gateway, const Path& path) {
    return !is_relayed(path) || (by_gateway && path.remote == kClientRelayed);
  };
  gateway_.on_initiation({kGatewayHost, kClientRelayed}, now_);
  client_.on_response({kClientRelayed, kGatewayHost}, now_);
  gateway_.on_usable(now_);
  run(4s);
  EXPECT_EQ(gateway_.primary(), (Path{kGatewayRelayed, mapped_}));
}

// Spec connectivity 9.5, row 11.
TEST_F(Joined, AMinuteOfDeathIsSurvivedWithoutAHandshake) {
  connect();
  broken_ = [](bool, const Path&) { return true; };
  traffic_ = true;
  run(60s);
  EXPECT_FALSE(gateway_.primary());
  broken_ = nullptr;
  const auto before = sent_.size();
  run(2s);
  EXPECT_EQ(gateway_.primary(), direct());
  for (std::size_t i = before; i < sent_.size(); ++i) EXPECT_TRUE(sent_[i].initiation.empty());
}

// Spec connectivity 9.5, row 12.
TEST_F(Joined, AClientFoundAtANewAddressIsFollowedWithItsNextPacket) {
  connect();
  run(15s);
  traffic_ = true;
  run(1s);
  mapped_ = at("203.0.113.21:41111");
  run(1s);
  EXPECT_EQ(gateway_.primary(), direct());
  EXPECT_EQ(gateway_sends_to_, direct());
}

TEST_F(Joined, ARelayedPrimaryGivenUpIsReplacedByWhatStillWorks) {
  broken_ = [](bool, const Path& path) {
    return !is_relayed(path) || path.remote == kClientRelayed || path.local == kClientRelayed;
  };
  initiate(1);
  run(5s);
  const Path by_our_relay{kGatewayRelayed, mapped_};
  ASSERT_EQ(gateway_.primary(), by_our_relay);
  broken_ = [](bool, const Path& path) { return !is_relayed(path); };
  EXPECT_TRUE(gateway_.remove_local(kGatewayRelayed, now_));
  EXPECT_FALSE(gateway_.primary());
  EXPECT_EQ(gateway_sends_to_, by_our_relay);  // the owner's matter until then
  run(2s);
  EXPECT_EQ(gateway_.primary(), relayed());
}

}  // namespace
}  // namespace fg::path
