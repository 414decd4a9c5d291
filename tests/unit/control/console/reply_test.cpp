#include "control/console/reply.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace fg::console {
namespace {

using nlohmann::json;

const Clock kClock{Instant{1000s}, WallTime{std::chrono::seconds{1'790'000'000}}};
const ClientId kClient = *ClientId::parse("7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11");

controller::ResourceReport resource() {
  controller::ResourceReport out;
  out.name = "web";
  out.address = "10.0.0.0/24";
  using P = portal::Filter::Protocol;
  out.filters = {{P::tcp, 80, 80}, {P::udp, 100, 200}, {P::tcp, 0, 65535}, {P::icmp, 0, 65535}};
  out.filter_count = 70;
  out.since = Instant{400s};
  out.filters_since = Instant{940s};
  out.expires = Instant{4600s};
  return out;
}

TEST(Reply, TimesAreToldInUtcAndFromNow) {
  Status status;
  status.started = Instant{910s};
  const auto out = json::parse(write_status(status, kClock));
  EXPECT_EQ(out["version"], 1);
  EXPECT_EQ(out["status"]["started"]["at"], "2026-09-21T14:11:50Z");
  EXPECT_EQ(out["status"]["started"]["ago_s"], 90);
  EXPECT_TRUE(out["status"]["portal"]["since"].is_null());
}

TEST(Reply, AStatusSumsItsWorkersAndIsReadyWithoutAReasonWhyNot) {
  Status status;
  status.workers = {{1, 10, 2, 20}, {3, 30, 4, 40}};
  status.summary = {.clients = 5,
                    .connections = 4,
                    .direct = 2,
                    .relayed = 1,
                    .relays = 0,
                    .relays_answering = 0};
  status.drops = {{DropReason::not_allowed, 7}};
  auto out = json::parse(write_status(status, kClock))["status"];
  EXPECT_EQ(out["ready"], true);
  EXPECT_EQ(out["traffic"],
            json::parse(R"({"packets_in":4,"bytes_in":40,"packets_out":6,"bytes_out":60})"));
  EXPECT_EQ(out["clients"]["without_path"], 1);
  EXPECT_EQ(out["drops"][0]["reason"], "not_allowed");
  EXPECT_EQ(out["drops"][0]["sentence"], "no access rule matches");
  status.not_ready = {"no relay: mend"};
  out = json::parse(write_status(status, kClock))["status"];
  EXPECT_EQ(out["ready"], false);
}

TEST(Reply, AStatusSaysWhatBecomesOfFlowRecords) {
  Status status;
  auto out = json::parse(write_status(status, kClock))["status"]["flow_logs"];
  EXPECT_EQ(out["enabled"], false);
  EXPECT_TRUE(out["last_upload"].is_null());
  EXPECT_TRUE(out["upload_error"].is_null());
  status.flow_logs = {.is_on = true,
                      .open = 1,
                      .untracked = 2,
                      .over_share = 3,
                      .recorded = 4,
                      .lost = 5,
                      .spooled = 6,
                      .uploaded = 7,
                      .last_upload = Instant{990s},
                      .last_error = "ingest.test: status 503",
                      .last_error_at = Instant{995s}};
  out = json::parse(write_status(status, kClock))["status"]["flow_logs"];
  for (const auto& [key, value] : {std::pair{"open", 1},
                                   {"untracked_packets", 2},
                                   {"over_share_packets", 3},
                                   {"recorded", 4},
                                   {"lost", 5},
                                   {"spooled", 6},
                                   {"uploaded", 7}})
    EXPECT_EQ(out[key], value) << key;
  EXPECT_EQ(out["last_upload"]["ago_s"], 10);
  EXPECT_EQ(out["upload_error"]["reason"], "ingest.test: status 503");
  EXPECT_EQ(out["upload_error"]["when"]["ago_s"], 5);
}

TEST(Reply, AResourceSaysWhatItAllowsAndWhatWasLeftOut) {
  controller::ClientReport peer;
  peer.id = kClient;
  peer.resources = 3;
  const auto out = json::parse(write_peer(
      peer, {resource()},
      {{"wiki.test", IpAddress::v4(100, 96, 0, 1), IpAddress::v4(10, 0, 0, 9), {}}}, kClock));
  EXPECT_EQ(out["peer"]["client"], kClient.to_string());
  EXPECT_EQ(out["peer"]["state"], "absent");
  EXPECT_TRUE(out["peer"]["path"].is_null());
  EXPECT_EQ(out["resources_left_out"], 2);
  const auto& told = out["resources"][0];
  EXPECT_EQ(told["filters"], json::parse(R"(["tcp 80","udp 100-200","tcp","icmp"])"));
  EXPECT_EQ(told["filters_left_out"], 66);
  EXPECT_EQ(out["names"][0],
            json::parse(R"({"name":"wiki.test","proxy":"100.96.0.1","real":"10.0.0.9"})"));
  EXPECT_EQ(told["expires"]["in_s"], 3600);
  EXPECT_EQ(told["filters_since"]["ago_s"], 60);
}

TEST(Reply, APathThroughTheClientsRelayIsRelayed) {
  controller::ClientReport peer;
  peer.state = controller::ClientReport::State::connected;
  peer.path.kind = pipeline::Path::Kind::direct;
  peer.path.is_remote_relayed = true;
  peer.path.why = controller::RelayedWhy::no_remote_address;
  const auto out = json::parse(write_peers({peer}, kClient, kClock));
  EXPECT_EQ(out["next"], kClient.to_string());
  const auto& path = out["peers"][0]["path"];
  EXPECT_EQ(path["kind"], "relayed");
  EXPECT_EQ(path["through"], json::parse(R"(["the client's relay"])"));
  EXPECT_EQ(path["why"], "the client has offered no address of its own");
  peer.path.is_remote_relayed = false;
  peer.path.why.reset();
  EXPECT_EQ(json::parse(write_peers({peer}, std::nullopt, kClock))["peers"][0]["path"]["kind"],
            "direct");
}

TEST(Reply, ARefusalIsToldWithItsReasonItsAnswerAndWhatEnded) {
  controller::Explanation of;
  of.question = {kClient, std::nullopt, IpAddress::v4(10, 0, 0, 1), filter::ProtoKind::tcp, 443};
  of.source = IpAddress::v4(100, 64, 0, 1);
  of.refusal = pipeline::Refusal{DropReason::not_allowed, packet::IcmpAnswer::prohibited};
  of.refusing = {resource()};
  of.translation = {"wiki.test", IpAddress::v4(100, 96, 0, 1), std::nullopt, {}};
  of.ended = {{resource(), acl::EndedWhy::rejected, Instant{990s}}};
  const auto out = json::parse(write_explanation(of, kClock))["explanation"];
  EXPECT_EQ(out["passes"], false);
  EXPECT_EQ(out["packet"]["port"], 443);
  EXPECT_EQ(out["reason"], "not_allowed");
  EXPECT_EQ(out["answer"], "ICMP type 3 code 13, administratively prohibited");
  EXPECT_EQ(out["refusing"][0]["name"], "web");
  EXPECT_EQ(out["translation"]["name"], "wiki.test");
  EXPECT_TRUE(out["translation"]["real"].is_null());
  EXPECT_EQ(out["ended"][0]["why"], "taken away by the portal");
  EXPECT_EQ(out["ended"][0]["since"]["ago_s"], 10);
}

// Spec policy 3.7.
TEST(Reply, AnswersDifferByFamilyAndKind) {
  controller::Explanation of;
  const auto answer = [&](const IpAddress& to, std::optional<packet::IcmpAnswer> kind) {
    of.question.destination = to;
    of.refusal = pipeline::Refusal{DropReason::special_address, kind};
    return json::parse(write_explanation(of, kClock))["explanation"]["answer"];
  };
  const auto v4 = IpAddress::v4(10, 0, 0, 1);
  const auto v6 = *IpAddress::parse("fd20::1");
  EXPECT_EQ(answer(v6, packet::IcmpAnswer::prohibited),
            "ICMPv6 type 1 code 1, administratively prohibited");
  EXPECT_EQ(answer(v4, packet::IcmpAnswer::network_unreachable),
            "ICMP type 3 code 0, network unreachable");
  EXPECT_EQ(answer(v6, packet::IcmpAnswer::network_unreachable),
            "ICMPv6 type 1 code 3, address unreachable");
  EXPECT_TRUE(answer(v4, std::nullopt).is_null());
}

TEST(Reply, NamesThatAreNoUtf8AreStillOneLineOfJson) {
  auto odd = resource();
  odd.name = "a\xFF\n\x1b[31m";
  const auto line = write_peer({}, {odd}, {}, kClock);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  EXPECT_FALSE(json::parse(line, nullptr, false).is_discarded());
}

}  // namespace
}  // namespace fg::console
