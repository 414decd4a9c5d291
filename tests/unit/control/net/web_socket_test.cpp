#include "control/net/web_socket.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <future>

#include "quiet_log.h"
#include "scripted_dns.h"
#include "scripted_portal.h"

namespace fg::net {
namespace {

using test::Peer;
using test::ScriptedPortal;

class WebSocketTest : public testing::Test {
 protected:
  static portal::UpgradeRequest request(std::uint16_t port) {
    portal::UpgradeRequest request;
    request.is_tls = false;
    request.host = "127.0.0.1";
    request.port = port;
    request.host_header = "portal.test";
    request.target = SecretText{"/gateway/v2/websocket?a=b+c"};
    request.user_agent = "X/1 connlib/1.6.1";
    request.authorization = SecretText{"Bearer t"};
    return request;
  }
  WebSocket::Callbacks callbacks() {
    WebSocket::Callbacks to;
    to.on_open = [this] {
      is_open = true;
      if (!to_send.empty()) socket->write(std::exchange(to_send, {}));
    };
    to.on_refused = [this](const portal::UpgradeRefusal& answer) {
      refusal = answer;
      loop.stop();
    };
    to.on_lost = [this](const std::string& reason) {
      lost = reason;
      loop.stop();
    };
    to.on_oversized = [this] {
      is_oversized = true;
      loop.stop();
    };
    to.on_text = [this](std::string_view text) { texts.emplace_back(text); };
    to.on_writable = [this] { ++writable; };
    return to;
  }
  // Until the connection has ended.
  void run(portal::UpgradeRequest wanted, const std::string& ca_file = "") {
    auto tls = TlsContext::create(ca_file);
    ASSERT_TRUE(tls) << tls.error();
    socket = std::make_unique<WebSocket>(loop, resolver, *tls, Log{sink, "portal"}, 0);
    socket->connect(std::move(wanted), callbacks());
    loop.run();
  }

  test::QuietSink sink;
  test::ScriptedDns dns{
      {{"portal.test", {IpAddress::v4(127, 0, 0, 1)}},
       // 192.0.2.0/24 leads nowhere (RFC 5737), nothing of ours listens on 127.0.0.77
       {"mixed.test",
        {IpAddress::v4(192, 0, 2, 1), *IpAddress::parse("2001:db8::1"),
         IpAddress::v4(127, 0, 0, 77), IpAddress::v4(127, 0, 0, 1)}}}};
  Loop loop;
  Resolver resolver{loop, ResolverOptions{0, {dns.address()}}};
  std::unique_ptr<WebSocket> socket;
  bool is_open = false;
  int writable = 0;
  std::string to_send;
  std::optional<portal::UpgradeRefusal> refusal;
  std::optional<std::string> lost;
  bool is_oversized = false;
  std::vector<std::string> texts;
};

TEST_F(WebSocketTest, SendsExactlyTheHeadersOfTheSpec) {
  std::string got;
  ScriptedPortal portal({[&](Peer& peer) { got = peer.upgrade(); }});
  run(request(portal.port()));
  portal.finish();
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < got.size();) {
    const auto end = got.find("\r\n", at);
    lines.push_back(got.substr(at, end - at));
    at = end + 2;
  }
  ASSERT_EQ(lines.size(), 9U);
  EXPECT_EQ(lines.front(), "GET /gateway/v2/websocket?a=b+c HTTP/1.1");
  const auto has = [&](const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
  };
  EXPECT_TRUE(has("Host: portal.test"));
  EXPECT_TRUE(has("Upgrade: websocket"));
  EXPECT_TRUE(has("Connection: upgrade") || has("Connection: Upgrade"));
  EXPECT_TRUE(has("Sec-WebSocket-Version: 13"));
  EXPECT_TRUE(has("User-Agent: X/1 connlib/1.6.1"));
  EXPECT_TRUE(has("X-Authorization: Bearer t"));
  EXPECT_NE(got.find("\r\nSec-WebSocket-Key: "), std::string::npos);
}

TEST_F(WebSocketTest, ARefusalCarriesStatusHeadersAndBody) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.read_request();
    peer.send(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: "
        "application/problem+json\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}");
  }});
  run(request(portal.port()));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 503);
  EXPECT_EQ(refusal->content_type, "application/problem+json");
  EXPECT_EQ(refusal->retry_after, "7");
  EXPECT_EQ(refusal->body, "{}");
}

TEST_F(WebSocketTest, ALargeBodyOfARefusalIsRead) {
  const std::string body(100'000, 'x');
  ScriptedPortal portal({[&](Peer& peer) {
    (void)peer.read_request();
    peer.send("HTTP/1.1 404 Not Found\r\ncontent-length: 100000\r\n\r\n" + body);
  }});
  run(request(portal.port()));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 404);
  EXPECT_EQ(refusal->body, body);
  EXPECT_FALSE(refusal->retry_after);
}

TEST_F(WebSocketTest, ARefusalCountsThoughItsBodyIsCut) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.read_request();
    peer.send("HTTP/1.1 401 Unauthorized\r\nretry-after: 3\r\ncontent-length: 9\r\n\r\nnot");
  }});
  run(request(portal.port()));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 401);
  EXPECT_EQ(refusal->retry_after, "3");
  EXPECT_EQ(refusal->body, "not");
}

TEST_F(WebSocketTest, ARefusalCountsThoughItsBodyNeverEnds) {
  bool is_ended_by_us = false;
  ScriptedPortal portal({[&](Peer& peer) {
    (void)peer.read_request();
    peer.send("HTTP/1.1 503 Service");
    peer.send(" Unavailable\r\nretry-after: 3\r\n\r\nlater");
    is_ended_by_us = peer.read_frame().opcode == -1;
  }});
  const auto began = loop.now();
  run(request(portal.port()));
  ASSERT_TRUE(refusal);
  EXPECT_LT(loop.now() - began, 8s);  // not kUpgradeTimeout
  EXPECT_EQ(refusal->status, 503);
  EXPECT_EQ(refusal->retry_after, "3");
  EXPECT_EQ(refusal->body, "later");
  portal.finish();
  EXPECT_TRUE(is_ended_by_us);
}

TEST_F(WebSocketTest, ABodyLargerThanIsKeptIsCut) {
  const std::string body(kRefusalBytesMax, 'x');
  ScriptedPortal portal({[&](Peer& peer) {
    (void)peer.read_request();
    peer.send("HTTP/1.1 404 Not Found\r\ncontent-length: " + std::to_string(body.size()) +
              "\r\n\r\n" + body);
  }});
  run(request(portal.port()));
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 404);
  EXPECT_LT(refusal->body.size(), body.size());
}

TEST_F(WebSocketTest, WhatIsNoHttpLosesTheConnection) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.read_request();
    peer.send("SSH-2.0-x\r\n\r\n");
  }});
  run(request(portal.port()));
  EXPECT_TRUE(lost);
}

TEST_F(WebSocketTest, ARefusedTcpConnectionIsLost) {
  std::uint16_t port = 0;
  {
    ScriptedPortal gone({});
    port = gone.port();
  }
  run(request(port));
  ASSERT_TRUE(lost);
  EXPECT_NE(lost->find("refused"), std::string::npos) << *lost;
}

TEST_F(WebSocketTest, TextsOfAnyFragmentationArrive) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.upgrade();
    peer.send_frame(1, "fir", false);
    peer.send_frame(9, "ping between");
    peer.send_frame(0, "", false);
    peer.send_frame(0, "st", true);
    peer.send(std::string{"\x81\x03two\x81\x05three", 12});
    peer.send_frame(2, "binary");
    peer.send_frame(10, "pong");
    for (const char c : std::string_view{"\x81\x04"
                                         "four"})
      peer.send(std::string_view{&c, 1});
    const auto pong = peer.read_frame();
    EXPECT_EQ(pong.opcode, 10);
    EXPECT_EQ(pong.payload, "ping between");
    EXPECT_TRUE(pong.is_masked);
  }});
  run(request(portal.port()));
  EXPECT_EQ(texts, (std::vector<std::string>{"first", "two", "three", "four"}));
}

TEST_F(WebSocketTest, SeveralMessagesOfOneSegmentAllArriveInOrder) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.upgrade();
    peer.send("\x81\x01\x61\x89\x01\x21\x81\x01\x62\x82\x01\x7b\x81\x01\x63");
  }});
  run(request(portal.port()));
  EXPECT_EQ(texts, (std::vector<std::string>{"a", "b", "c"}));
}

// Spec portal 1.5.
TEST_F(WebSocketTest, SixteenMebibytesFitAFrameAndMoreFitAMessage) {
  const std::string frame(std::size_t{16} << 20, 'x');
  ScriptedPortal portal({[&](Peer& peer) {
    (void)peer.upgrade();
    peer.send_frame(1, frame, false);
    peer.send_frame(0, frame);
    peer.send_text("next");
  }});
  run(request(portal.port()));
  ASSERT_EQ(texts.size(), 2U);
  EXPECT_EQ(texts[0].size(), 2 * frame.size());
  EXPECT_EQ(texts[1], "next");
}

TEST_F(WebSocketTest, AFrameOfMoreThanSixteenMebibytesLosesTheConnectionBeforeItIsRead) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.upgrade();
    peer.send_text("small");
    peer.send(std::string_view{"\x81\x7f\0\0\0\0\x01\0\0\x01", 10});
  }});
  run(request(portal.port()));
  EXPECT_EQ(texts, std::vector<std::string>{"small"});
  EXPECT_TRUE(is_oversized);
}

TEST_F(WebSocketTest, FiveFramesOfSixteenMebibytesAreNoMessage) {
  ScriptedPortal portal({[](Peer& peer) {
    const std::string frame(std::size_t{16} << 20, 'x');
    (void)peer.upgrade();
    for (int i = 0; i < 4; ++i) peer.send_frame(i == 0 ? 1 : 0, frame, false);
    peer.send_frame(0, "y");
    (void)peer.read_frame();
  }});
  run(request(portal.port()));
  EXPECT_TRUE(texts.empty());
  EXPECT_TRUE(is_oversized);
}

TEST_F(WebSocketTest, OneTextIsOneMaskedFrame) {
  to_send = std::string(70'000, 'y');
  const auto sent = to_send;
  ScriptedPortal portal({[&](Peer& peer) {
    (void)peer.upgrade();
    const auto frame = peer.read_frame();
    EXPECT_EQ(frame.opcode, 1);
    EXPECT_TRUE(frame.is_masked);
    EXPECT_EQ(frame.payload, sent);
  }});
  run(request(portal.port()));
  EXPECT_EQ(writable, 1);
}

TEST_F(WebSocketTest, ACloseFrameIsAnsweredAndEndsTheConnection) {
  for (const auto payload : {std::string_view{"\x03\xf4"
                                              "deploy",
                                              8},
                             std::string_view{}}) {
    lost.reset();
    ScriptedPortal portal({[&](Peer& peer) {
      (void)peer.upgrade();
      peer.send_frame(8, payload);
      const auto answer = peer.read_frame();
      EXPECT_EQ(answer.opcode, 8);
      EXPECT_EQ(answer.payload, payload) << "code and reason as they came";
      EXPECT_EQ(peer.read_frame().opcode, -1) << "and nothing after it";
    }});
    run(request(portal.port()));
    EXPECT_TRUE(lost);
    EXPECT_EQ(lost.value_or("").find("portal closed the connection: code "), 0U) << *lost;
  }
}

TEST_F(WebSocketTest, ViolationsOfTheProtocolLoseTheConnection) {
  using namespace std::string_view_literals;
  for (const auto bytes : {"\x88\x02\x03\xe7"sv,           // Close 999
                           "\x88\x01\x03"sv,               // Close with one byte
                           "\x81\x81\x01\x02\x03\x04x"sv,  // masked
                           "\x83\x00"sv,                   // reserved opcode
                           "\xc1\x00"sv,                   // reserved bit
                           "\x80\x01x"sv,                  // continuation of nothing
                           "\x81\x02\xff\xfe"sv}) {        // not UTF-8
    lost.reset();
    ScriptedPortal portal({[&](Peer& peer) {
      (void)peer.upgrade();
      peer.send(bytes);
      while (peer.read_frame().opcode >= 0) {
      }
    }});
    run(request(portal.port()));
    EXPECT_TRUE(lost);
    EXPECT_TRUE(texts.empty());
  }
}

TEST_F(WebSocketTest, OurCloseSendsOneThousandAndWaitsForTheAnswer) {
  bool is_done = false;
  ScriptedPortal portal({[&](Peer& peer) {
    (void)peer.upgrade();
    peer.send_text("hello");
    const auto close = peer.read_frame();
    EXPECT_EQ(close.opcode, 8);
    EXPECT_EQ(close.payload, "\x03\xe8");
    peer.send_frame(8, "\x03\xe8");
  }});
  loop.on_turn([&](Instant) {
    if (!texts.empty() && !is_done) {
      texts.clear();
      socket->close([&] {
        is_done = true;
        loop.stop();
      });
    }
  });
  run(request(portal.port()));
  EXPECT_TRUE(is_done);
  EXPECT_FALSE(lost);
}

TEST_F(WebSocketTest, OurCloseDoesNotWaitLongerThanASecond) {
  std::promise<void> over;
  Instant closed_at;
  ScriptedPortal portal({[&](Peer& peer) {
    (void)peer.upgrade();
    peer.send_text("hello");
    over.get_future().wait();
  }});
  loop.on_turn([&](Instant now) {
    if (texts.empty()) return;
    texts.clear();
    closed_at = now;
    socket->close([&] { loop.stop(); });
  });
  run(request(portal.port()));
  EXPECT_GE(loop.now() - closed_at, Duration{900ms});
  EXPECT_LE(loop.now() - closed_at, Duration{3s});
  over.set_value();
}

TEST_F(WebSocketTest, AnAbandonedConnectionSaysOneThousandAndNothingMore) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.upgrade();
    peer.send_text("hello");
    const auto close = peer.read_frame();
    EXPECT_EQ(close.opcode, 8);
    EXPECT_EQ(close.payload, "\x03\xe8");
    EXPECT_EQ(peer.read_frame().opcode, -1);
  }});
  loop.on_turn([&](Instant) {
    if (texts.empty()) return;
    texts.clear();
    socket->abandon();
    loop.post([&] {
      socket.reset();
      loop.stop();
    });
  });
  run(request(portal.port()));
  portal.finish();
  EXPECT_FALSE(lost);
}

TEST_F(WebSocketTest, ADroppedConnectionSaysNothingMore) {
  ScriptedPortal portal({[](Peer& peer) {
    (void)peer.upgrade();
    peer.send_text("hello");
    EXPECT_EQ(peer.read_frame().opcode, -1);  // no Close frame
  }});
  loop.on_turn([&](Instant) {
    if (texts.empty()) return;
    socket->drop();
    loop.stop();
  });
  run(request(portal.port()));
  EXPECT_FALSE(lost);
}

// One after the other, the first one's silence would use up the time for all of them.
TEST_F(WebSocketTest, TheFirstAddressThatAnswersWins) {
  ScriptedPortal portal({[](Peer& peer) { (void)peer.upgrade(); }});
  auto wanted = request(portal.port());
  wanted.host = "mixed.test";
  run(std::move(wanted));
  EXPECT_TRUE(is_open);
}

TEST_F(WebSocketTest, ThroughAProxyThePortalsNameIsTheProxysToResolve) {
  std::string asked;
  ScriptedPortal proxy({[&](Peer& peer) {
    asked = peer.read_request();
    peer.send("HTTP/1.1 200 OK\r\n\r\n");
    (void)peer.upgrade();
    peer.send_text("through");
  }});
  auto wanted = request(4443);
  wanted.host = "known-to-the-proxy.test";
  wanted.proxy = portal::Proxy{"portal.test", proxy.port(), SecretText{"Basic dTpw"}};
  run(std::move(wanted));
  proxy.finish();
  EXPECT_TRUE(asked.starts_with("CONNECT known-to-the-proxy.test:4443 HTTP/1.1\r\n")) << asked;
  EXPECT_NE(asked.find("Proxy-Authorization: Basic dTpw"), std::string::npos);
  EXPECT_TRUE(is_open);
  EXPECT_EQ(texts, std::vector<std::string>{"through"});
}

TEST_F(WebSocketTest, AProxysRefusalIsALossAndNeverThePortalsRefusal) {
  ScriptedPortal proxy({[](Peer& peer) {
    (void)peer.read_request();
    peer.send("HTTP/1.1 401 Unauthorized\r\n\r\n");
  }});
  auto wanted = request(443);
  wanted.proxy = portal::Proxy{"127.0.0.1", proxy.port(), std::nullopt};
  run(std::move(wanted));
  EXPECT_FALSE(refusal);
  EXPECT_NE(lost.value_or("").find("HTTP status 401"), std::string::npos) << lost.value_or("");
}

TEST_F(WebSocketTest, AnUnreachableProxyIsNamed) {
  auto wanted = request(443);
  wanted.proxy = portal::Proxy{"127.0.0.77", 9, std::nullopt};
  run(std::move(wanted));
  EXPECT_EQ(lost.value_or("").find("failed to connect to proxy 127.0.0.77:9: "), 0U)
      << lost.value_or("");
}

TEST_F(WebSocketTest, AnUnknownHostIsLost) {
  auto wanted = request(1);
  wanted.host = "nowhere.test";
  run(std::move(wanted));
  ASSERT_TRUE(lost);
  EXPECT_NE(lost->find("nowhere.test"), std::string::npos);
}

class TlsTest : public WebSocketTest {
 protected:
  void SetUp() override {
    directory = testing::TempDir() + "/firegate-tls-" + std::to_string(::getpid());
    std::filesystem::create_directories(directory);
    certificate = test::make_certificate(directory);
  }
  void TearDown() override { std::filesystem::remove_all(directory); }
  // "portal.test" is what the certificate says.
  static portal::UpgradeRequest secure(std::uint16_t port, std::string host) {
    auto wanted = request(port);
    wanted.is_tls = true;
    wanted.host = std::move(host);
    return wanted;
  }

  std::string directory;
  test::Certificate certificate;
};

TEST_F(TlsTest, AnAuthorityOfOurOwnIsTrustedWhenNamed) {
  ScriptedPortal portal({[](Peer& peer) {
                          const auto request = peer.upgrade();
                          EXPECT_TRUE(request.starts_with("GET /gateway/v2/websocket")) << request;
                          peer.send_text("over TLS");
                          EXPECT_EQ(peer.read_frame().payload, "up");
                        }},
                        &certificate);
  to_send = "up";
  run(secure(portal.port(), "portal.test"), certificate.ca_file);
  EXPECT_TRUE(is_open) << lost.value_or("");
  EXPECT_EQ(texts, std::vector<std::string>{"over TLS"});
}

TEST_F(TlsTest, ACertificateOfAnUnknownAuthorityIsRefused) {
  ScriptedPortal portal({[](Peer& peer) { EXPECT_FALSE(peer.has_stream()); }}, &certificate);
  run(secure(portal.port(), "portal.test"));
  ASSERT_TRUE(lost);
  EXPECT_NE(lost->find("the portal's certificate is refused: "), std::string::npos) << *lost;
}

TEST_F(TlsTest, ACertificateForAnotherNameIsRefused) {
  for (const auto* host : {"localhost", "127.0.0.1"}) {
    lost.reset();
    ScriptedPortal portal({[](Peer& peer) { EXPECT_FALSE(peer.has_stream()); }}, &certificate);
    run(secure(portal.port(), host), certificate.ca_file);
    EXPECT_TRUE(lost) << host;
    EXPECT_FALSE(is_open);
  }
}

TEST_F(TlsTest, AnUnreadableFileOfAnchorsIsAnError) {
  const auto tls = TlsContext::create(directory + "/none.pem");
  ASSERT_FALSE(tls);
  EXPECT_NE(tls.error().find("none.pem"), std::string::npos);
  EXPECT_NE(tls.error().find("set FIREGATE_CA_FILE"), std::string::npos);
}

}  // namespace
}  // namespace fg::net
