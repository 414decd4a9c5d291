#include "control/controller/controller.h"

#include <gtest/gtest.h>

#include "tests/unit/control/controller/world.h"

namespace fg {
namespace {

using test::ip;
using test::kClient;
using test::World;

const ResourceId kFirst = *ResourceId::parse("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04");
const ResourceId kSecond = *ResourceId::parse("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab06");

portal::Resource cidr(const ResourceId& id, const char* network) {
  portal::Resource out;
  out.id = id;
  out.name = "lab";
  out.network = *Cidr::parse(network, true);
  return out;
}

portal::Authorize authorize(const ResourceId& resource, const char* network,
                            const char* ref = "ref-1", std::uint8_t key = 7) {
  auto out = test::authorization();
  out.ref = ref;
  out.resource = cidr(resource, network);
  out.client.public_key.fill(key);
  return out;
}

portal::RequestConnection request_connection(const ResourceId& resource, const char* network,
                                             const char* ref = "ref-a") {
  portal::RequestConnection out;
  out.ref = ref;
  out.resource = cidr(resource, network);
  out.client.id = kClient;
  out.client.public_key.fill(7);
  out.client.preshared_key = Secret<32>{{1, 2, 3}};
  out.client.v4 = ip("100.80.3.17");
  out.client.v6 = ip("fd00:2021:1111::3:11");
  out.client_ice = {"Kq3z", SecretText{"t8Jd0aYxVb2sTn5eLr7uCp"}};
  return out;
}

portal::AllowAccess allow_access(const ResourceId& resource, const char* network) {
  portal::AllowAccess out;
  out.ref = "ref-allow";
  out.client = kClient;
  out.client_v4 = ip("100.80.3.17");
  out.client_v6 = ip("fd00:2021:1111::3:11");
  out.resource = cidr(resource, network);
  return out;
}

bool allows(const filter::Policy* policy, const char* address) {
  return policy != nullptr &&
         policy->classify(ip(address), {filter::ProtoKind::tcp, 80}).is_allowed();
}

ClientSlot slot_of(const World& world) {
  return world.commanded<pipeline::AddClient>().back()->slot;
}

TEST(Controller, InitSetsTheInterfaceAndStartsTheRelays) {
  World world;
  world.init();
  ASSERT_EQ(world.interfaces.size(), 1U);
  EXPECT_EQ(world.interfaces[0].v4, ip("100.71.20.9"));
  ASSERT_FALSE(world.commanded<pipeline::SetRelay>().empty());
  EXPECT_TRUE(world.commanded<pipeline::SetRelay>().back()->server.has_value());
  EXPECT_EQ(world.controller.summary().relays_answering, 1U);
}

TEST(Controller, AnswersAnAuthorizationBeforeTheCandidatesItCauses) {
  World world;
  world.init();
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  ASSERT_GE(world.said.size(), 2U);
  ASSERT_TRUE(std::holds_alternative<portal::Authorized>(world.said[0]));
  EXPECT_EQ(std::get<portal::Authorized>(world.said[0]).ref, "ref-1");
  const auto* candidates = std::get_if<portal::BroadcastCandidates>(&world.said[1]);
  ASSERT_NE(candidates, nullptr);
  EXPECT_EQ(candidates->client, kClient);
  // Both host addresses and both relayed ones; the reflexive ones equal the hosts.
  ASSERT_EQ(candidates->candidates.size(), 4U);
  EXPECT_NE(candidates->candidates[0].find(" 2130706431 2001:db8:51::10 52625 typ host"),
            std::string::npos);
  EXPECT_NE(candidates->candidates[0].find("ufrag 6pya"), std::string::npos);
  EXPECT_NE(candidates->candidates[3].find("typ relay raddr"), std::string::npos);
  EXPECT_TRUE(allows(world.newest_policy(slot_of(world)), "10.20.0.2"));
  EXPECT_FALSE(allows(world.newest_policy(slot_of(world)), "10.20.1.2"));
}

TEST(Controller, RepeatedAuthorizationsKeepTheConnectionAndAreAllAnswered) {
  World world;
  world.init();
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  for (int i = 0; i < 5; ++i) world.portal_says(authorize(kFirst, "10.20.0.0/24", "again"));
  EXPECT_EQ(world.all_said<portal::Authorized>().size(), 6U);
  EXPECT_EQ(world.all_said<portal::BroadcastCandidates>().size(), 6U);
  EXPECT_EQ(world.all_said<portal::BroadcastCandidates>()[5]->candidates,
            world.all_said<portal::BroadcastCandidates>()[0]->candidates);
  EXPECT_EQ(world.commanded<pipeline::AddClient>().size(), 1U);
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
}

TEST(Controller, AnotherKeySecretCredentialOrModeReplacesTheConnectionAndKeepsTheGrants) {
  using Change = void (*)(portal::Authorize&);
  for (const Change change :
       {Change{[](portal::Authorize& m) { m.client.public_key.fill(8); }},
        Change{[](portal::Authorize& m) { m.client.preshared_key = Secret<32>{{9, 9, 9}}; }},
        Change{[](portal::Authorize& m) { m.client_ice.username = "288o"; }},
        Change{[](portal::Authorize& m) {
          m.gateway_ice.password = SecretText{"otherhsqla5cprilhk5hpj"};
        }},
        Change{[](portal::Authorize& m) { m.use_iceless = true; }}}) {
    World world;
    world.init();
    world.portal_says(authorize(kFirst, "10.20.0.0/24"));
    auto changed = authorize(kSecond, "10.30.0.0/24", "ref-2");
    change(changed);
    world.portal_says(std::move(changed));
    ASSERT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
    EXPECT_TRUE(world.commanded<pipeline::RemoveClient>()[0]->keep_flows);
    EXPECT_TRUE(world.commanded<pipeline::ForgetFlows>().empty());
    ASSERT_EQ(world.commanded<pipeline::AddClient>().size(), 2U);
    const auto* policy = world.newest_policy(slot_of(world));
    EXPECT_TRUE(allows(policy, "10.20.0.2"));
    EXPECT_TRUE(allows(policy, "10.30.0.2"));
  }
}

TEST(Controller, RequestsThatComeWhileRelaysAreMeasuredWaitForThem) {
  World world;
  world.relay.is_silent = true;
  world.init();
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  EXPECT_TRUE(world.said.empty());
  world.relay.is_silent = false;
  world.advance(3s);
  EXPECT_EQ(world.all_said<portal::Authorized>().size(), 1U);
  EXPECT_TRUE(world.all_said<portal::NoRelays>().empty());
}

// Spec connectivity 4.8: a connection that stays needs no relay.
TEST(Controller, ARepeatedAuthorizationDoesNotWaitForARelay) {
  World world;
  world.init();
  world.portal_says(test::authorization());
  world.second.is_silent = true;
  world.portal_says(portal::RelaysPresence{
      {world.relay_id},
      {world.second.entry(*RelayId::parse("b6d8e2f1-7093-4c5a-9e14-2f80a5d7c361"))}});
  auto again = test::authorization();
  again.ref = "ref-2";
  world.portal_says(std::move(again));
  ASSERT_EQ(world.all_said<portal::Authorized>().size(), 2U);
  EXPECT_EQ(world.all_said<portal::Authorized>().back()->ref, "ref-2");
  EXPECT_EQ(world.commanded<pipeline::AddClient>().size(), 1U);
}

TEST(Controller, OneRequestMoreThanCanBeHeldIsRefusedAtOnce) {
  World world;
  world.relay.is_silent = true;
  world.init();
  for (int i = 0; i < 1024; ++i) world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  EXPECT_TRUE(world.said.empty());
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  EXPECT_EQ(world.all_said<portal::NoRelays>().size(), 1U);
  world.relay.is_silent = false;
  world.advance(3s);
  EXPECT_EQ(world.all_said<portal::Authorized>().size(), 1024U) << "what is held is served";
}

TEST(Controller, WithoutAnyRelayItSaysNoRelaysAndGrantsNothing) {
  World world;
  portal::Init init{ip("100.71.20.9"), ip("fd00:2021:1111::9:14"), {}, std::nullopt, std::nullopt};
  world.portal_says(std::move(init));
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  EXPECT_EQ(world.all_said<portal::NoRelays>().size(), 1U);
  EXPECT_TRUE(world.all_said<portal::Authorized>().empty());
  EXPECT_TRUE(world.commanded<pipeline::AddClient>().empty());
  world.portal_says(portal::RelaysPresence{{}, {world.relay.entry(world.relay_id)}});
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  EXPECT_EQ(world.all_said<portal::Authorized>().size(), 1U) << "asked again, with a relay";
}

TEST(Controller, TheLastRelayFallingSilentIsReportedOnceAndNeverToAnAPortal) {
  for (const bool is_a : {false, true}) {
    World world;
    world.controller.on_portal_joined(is_a ? portal::Generation::a : portal::Generation::c);
    world.relay.is_silent = true;
    world.init();
    world.advance(10s);
    EXPECT_EQ(world.all_said<portal::NoRelays>().size(), is_a ? 0U : 1U);
  }
}

TEST(Controller, RelaysOfAnAPortalAreTriedAgainByThemselves) {
  World world;
  world.controller.on_portal_joined(portal::Generation::a);
  world.relay.is_silent = true;
  world.init(false);
  world.advance(9s);
  EXPECT_EQ(world.controller.summary().relays, 0U);
  world.relay.is_silent = false;
  world.advance(2s);
  EXPECT_EQ(world.controller.summary().relays_answering, 1U);
}

TEST(Controller, AnAuthorizationBeforeInitIsNotAcknowledged) {
  World world;
  world.portal_says(portal::RelaysPresence{{}, {world.relay.entry(world.relay_id)}});
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  world.init();
  world.advance(1s);
  EXPECT_TRUE(world.all_said<portal::Authorized>().empty());
  EXPECT_TRUE(world.commanded<pipeline::AddClient>().empty());
}

TEST(Controller, GrantsInAnyOrder) {
  World world;
  world.init(false);
  world.portal_says(allow_access(kSecond, "10.30.0.0/24"));
  EXPECT_TRUE(world.said.empty()) << "a CIDR grant has no answer";
  EXPECT_TRUE(world.commanded<pipeline::AddClient>().empty()) << "a grant makes no connection";
  world.portal_says(request_connection(kFirst, "10.20.0.0/24"));
  ASSERT_EQ(world.all_said<portal::ConnectionReady>().size(), 1U);
  const auto& ready = *world.all_said<portal::ConnectionReady>()[0];
  EXPECT_EQ(ready.ref, "ref-a");
  ASSERT_TRUE(ready.ice);
  EXPECT_EQ(ready.ice->username.size(), 4U);
  EXPECT_EQ(ready.ice->password.expose().size(), 22U);
  const auto* policy = world.newest_policy(slot_of(world));
  EXPECT_TRUE(allows(policy, "10.20.0.2"));
  EXPECT_TRUE(allows(policy, "10.30.0.2"));
}

TEST(Controller, ARepeatedRequestConnectionReplacesItWithNewCredentials) {
  World world;
  world.init(false);
  world.portal_says(request_connection(kFirst, "10.20.0.0/24"));
  world.portal_says(allow_access(kSecond, "10.30.0.0/24"));
  world.portal_says(request_connection(kFirst, "10.20.0.0/24", "ref-b"));
  const auto ready = world.all_said<portal::ConnectionReady>();
  ASSERT_EQ(ready.size(), 2U);
  EXPECT_NE(ready[0]->ice->username, ready[1]->ice->username);
  ASSERT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
  EXPECT_FALSE(world.commanded<pipeline::RemoveClient>()[0]->keep_flows);
  EXPECT_TRUE(allows(world.newest_policy(slot_of(world)), "10.30.0.2"));
}

// Spec connectivity 2.6, A.
TEST(Controller, AnAClientThatComesWhileNoRelayAnswersIsToldAtOnceWhereTheGatewayIs) {
  const auto gone = [](World& world) {
    world.portal_says(portal::RelaysPresence{{world.relay_id}, {}});
  };
  const auto asked_again = [](World& world) {
    world.portal_says(portal::RelaysPresence{{world.relay_id}, {}});
    world.relay.is_silent = true;
    world.portal_says(portal::RelaysPresence{{}, {world.relay.entry(world.relay_id)}});
  };
  for (const auto& lose : std::vector<std::function<void(World&)>>{gone, asked_again}) {
    World world;
    world.controller.on_portal_joined(portal::Generation::a);
    world.init(false);
    lose(world);
    world.portal_says(request_connection(kFirst, "10.20.0.0/24"));
    EXPECT_EQ(world.all_said<portal::ConnectionReady>().size(), 1U);
    ASSERT_EQ(world.all_said<portal::BroadcastCandidates>().size(), 1U);
    const auto& lines = world.all_said<portal::BroadcastCandidates>()[0]->candidates;
    ASSERT_EQ(lines.size(), 2U) << "no relayed one";
    EXPECT_NE(lines[0].find(" 2001:db8:51::10 52625 typ host"), std::string::npos) << lines[0];
    EXPECT_NE(lines[1].find(" 198.51.100.10 52625 typ host"), std::string::npos) << lines[1];
  }
}

TEST(Controller, AnAClientQuietForFiveMinutesLosesConnectionAndAccess) {
  World world;
  world.init(false);
  world.portal_says(request_connection(kFirst, "10.20.0.0/24"));
  world.portal_says(
      portal::IceCandidates{kClient, {"candidate:1 1 udp 1 203.0.113.7 4000 typ host"}, false});
  world.advance(299s);
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
  EXPECT_EQ(world.controller.summary().clients, 1U);
  world.advance(2s);
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
  EXPECT_EQ(world.controller.summary().clients, 0U);
}

TEST(Controller, CandidatesForAnAClientHaveNeitherRaddrNorUfrag) {
  World world;
  world.init(false);
  world.portal_says(request_connection(kFirst, "10.20.0.0/24"));
  ASSERT_FALSE(world.all_said<portal::BroadcastCandidates>().empty());
  for (const auto& line : world.all_said<portal::BroadcastCandidates>()[0]->candidates) {
    EXPECT_EQ(line.find("raddr"), std::string::npos) << line;
    EXPECT_EQ(line.find("ufrag"), std::string::npos) << line;
  }
}

TEST(Controller, DnsGrantsOfGenerationAAreAnsweredWithTheResolvedAddresses) {
  World world;
  world.init(false);
  auto message = allow_access(kSecond, "10.30.0.0/24");
  message.resource.type = portal::Resource::Type::dns;
  message.resource.pattern = "*.lab.test";
  message.domain = portal::Domain{"wiki.lab.test", {ip("100.96.0.1")}};
  world.portal_says(std::move(message));
  ASSERT_EQ(world.queries.size(), 1U);
  EXPECT_EQ(world.queries[0].name, "wiki.lab.test");
  world.controller.on_resolved(world.queries[0].id,
                               {std::vector{ip("10.20.0.2")}, std::vector{ip("fd20::2")}},
                               world.now, world.wall());
  world.settle();
  ASSERT_EQ(world.all_said<portal::ConnectionReady>().size(), 1U);
  const auto& ready = *world.all_said<portal::ConnectionReady>()[0];
  EXPECT_FALSE(ready.ice);
  ASSERT_TRUE(ready.domain);
  EXPECT_EQ(ready.domain->addresses, (std::vector{ip("fd20::2"), ip("10.20.0.2")}));
}

TEST(Controller, ANameOutsideItsPatternGetsNoAnswerAndNoLookup) {
  World world;
  world.init(false);
  for (const bool has_domain : {true, false}) {
    auto message = allow_access(kSecond, "10.30.0.0/24");
    message.resource.type = portal::Resource::Type::dns;
    message.resource.pattern = "*.lab.test";
    if (has_domain) message.domain = portal::Domain{"wiki.other.test", {}};
    world.portal_says(std::move(message));
  }
  EXPECT_TRUE(world.queries.empty());
  EXPECT_TRUE(world.said.empty());
}

TEST(Controller, RejectingOneOfTwoResourcesNarrowsThePolicyAtOnce) {
  World world;
  world.init();
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  world.portal_says(authorize(kSecond, "10.30.0.0/24", "ref-2"));
  world.portal_says(portal::RejectAccess{kClient, kFirst});
  const auto* policy = world.newest_policy(slot_of(world));
  EXPECT_FALSE(allows(policy, "10.20.0.2"));
  EXPECT_TRUE(allows(policy, "10.30.0.2"));
  EXPECT_TRUE(world.commanded<pipeline::ForgetFlows>().empty());
  world.portal_says(portal::RejectAccess{kClient, kSecond});
  ASSERT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
  EXPECT_FALSE(world.commanded<pipeline::RemoveClient>()[0]->keep_flows);
  ASSERT_EQ(world.commanded<pipeline::ForgetFlows>().size(), 1U);
}

TEST(Controller, AnAClientKeepsItsConnectionWhenItsLastGrantGoes) {
  World world;
  world.init(false);
  world.portal_says(request_connection(kFirst, "10.20.0.0/24"));
  world.portal_says(portal::RejectAccess{kClient, kFirst});
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
  EXPECT_FALSE(allows(world.newest_policy(slot_of(world)), "10.20.0.2"));
  world.portal_says(allow_access(kFirst, "10.20.0.0/24"));
  EXPECT_TRUE(allows(world.newest_policy(slot_of(world)), "10.20.0.2"));
}

TEST(Controller, InitRevokesWhatItDoesNotListButOnlyIfItListsAnything) {
  World world;
  world.init();
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  world.init(false);
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
  world.init(true);
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
}

TEST(Controller, ExpiryTakesEffectWithinASecond) {
  World world;
  world.init();
  auto message = authorize(kFirst, "10.20.0.0/24");
  message.expires_at = World::kUnixStart + 3600 + 5;
  world.portal_says(std::move(message));
  world.portal_says(portal::IceCandidates{
      kClient, {"candidate:1 1 udp 2130706175 192.0.2.44 52625 typ host"}, false});
  world.advance(4900ms);
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
  world.advance(1s);
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
}

TEST(Controller, UpdatedFiltersReachTheWorker) {
  World world;
  world.init();
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  auto resource = cidr(kFirst, "10.20.0.0/24");
  resource.filters = {{portal::Filter::Protocol::tcp, 443, 443}};
  world.portal_says(portal::ResourceUpdated{resource});
  EXPECT_FALSE(allows(world.newest_policy(slot_of(world)), "10.20.0.2"));
}

TEST(Controller, AConnectionWithoutCandidatesOfTheClientFailsAfterTenSecondsAndKeepsItsGrants) {
  World world;
  world.init();
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  world.advance(9900ms);
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
  world.advance(200ms);
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
  EXPECT_EQ(world.controller.summary().clients, 1U);
  world.portal_says(authorize(kSecond, "10.30.0.0/24", "ref-2"));
  EXPECT_TRUE(allows(world.newest_policy(slot_of(world)), "10.20.0.2"));
}

TEST(Controller, RemovedRelaysInvalidateTheirCandidates) {
  World world;
  world.init();
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  const auto announced = world.all_said<portal::BroadcastCandidates>()[0]->candidates;
  world.said.clear();
  world.portal_says(portal::RelaysPresence{{world.relay_id}, {}});
  ASSERT_EQ(world.all_said<portal::BroadcastCandidates>().size(), 1U);
  const auto& message = *world.all_said<portal::BroadcastCandidates>()[0];
  EXPECT_TRUE(message.invalidated);
  ASSERT_EQ(message.candidates.size(), 2U);
  for (const auto& line : message.candidates) {
    EXPECT_NE(std::find(announced.begin(), announced.end(), line), announced.end())
        << "must be the announced line";
  }
}

TEST(Controller, CandidatesOfUnknownClientsAreCountedAndForgotten) {
  World world;
  world.init();
  world.portal_says(
      portal::IceCandidates{kClient, {"candidate:1 1 udp 1 192.0.2.44 1 typ host"}, false});
  EXPECT_EQ(world.controller.drops().of(DropReason::unknown_client), 1U);
}

TEST(Controller, GarbageFromTheNetworkChangesNothingAndIsCounted) {
  World world;
  world.init();
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  const auto said = world.said.size();
  const auto commands = world.commands.size();
  const ByteVector initiation = [] {
    ByteVector out(148, 0xAB);
    store_be32(out.data(), 0x01000000);
    return out;
  }();
  world.deliver(test::at("203.0.113.5:3478"), world.host_v4, initiation);
  EXPECT_EQ(world.controller.drops().of(DropReason::bad_mac1), 1U);
  world.deliver(test::at("203.0.113.5:9"), world.host_v4, ByteVector(40, 0x77));
  EXPECT_EQ(world.controller.drops().of(DropReason::not_wireguard), 1U);
  std::array<std::uint8_t, 64> buffer{};
  stun::Builder stranger{buffer, stun::Method::binding, stun::Class::request, {}};
  stranger.username("6pya:xxxx");
  world.deliver(test::at("203.0.113.5:9"), world.host_v4, *stranger.finish());
  EXPECT_EQ(world.controller.drops().of(DropReason::unknown_stun), 1U);
  world.settle();
  EXPECT_EQ(world.said.size(), said);
  EXPECT_EQ(world.commands.size(), commands);
}

TEST(Controller, AClientOverTheLimitIsRefusedCountedAndNotAcknowledged) {
  controller::Options options;
  options.clients_max = 1;
  World world{1, options};
  world.init();
  world.portal_says(authorize(kFirst, "10.20.0.0/24"));
  auto second = authorize(kFirst, "10.20.0.0/24", "ref-2", 9);
  second.client.id = *ClientId::parse("7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e12");
  second.client.v4 = ip("100.80.3.18");
  second.client.v6 = ip("fd00:2021:1111::3:12");
  second.client_ice.username = "288o";
  world.portal_says(std::move(second));
  EXPECT_EQ(world.all_said<portal::Authorized>().size(), 1U);
  EXPECT_EQ(world.controller.drops().of(DropReason::clients_full), 1U);
  EXPECT_EQ(world.controller.summary().connections, 1U);
}

}  // namespace
}  // namespace fg
