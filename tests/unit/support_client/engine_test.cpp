#include "tests/support/client/engine.h"

#include <gtest/gtest.h>

#include "crypto/crypto.h"
#include "crypto/random.h"
#include "packet/control_message.h"
#include "packet/icmp.h"
#include "tests/unit/support_client/recorded.h"

namespace fg::client::test {
namespace {

constexpr Instant kStart{1000h};
constexpr WallTime kWall{1'700'000'000s};
const auto kLab = *ResourceId::parse("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04");
const auto kWide = *ResourceId::parse("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab05");
const auto kGateway = *GatewayId::parse("1e6b2a90-4f7d-4d0c-9c35-6a8f2b7c4d20");
const auto kHost = IpAddress::v4(10, 20, 0, 2);

class NoLog final : public LogSink {
 public:
  [[nodiscard]] bool is_enabled(LogLevel, std::string_view) const override { return false; }
  void write(LogLevel, std::string_view, std::string_view, std::span<const LogField>) override {}
};

// UDP from the client to a host of the lab network.
ByteVector packet_to(const IpAddress& destination) {
  ByteVector out(28);
  out[0] = 0x45;
  out[3] = 28;
  out[8] = 64;
  out[9] = 17;
  std::copy_n(destination.bytes().begin(), 4, out.begin() + 16);
  out[25] = 8;
  return out;
}

struct Bench {
  explicit Bench(Generation generation) {
    crypto::init();
    options.generation = generation;
    engine.emplace(options, identity, aead, random, Log{sink, "test"}, kStart);
    Init init;
    init.interface = {IpAddress::v4(100, 80, 3, 17), *IpAddress::parse("fd00:2021:1111::3:11")};
    init.resources = {network(kWide, "10.0.0.0/8"), network(kLab, "10.20.0.0/16")};
    engine->on_message(std::move(init), kStart);
  }
  static Resource network(const ResourceId& id, const char* cidr) {
    return {id, Resource::Type::cidr, cidr, *Cidr::parse(cidr, true)};
  }
  void hold(Instant now) { engine->hold(kHost, packet_to(kHost), now, kWall); }
  void grant(const ResourceId& resource, std::uint8_t key = 9) {
    Granted out;
    out.resource = resource;
    out.gateway = kGateway;
    out.gateway_key.fill(key);
    out.ours = {"277o", SecretText{"b6fvcn2h22ah436p3el3zr"}};
    out.theirs = {"6pya", SecretText{"vvzsh3aql5cprilhk5hpja"}};
    engine->on_message(std::move(out), kStart);
  }
  std::vector<PortalMessage> said() {
    std::vector<PortalMessage> out;
    while (auto message = engine->poll_portal()) out.push_back(std::move(*message));
    return out;
  }
  Connection& connection() { return *engine->connections().begin()->second; }
  void reply(Tag tag, std::string_view response) {
    engine->on_reply({tag, true, json_of(response), ""}, kStart);
  }

  NoLog sink;
  SeededRandom random{7};
  wireguard::Identity identity{crypto::generate_key_pair(random)};
  crypto::AeadEngine aead;
  EngineOptions options;
  std::optional<Engine> engine;
};

TEST(ClientEngine, APacketAsksForTheNarrowestResource) {
  for (const auto& [generation, event] : {std::pair{Generation::a, "prepare_connection"},
                                          {Generation::b, "create_flow"},
                                          {Generation::c, "request_authorization"}}) {
    Bench bench{generation};
    bench.hold(kStart);
    const auto said = bench.said();
    ASSERT_EQ(said.size(), 1U);
    EXPECT_EQ(said[0].message.event, event);
    EXPECT_EQ(nlohmann::json::parse(said[0].message.payload)["resource_id"], kLab.to_string());
  }
}

// Spec portal 5.4.
TEST(ClientEngine, AsksAgainAfterTwoSecondsAndOnlyWhilePacketsFlow) {
  Bench bench{Generation::c};
  bench.hold(kStart);
  bench.hold(kStart + 1999ms);
  EXPECT_EQ(bench.said().size(), 1U);
  bench.engine->on_timeout(kStart + 10s, kWall);
  EXPECT_TRUE(bench.said().empty());
  bench.hold(kStart + 10s);
  EXPECT_EQ(bench.said().size(), 1U);
}

TEST(ClientEngine, ACommandInsistsWithoutPackets) {
  Bench bench{Generation::c};
  bench.engine->connect(kLab, kStart);
  bench.engine->on_timeout(kStart + 2s, kWall);
  EXPECT_EQ(bench.said().size(), 2U);
  bench.engine->on_timeout(kStart + 31s, kWall);
  EXPECT_TRUE(bench.said().empty());
}

TEST(ClientEngine, AGrantNobodyAskedForIsIgnored) {
  Bench bench{Generation::b};
  bench.grant(kLab);
  EXPECT_TRUE(bench.engine->connections().empty());
  EXPECT_EQ(bench.engine->counters().ignored_grants, 1U);
}

TEST(ClientEngine, KeepsAtMost128PacketsForAGateway) {
  Bench bench{Generation::c};
  for (std::size_t i = 0; i < 129; ++i) bench.hold(kStart);
  EXPECT_EQ(bench.engine->counters().queue_dropped, 1U);
  bench.grant(kLab);
  EXPECT_EQ(bench.connection().pending.size(), 128U);
  bench.hold(kStart);
  EXPECT_EQ(bench.connection().pending.size(), 128U);
}

TEST(ClientEngine, AFurtherResourceNamesTheGatewaysThatAreConnected) {
  Bench bench{Generation::c};
  bench.hold(kStart);
  bench.grant(kLab);
  (void)bench.said();
  bench.engine->connect(kWide, kStart);
  const auto said = bench.said();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(nlohmann::json::parse(said[0].message.payload)["connected_gateway_ids"][0],
            kGateway.to_string());
}

// Spec connectivity 4.8.
TEST(ClientEngine, TheSameSecretsKeepTheConnectionAndANewKeyReplacesIt) {
  Bench bench{Generation::c};
  bench.hold(kStart);
  bench.grant(kLab);
  const auto first = bench.connection().key;
  bench.engine->connect(kWide, kStart);
  bench.grant(kWide);
  EXPECT_EQ(bench.connection().key, first);
  bench.engine->on_timeout(kStart + 2s, kWall);
  bench.engine->hold(IpAddress::v4(10, 1, 1, 1), packet_to(IpAddress::v4(10, 1, 1, 1)), kStart + 2s,
                     kWall);
  EXPECT_EQ(bench.connection().pending.size(), 2U);
  const auto prohibited = [&] {
    std::array<std::uint8_t, 1280> out{};
    const auto packet = packet_to(kHost);
    const auto length = packet::write_icmp_answer(packet::IcmpAnswer::prohibited,
                                                  *packet::InnerPacket::parse(packet), out);
    return ByteVector{out.begin(), out.begin() + static_cast<std::ptrdiff_t>(length)};
  }();
  (void)bench.said();
  EXPECT_TRUE(bench.engine->on_inner(bench.connection(), prohibited, kStart + 4s));
  EXPECT_EQ(bench.said().size(), 1U);
  bench.grant(kLab, 10);
  ASSERT_EQ(bench.engine->connections().size(), 1U);
  EXPECT_NE(bench.connection().key, first);
}

TEST(ClientEngine, AGoodbyeEndsTheConnectionExceptInA) {
  for (const auto& [generation, left] : {std::pair{Generation::b, 0U}, {Generation::c, 0U}}) {
    Bench bench{generation};
    bench.hold(kStart);
    bench.grant(kLab);
    EXPECT_FALSE(bench.engine->on_inner(bench.connection(), packet::goodbye_packet(), kStart));
    bench.engine->settle(kStart, kWall);
    EXPECT_EQ(bench.engine->connections().size(), left);
  }
}

// Spec portal 5.3.
TEST(ClientEngine, ARequestsOnceAndReusesForFurtherResources) {
  Bench bench{Generation::a};
  bench.hold(kStart);
  auto said = bench.said();
  const std::string prepared =
      R"({"resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04","gateway_id":")" +
      kGateway.to_string() +
      R"(","gateway_remote_ip":"198.51.100.10","gateway_group_id":"90c3d1f4-2a6b-4e87-a5d9-7b14e8f60c23"})";
  bench.reply(*said[0].tag, prepared);
  said = bench.said();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0].message.event, "request_connection");
  const auto offer = *said[0].tag;

  // Another resource while the offer is on its way.
  bench.engine->connect(kWide, kStart);
  said = bench.said();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(nlohmann::json::parse(said[0].message.payload)["connected_gateway_ids"][0],
            kGateway.to_string());
  bench.reply(*said[0].tag, prepared);
  said = bench.said();
  ASSERT_EQ(said.size(), 1U);
  EXPECT_EQ(said[0].message.event, "reuse_connection");

  bench.reply(
      offer,
      R"({"resource_id":"c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04","gateway_public_key":"M6jq1REt2rfnR5vUYLlRrjNItdB/ttSeqXqOBSqkEb0=",
    "persistent_keepalive":25,"gateway_payload":{"ConnectionAccepted":{"ice_parameters":{"username":"mQ1x","password":"Zt4kR9bHs2VwLf6yNc8uDa"},"domain_response":null}}})");
  ASSERT_EQ(bench.engine->connections().size(), 1U);
  EXPECT_EQ(bench.connection().agent.ice()->role(), ice::Role::controlling);
  EXPECT_EQ(bench.connection().agent.ice()->profile(), ice::kGenerationA);
  EXPECT_EQ(bench.connection().pending.size(), 1U);
}

TEST(ClientEngine, AResourceThatIsDeletedIsNoLongerReached) {
  Bench bench{Generation::c};
  bench.engine->on_message(ResourceDeleted{kLab}, kStart);
  bench.engine->on_message(ResourceDeleted{kWide}, kStart);
  bench.hold(kStart);
  EXPECT_TRUE(bench.said().empty());
  EXPECT_EQ(bench.engine->counters().unroutable, 1U);
}

TEST(ClientEngine, RoutesAreThoseOfTheResources) {
  Bench bench{Generation::c};
  const auto setup = bench.engine->poll_network();
  ASSERT_TRUE(setup);
  EXPECT_EQ(
      std::count(setup->routes.begin(), setup->routes.end(), *Cidr::parse("10.20.0.0/16", true)),
      1);
  EXPECT_EQ(
      std::count(setup->routes.begin(), setup->routes.end(), Cidr(IpAddress::v4(0, 0, 0, 0), 0)),
      0);
  bench.engine->on_message(ResourceChanged{{kLab, Resource::Type::internet, "", {}}}, kStart);
  const auto next = bench.engine->poll_network();
  EXPECT_EQ(
      std::count(next->routes.begin(), next->routes.end(), Cidr(IpAddress::v4(0, 0, 0, 0), 0)), 1);
}

}  // namespace
}  // namespace fg::client::test
