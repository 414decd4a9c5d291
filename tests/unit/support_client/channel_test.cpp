#include "tests/support/client/channel.h"

#include <gtest/gtest.h>

#include "tests/unit/support_client/recorded.h"

namespace fg::client::test {
namespace {

class NoLog final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel, std::string_view) const override { return false; }
  void write(LogLevel, std::string_view, std::string_view, std::span<const LogField>) override {}
};

constexpr Instant kStart{1000h};
const std::string kOk = R"({"status":"ok","response":{}})";

std::string reply(std::string_view topic, std::uint64_t ref, const std::string& payload) {
  return R"({"topic":")" + std::string{topic} + R"(","event":"phx_reply","ref":)" +
         std::to_string(ref) + R"(,"payload":)" + payload + "}";
}

struct Line {
  explicit Line(Generation generation) : channel(generation, Log{sink, "test"}) {}

  nlohmann::json next() {
    const auto text = channel.poll_text();
    return text ? nlohmann::json::parse(*text) : nlohmann::json{};
  }
  void join() {
    channel.on_open(kStart);
    const auto ref = next()["ref"].get<std::uint64_t>();
    channel.on_text(reply("client", ref, kOk), kStart);
    EXPECT_TRUE(std::holds_alternative<Channel::Joined>(channel.poll_event().value()));
  }

  NoLog sink;
  Channel channel;
};

TEST(ClientChannel, JoinsTheTopicOfClients) {
  Line line{Generation::b};
  line.channel.on_open(kStart);
  EXPECT_EQ(line.next(), nlohmann::json::parse(
                             R"({"topic":"client","event":"phx_join","payload":null,"ref":0})"));
  EXPECT_FALSE(line.channel.is_joined());
  line.channel.on_text(reply("client", 0, kOk), kStart);
  EXPECT_TRUE(line.channel.is_joined());
  EXPECT_TRUE(line.next().is_null());
}

TEST(ClientChannel, COpensWithItsCapabilities) {
  Line line{Generation::c};
  line.join();
  EXPECT_EQ(line.next()["event"], "set_snownet_capabilities");
}

// Spec portal 1.13.
TEST(ClientChannel, OutageKeepsWhatTheGenerationKeeps) {
  for (const auto& [generation, kept] :
       {std::pair{Generation::a, 2}, {Generation::b, 0}, {Generation::c, 1}}) {
    Line line{generation};
    line.channel.send({"prepare_connection", "{}"});
    line.channel.send({"new_gateway_ice_candidates", "{}"});
    line.join();
    if (generation == Generation::c) (void)line.next();
    int seen = 0;
    while (!line.next().is_null()) ++seen;
    EXPECT_EQ(seen, kept);
  }
}

TEST(ClientChannel, RefsStartAgainExceptInA) {
  for (const auto& [generation, ref] : {std::pair{Generation::a, 1}, {Generation::b, 0}}) {
    Line line{generation};
    line.join();
    line.channel.on_closed();
    line.channel.on_open(kStart);
    EXPECT_EQ(line.next()["ref"], ref);
  }
}

TEST(ClientChannel, AReplyFindsItsQuestion) {
  Line line{Generation::a};
  line.join();
  line.channel.send({"prepare_connection", "{}"}, Tag{7});
  const auto ref = line.next()["ref"].get<std::uint64_t>();
  line.channel.on_text(
      reply("client", ref, R"({"status":"error","response":{"reason":"offline"}})"), kStart);
  const auto event = line.channel.poll_event();
  ASSERT_TRUE(event && std::holds_alternative<Channel::Replied>(*event));
  const auto& replied = std::get<Channel::Replied>(*event);
  EXPECT_EQ(replied.tag, Tag{7});
  EXPECT_FALSE(replied.is_ok);
  EXPECT_EQ(replied.reason, "offline");
}

// Spec portal 1.9.
TEST(ClientChannel, TheFourthUnansweredHeartbeatEndsIt) {
  Line line{Generation::c};
  line.join();
  (void)line.next();
  for (int i = 1; i <= 3; ++i) {
    line.channel.on_timeout(kStart + i * Duration{10s});
    EXPECT_EQ(line.next()["topic"], "phoenix");
  }
  EXPECT_FALSE(line.channel.poll_event());
  line.channel.on_timeout(kStart + 40s);
  const auto event = line.channel.poll_event();
  ASSERT_TRUE(event && std::holds_alternative<Channel::Failed>(*event));
  EXPECT_FALSE(std::get<Channel::Failed>(*event).is_fatal);
}

TEST(ClientChannel, AnsweredHeartbeatsKeepIt) {
  Line line{Generation::b};
  line.join();
  for (int i = 1; i <= 6; ++i) {
    line.channel.on_timeout(kStart + i * Duration{10s});
    line.channel.on_text(reply("phoenix", line.next()["ref"].get<std::uint64_t>(), kOk),
                         kStart + i * Duration{10s});
  }
  EXPECT_TRUE(line.channel.is_joined());
}

TEST(ClientChannel, JoinsAgainWhenThePortalLostTheTopic) {
  Line line{Generation::b};
  line.join();
  line.channel.send({"create_flow", "{}"});
  const auto ref = line.next()["ref"].get<std::uint64_t>();
  line.channel.on_text(
      reply("client", ref, R"({"status":"error","response":{"reason":"unmatched topic"}})"),
      kStart);
  EXPECT_FALSE(line.channel.is_joined());
  EXPECT_EQ(line.next()["event"], "phx_join");
}

TEST(ClientChannel, EndsForGoodWhenTheJoinIsRefusedOrTheTokenExpires) {
  for (
      const auto* text :
      {R"({"topic":"client","event":"phx_reply","ref":0,"payload":{"status":"error","response":{"reason":"invalid_version"}}})",
       R"({"topic":"client","event":"disconnect","ref":null,"payload":{"reason":"token_expired"}})"}) {
    Line line{Generation::a};
    line.channel.on_open(kStart);
    (void)line.next();
    line.channel.on_text(text, kStart);
    const auto event = line.channel.poll_event();
    ASSERT_TRUE(event && std::holds_alternative<Channel::Failed>(*event));
    EXPECT_TRUE(std::get<Channel::Failed>(*event).is_fatal);
  }
}

TEST(ClientChannel, TheQueueIsBounded) {
  Line line{Generation::a};
  for (std::size_t i = 0; i <= kQueuedMessagesMax; ++i)
    line.channel.send({"prepare_connection", std::to_string(i)});
  line.join();
  std::size_t seen = 0;
  while (!line.next().is_null()) ++seen;
  EXPECT_EQ(seen, kQueuedMessagesMax);
}

}  // namespace
}  // namespace fg::client::test
