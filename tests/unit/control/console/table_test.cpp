#include "control/console/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/console/reply.h"

namespace fg::console {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Clock kClock{Instant{1000s}, WallTime{std::chrono::seconds{1'790'000'000}}};

std::string shown(const std::string& reply, int exit_code = kWorked) {
  const auto out = show(reply);
  EXPECT_TRUE(out) << reply;
  EXPECT_EQ(out ? out->exit_code : -1, exit_code);
  return out ? out->text : "";
}

TEST(Table, AStatusSaysFirstWhatIsWrong) {
  Status status;
  status.version = "1.2.3";
  status.pid = 42;
  status.started = Instant{400s};
  status.not_ready = {"the portal is not joined: mend it"};
  status.warnings = {"a firewall"};
  status.drops = {{DropReason::replayed, 3}};
  status.relays.push_back({.id = {},
                           .server = SocketAddress::parse("192.0.2.1:3478"),
                           .is_answering = true,
                           .is_suspended = false,
                           .round_trip = Duration{12'340'000}});
  const auto text = shown(write_status(status, kClock));
  EXPECT_TRUE(
      text.starts_with("firegate 1.2.3, process 42, NOT READY, up 10 min\n"
                       "  not ready: the portal is not joined: mend it\n"
                       "  warning: a firewall\n"))
      << text;
  EXPECT_THAT(text, HasSubstr("192.0.2.1:3478 answers, round trip 12.3 ms\n"));
  EXPECT_THAT(text, HasSubstr("dropped  3  replayed  counter already seen or too old\n"));
}

TEST(Table, AStatusSaysWhetherTheHostTracksDatagramsAndWhy) {
  Status status;
  EXPECT_THAT(shown(write_status(status, kClock)),
              HasSubstr("tracking  none of the tunnel's datagrams\n"));
  status.tracked_because = "table ip nat, chain POSTROUTING translates (masquerade)";
  EXPECT_THAT(shown(write_status(status, kClock)),
              HasSubstr("tracking  of the tunnel's datagrams kept: table ip nat, chain "
                        "POSTROUTING translates (masquerade)\n"));
}

TEST(Table, AStatusSaysWhatBecomesOfFlowRecordsAndWhyTheyAreNotUploaded) {
  Status status;
  EXPECT_THAT(
      shown(write_status(status, kClock)),
      HasSubstr(
          "flows     not recorded: 0 open, 0 recorded, 0 lost, 0 in the spool, 0 uploaded\n"));
  status.flow_logs = {.is_on = true,
                      .open = 1,
                      .untracked = 0,
                      .over_share = 0,
                      .recorded = 4,
                      .lost = 0,
                      .spooled = 6,
                      .uploaded = 7,
                      .last_upload = Instant{400s},
                      .last_error = "ingest.test: status 503",
                      .last_error_at = Instant{990s}};
  const auto text = shown(write_status(status, kClock));
  EXPECT_THAT(text, HasSubstr("flows     1 open, 4 recorded, 0 lost, 6 in the spool, 7 uploaded, "
                              "last 2026-09-21T14:03:20Z (10 min ago)\n"));
  EXPECT_THAT(
      text,
      HasSubstr("          upload failed 2026-09-21T14:13:10Z (10 s ago): ingest.test: status "
                "503\n"));
}

TEST(Table, ColumnsOfPeersStandUnderTheirNames) {
  controller::ClientReport one;
  one.state = controller::ClientReport::State::connected;
  one.path.kind = pipeline::Path::Kind::relayed;
  one.path.relay.emplace();
  one.path.relay->server = SocketAddress::parse("192.0.2.1:3478");
  one.traffic = pipeline::Traffic{1, 2048, 3, 4};
  controller::ClientReport other;
  const auto text = shown(write_peers({one, other}, std::nullopt, kClock));
  std::vector<std::string> lines;
  for (std::size_t from = 0; from < text.size(); from = text.find('\n', from) + 1)
    lines.push_back(text.substr(from, text.find('\n', from) - from));
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[1].substr(lines[0].find("PATH"), 26), "relayed via 192.0.2.1:3478");
  EXPECT_EQ(lines[1].substr(lines[0].find("IN "), 7), "2.0 KiB");
  EXPECT_EQ(lines[2].substr(lines[0].find("STATE"), 6), "absent");
  EXPECT_EQ(shown(write_peers({}, std::nullopt, kClock)), "no clients\n");
}

TEST(Table, AnExplanationThatRefusesHasItsOwnExitCode) {
  controller::Explanation of;
  of.question.destination = IpAddress::v4(10, 0, 0, 1);
  of.refusal = pipeline::Refusal{DropReason::not_allowed, packet::IcmpAnswer::prohibited};
  of.ended.resize(1);
  of.ended[0].resource.name = "web";
  const auto text = shown(write_explanation(of, kClock), kWouldNotPass);
  EXPECT_THAT(text, HasSubstr("icmp 0.0.0.0 -> 10.0.0.1: does not pass\n"));
  EXPECT_THAT(text, HasSubstr("not_allowed: no access rule matches"));
  EXPECT_THAT(text, HasSubstr("resource 'web' () expired 2026-"));
  of.refusal.reset();
  of.ended.clear();
  EXPECT_THAT(shown(write_explanation(of, kClock)), HasSubstr(": passes\n"));
}

TEST(Table, AnErrorIsShownAsItIs) {
  EXPECT_EQ(shown(write_error("no client is 'x'"), kRefused), "no client is 'x'");
}

TEST(Table, NoTerminalObeysTheNameOfAResource) {
  controller::ResourceReport odd;
  odd.name = "a\x1b[31m\n\x7f\xc2\x9b";
  odd.name += "ü";
  const auto text = shown(write_peer({}, {odd}, {}, kClock));
  EXPECT_THAT(text, HasSubstr("a?[31m???ü"));
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
}

TEST(Table, WhatIsNoReplyIsNotShown) {
  for (const auto* reply : {"", "{}", "[]", R"({"version":2,"status":{}})", R"({"version":1})",
                            R"({"version":1,"status":7})"})
    EXPECT_FALSE(show(reply)) << reply;
}

TEST(Table, ARepliesMissingPartsAreShownAsDashes) {
  EXPECT_THAT(shown(R"({"version":1,"status":{}})"), HasSubstr("NOT READY"));
  EXPECT_THAT(shown(R"({"version":1,"peer":{},"resources":[7]})"), HasSubstr("-"));
}

TEST(Table, PagesOfPeersAreJoined) {
  controller::ClientReport one;
  one.id = *ClientId::parse("7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11");
  const auto first = write_peers({one}, one.id, kClock);
  const auto last = write_peers({one, one}, std::nullopt, kClock);
  EXPECT_EQ(next_of(first), one.id.to_string());
  EXPECT_FALSE(next_of(last));
  EXPECT_FALSE(next_of("{"));
  EXPECT_EQ(nlohmann::json::parse(join_peers({first, last}))["peers"].size(), 3U);
}

}  // namespace
}  // namespace fg::console
