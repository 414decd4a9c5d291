// A portal that says what cannot be: refused as a whole, counted, and nothing that stands is lost.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "tests/unit/control/controller/world.h"

namespace fg {
namespace {

using test::ip;
using test::World;

const ResourceId kResource = *ResourceId::parse("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04");

ClientId client(std::uint8_t n) { return ClientId{std::array<std::uint8_t, 16>{n}}; }

portal::Authorize authorize(std::uint8_t n, const char* v4, const char* v6) {
  portal::Authorize out;
  out.ref = "ref-" + std::to_string(n);
  out.resource.id = kResource;
  out.resource.network = *Cidr::parse("10.20.0.0/24", true);
  out.client.id = client(n);
  out.client.public_key.fill(n);
  out.client.v4 = ip(v4);
  out.client.v6 = ip(v6);
  out.client_ice = {"c" + std::to_string(n), SecretText{"b6fvcn2h22ah436p3el3zr"}};
  out.gateway_ice = {"g" + std::to_string(n), SecretText{"vvzsh3aql5cprilhk5hpja"}};
  return out;
}

class LyingPortal : public testing::Test {
 protected:
  explicit LyingPortal(controller::Options options = {}) : world(1, std::move(options)) {
    world.init();
    world.portal_says(authorize(1, "100.80.3.17", "fd00:2021:1111::3:11"));
    EXPECT_EQ(answers(), 1U);
  }
  std::size_t answers() { return world.all_said<portal::Authorized>().size(); }
  std::uint64_t refused() const { return world.controller.drops().of(DropReason::foreign_address); }
  std::size_t logged(const std::string& line) {
    return static_cast<std::size_t>(
        std::count(world.log.lines.begin(), world.log.lines.end(), line));
  }

  World world;
};

TEST_F(LyingPortal, ClientsGetTunnelAddressesOnlyAndNeverOurs) {
  const std::pair<const char*, const char*> rows[] = {
      {"10.20.0.2", "fd00:2021:1111::3:12"},   // a resource
      {"100.96.0.1", "fd00:2021:1111::3:12"},  // a proxy address
      {"100.63.255.255", "fd00:2021:1111::3:12"}, {"0.0.0.0", "fd00:2021:1111::3:12"},
      {"224.0.0.1", "fd00:2021:1111::3:12"},      {"100.80.3.18", "fd20::2"},
      {"100.80.3.18", "fd00:2021:1111:8000::1"},  {"100.80.3.18", "::"},
      {"100.71.20.9", "fd00:2021:1111::3:12"},  // the gateway's own
      {"100.80.3.18", "fd00:2021:1111::9:14"}};
  std::uint64_t n = 0;
  for (const auto& [v4, v6] : rows) {
    world.portal_says(authorize(2, v4, v6));
    EXPECT_EQ(refused(), ++n) << v4 << " " << v6;
    EXPECT_EQ(logged("authorization refused"), n);
  }
  portal::AllowAccess allow;
  allow.client = client(3);
  allow.client_v4 = ip("10.20.0.2");
  allow.client_v6 = ip("fd00:2021:1111::3:13");
  allow.resource.id = kResource;
  world.portal_says(allow);
  EXPECT_EQ(refused(), ++n);
  EXPECT_EQ(answers(), 1U);
  EXPECT_EQ(world.controller.summary().clients, 1U);
  EXPECT_EQ(world.controller.summary().connections, 1U);
}

TEST_F(LyingPortal, ARefusedChangeOfAClientLeavesItsConnectionAsItWas) {
  auto changed = authorize(1, "192.0.2.1", "fd00:2021:1111::3:11");
  changed.client.public_key.fill(9);
  world.portal_says(std::move(changed));
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
  world.portal_says(authorize(1, "100.80.3.17", "fd00:2021:1111::3:11"));
  EXPECT_EQ(answers(), 2U);
  EXPECT_EQ(world.commanded<pipeline::AddClient>().size(), 1U) << "the same connection";
}

TEST_F(LyingPortal, AnInitWithAddressesOfNoHostIsIgnoredAsAWhole) {
  for (const auto* v4 : {"0.0.0.0", "255.255.255.255", "224.0.0.1", "127.0.0.1"}) {
    world.portal_says(portal::Init{
        ip(v4), ip("fd00:2021:1111::9:14"), {}, std::vector<portal::AuthorizationEntry>{}, {}});
  }
  world.portal_says(portal::Init{
      ip("100.71.20.9"), ip("ff02::1"), {}, std::vector<portal::AuthorizationEntry>{}, {}});
  EXPECT_EQ(refused(), 5U);
  EXPECT_EQ(logged("init ignored: its tunnel addresses are none of a host"), 5U);
  EXPECT_EQ(world.interfaces.size(), 1U);
  EXPECT_EQ(world.controller.summary().clients, 1U) << "not even the revocation it contained";
}

TEST_F(LyingPortal, ContradictionsWithinAnInitEndWithTheLastWord) {
  portal::Init init{ip("100.71.20.9"),
                    ip("fd00:2021:1111::9:14"),
                    {},
                    std::vector<portal::AuthorizationEntry>{},
                    {}};
  init.authorizations->push_back({client(1), kResource, 0});
  init.authorizations->push_back({client(1), kResource, std::numeric_limits<std::int64_t>::max()});
  init.relays.assign(3, world.relay.entry(world.relay_id));
  world.portal_says(init);
  world.advance(5s);
  EXPECT_EQ(world.controller.summary().clients, 1U);
  EXPECT_EQ(world.controller.summary().relays, 1U);
}

TEST_F(LyingPortal, ImpossibleTimesEndTheGrantOrBoundIt) {
  portal::ExpiryUpdated update{client(1), kResource, std::numeric_limits<std::int64_t>::max()};
  world.portal_says(update);
  world.advance(5s);
  EXPECT_EQ(world.controller.summary().clients, 1U);
  update.expires_at = 0;
  world.portal_says(update);
  world.advance(2s);
  EXPECT_EQ(world.controller.summary().clients, 0U);
}

class LyingPortalWithTwoWorkers : public LyingPortal {
 protected:
  LyingPortalWithTwoWorkers() : LyingPortal(with_two_workers()) {}
  static controller::Options with_two_workers() {
    controller::Options options;
    options.workers = 2;
    return options;
  }
};

// The client granted last owns an address (spec policy 2.2), also after the other one has gone.
TEST_F(LyingPortalWithTwoWorkers, AnAddressGivenToTwoClientsStaysWithTheLaterOne) {
  world.portal_says(authorize(2, "100.80.3.17", "fd00:2021:1111::3:11"));
  EXPECT_EQ(answers(), 2U);
  const auto owner = world.commanded<pipeline::SetTunnelOwner>().back()->owner;
  ASSERT_TRUE(owner);
  world.portal_says(portal::RejectAccess{client(1), kResource});
  for (const auto* command : world.commanded<pipeline::SetTunnelOwner>())
    EXPECT_TRUE(command->owner);
  EXPECT_EQ(world.commanded<pipeline::SetTunnelOwner>().back()->owner, owner);
  world.portal_says(portal::RejectAccess{client(2), kResource});
  EXPECT_FALSE(world.commanded<pipeline::SetTunnelOwner>().back()->owner);
}

}  // namespace
}  // namespace fg
