#include "control/net/flow_uploader.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "quiet_log.h"
#include "scripted_dns.h"
#include "scripted_portal.h"
#include "tests/unit/control/flow_log/samples.h"

namespace fg::net {
namespace {

using test::Peer;
using test::ScriptedPortal;

constexpr auto kDirectory = "responder/d41c7e90-2f5b-4a86-93d8-0b7e6c5a4f12";

class FlowUploaderTest : public testing::Test {
 protected:
  FlowUploaderTest() {
    std::signal(SIGPIPE, SIG_IGN);  // of the server's OpenSSL, when a client closes first
    std::filesystem::remove_all(base);
    std::filesystem::create_directories(base);
    certificate = test::make_certificate(base);
    // Far enough in the future for the samples' token.
    auto claims = fg::test::claims();
    claims["exp"] = 4'000'000'000;
    token = fg::test::token_of(claims);
    record = fg::test::completed(fg::test::record());
    record.whose = fg::test::ingest(claims);
    EXPECT_TRUE(files.keep_token(kDirectory, SecretText{token}));
    EXPECT_TRUE(files.keep_settings(flow_log::UploadSettings{"https://portal.test/", 3'600, 10}));
  }
  ~FlowUploaderTest() override { std::filesystem::remove_all(base); }

  void spool(std::uint16_t records) {
    for (std::uint16_t i = 0; i < records; ++i) {
      record.key.client_port = i;
      ASSERT_EQ(files.write(*flow_log::report_of(record)), FlowFiles::Written::written);
    }
  }
  // Answers one request on a connection of its own.
  ScriptedPortal::Script answer(std::string status, std::string headers = "") {
    return [this, status = std::move(status), headers = std::move(headers)](Peer& peer) {
      requests.push_back(peer.read_post());
      ++asked;
      peer.send("HTTP/1.1 " + status + " x\r\nConnection: close\r\nContent-Length: 0\r\n" +
                headers + "\r\n");
    };
  }
  // Until all scripts have run and the uploader had time for their last answer.
  void run(std::vector<ScriptedPortal::Script> scripts) {
    scripts.push_back([this](Peer&) { loop.stop(); });
    ScriptedPortal server(std::move(scripts), &certificate);
    auto tls = TlsContext::create(certificate.ca_file);
    ASSERT_TRUE(tls);
    FlowUploader uploader(loop, resolver, files, random,
                          {*tls,
                           0,
                           {},
                           server.port(),
                           [this](std::size_t stored, const std::string& error) {
                             told.push_back(std::to_string(stored) + " " + error);
                           }},
                          Log{sink, "flow_log"});
    loop.on_turn([&](Instant) {
      const auto left = files.read(kDirectory, 100).payloads.size();
      if (asked >= wanted && !told.empty() && left <= may_stay) loop.stop();
    });
    uploader.start();
    loop.run();
    // Nobody comes any more: the listener is told so.
    boost_end(server.port());
    server.finish();
  }
  void boost_end(std::uint16_t port);
  [[nodiscard]] std::size_t left() { return files.read(kDirectory, 100).payloads.size(); }
  static nlohmann::json body_of(const std::string& request) {
    return nlohmann::json::parse(request.substr(request.find("\r\n\r\n") + 4));
  }

  std::string base = testing::TempDir() + "firegate-uploads-" +
                     testing::UnitTest::GetInstance()->current_test_info()->name();
  test::Certificate certificate;
  FlowFiles files{base + "/flow_logs"};
  flow_log::Record record;
  std::string token;
  SeededRandom random{1};
  test::QuietSink sink;
  test::ScriptedDns dns{{{"portal.test", {IpAddress::v4(127, 0, 0, 1)}}}};
  Loop loop;
  Resolver resolver{loop, ResolverOptions{0, {dns.address()}}};
  std::vector<std::string> told;
  std::vector<std::string> requests;  // of the server's thread until it has finished
  std::atomic<std::size_t> asked{0};
  std::size_t wanted = 1;
  std::size_t may_stay = 0;
};

// A connection to the script that only waits.
void FlowUploaderTest::boost_end(std::uint16_t port) {
  Loop other;
  Resolver lookup{other, ResolverOptions{0, {dns.address()}}};
  auto tls = TlsContext::create(certificate.ca_file);
  HttpsConnection connection(other, lookup, *tls, Log{sink, "flow_log"}, 0);
  connection.connect("portal.test", port, std::nullopt, [&](const std::string&) { other.stop(); });
  other.run();
}

TEST_F(FlowUploaderTest, PostsABatchWithItsTokenAndForgetsWhatIsStored) {
  spool(2);
  run({answer("202")});
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_TRUE(requests[0].starts_with("POST /ingestion/flow_logs HTTP/1.1\r\n")) << requests[0];
  EXPECT_NE(requests[0].find("\r\nAuthorization: Bearer " + token + "\r\n"), std::string::npos);
  EXPECT_NE(requests[0].find("\r\nContent-Type: application/json\r\n"), std::string::npos);
  EXPECT_EQ(body_of(requests[0])["flow_logs"].size(), 2U);
  EXPECT_EQ(left(), 0U);
  EXPECT_EQ(told, std::vector<std::string>{"2 "});
}

TEST_F(FlowUploaderTest, AsksAgainWhenTheServerIsInTrouble) {
  spool(1);
  wanted = 3;
  run({answer("503"), answer("429", "Retry-After: 0\r\n"), answer("200")});
  EXPECT_EQ(requests.size(), 3U);
  EXPECT_EQ(left(), 0U);
}

TEST_F(FlowUploaderTest, HalvesWhatIsTooLarge) {
  spool(2);
  wanted = 3;
  run({answer("413"), answer("200"), answer("200")});
  ASSERT_EQ(requests.size(), 3U);
  EXPECT_EQ(body_of(requests[1])["flow_logs"].size(), 1U);
  EXPECT_EQ(left(), 0U);
}

TEST_F(FlowUploaderTest, FollowsARedirectWithTheSamePost) {
  spool(1);
  wanted = 2;
  run({answer("307", "Location: /elsewhere?x=1\r\n"), answer("200")});
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_TRUE(requests[1].starts_with("POST /elsewhere?x=1 HTTP/1.1\r\n")) << requests[1];
  EXPECT_EQ(body_of(requests[1]), body_of(requests[0]));
  EXPECT_EQ(left(), 0U);
}

TEST_F(FlowUploaderTest, KeepsWhatIsRefusedOrRedirectedToWhereItMustNotGo) {
  for (const auto& [status, headers] : std::initializer_list<std::pair<const char*, const char*>>{
           {"422", ""},
           {"401", ""},
           {"303", "Location: /x\r\n"},
           {"302", "Location: http://portal.test/\r\n"},
           {"302", "Location: https://portal.test:8443/\r\n"}}) {
    requests.clear();
    told.clear();
    asked = 0;
    spool(1);
    may_stay = 1;
    run({answer(status, headers)});
    EXPECT_EQ(requests.size(), 1U) << status << headers;
    EXPECT_EQ(left(), 1U) << status << headers;
    ASSERT_EQ(told.size(), 1U) << status << headers;
    EXPECT_EQ(told[0], std::string("0 portal.test: status ") + status);
  }
}

TEST_F(FlowUploaderTest, EndsThePassWhenTheConnectionBreaks) {
  spool(1);
  may_stay = 1;
  run({[this](Peer& peer) {
    requests.push_back(peer.read_post());
    ++asked;
  }});
  EXPECT_EQ(left(), 1U);
  ASSERT_FALSE(told.empty());
  EXPECT_TRUE(told[0].starts_with("0 portal.test: ")) << told[0];
}

}  // namespace
}  // namespace fg::net
