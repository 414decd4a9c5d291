#include "control/net/portal_client.h"

#include <gtest/gtest.h>

#include "quiet_log.h"
#include "scripted_portal.h"

namespace fg::net {
namespace {

using test::Peer;
using test::ScriptedPortal;

const char* const kInit =
    R"({"topic":"gateway","event":"init","ref":null,"payload":{"interface":{"ipv4":"100.64.0.1","ipv6":"fd00:2021:1111::1"}}})";

class PortalClientTest : public testing::Test, public PortalHandler {
 protected:
  void start(std::uint16_t port, std::optional<portal::Generation> generation = std::nullopt) {
    PortalClientOptions options;
    options.login.url = *portal::ApiUrl::parse("ws://127.0.0.1:" + std::to_string(port));
    options.login.token = SecretText{"t"};
    options.login.id = "gw";
    options.login.name = "n";
    options.login.generation = generation;
    options.mark = 0;
    client = std::make_unique<PortalClient>(loop, resolver, random, Log{sink, "portal"},
                                            std::move(options), *this);
    client->start();
    loop.run();
  }
  void on_portal_joined(portal::Generation generation) override {
    ++joins;
    joined = generation;
    if (on_joined) on_joined();
  }
  void on_portal_message(portal::Ingress message) override {
    messages.push_back(std::move(message));
    if (on_message) on_message();
  }
  void on_portal_disconnected(const std::string& reason, Duration /*retry_in*/) override {
    disconnected = reason;
    if (on_disconnected) on_disconnected();
  }
  void on_portal_fatal(const std::string& reason) override {
    fatal = reason;
    loop.stop();
  }
  // Refuses one request; Retry-After 0 keeps the test fast.
  static ScriptedPortal::Script refuse(const std::string& status, const std::string& body = "",
                                       std::string* request = nullptr) {
    return [=](Peer& peer) {
      const auto got = peer.read_request();
      if (request != nullptr) *request = got.substr(0, got.find("\r\n"));
      peer.send("HTTP/1.1 " + status + "\r\nretry-after: 0\r\ncontent-length: " +
                std::to_string(body.size()) + "\r\n\r\n" + body);
    };
  }

  test::QuietSink sink;
  SeededRandom random{11};
  Loop loop;
  Resolver resolver{loop, {}};
  std::unique_ptr<PortalClient> client;
  int joins = 0;
  std::optional<portal::Generation> joined;
  std::vector<portal::Ingress> messages;
  std::string disconnected;
  std::string fatal;
  std::function<void()> on_joined;
  std::function<void()> on_message;
  std::function<void()> on_disconnected;
};

TEST_F(PortalClientTest, JoinsReadsInitAndAnswers) {
  std::vector<std::string> got;
  ScriptedPortal portal({[&](Peer& peer) {
    (void)peer.accept();
    peer.send_text(kInit);
    for (int i = 0; i < 2; ++i) got.push_back(peer.read_frame().payload);
  }});
  on_message = [&] { client->send(portal::NoRelays{}); };
  on_disconnected = [&] { loop.stop(); };
  start(portal.port());
  EXPECT_EQ(joined, portal::Generation::c);
  portal.finish();
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<portal::Init>(messages[0]));
  EXPECT_EQ(
      got,
      (std::vector<std::string>{
          R"({"topic":"gateway","event":"set_snownet_capabilities","payload":{"iceless":true},"ref":1})",
          R"({"topic":"gateway","event":"no_relays","payload":{},"ref":2})"}));
}

TEST_F(PortalClientTest, FindsAPortalOfGenerationA) {
  std::string first, second, third;
  ScriptedPortal portal({refuse("404 Not Found", "", &first),
                         refuse("401 Unauthorized", "Missing token\n", &second), [&](Peer& peer) {
                           third = peer.accept();
                           (void)peer.read_frame();
                         }});
  on_joined = [&] { loop.stop(); };
  start(portal.port());
  client.reset();
  portal.finish();
  EXPECT_EQ(joined, portal::Generation::a);
  EXPECT_TRUE(first.starts_with("GET /gateway/v2/websocket?external_id=gw&"));
  EXPECT_TRUE(second.starts_with("GET /gateway/websocket?external_id=gw&"));
  EXPECT_TRUE(third.starts_with("GET /gateway/websocket?token=t&public_key="));
  EXPECT_EQ(third.find("X-Authorization"), std::string::npos);
}

TEST_F(PortalClientTest, RefusalsAreRetriedAsThePortalAsks) {
  ScriptedPortal portal({refuse("503 Service Unavailable"), refuse("429 Too Many Requests"),
                         refuse("302 Found"), [](Peer& peer) {
                           (void)peer.accept();
                           (void)peer.read_frame();
                         }});
  on_joined = [&] { loop.stop(); };
  start(portal.port());
  EXPECT_EQ(joins, 1);
  client.reset();
}

TEST_F(PortalClientTest, A401EndsIt) {
  ScriptedPortal portal({refuse("401 Unauthorized", "Invalid token")});
  start(portal.port(), portal::Generation::b);
  EXPECT_EQ(fatal, "Failed to login to portal: Authentication token invalid");
}

TEST_F(PortalClientTest, AfterALossItJoinsAgainWithFreshRefs) {
  std::vector<std::string> got;
  const auto script = [&](Peer& peer) {
    (void)peer.accept();
    got.push_back(peer.read_frame().payload);
    peer.send_text(R"({"topic":"gateway","event":"phx_close","payload":{}})");
    EXPECT_EQ(peer.read_frame().opcode, -1);  // dropped without a Close frame
  };
  ScriptedPortal portal({script, script});
  on_disconnected = [&] {
    if (joins == 2) loop.stop();
  };
  start(portal.port());
  portal.finish();
  EXPECT_EQ(joins, 2);
  EXPECT_EQ(got[0], got[1]);
  EXPECT_EQ(disconnected, "portal closed the channel");
}

TEST_F(PortalClientTest, GarbageIsSurvivedAndTruncationIsNot) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.accept();
    peer.send_text("hello");
    peer.send_text("[1,2]");
    peer.send_frame(2, "{");
    peer.send_text(kInit);
    peer.send_text("{\"topic\":");
  }});
  on_disconnected = [&] { loop.stop(); };
  start(portal.port());
  EXPECT_EQ(messages.size(), 1U);
  EXPECT_EQ(disconnected, "portal sent a truncated message");
  EXPECT_EQ(client->counters().malformed_messages, 2U);
}

TEST_F(PortalClientTest, AFrameOverItsLimitEndsTheConnectionAndIsCounted) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.accept();
    peer.send(std::string_view{"\x81\x7f\0\0\0\0\x01\0\0\x01", 10});
  }});
  on_disconnected = [&] { loop.stop(); };
  start(portal.port());
  portal.finish();
  EXPECT_EQ(joins, 1);
  EXPECT_EQ(disconnected, "portal sent more than 16 MiB in a frame or 64 MiB in a message");
  EXPECT_EQ(client->counters().oversized_messages, 1U);
}

TEST_F(PortalClientTest, ShutDownWhileConnectedSendsClose) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.accept();
    (void)peer.read_frame();  // capabilities
    const auto close = peer.read_frame();
    EXPECT_EQ(close.opcode, 8);
    EXPECT_EQ(close.payload, "\x03\xe8");
    peer.send_frame(8, close.payload);
  }});
  bool is_done = false;
  on_joined = [&] {
    loop.post([&] {
      client->shut_down([&] {
        is_done = true;
        loop.stop();
      });
    });
  };
  start(portal.port());
  EXPECT_TRUE(is_done);
  EXPECT_TRUE(disconnected.empty());
}

TEST_F(PortalClientTest, WhatWasSaidBeforeShutDownGoesOutBeforeTheClose) {
  std::vector<std::string> events;
  ScriptedPortal portal({[&](Peer& peer) {
    (void)peer.accept();
    for (;;) {
      const auto frame = peer.read_frame();
      if (frame.opcode == 8) return peer.send_frame(8, frame.payload);
      if (frame.opcode != 1) return;
      events.push_back(frame.payload);
    }
  }});
  on_joined = [&] {
    loop.post([&] {
      const auto id = *ClientId::parse("7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11");
      for (const char* line : {"candidate:1", "candidate:2", "candidate:3"})
        client->send(portal::BroadcastCandidates{id, {line}, true});
      client->shut_down([&] { loop.stop(); });
    });
  };
  start(portal.port());
  portal.finish();
  ASSERT_EQ(events.size(), 4U);  // capabilities first
  EXPECT_NE(events[3].find("candidate:3"), std::string::npos);
}

TEST_F(PortalClientTest, ShutDownWhileWaitingIsAtOnce) {
  ScriptedPortal portal({[](Peer& peer) { (void)peer.read_request(); }});
  bool is_done = false;
  const auto start_at = loop.now();
  on_disconnected = [&] {
    loop.post([&] {
      client->shut_down([&] {
        is_done = true;
        loop.stop();
      });
    });
  };
  start(portal.port());
  EXPECT_TRUE(is_done);
  EXPECT_LT(loop.now() - start_at, Duration{900ms});
}

TEST_F(PortalClientTest, AHandlerMayDestroyTheClient) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.accept();
    peer.send_text(kInit);
    (void)peer.read_frame();
  }});
  on_message = [&] {
    client.reset();
    loop.stop();
  };
  start(portal.port());
  EXPECT_EQ(client, nullptr);
}

TEST_F(PortalClientTest, UnreadableTrustAnchorsAreFatal) {
  PortalClientOptions options;
  options.login.url = *portal::ApiUrl::parse("wss://127.0.0.1:1");
  options.ca_file = "/nonexistent.pem";
  client = std::make_unique<PortalClient>(loop, resolver, random, Log{sink, "portal"},
                                          std::move(options), *this);
  client->start();
  EXPECT_TRUE(fatal.empty());
  loop.run();
  EXPECT_NE(fatal.find("/nonexistent.pem"), std::string::npos);
}

}  // namespace
}  // namespace fg::net
