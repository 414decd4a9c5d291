// What an operator is told (control/controller/controller_report.cpp).
#include "control/controller/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/control/controller/world.h"

namespace fg {
namespace {

using controller::ClientReport;
using controller::Explanation;
using test::at;
using test::ip;
using test::kClient;
using test::World;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Kind = filter::ProtoKind;

const ClientId kOther = *ClientId::parse("7d0f1c52-ffff-4c63-8a57-2f6d3f0b9e22");
const ResourceId kFirst = *ResourceId::parse("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04");
const ResourceId kSecond = *ResourceId::parse("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab06");
constexpr std::int64_t kHour = World::kUnixStart + 2 * 3600;

class Report : public ::testing::Test {
 protected:
  void SetUp() override { world.init(); }

  void grant(const ResourceId& resource, const char* network,
             std::vector<portal::Filter> filters = {}, const ClientId& client = kClient,
             std::optional<std::int64_t> expires_at = std::nullopt) {
    auto out = test::authorization();
    out.resource.id = resource;
    out.resource.network = *Cidr::parse(network, true);
    out.resource.filters = std::move(filters);
    out.expires_at = expires_at;
    if (client != kClient) {
      out.client.id = client;
      out.client.public_key.fill(8);
      out.client.v4 = ip("100.80.3.18");
      out.client.v6 = ip("fd00:2021:1111::3:12");
      out.client_ice.username = "278o";
      out.gateway_ice.username = "6pyb";
    }
    world.portal_says(std::move(out));
  }
  Explanation explain(const char* destination, Kind kind = Kind::tcp, std::uint16_t port = 80,
                      std::optional<IpAddress> source = std::nullopt) {
    return world.controller.explain({kClient, source, ip(destination), kind, port});
  }
  static portal::Filter tcp(std::uint16_t port) {
    return {portal::Filter::Protocol::tcp, port, port};
  }

  World world;
};

TEST_F(Report, ARelayThatGaveAnAddressAnswersAndHasARoundTrip) {
  const auto relays = world.controller.relay_reports();
  ASSERT_THAT(relays, SizeIs(1));
  EXPECT_TRUE(relays[0].is_answering);
  EXPECT_TRUE(relays[0].round_trip);
  EXPECT_TRUE(relays[0].server == world.relay.v4 || relays[0].server == world.relay.v6);
}

TEST_F(Report, AClientIsFoundByIdBeginningAndAddressAndNotByWhatFitsSeveral) {
  grant(kFirst, "10.20.0.0/24");
  grant(kFirst, "10.20.0.0/24", {}, kOther);
  auto& controller = world.controller;
  for (const auto* text : {"7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e11", "7d0f1c52-9", "7D0F1C52-9B",
                           "100.80.3.17", "fd00:2021:1111::3:11"})
    EXPECT_EQ(controller.find_client(text), kClient) << text;
  const auto both = controller.find_client("7d0f");
  ASSERT_FALSE(both);
  EXPECT_TRUE(both.error().is_ambiguous);
  EXPECT_THAT(both.error().matches, ElementsAre(kClient, kOther));
  for (const auto* text : {"", "8", "100.80.3.99", "7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e12"}) {
    const auto none = controller.find_client(text);
    ASSERT_FALSE(none) << text;
    EXPECT_FALSE(none.error().is_ambiguous) << text;
  }
}

TEST_F(Report, ClientsComePageByPageInTheOrderOfTheirIds) {
  grant(kFirst, "10.20.0.0/24", {}, kOther);
  grant(kFirst, "10.20.0.0/24");
  EXPECT_THAT(world.controller.clients_after(std::nullopt, 1), ElementsAre(kClient));
  EXPECT_THAT(world.controller.clients_after(kClient, 9), ElementsAre(kOther));
  EXPECT_THAT(world.controller.clients_after(kOther, 9), IsEmpty());
}

TEST_F(Report, AClientsLineHasItsAddressesItsStateAndWhatEndsFirst) {
  grant(kFirst, "10.20.0.0/24");
  grant(kSecond, "10.21.0.0/24", {}, kClient, kHour);
  const auto client = world.controller.client_report(kClient);
  EXPECT_EQ(client.v4, ip("100.80.3.17"));
  EXPECT_EQ(client.state, ClientReport::State::connecting);
  EXPECT_EQ(client.resources, 2U);
  EXPECT_EQ(client.created, world.now);
  EXPECT_FALSE(client.last_handshake);
  EXPECT_FALSE(client.traffic);
  ASSERT_TRUE(client.expires);
  EXPECT_EQ(*client.expires - world.now, 1h);
  EXPECT_THAT(world.controller.resource_reports(kClient, 1), SizeIs(1));
  EXPECT_EQ(world.controller.client_report(kOther).state, ClientReport::State::absent);
}

TEST_F(Report, TrafficIsAskedOfTheWorkerOnceAndKnownAfterItsAnswer) {
  grant(kFirst, "10.20.0.0/24");
  auto& controller = world.controller;
  controller.read_traffic({kClient, kOther});
  controller.read_traffic({kClient});
  world.settle();
  const auto asked = world.commanded<pipeline::ReadTraffic>();
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_TRUE(controller.is_reading_traffic());
  auto* page = asked[0]->page;
  ASSERT_THAT(page->lines, SizeIs(1));
  page->lines[0].is_known = true;
  page->lines[0].traffic = {1, 2, 3, 4};
  controller.on_event(pipeline::TrafficRead{page}, world.now, world.wall());
  EXPECT_FALSE(controller.is_reading_traffic());
  EXPECT_EQ(controller.client_report(kClient).traffic->bytes_out, 4U);
  world.advance(11s);
  EXPECT_FALSE(controller.client_report(kClient).traffic) << "too old to be told";
}

TEST_F(Report, WhatPassesIsAttributedToItsResource) {
  grant(kFirst, "10.20.0.0/24", {tcp(80)});
  const auto out = explain("10.20.0.2");
  EXPECT_FALSE(out.refusal);
  ASSERT_TRUE(out.resource);
  EXPECT_EQ(out.resource->id, kFirst);
  EXPECT_EQ(out.resource->address, "10.20.0.0/24");
  EXPECT_EQ(out.source, ip("100.80.3.17"));
}

TEST_F(Report, ARefusedPortNamesTheFilterAndSinceWhenItIsSo) {
  grant(kFirst, "10.20.0.0/24");
  world.advance(60s);
  portal::Resource changed;
  changed.id = kFirst;
  changed.network = *Cidr::parse("10.20.0.0/24", true);
  changed.filters = {tcp(80)};
  const auto since = world.now;
  world.portal_says(portal::ResourceUpdated{changed});
  world.advance(5s);
  const auto out = explain("10.20.0.2", Kind::tcp, 81);
  ASSERT_TRUE(out.refusal);
  EXPECT_EQ(out.refusal->reason, DropReason::not_allowed);
  EXPECT_EQ(out.refusal->answer, packet::IcmpAnswer::prohibited);
  ASSERT_THAT(out.refusing, SizeIs(1));
  EXPECT_EQ(out.refusing[0].filters_since, since);
  EXPECT_FALSE(explain("10.20.0.2").refusal);
}

TEST_F(Report, TheVerdictsThatComeBeforeThePolicyAreThoseOfThePacketPath) {
  grant(kFirst, "0.0.0.0/0");
  const auto reason = [](const Explanation& of) {
    return of.refusal ? std::optional{of.refusal->reason} : std::nullopt;
  };
  EXPECT_EQ(reason(explain("10.0.0.1", Kind::tcp, 80, ip("100.80.3.18"))),
            DropReason::spoofed_source);
  EXPECT_EQ(reason(explain("100.80.3.18")), DropReason::tunnel_range);
  EXPECT_EQ(reason(explain("224.0.0.1")), DropReason::multicast);
  EXPECT_EQ(reason(explain("100.71.20.9", Kind::tcp, 22)), DropReason::gateway_port_closed);
  EXPECT_EQ(reason(explain("100.71.20.9", Kind::echo)), std::nullopt);
  EXPECT_TRUE(explain("100.71.20.9", Kind::udp, 53535).is_for_gateway);
  EXPECT_EQ(reason(explain("10.0.0.1", Kind::icmp_other, 3)), DropReason::outbound_icmp_error);
}

TEST_F(Report, WhatEndedIsRememberedWithItsReasonUntilItIsGrantedAgain) {
  grant(kFirst, "10.20.0.0/24");
  grant(kSecond, "10.21.0.0/24", {}, kClient, World::kUnixStart + 3600 + 60);
  world.advance(2min);
  auto out = explain("10.21.0.2");
  ASSERT_THAT(out.ended, SizeIs(1));
  EXPECT_EQ(out.ended[0].resource.id, kSecond);
  EXPECT_EQ(out.ended[0].why, acl::EndedWhy::expired);
  EXPECT_LE(world.now - out.ended[0].at, 1min);
  EXPECT_THAT(explain("10.22.0.2").ended, IsEmpty());
  grant(kSecond, "10.23.0.0/24");
  EXPECT_THAT(explain("10.21.0.2").ended, IsEmpty()) << "held again, with another network";
}

TEST_F(Report, AnEndedGrantWhoseFilterRefusedThePortIsNotTheReason) {
  grant(kFirst, "10.20.0.0/24");
  grant(kSecond, "10.21.0.0/24", {tcp(80)});
  world.portal_says(portal::RejectAccess{kClient, kSecond});
  EXPECT_THAT(explain("10.21.0.2", Kind::tcp, 81).ended, IsEmpty());
  const auto out = explain("10.21.0.2", Kind::tcp, 80);
  ASSERT_THAT(out.ended, SizeIs(1));
  EXPECT_EQ(out.ended[0].why, acl::EndedWhy::rejected);
}

TEST_F(Report, AClientThatLostItsLastGrantIsStillFoundAndToldWhy) {
  grant(kFirst, "10.20.0.0/24");
  world.portal_says(portal::RejectAccess{kClient, kFirst});
  EXPECT_EQ(world.controller.find_client("100.80.3.17"), kClient);
  const auto out = explain("10.20.0.2");
  ASSERT_TRUE(out.refusal);
  EXPECT_EQ(out.refusal->reason, DropReason::unknown_receiver);
  EXPECT_EQ(out.source, ip("100.80.3.17"));
  ASSERT_THAT(out.ended, SizeIs(1));
  ASSERT_TRUE(out.newest_ending);
  EXPECT_EQ(out.newest_ending->resource.id, kFirst);
}

TEST_F(Report, EndingsAreBoundedAndTheNewestStay) {
  grant(kFirst, "10.20.0.0/24");
  for (std::size_t i = 0; i < controller::kEndingsMax; ++i) {
    grant(kSecond, "10.21.0.0/24");
    world.portal_says(portal::RejectAccess{kClient, kSecond});
  }
  EXPECT_THAT(explain("10.21.0.2").ended, SizeIs(controller::kFindingsMax));
}

TEST_F(Report, NamesAreCutAndFiltersCounted) {
  std::vector<portal::Filter> many(controller::kFiltersShownMax + 9, tcp(80));
  grant(kFirst, "10.20.0.0/24", many);
  const auto resource = world.controller.resource_reports(kClient, 1).at(0);
  EXPECT_THAT(resource.filters, SizeIs(controller::kFiltersShownMax));
  EXPECT_EQ(resource.filter_count, many.size());
}

}  // namespace
}  // namespace fg
