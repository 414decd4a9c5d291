// Whose flows are, and whether they are tracked: spec policy 6.1, 6.5.
#include <gtest/gtest.h>

#include "tests/unit/control/controller/world.h"
#include "tests/unit/control/flow_log/samples.h"

namespace fg {
namespace {

using test::ip;
using test::World;

portal::Authorize authorize(portal::Authorize::Dialect dialect, const std::string& token = "") {
  portal::Authorize out;
  out.dialect = dialect;
  out.ref = "ref";
  out.resource.id = ResourceId{{2}};
  out.resource.name = "lab";
  out.resource.network = *Cidr::parse("10.20.0.0/24", true);
  out.client.id = ClientId{{1}};
  out.client.public_key = {9};
  out.client.preshared_key = Secret<32>{};
  out.client.v4 = ip("100.80.3.17");
  out.client.v6 = ip("fd00:2021:1111::3:11");
  out.client_ice = {"277o", SecretText{"b6fvcn2h22ah436p3el3zr"}};
  out.gateway_ice = {"6pya", SecretText{"vvzsh3aql5cprilhk5hpja"}};
  out.facts.actor_name = "Lab User";
  out.ingest_token = SecretText{token};
  return out;
}
constexpr auto kB = portal::Authorize::Dialect::authorize_flow;
constexpr auto kC = portal::Authorize::Dialect::create_authorization;

flow::Started started(std::uint8_t client = 1, std::uint8_t resource = 2) {
  flow::Started out;
  out.key.client = ClientId{{client}};
  out.key.resource = ResourceId{{resource}};
  return out;
}

void init(World& world, std::optional<portal::FlowLogs> flow_logs) {
  portal::Init message{ip("100.71.20.9"),
                       ip("fd00:2021:1111::9:14"),
                       {world.relay.entry(world.relay_id)},
                       std::nullopt,
                       std::move(flow_logs)};
  world.portal_says(std::move(message));
}

std::vector<bool> toggles(const World& world) {
  std::vector<bool> out;
  for (const auto* command : world.commanded<pipeline::SetFlowTracking>())
    out.push_back(command->is_on);
  return out;
}

TEST(ControllerFlows, AreTrackedAsLongAsThePortalWantsThem) {
  World world;
  init(world, std::nullopt);
  init(world, portal::FlowLogs{"https://x", 0, 0});
  EXPECT_TRUE(toggles(world).empty());
  init(world, portal::FlowLogs{"https://x", 60, 0});
  init(world, portal::FlowLogs{"https://x", 30, 0});
  init(world, portal::FlowLogs{"https://x", 0, 0});
  EXPECT_EQ(toggles(world), (std::vector<bool>{true, false}));
  EXPECT_EQ(world.flow_log_news.size(), 4U) << "every setting is told";
  world.controller.shut_down(world.now);
}

TEST(ControllerFlows, AreTrackedWhateverThePortalSaysWhenAskedForAndCompletedAtTheEnd) {
  World world{1, {.track_flows = true, .turn = {}, .left_behind = {}}};
  init(world, portal::FlowLogs{"https://x", 0, 0});
  EXPECT_EQ(toggles(world), std::vector<bool>{true});
  world.controller.shut_down(world.now);
  world.settle();
  EXPECT_EQ(toggles(world), (std::vector<bool>{true, false}));
}

TEST(ControllerFlows, BelongToTheTokenOfTheirGrantWhichIsToldBeforeTheAnswer) {
  World world;
  init(world, std::nullopt);
  const auto token = test::token_of(test::claims());
  world.portal_says(authorize(kC, token));
  ASSERT_EQ(world.all_said<portal::Authorized>().size(), 1U);
  ASSERT_EQ(world.flow_log_news.size(), 1U);
  const auto beginning = world.controller.beginning_of(started());
  ASSERT_NE(beginning.whose, nullptr);
  EXPECT_EQ(std::get<flow_log::Ingest>(*beginning.whose).token.expose(), token);
  EXPECT_EQ(beginning.domain, "");
  EXPECT_EQ(world.controller.beginning_of(started(7)).whose, nullptr);
  EXPECT_EQ(world.controller.beginning_of(started(1, 7)).whose, nullptr);
}

TEST(ControllerFlows, AreNobodysWithoutATokenButTheGrantIsGiven) {
  for (const auto* token : {"", "not a token"}) {
    World world;
    init(world, std::nullopt);
    world.portal_says(authorize(kC, token));
    EXPECT_EQ(world.all_said<portal::Authorized>().size(), 1U);
    EXPECT_EQ(world.controller.beginning_of(started()).whose, nullptr);
    EXPECT_TRUE(world.flow_log_news.empty());
  }
}

TEST(ControllerFlows, ATokenWithoutUploadsIsKeptHere) {
  World world;
  init(world, std::nullopt);
  auto claims = test::claims();
  claims["uploads_enabled"] = false;
  world.portal_says(authorize(kC, test::token_of(claims)));
  EXPECT_TRUE(world.flow_log_news.empty());
  EXPECT_NE(world.controller.beginning_of(started()).whose, nullptr);
}

TEST(ControllerFlows, OfGenerationBHaveClientActorAndResource) {
  World world;
  init(world, std::nullopt);
  world.portal_says(authorize(kB));
  const auto beginning = world.controller.beginning_of(started());
  ASSERT_NE(beginning.whose, nullptr);
  const auto& known = std::get<flow_log::Known>(*beginning.whose);
  EXPECT_EQ(known.client, (ClientId{{1}}));
  EXPECT_EQ(known.facts.actor_name, "Lab User");
  EXPECT_EQ(known.resource.name, "lab");
  EXPECT_TRUE(world.flow_log_news.empty());
}

TEST(ControllerFlows, ATokenIsReplacedByANewerAndGoesWithItsGrant) {
  World world;
  init(world, std::nullopt);
  world.portal_says(authorize(kC, test::token_of(test::claims())));
  auto claims = test::claims();
  claims["policy_id"] = "another";
  world.portal_says(authorize(kC, test::token_of(claims)));
  EXPECT_EQ(
      std::get<flow_log::Ingest>(*world.controller.beginning_of(started()).whose).claims.policy_id,
      "another");
  world.portal_says(portal::RejectAccess{ClientId{{1}}, ResourceId{{2}}});
  EXPECT_EQ(world.controller.beginning_of(started()).whose, nullptr);
}

TEST(ControllerFlows, OfGrantsBeyondTheLimitAreNobodysAndCounted) {
  World world{1, {.attributions_max = 1, .turn = {}, .left_behind = {}}};
  init(world, std::nullopt);
  const auto token = test::token_of(test::claims());
  world.portal_says(authorize(kC, token));
  auto second = authorize(kC, token);
  second.resource.id = ResourceId{{3}};
  world.portal_says(std::move(second));
  EXPECT_EQ(world.all_said<portal::Authorized>().size(), 2U);
  EXPECT_EQ(world.controller.beginning_of(started(1, 3)).whose, nullptr);
  EXPECT_EQ(world.controller.drops().of(DropReason::flows_unattributed), 1U);
  world.portal_says(authorize(kC, token));
  EXPECT_NE(world.controller.beginning_of(started()).whose, nullptr) << "held ones may be renewed";
  EXPECT_EQ(world.controller.drops().of(DropReason::flows_unattributed), 1U);
}

}  // namespace
}  // namespace fg
