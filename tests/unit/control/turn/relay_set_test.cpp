#include "control/turn/relay_set.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/unit/control/turn/harness.h"

namespace fg::turn {
namespace {

using stun::Method;

Relay relay(std::uint8_t n, std::string password = "pw") {
  return {.id = relay_id(n),
          .v4 = SocketAddress{.ip = IpAddress::v4(198, 51, 100, n), .port = 3478},
          .v6 = {},
          .username = "2145916800:salt",
          .password = SecretText{std::move(password)}};
}

class World : public Driver<RelaySet, SetEvent> {
 public:
  World() : Driver(set), set({}, random_) {}

  void update(std::vector<RelayId> remove, std::vector<Relay> add) {
    for (const auto& r : add) relays_.insert_or_assign(*r.v4, r);
    set.update(remove, add, now);
    drain();
  }
  Classified receive(const SocketAddress& from, Bytes bytes) {
    const auto classified = set.on_datagram(kLocalV4, from, bytes, now);
    drain();
    return classified;
  }
  // The relay answers this request, as Firezone's would.
  void answer(const Sent& request) {
    const auto& to = relays_.at(request.to);
    const SocketAddress relayed{.ip = request.to.ip, .port = 50000};
    switch (request.method()) {
      case Method::binding:
        respond_with(request, mapped(kMapped), Sign::none, to);
        break;
      case Method::allocate:
        if (refusing.contains(request.to)) {
          receive(request.to, respond(request, stun::Class::error, Sign::right, error(486), to));
          break;
        }
        respond_with(request, granted(600, {relayed}), Sign::right, to);
        break;
      case Method::refresh:
        respond_with(request, lifetime(600), Sign::right, to);
        break;
      default:
        respond_with(request, {}, Sign::right, to);
        break;
    }
  }
  // Answers everything sent from now on until nothing more is sent.
  void answer_all() {
    for (; answered_ < sent.size(); ++answered_) answer(Sent{sent[answered_]});
  }
  void ignore_sent() { answered_ = sent.size(); }
  // Lets time pass with relays that answer, but for the deaf ones.
  void stay_for(Duration duration) {
    for (const Instant end = now + duration; now < end;) {
      run_for(std::min<Duration>(end - now, 50ms));
      for (; answered_ < sent.size(); ++answered_) {
        const Sent request = sent[answered_];
        if (!deaf.contains(request.to)) answer(request);
      }
    }
  }
  std::set<SocketAddress> deaf;
  std::set<SocketAddress> refusing;  // ALLOCATE
  void start(std::vector<Relay> relays) {
    update({}, std::move(relays));
    answer_all();
  }
  template <class T>
  std::vector<RelayEvent> events_of() const {
    std::vector<RelayEvent> out;
    for (const auto& event : events) {
      const auto* e = std::get_if<RelayEvent>(&event);
      if (e != nullptr && std::holds_alternative<T>(e->what)) out.push_back(*e);
    }
    return out;
  }
  std::vector<RelayGone::Why> gone() const {
    std::vector<RelayGone::Why> out;
    for (const auto& e : events_of<RelayGone>()) out.push_back(std::get<RelayGone>(e.what).why);
    return out;
  }
  bool no_relays() const {
    return std::any_of(events.begin(), events.end(),
                       [](const auto& e) { return std::holds_alternative<NoRelays>(e); });
  }

 private:
  void respond_with(const Sent& request, const Fill& fill, Sign sign, const Relay& by) {
    receive(request.to, respond(request, stun::Class::success, sign, fill, by));
  }

  SeededRandom random_{11};
  std::map<SocketAddress, Relay> relays_;
  std::size_t answered_ = 0;

 public:
  RelaySet set;
};

const SocketAddress kPeer = addr("203.0.113.9:52625");

ByteVector channel_data(std::uint16_t channel, std::string_view payload) {
  ByteVector out(4);
  store_be16(out.data(), channel);
  store_be16(out.data() + 2, static_cast<std::uint16_t>(payload.size()));
  const auto bytes = as_bytes(payload);
  out.insert(out.end(), bytes.begin(), bytes.end());
  return out;
}

// ---- the list, spec connectivity 3.10 ----

TEST(TurnRelaySet, StartsEveryNewRelayInItsOwnSlot) {
  World w;
  w.update({}, {relay(1), relay(2)});
  EXPECT_EQ(w.set.size(), 2U);
  EXPECT_EQ(w.count(Method::binding), 2U);
  EXPECT_NE(w.set.slot_of(relay_id(1)), w.set.slot_of(relay_id(2)));
  EXPECT_EQ(w.set.id_of(*w.set.slot_of(relay_id(2))), relay_id(2));
}

TEST(TurnRelaySet, RemovingUnknownAndAddingIdenticalDoesNothing) {
  World w;
  w.start({relay(1)});
  const auto sent = w.sent.size();
  const auto events = w.events.size();
  w.update({relay_id(9)}, {relay(1)});
  EXPECT_EQ(w.sent.size(), sent);
  EXPECT_EQ(w.events.size(), events);
}

TEST(TurnRelaySet, OtherCredentialsReplaceTheRelayAndInvalidateItsCandidates) {
  World w;
  w.start({relay(1)});
  const auto slot = w.set.slot_of(relay_id(1));
  w.events.clear();
  w.update({}, {relay(1, "new password")});
  EXPECT_EQ(w.gone(), std::vector{RelayGone::Why::replaced});
  EXPECT_EQ(w.events_of<CandidateInvalidated>().size(), 1U);
  EXPECT_EQ(w.events_of<CandidateInvalidated>()[0].slot, slot);
  EXPECT_NE(w.set.slot_of(relay_id(1)), slot);
  EXPECT_EQ(w.set.size(), 1U);
  EXPECT_FALSE(w.no_relays());
  w.answer_all();
  EXPECT_TRUE(w.set.find(relay_id(1))->relayed(Family::v4));
}

TEST(TurnRelaySet, OtherSocketReplacesTheRelay) {
  World w;
  w.start({relay(1)});
  auto moved = relay(1);
  moved.v4->port = 3479;
  w.update({}, {moved});
  EXPECT_EQ(w.gone(), std::vector{RelayGone::Why::replaced});
  EXPECT_EQ(w.last(Method::binding).to, *moved.v4);
}

TEST(TurnRelaySet, RemovedRelayIsToldNothingAndItsCandidatesAreInvalidated) {
  World w;
  w.start({relay(1), relay(2)});
  w.set.bind_channel(relay_id(1), kPeer, w.now);
  w.drain();
  w.answer_all();
  w.events.clear();
  const auto sent = w.sent.size();
  w.update({relay_id(1)}, {relay(2)});
  EXPECT_EQ(w.sent.size(), sent);
  EXPECT_EQ(w.gone(), std::vector{RelayGone::Why::removed});
  EXPECT_EQ(w.events_of<CandidateInvalidated>().size(), 1U);
  EXPECT_TRUE(std::holds_alternative<RelayGone>(std::get<RelayEvent>(w.events.back()).what));
  EXPECT_FALSE(w.no_relays()) << "the portal knows what it removed";
}

TEST(TurnRelaySet, RelaysNotMentionedAreCheckedAndFreedAfterASecondOfSilence) {
  World w;
  w.start({relay(1), relay(2)});
  w.ignore_sent();
  w.run_for(10s);
  w.update({}, {relay(3)});
  EXPECT_EQ(w.count(Method::refresh), 2U);
  for (const auto& s : w.all(Method::refresh)) {
    if (s.to == *relay(2).v4) w.answer(s);
  }
  w.answer(w.last(Method::binding));
  w.run_for(999ms);
  EXPECT_EQ(w.set.size(), 3U);
  w.run_for(1ms);
  EXPECT_EQ(w.set.size(), 2U);
  EXPECT_EQ(w.gone(), std::vector{RelayGone::Why::no_response});
  EXPECT_FALSE(w.set.find(relay_id(1)));
  EXPECT_FALSE(w.no_relays());
}

TEST(TurnRelaySet, LastRelayFreedAsksForOthers) {
  World w;
  w.update({}, {relay(1), relay(2)});
  w.run_until(8124ms);
  EXPECT_FALSE(w.no_relays());
  w.run_until(8125ms);
  EXPECT_TRUE(w.set.empty());
  EXPECT_TRUE(w.no_relays());
  EXPECT_EQ(w.gone().size(), 2U);
  EXPECT_TRUE(std::holds_alternative<NoRelays>(w.events.back()));
  EXPECT_FALSE(w.set.wakeup());
}

TEST(TurnRelaySet, ReasonsOfFreedRelaysAreToldApart) {
  World w;
  w.update({}, {relay(1), relay(2)});
  for (const auto& s : w.all(Method::binding)) w.answer(s);
  const auto to_first = w.all(Method::allocate)[0];
  const auto to_second = w.all(Method::allocate)[1];
  w.receive(to_first.to, respond(to_first, stun::Class::error, Sign::right, error(420), relay(1)));
  w.receive(to_second.to,
            respond(to_second, stun::Class::error, Sign::right, challenge(401, "n"), relay(2)));
  const auto again = w.last(Method::allocate);
  w.receive(again.to,
            respond(again, stun::Class::error, Sign::right, challenge(401, "n"), relay(2)));
  EXPECT_EQ(w.gone(),
            (std::vector{RelayGone::Why::protocol_failure, RelayGone::Why::authentication}));
}

TEST(TurnRelaySet, SixteenRelaysAreHeldAndOneMoreIsRefused) {
  World w;
  std::vector<Relay> relays;
  for (std::uint8_t n = 1; n <= 16; ++n) relays.push_back(relay(n));
  w.update({}, relays);
  EXPECT_EQ(w.set.size(), 16U);
  EXPECT_EQ(w.set.refused(), 0U);
  relays.push_back(relay(17));
  w.update({}, relays);
  EXPECT_EQ(w.set.size(), 16U);
  EXPECT_EQ(w.set.refused(), 1U);
  w.update({relay_id(3)}, {relay(17)});
  EXPECT_EQ(w.set.size(), 16U);
  EXPECT_TRUE(w.set.find(relay_id(17)));
}

TEST(TurnRelaySet, SlotsOfOthersStayWhenOneGoes) {
  World w;
  w.start({relay(1), relay(2), relay(3)});
  const auto second = w.set.slot_of(relay_id(2));
  const auto third = w.set.slot_of(relay_id(3));
  w.update({relay_id(1)}, {relay(2), relay(3), relay(4)});
  EXPECT_EQ(w.set.slot_of(relay_id(2)), second);
  EXPECT_EQ(w.set.slot_of(relay_id(3)), third);
}

// ---- classification, spec connectivity 1.3 ----

TEST(TurnRelaySet, MessagesOfAConnectedRelayAreConsumedWhetherAcceptedOrNot) {
  World w;
  w.update({}, {relay(1)});
  const auto request = w.last(Method::binding);
  const auto response = respond(request, stun::Class::success, Sign::none, mapped(kMapped));
  EXPECT_TRUE(std::holds_alternative<Consumed>(w.receive(*relay(1).v4, response)));
  const auto again = w.receive(*relay(1).v4, response);  // nobody waits for it any more
  EXPECT_EQ(std::get<DropReason>(again), DropReason::unknown_stun);
}

TEST(TurnRelaySet, PeersBehindPort3478AndUnparsableBytesGoOn) {
  World w;
  w.start({relay(1)});
  const auto response = respond(w.sent[0], stun::Class::success, Sign::none, mapped(kMapped));
  EXPECT_TRUE(std::holds_alternative<NotRelay>(w.receive(addr("203.0.113.77:3478"), response)));
  EXPECT_TRUE(std::holds_alternative<NotRelay>(
      w.receive(addr("203.0.113.77:3478"), channel_data(0x4000, "x"))));
  ByteVector wireguard(148);
  wireguard[0] = 1;
  EXPECT_TRUE(std::holds_alternative<NotRelay>(w.receive(*relay(1).v4, wireguard)));
  wireguard[0] = 4;
  EXPECT_TRUE(std::holds_alternative<NotRelay>(w.receive(*relay(1).v4, wireguard)));
  EXPECT_TRUE(std::holds_alternative<NotRelay>(w.receive(*relay(1).v4, {})));
  auto padded = channel_data(0x4000, "abc");
  padded.push_back(0);
  EXPECT_TRUE(std::holds_alternative<NotRelay>(w.receive(*relay(1).v4, padded)));
}

TEST(TurnRelaySet, LateMessagesOfADroppedRelayStop) {
  World w;
  w.start({relay(1)});
  const auto response = respond(w.sent[0], stun::Class::success, Sign::none, mapped(kMapped));
  w.update({relay_id(1)}, {});
  const auto late = [](const Classified& c) { return std::get_if<DropReason>(&c) != nullptr; };
  EXPECT_TRUE(late(w.receive(*relay(1).v4, response)));
  EXPECT_TRUE(late(w.receive(*relay(1).v4, channel_data(0x4000, "x"))));
  const SocketAddress other_port{.ip = relay(1).v4->ip, .port = 3479};
  EXPECT_TRUE(std::holds_alternative<NotRelay>(w.receive(other_port, response)));
}

TEST(TurnRelaySet, DataOfAConfirmedChannelComesFromItsPeerToOurRelayedAddress) {
  World w;
  w.start({relay(1)});
  w.set.bind_channel(relay_id(1), kPeer, w.now);
  w.drain();
  const auto dropped = w.receive(*relay(1).v4, channel_data(0x4000, "hello"));
  ASSERT_TRUE(std::holds_alternative<DropReason>(dropped)) << "not confirmed yet";
  EXPECT_EQ(std::get<DropReason>(dropped), DropReason::unknown_channel);
  w.answer_all();
  const auto bytes = channel_data(0x4000, "hello");
  const auto classified = w.receive(*relay(1).v4, bytes);
  const auto* from_peer = std::get_if<FromPeer>(&classified);
  ASSERT_TRUE(from_peer);
  EXPECT_EQ(from_peer->peer, kPeer);
  EXPECT_EQ(from_peer->relayed, (SocketAddress{.ip = relay(1).v4->ip, .port = 50000}));
  EXPECT_EQ(as_text(from_peer->payload), "hello");
  EXPECT_EQ(from_peer->id, relay_id(1));
  EXPECT_EQ(from_peer->slot, w.set.slot_of(relay_id(1)));
  const auto unknown = w.receive(*relay(1).v4, channel_data(0x4001, "hello"));
  EXPECT_TRUE(std::holds_alternative<DropReason>(unknown));
}

TEST(TurnRelaySet, RestartedRelayUnderANewIdWorksBesideItsOldEntry) {
  World w;
  w.start({relay(1)});
  w.set.bind_channel(relay_id(1), kPeer, w.now);
  w.drain();
  w.answer_all();
  auto restarted = relay(1, "new password");
  restarted.id = relay_id(2);
  w.update({}, {relay(1), restarted});
  w.answer_all();
  EXPECT_TRUE(w.set.find(relay_id(2))->relayed(Family::v4));
  const auto other = addr("203.0.113.10:1");
  w.set.bind_channel(relay_id(2), other, w.now);
  w.set.bind_channel(relay_id(2), addr("203.0.113.10:2"), w.now);
  w.drain();
  w.answer_all();
  const auto classified = w.receive(*relay(1).v4, channel_data(0x4001, "x"));
  ASSERT_TRUE(std::holds_alternative<FromPeer>(classified));
  EXPECT_EQ(std::get<FromPeer>(classified).id, relay_id(2));
}

// spec connectivity 9.3 row 24
TEST(TurnRelaySet, PeerOnTheSameRelayWorks) {
  World w;
  w.start({relay(1)});
  const SocketAddress peer{.ip = relay(1).v4->ip, .port = 60000};
  w.set.bind_channel(relay_id(1), peer, w.now);
  w.drain();
  w.answer_all();
  EXPECT_TRUE(w.set.send_to_peer(relay_id(1), peer, as_bytes("x"), w.now));
  const auto classified = w.receive(*relay(1).v4, channel_data(0x4000, "y"));
  ASSERT_TRUE(std::holds_alternative<FromPeer>(classified));
  EXPECT_EQ(std::get<FromPeer>(classified).peer, peer);
}

// ---- sending, spec connectivity 3.8, 3.9 and 9.3 row 19 ----

TEST(TurnRelaySet, SendingWithoutAChannelBindsAndTheNextOneGoesOutOnThePendingChannel) {
  World w;
  w.start({relay(1)});
  EXPECT_FALSE(w.set.send_to_peer(relay_id(1), kPeer, as_bytes("lost"), w.now));
  w.drain();
  EXPECT_EQ(w.count(Method::channel_bind), 1U);
  EXPECT_TRUE(w.set.send_to_peer(relay_id(1), kPeer, as_bytes("hello"), w.now));
  w.drain();
  EXPECT_EQ(w.sent.back().to, *relay(1).v4);
  EXPECT_EQ(w.sent.back().bytes, channel_data(0x4000, "hello")) << "no padding";
  EXPECT_FALSE(w.set.send_to_peer(relay_id(9), kPeer, as_bytes("x"), w.now));
}

TEST(TurnRelaySet, ActivityToldByWorkersRenewsTheChannel) {
  World w;
  w.start({relay(1)});
  w.set.bind_channel(relay_id(1), kPeer, w.now);
  w.drain();
  w.answer_all();
  const auto slot = w.set.slot_of(relay_id(1)).value();
  for (int i = 1; i <= 15; ++i) {
    w.stay_for(20s);
    w.set.on_channel_activity(slot, ChannelNumber{0x4000}, w.now);
    w.drain();
  }
  w.run_for(0s);
  EXPECT_EQ(w.count(Method::channel_bind), 2U);
}

// ---- relays that fall silent ----

// Data over relay 1 until now; whether it and relay 2 answer from here on is the test's choice.
void carry_data(World& w) {
  w.start({relay(1), relay(2)});
  w.set.bind_channel(relay_id(1), kPeer, w.now);
  w.drain();
  w.answer_all();
  w.stay_for(10s);
  w.set.on_channel_activity(w.set.slot_of(relay_id(1)).value(), ChannelNumber{0x4000}, w.now);
  w.drain();
}

TEST(TurnRelaySet, ASilentRelayIsLeftSoonForOneThatAnswers) {
  World w;
  carry_data(w);
  w.deaf = {*relay(1).v4};
  w.stay_for(1300ms - 1ms);
  EXPECT_TRUE(w.gone().empty());
  w.stay_for(100ms);
  EXPECT_EQ(w.gone(), std::vector{RelayGone::Why::no_response});
  EXPECT_EQ(w.set.ids(), std::vector{relay_id(2)});
  EXPECT_FALSE(w.no_relays());
}

TEST(TurnRelaySet, ASilentRelayIsKeptWhileNoOtherAnswersEither) {
  World w;
  carry_data(w);
  w.deaf = {*relay(1).v4, *relay(2).v4};
  w.stay_for(4s);
  EXPECT_TRUE(w.gone().empty());
  w.deaf.clear();  // our own network was gone
  w.stay_for(60s);
  EXPECT_TRUE(w.gone().empty());
}

TEST(TurnRelaySet, AVerdictThatIsLateIsNone) {
  World w;
  carry_data(w);
  w.deaf = {*relay(1).v4};
  w.stay_for(1s);
  w.now += 2s;  // the control thread was not served
  w.timeout();
  EXPECT_TRUE(w.gone().empty());
  w.stay_for(900ms);
  EXPECT_EQ(w.gone().size(), 1U) << "asked anew, and silent again";
}

TEST(TurnRelaySet, SilenceOfAllFreesAllInTimeAndAsksForOthers) {
  World w;
  carry_data(w);
  w.deaf = {*relay(1).v4, *relay(2).v4};
  w.stay_for(10s);
  EXPECT_EQ(w.gone().size(), 2U);
  EXPECT_TRUE(w.no_relays());
}

TEST(TurnRelaySet, ALonelySilentRelayHasEightAndAnEighthSeconds) {
  World w;
  carry_data(w);
  w.update({relay_id(2)}, {relay(1)});
  w.deaf = {*relay(1).v4};
  w.stay_for(8s);
  EXPECT_EQ(w.set.size(), 1U);
  w.stay_for(1s);
  EXPECT_TRUE(w.no_relays());
}

TEST(TurnRelaySet, AQuietRelayThatAnswersStays) {
  World w;
  carry_data(w);
  const auto before = w.sent.size();
  w.stay_for(60s);
  EXPECT_TRUE(w.gone().empty());
  EXPECT_LE(w.sent.size() - before, 11U) << "questions ever later, and keepalives of the other";
}

TEST(TurnRelaySet, ASlowRelayIsGivenThreeRoundTrips) {
  World w;
  w.update({}, {relay(1), relay(2)});
  w.run_for(900ms);
  w.answer_all();
  w.set.on_channel_activity(w.set.slot_of(relay_id(1)).value(), ChannelNumber{0x4000}, w.now);
  w.drain();
  const auto rtt = w.set.find(relay_id(1))->rtt().value();
  EXPECT_GT(rtt, 500ms);
  w.deaf = {*relay(1).v4};
  w.stay_for(500ms + 3 * rtt - 50ms);
  EXPECT_TRUE(w.gone().empty());
  w.stay_for(1s);
  EXPECT_EQ(w.gone().size(), 1U);
}

TEST(TurnRelaySet, ARelayThatAllocatesNothingIsNoAlternativeAndRestartedWhenNamedAgain) {
  World w;
  w.refusing = {*relay(2).v4};
  carry_data(w);
  EXPECT_EQ(w.events_of<Suspended>().size(), 1U);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(w.set.select(), relay_id(1));
  w.deaf = {*relay(1).v4};
  w.stay_for(5s);
  EXPECT_TRUE(w.gone().empty());
  w.deaf.clear();
  w.refusing.clear();
  w.update({}, {relay(1), relay(2)});
  w.answer_all();
  EXPECT_TRUE(w.set.find(relay_id(2))->has_lease());
}

// ---- questions and choice, spec connectivity 3.11 ----

TEST(TurnRelaySet, FindsRelaysByServerAndByRelayedAddress) {
  World w;
  w.start({relay(1), relay(2)});
  EXPECT_EQ(w.set.relay_with_server(*relay(2).v4), relay_id(2));
  EXPECT_FALSE(w.set.relay_with_server(addr("198.51.100.2:3479")));
  EXPECT_EQ(w.set.relay_owning({.ip = relay(1).v4->ip, .port = 50000}), relay_id(1));
  EXPECT_FALSE(w.set.relay_owning({.ip = relay(1).v4->ip, .port = 50001}));
}

// spec connectivity 9.3 rows 22 and 26
TEST(TurnRelaySet, ChoiceNeedsAMeasuredRelay) {
  World w;
  EXPECT_FALSE(w.set.select());
  EXPECT_FALSE(w.set.select_any());
  w.update({}, {relay(1)});
  EXPECT_FALSE(w.set.select());
  EXPECT_EQ(w.set.select_any(), relay_id(1));
  w.run_for(10ms);
  w.answer_all();
  EXPECT_EQ(w.set.select(), relay_id(1));
}

TEST(TurnRelaySet, ChoiceIsUniformAmongNearRelaysOnly) {
  World w;
  w.update({}, {relay(1), relay(2), relay(3)});
  const auto bindings = w.all(Method::binding);
  w.run_for(10ms);
  w.answer(bindings[0]);
  w.run_for(2ms);
  w.answer(bindings[1]);
  w.run_for(200ms);
  w.answer(bindings[2]);  // 212 ms against a threshold of 12 + 3 * 2
  std::map<RelayId, int> chosen;
  for (int i = 0; i < 1000; ++i) ++chosen[w.set.select().value()];
  EXPECT_EQ(chosen.size(), 2U);
  EXPECT_NEAR(chosen[relay_id(1)], 500, 80);
  EXPECT_NEAR(chosen[relay_id(2)], 500, 80);
}

}  // namespace
}  // namespace fg::turn
