#include "control/portal/channel.h"

#include <gtest/gtest.h>

#include "silent_log.h"

namespace fg::portal {
namespace {

const ClientId kClient = *ClientId::parse("7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11");
const ClientId kOther = *ClientId::parse("7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e12");
const char* const kJoin = R"({"topic":"gateway","event":"phx_join","payload":null,"ref":0})";

Egress reply(const char* ref) { return Authorized{Authorize::Dialect::create_authorization, ref}; }
Egress added(const ClientId& client, std::vector<std::string> lines) {
  return BroadcastCandidates{client, std::move(lines), false};
}
Egress removed(const ClientId& client, std::vector<std::string> lines) {
  return BroadcastCandidates{client, std::move(lines), true};
}

class ChannelTest : public testing::Test {
 protected:
  void open(bool is_v2 = false) { channel.on_open(is_v2, now); }
  void open_and_join(bool is_v2 = false) {
    open(is_v2);
    EXPECT_EQ(texts(), std::vector<std::string>{kJoin});
    receive(ok("gateway", "0"));
    EXPECT_EQ(joined(), 1);
  }
  static std::string ok(const std::string& topic, const std::string& ref) {
    return R"({"topic":")" + topic +
           R"(","event":"phx_reply","payload":{"status":"ok","response":{}},"ref":)" + ref + "}";
  }
  static std::string error(const std::string& topic, const std::string& ref,
                           const std::string& reason) {
    return R"({"ref":)" + ref + R"(,"payload":{"response":{"reason":")" + reason +
           R"(","x":1},"status":"error"},"event":"phx_reply","topic":")" + topic + "\"}";
  }
  void receive(const std::string& text) { channel.on_text(text, now); }
  void wait(Duration by) {
    now += by;
    channel.on_timeout(now);
  }
  std::vector<std::string> texts() {
    std::vector<std::string> all;
    while (auto text = channel.poll_text(now)) all.push_back(std::move(*text));
    return all;
  }
  // Events since the last call, told apart.
  void drain() {
    while (auto event = channel.poll_event()) {
      if (std::holds_alternative<Ingress>(*event)) ++ingress_count;
      if (std::holds_alternative<Channel::Joined>(*event)) ++joined_count;
      if (auto* failed = std::get_if<Channel::Failed>(&*event)) last_failure = *failed;
    }
  }
  int joined() {
    drain();
    return std::exchange(joined_count, 0);
  }
  int ingress() {
    drain();
    return std::exchange(ingress_count, 0);
  }
  std::optional<Channel::Failed> failed() {
    drain();
    return std::exchange(last_failure, std::nullopt);
  }
  [[nodiscard]] std::string event_of(const std::string& text) const {
    const auto at = text.find(R"("event":")") + 9;
    return text.substr(at, text.find('"', at) - at);
  }
  std::vector<std::string> sent_events() {
    std::vector<std::string> out;
    for (const auto& text : texts()) out.push_back(event_of(text));
    return out;
  }

  test::RememberingSink sink;
  Channel channel{Log{sink, "portal"}};
  Instant now{1000s};
  int joined_count = 0;
  int ingress_count = 0;
  std::optional<Channel::Failed> last_failure;
};

using Texts = std::vector<std::string>;
constexpr auto kRejectAccess =
    R"({"topic":"whatever","event":"reject_access","ref":null,"payload":{"client_id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11","resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04"}})";

TEST_F(ChannelTest, JoinsFirstAndHoldsMessagesUntilTheReply) {
  open();
  channel.send(reply("a"), now);
  channel.send(reply("b"), now);
  EXPECT_EQ(texts(), Texts{kJoin});
  EXPECT_FALSE(channel.is_joined());
  receive(ok("gateway", "0"));
  EXPECT_EQ(joined(), 1);
  EXPECT_TRUE(channel.is_joined());
  EXPECT_EQ(
      texts(),
      (Texts{
          R"({"topic":"gateway","event":"authorization_created","payload":{"ref":"a"},"ref":1})",
          R"({"topic":"gateway","event":"authorization_created","payload":{"ref":"b"},"ref":2})"}));
}

TEST_F(ChannelTest, OnlyHeartbeatsPassAPendingJoin) {
  open();
  (void)texts();
  channel.send(NoRelays{}, now);
  EXPECT_TRUE(texts().empty());
  receive(
      R"({"topic":"gateway","event":"init","payload":{"interface":{"ipv4":"100.64.0.1","ipv6":"fd00::1"}}})");
  EXPECT_EQ(ingress(), 1);
  receive(ok("gateway", "0"));
  (void)texts();
  wait(8s);
  receive(error("gateway", "1", "unmatched topic"));
  channel.send(reply("held"), now);
  EXPECT_EQ(sent_events(), Texts{"phx_join"});
  wait(2s);
  EXPECT_EQ(sent_events(), Texts{"heartbeat"});
}

TEST_F(ChannelTest, HeartbeatsOfAnotherConnectionAreNotWaitedFor) {
  open_and_join();
  for (int i = 0; i < 3; ++i) {
    wait(10s);
    EXPECT_EQ(texts().size(), 1U);
  }
  channel.on_closed();
  open_and_join();
  for (int i = 0; i < 3; ++i) {
    wait(10s);
    EXPECT_EQ(texts().size(), 1U);
  }
  EXPECT_FALSE(failed());
}

TEST_F(ChannelTest, RepliesThatDoNotFitDoNotCompleteTheJoin) {
  open();
  (void)texts();
  for (
      const auto* text : {
          R"({"topic":"gateway","event":"phx_reply","ref":0,"payload":{"status":"ok","response":null}})",
          R"({"topic":"gateway","event":"phx_reply","ref":0,"payload":{"status":"ok","response":{"a":1}}})",
          R"({"topic":"gateway","event":"phx_reply","ref":0,"payload":{"status":"ok"}})",
          R"({"topic":"gateway","event":"phx_reply","ref":"0","payload":{"status":"ok","response":{}}})",
          R"({"topic":"gateway","event":"phx_reply","ref":0.0,"payload":{"status":"ok","response":{}}})",
          R"({"topic":"gateway","event":"phx_reply","ref":-1,"payload":{"status":"ok","response":{}}})",
          R"({"topic":"gateway","event":"phx_reply","ref":1,"payload":{"status":"ok","response":{}}})",
          R"({"topic":"gateway","event":"phx_reply","ref":null,"payload":{"status":"ok","response":{}}})",
          R"({"topic":"gateway","event":"phx_reply","payload":{"status":"ok","response":{}}})",
          R"({"topic":"phoenix","event":"phx_reply","ref":0,"payload":{"status":"ok","response":{}}})",
          R"({"topic":"gateway","event":"phx_reply","ref":0,"payload":{"status":"ok","response":{}},"payload":{}})",
          R"({"topic":"gateway","event":"phx_reply","ref":0,"payload":{"status":"error","response":{"reason":5}}})",
      }) {
    receive(text);
    EXPECT_EQ(joined(), 0) << text;
    EXPECT_FALSE(failed()) << text;
  }
  receive(ok("gateway", "0"));
  EXPECT_EQ(joined(), 1);
}

TEST_F(ChannelTest, AnUnansweredJoinFailsAfterFiveSeconds) {
  open();
  (void)texts();
  wait(5s - 1ns);
  EXPECT_FALSE(failed());
  EXPECT_EQ(channel.wakeup()->at, now + 1ns);
  wait(1ns);
  const auto failure = failed();
  ASSERT_TRUE(failure);
  EXPECT_FALSE(failure->is_fatal);
}

TEST_F(ChannelTest, AnErrorReplyToTheJoinIsFatalWithTheWordsOfTheOriginal) {
  const std::pair<const char*, const char*> rows[] = {{"unmatched topic", "unmatched topic"},
                                                      {"invalid_version", "invalid version"},
                                                      {"disabled", "disabled"},
                                                      {"join crashed", "other"},
                                                      {"token_expired", "other"}};
  for (const auto& [reason, shown] : rows) {
    open();
    (void)texts();
    receive(error("gateway", "0", reason));
    const auto failure = failed();
    ASSERT_TRUE(failure) << reason;
    EXPECT_TRUE(failure->is_fatal);
    EXPECT_EQ(failure->reason, std::string{"Failed to login with portal: "} + shown);
  }
}

TEST_F(ChannelTest, AnErrorReplyOnAnotherTopicIsHarmless) {
  open();
  (void)texts();
  receive(error("phoenix", "0", "disabled"));
  EXPECT_FALSE(failed());
}

TEST_F(ChannelTest, HeartbeatsLeaveEveryTenSecondsWhateverElseIsSent) {
  open_and_join();
  for (int i = 1; i <= 6; ++i) {
    EXPECT_EQ(channel.wakeup()->at, Instant{1000s} + i * 10s);
    wait(3s);
    channel.send(reply(std::to_string(i).c_str()), now);
    EXPECT_EQ(texts().size(), 1U);
    wait(7s);
    const auto sent = texts();
    const auto ref = std::to_string(2 * i);
    EXPECT_EQ(sent,
              Texts{R"({"topic":"phoenix","event":"heartbeat","payload":{},"ref":)" + ref + "}"});
    receive(ok("phoenix", ref));
  }
  EXPECT_FALSE(failed());
}

TEST_F(ChannelTest, TheFourthUnansweredHeartbeatFailsTheConnection) {
  open_and_join();
  for (int i = 0; i < 3; ++i) {
    wait(10s);
    EXPECT_EQ(texts().size(), 1U);
    receive(ok("phoenix", "99"));  // a foreign ref
    receive(
        R"({"topic":"phoenix","event":"phx_reply","ref":1,"payload":{"status":"ok","response":null}})");
    EXPECT_FALSE(failed());
  }
  wait(10s);
  const auto failure = failed();
  ASSERT_TRUE(failure);
  EXPECT_FALSE(failure->is_fatal);
  EXPECT_EQ(now, Instant{1040s});
}

TEST_F(ChannelTest, LateHeartbeatRepliesStillCount) {
  open_and_join();
  for (int i = 1; i < 20; ++i) {
    wait(10s);
    EXPECT_EQ(texts().size(), 1U);
    wait(7s - 1ns);
    receive(ok("phoenix", std::to_string(i)));
    now -= 7s - 1ns;
  }
  EXPECT_FALSE(failed());
}

TEST_F(ChannelTest, ABlockedSocketAccumulatesNoHeartbeats) {
  open_and_join();
  for (int i = 0; i < 10; ++i) wait(10s);
  EXPECT_FALSE(failed());
  EXPECT_EQ(texts().size(), 1U);
}

TEST_F(ChannelTest, ALateTimerCatchesUpOnce) {
  open_and_join();
  wait(35s);
  EXPECT_EQ(texts().size(), 1U);
  EXPECT_EQ(channel.wakeup()->at, Instant{1040s});
}

TEST_F(ChannelTest, CapabilitiesAreTheFirstMessageAfterEveryJoinOnV2Only) {
  open(true);
  channel.send(reply("a"), now);
  (void)texts();
  receive(ok("gateway", "0"));
  EXPECT_EQ(
      texts(),
      (Texts{
          R"({"topic":"gateway","event":"set_snownet_capabilities","payload":{"iceless":true},"ref":1})",
          R"({"topic":"gateway","event":"authorization_created","payload":{"ref":"a"},"ref":2})"}));
  channel.on_closed();
  open(true);
  (void)texts();
  receive(ok("gateway", "0"));
  EXPECT_EQ(sent_events(), Texts{"set_snownet_capabilities"});
  channel.on_closed();
  open(false);
  (void)texts();
  receive(ok("gateway", "0"));
  EXPECT_TRUE(texts().empty());
}

TEST_F(ChannelTest, AnUnmatchedTopicCausesExactlyOneRejoin) {
  open_and_join(true);
  (void)texts();
  receive(error("gateway", "7", "unmatched topic"));
  receive(error("gateway", "8", "unmatched topic"));
  channel.send(reply("held"), now);
  EXPECT_FALSE(channel.is_joined());
  EXPECT_EQ(texts(), Texts{R"({"topic":"gateway","event":"phx_join","payload":null,"ref":2})"});
  receive(error("gateway", "9", "unmatched topic"));
  EXPECT_TRUE(texts().empty());
  receive(ok("gateway", "2"));
  EXPECT_EQ(joined(), 1);
  EXPECT_EQ(sent_events(), (Texts{"set_snownet_capabilities", "authorization_created"}));
}

TEST_F(ChannelTest, AnUnmatchedTopicElsewhereAndOtherErrorsAreIgnored) {
  open_and_join();
  receive(error("phoenix", "7", "unmatched topic"));
  receive(error("gateway", "7", "unknown_message"));
  receive(error("gateway", "null", "unmatched topic"));
  EXPECT_TRUE(texts().empty());
  EXPECT_TRUE(channel.is_joined());
}

TEST_F(ChannelTest, ControlEventsOfThePortal) {
  for (const auto* text :
       {R"({"topic":"x","event":"phx_error","payload":{}})",
        R"({"topic":"gateway","event":"phx_error","payload":{"reason":"channel_crash"},"ref":3})",
        R"({"topic":"gateway","event":"phx_close","payload":null})",
        R"({"topic":"gateway","event":"phx_close","payload":{"a":1}})",
        R"({"topic":"gateway","event":"phx_close"})",
        R"({"topic":"gateway","event":"disconnect","payload":{"reason":"certificate_revoked"}})",
        R"({"topic":"gateway","event":"disconnect","payload":{}})"}) {
    open_and_join();
    receive(text);
    EXPECT_FALSE(failed()) << text;
  }
  open_and_join();
  receive(R"({"topic":"other","event":"phx_close","payload":{}})");
  auto failure = failed();
  ASSERT_TRUE(failure);
  EXPECT_FALSE(failure->is_fatal);
  open_and_join();
  receive(
      R"({"topic":"other","event":"disconnect","payload":{"reason":"token_expired","extra":null}})");
  failure = failed();
  ASSERT_TRUE(failure);
  EXPECT_TRUE(failure->is_fatal);
  EXPECT_EQ(failure->reason, "Authentication token invalid");
}

TEST_F(ChannelTest, TruncatedTextsFailTheConnectionAndOtherGarbageIsDropped) {
  for (const auto* text : {"", "  ", "t", "{\"topic\":\"gateway\"",
                           "{\"topic\":\"gateway\",\"event\":\"init\",\"payload\":{"}) {
    open_and_join();
    receive(text);
    const auto failure = failed();
    ASSERT_TRUE(failure) << text;
    EXPECT_FALSE(failure->is_fatal);
  }
  open_and_join();
  for (const auto* text : {"hello", "[]", "[\"0\",\"0\",\"gateway\",\"init\",{}]", "7", "{}",
                           R"({"event":"phx_close","payload":{}})",
                           R"({"topic":"gateway","event":"unheard_of","payload":{}})",
                           R"({"topic":"gateway","event":"init","payload":{}})",
                           R"({"topic":"gateway","event":"phx_close","payload":{}}x)",
                           R"({"topic":"g","topic":"g","event":"phx_close","payload":{}})",
                           R"({"topic":"g","event":"phx_close","payload":{},"ref":"1"})"}) {
    receive(text);
    EXPECT_FALSE(failed()) << text;
  }
  EXPECT_EQ(ingress(), 0);
  EXPECT_EQ(channel.counters().unknown_events, 1U);
  EXPECT_EQ(channel.counters().malformed_messages, 10U);
}

TEST_F(ChannelTest, TopicAndUnknownKeysOfAMessageDoNotMatter) {
  open_and_join();
  receive(kRejectAccess);
  receive(
      R"({"extra":null,"join_ref":"1","payload":{"client_id":"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11","resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04","z":null},"event":"reject_access","topic":"t","ref":4})");
  EXPECT_EQ(ingress(), 2);
}

TEST_F(ChannelTest, MessagesWhileNotConnectedAreDiscarded) {
  channel.send(reply("early"), now);
  open_and_join();
  EXPECT_TRUE(texts().empty());
  channel.on_closed();
  channel.send(reply("meanwhile"), now);
  channel.send(NoRelays{}, now);
  open_and_join();
  EXPECT_TRUE(texts().empty());
  EXPECT_EQ(channel.counters().discarded_messages, 3U);
}

TEST_F(ChannelTest, NothingOfAConnectionOutlivesIt) {
  open();
  (void)texts();
  channel.send(reply("queued"), now);
  channel.on_closed();
  open();
  EXPECT_EQ(texts(), Texts{kJoin});  // refs start anew
  receive(ok("gateway", "0"));
  EXPECT_EQ(joined(), 1);
  EXPECT_TRUE(texts().empty());
  EXPECT_EQ(channel.wakeup()->at, now + 10s);
}

TEST_F(ChannelTest, EqualMessagesInTheQueueAreMerged) {
  open();
  for (int i = 0; i < 3; ++i) channel.send(NoRelays{}, now);
  channel.send(reply("a"), now);
  (void)texts();
  receive(ok("gateway", "0"));
  EXPECT_EQ(sent_events(), (Texts{"no_relays", "authorization_created"}));
  channel.send(NoRelays{}, now);
  EXPECT_EQ(sent_events(), Texts{"no_relays"});
  EXPECT_EQ(channel.counters().merged_messages, 2U);
}

TEST_F(ChannelTest, AMessageLargerThanTheLimitEndsTheConnectionUnread) {
  open_and_join();
  const auto reply = ok("gateway", "7");
  receive(reply + std::string(kMessageBytesMax - reply.size(), ' '));
  EXPECT_FALSE(failed());
  receive(reply + std::string(kMessageBytesMax - reply.size() + 1, ' '));
  const auto failure = failed();
  ASSERT_TRUE(failure);
  EXPECT_FALSE(failure->is_fatal);
  EXPECT_EQ(failure->reason, "portal sent an oversized message");
}
TEST_F(ChannelTest, TheQueueIsBounded) {
  open();
  for (int i = 0; i < 4'096; ++i) channel.send(reply(std::to_string(i).c_str()), now);
  EXPECT_EQ(channel.counters().refused_messages, 0U);
  channel.send(reply("one more"), now);
  EXPECT_EQ(channel.counters().refused_messages, 1U);
}

TEST_F(ChannelTest, CandidatesMadeWhileThePortalIsAwayAreFlushedOnceAfterTheJoin) {
  open_and_join(true);
  (void)texts();
  channel.on_closed();
  channel.send(added(kClient, {"a", "b"}), now);
  channel.send(added(kClient, {"c", "a"}), now);
  channel.send(removed(kClient, {"b", "old"}), now);
  channel.send(added(kOther, {"x"}), now);
  channel.send(removed(kOther, {"x"}), now);
  open(true);
  (void)texts();
  channel.send(reply("r"), now);
  channel.send(added(kOther, {"y"}), now);
  receive(ok("gateway", "0"));
  EXPECT_EQ(joined(), 1);
  const auto sent = texts();
  ASSERT_EQ(sent.size(), 5U);
  EXPECT_EQ(event_of(sent[0]), "set_snownet_capabilities");
  EXPECT_EQ(event_of(sent[1]), "authorization_created");
  EXPECT_NE(sent[2].find(R"("candidates":["a","c"])"), std::string::npos) << sent[2];
  EXPECT_EQ(event_of(sent[3]), "broadcast_invalidated_ice_candidates");
  EXPECT_NE(sent[3].find(R"("candidates":["old"])"), std::string::npos) << sent[3];
  EXPECT_NE(sent[4].find(R"("candidates":["y"])"), std::string::npos) << sent[4];
  wait(10s);
  EXPECT_EQ(texts().size(), 1U);
  receive(ok("phoenix", "6"));
  channel.on_closed();
  open_and_join(false);
  EXPECT_TRUE(texts().empty());
}

TEST_F(ChannelTest, HeldCandidatesOfAGoneClientAreDiscarded) {
  channel.send(added(kClient, {"a"}), now);
  channel.forget_client(kClient);
  open_and_join();
  EXPECT_TRUE(texts().empty());
}

TEST_F(ChannelTest, HeldCandidatesAreBounded) {
  std::vector<std::string> lines;
  for (int i = 0; i < 256; ++i) lines.push_back(std::to_string(i));
  channel.send(added(kClient, lines), now);
  EXPECT_EQ(channel.counters().refused_candidates, 0U);
  channel.send(added(kClient, {"one more"}), now);
  EXPECT_EQ(channel.counters().refused_candidates, 1U);
}

// TCP takes what was written last along when it ends.
TEST_F(ChannelTest, CandidatesWrittenAfterTheLastAnsweredHeartbeatAreToldAgain) {
  open_and_join();
  channel.send(added(kClient, {"read"}), now);
  (void)texts();
  wait(10s);
  channel.send(added(kClient, {"late", "undone"}), now);
  EXPECT_EQ(sent_events(), (Texts{"heartbeat", "broadcast_ice_candidates"}));
  channel.send(removed(kClient, {"read", "undone"}), now);
  (void)texts();
  wait(10s);
  EXPECT_EQ(sent_events(), Texts{"heartbeat"});
  receive(ok("phoenix", "2"));  // the first; not the second
  channel.send(added(kClient, {"queued"}), now);
  channel.on_closed();
  channel.send(removed(kClient, {"late"}), now);
  open_and_join();
  const auto again = texts();
  ASSERT_EQ(again.size(), 2U);
  EXPECT_NE(again[0].find(R"("candidates":["queued"])"), std::string::npos) << again[0];
  EXPECT_NE(again[1].find(R"("candidates":["read","undone","late"])"), std::string::npos)
      << again[1];
  wait(10s);
  (void)texts();
  receive(ok("phoenix", "3"));
  channel.on_closed();
  open_and_join();
  EXPECT_TRUE(texts().empty());
}

TEST_F(ChannelTest, WhatAGoneClientWasToldIsNotToldAgain) {
  open_and_join();
  channel.send(added(kClient, {"a"}), now);
  channel.send(added(kOther, {"b"}), now);
  (void)texts();
  channel.forget_client(kClient);
  channel.on_closed();
  open_and_join();
  const auto again = texts();
  ASSERT_EQ(again.size(), 1U);
  EXPECT_NE(again[0].find(R"("candidates":["b"])"), std::string::npos) << again[0];
}

TEST_F(ChannelTest, WhatMayHaveToBeToldAgainIsBounded) {
  open_and_join();
  for (std::size_t i = 0; i < kUnconfirmedMax; ++i) {
    channel.send(added(kClient, {"same"}), now);
    (void)texts();
  }
  EXPECT_EQ(channel.counters().forgotten_messages, 0U);
  channel.send(added(kClient, {"one more"}), now);
  (void)texts();
  EXPECT_EQ(channel.counters().forgotten_messages, 1U);
}

TEST_F(ChannelTest, CandidatesDuringARejoinKeepTheirPlaceBehindTheReply) {
  open_and_join();
  receive(error("gateway", "1", "unmatched topic"));
  channel.send(reply("r"), now);
  channel.send(added(kClient, {"a"}), now);
  EXPECT_EQ(sent_events(), Texts{"phx_join"});
  receive(ok("gateway", "1"));
  EXPECT_EQ(sent_events(), (Texts{"authorization_created", "broadcast_ice_candidates"}));
}

TEST_F(ChannelTest, QueuedEventsMeanWakeUpNow) {
  open_and_join();
  receive(kRejectAccess);
  EXPECT_LE(channel.wakeup()->at, now);
}

TEST_F(ChannelTest, NothingOfAMessageIsLoggedButItsName) {
  open_and_join();
  receive(R"({"topic":"gateway","event":"create_authorization","payload":{"secret":"hunter2"}})");
  ASSERT_FALSE(sink.lines.empty());
  for (const auto& line : sink.lines) EXPECT_EQ(line.find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace fg::portal
