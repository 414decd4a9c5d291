#include "control/controller/command_queue.h"

#include <gtest/gtest.h>

#include "filter/policy.h"
#include "tests/unit/control/controller/world.h"

namespace fg {
namespace {

using controller::CommandQueue;
using test::at;
using test::ip;
using test::World;

constexpr std::size_t kLimit = 8;
constexpr RelaySlot kRelay{3};
const ClientSlot kSlot{5};

bool push(CommandQueue& queue, pipeline::Command command, std::uint8_t worker = 0) {
  return queue.push({WorkerIndex{worker}, std::move(command)});
}
// A path told apart by its channel.
pipeline::SetPath path(ClientSlot slot, std::uint16_t channel) {
  return {slot,
          {pipeline::Path::Kind::relayed, {}, at("198.51.100.30:3478"), ChannelNumber{channel}}};
}
void fill(CommandQueue& queue) {
  for (std::uint32_t i = 0; !queue.is_full(); ++i)
    ASSERT_TRUE(push(queue, pipeline::RemoveClient{ClientSlot{100 + i}}));
}
std::vector<pipeline::Command> drain(CommandQueue& queue) {
  std::vector<pipeline::Command> out;
  while (auto command = queue.pop()) {
    if (!std::holds_alternative<pipeline::RemoveClient>(command->command))
      out.push_back(std::move(command->command));
  }
  return out;
}

TEST(CommandQueue, RefusesOnlyWhatMayBeLostAndOnlyAtTheLimit) {
  CommandQueue queue{kLimit};
  for (std::size_t i = 0; i + 1 < kLimit; ++i)
    ASSERT_TRUE(push(queue, pipeline::RemoveClient{ClientSlot{static_cast<std::uint32_t>(i)}}));
  EXPECT_TRUE(push(queue, pipeline::ExpectSource{ip("203.0.113.1")}));
  EXPECT_TRUE(queue.is_full());
  EXPECT_FALSE(push(queue, pipeline::ExpectSource{ip("203.0.113.2")}));
  EXPECT_FALSE(push(queue, pipeline::SendInner{}));
  EXPECT_FALSE(push(queue, pipeline::SendProbe{}));
  EXPECT_TRUE(push(queue, pipeline::RemoveClient{kSlot}));
  EXPECT_TRUE(push(queue, pipeline::InstallSession{kSlot, {}}));
  EXPECT_EQ(queue.size(), kLimit + 2);
  (void)queue.pop();
  (void)queue.pop();
  (void)queue.pop();
  EXPECT_TRUE(push(queue, pipeline::ExpectSource{ip("203.0.113.2")}));
}

TEST(CommandQueue, OvertakenCommandsDoNotMakeItGrow) {
  CommandQueue queue{kLimit};
  fill(queue);
  for (std::uint16_t i = 0; i < 1000; ++i) {
    EXPECT_TRUE(push(queue, path(kSlot, i)));
    EXPECT_TRUE(push(queue, path(kSlot, i), 1));
    EXPECT_LE(queue.size(), 2 * (kLimit + 2) + 1);
  }
  EXPECT_TRUE(push(queue, pipeline::AddClient{}));
  const auto left = drain(queue);
  const auto* last = std::get_if<pipeline::SetPath>(&left.back());
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(last->path.channel, ChannelNumber{999});
}

TEST(CommandQueue, ABusyWorkerDelaysNoOtherAndFindsItsCommandsInOrder) {
  CommandQueue queue{kLimit};
  for (std::uint16_t i = 0; i < 3; ++i) {
    for (const std::uint8_t worker : {std::uint8_t{0}, std::uint8_t{15}})
      EXPECT_TRUE(push(queue, path(kSlot, i), worker));
  }
  auto refused = queue.pop();
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->worker, WorkerIndex{0});
  queue.put_back(std::move(*refused));
  controller::WorkerSet busy;
  busy.set(0);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.pop(busy).value().worker, WorkerIndex{15});
  EXPECT_FALSE(queue.pop(busy));
  EXPECT_EQ(queue.size(), 3U);
  for (std::uint16_t i = 0; i < 3; ++i) {
    const auto next = queue.pop();
    ASSERT_TRUE(next);
    EXPECT_EQ(std::get<pipeline::SetPath>(next->command).path.channel, ChannelNumber{i});
  }
  EXPECT_TRUE(queue.is_empty());
}

TEST(CommandQueue, OvertakenPoliciesAreGivenBack) {
  CommandQueue queue{1};
  const auto first = filter::Policy::compile({});
  const auto second = filter::Policy::compile({});
  EXPECT_TRUE(push(queue, pipeline::SetPolicy{kSlot, first.get()}));
  EXPECT_FALSE(queue.poll_unused_policy());
  EXPECT_TRUE(push(queue, pipeline::SetPolicy{kSlot, second.get()}));
  EXPECT_EQ(queue.poll_unused_policy(), first.get());
  EXPECT_FALSE(queue.poll_unused_policy());
  EXPECT_EQ(queue.size(), 1U);
}
TEST(CommandQueue, OvertakenTranslationsAreGivenBackButNotWhatTheyForget) {
  CommandQueue queue{1};
  const auto first = nat::Translations::compile({}, false);
  const auto second = nat::Translations::compile({}, false);
  EXPECT_TRUE(push(queue, pipeline::SetTranslations{kSlot, first.get(), true}));
  EXPECT_FALSE(queue.poll_unused_translations());
  EXPECT_TRUE(push(queue, pipeline::SetTranslations{kSlot, second.get(), false}));
  EXPECT_EQ(queue.poll_unused_translations(), first.get());
  EXPECT_FALSE(queue.poll_unused_translations());
  const auto left = queue.pop();
  const auto& set = std::get<pipeline::SetTranslations>(left->command);
  EXPECT_EQ(set.translations, second.get());
  EXPECT_TRUE(set.forget_flows);
}

TEST(CommandQueue, ARemovedRelayTakesItsChannelsAlongAndNothingLater) {
  CommandQueue queue{4};
  EXPECT_TRUE(push(queue, pipeline::SetRelay{kRelay, at("198.51.100.30:3478")}));
  EXPECT_TRUE(push(queue, pipeline::SetChannel{kRelay, ChannelNumber{0x4000}, true}));
  EXPECT_TRUE(push(queue, pipeline::SetRelay{kRelay, std::nullopt}));
  EXPECT_TRUE(push(queue, pipeline::SetRelay{kRelay, at("198.51.100.31:3478")}));
  EXPECT_TRUE(push(queue, pipeline::SetChannel{kRelay, ChannelNumber{0x4001}, true}));
  const auto left = drain(queue);
  ASSERT_EQ(left.size(), 3U);
  EXPECT_FALSE(std::get<pipeline::SetRelay>(left[0]).server);
  EXPECT_TRUE(std::get<pipeline::SetRelay>(left[1]).server);
  EXPECT_EQ(std::get<pipeline::SetChannel>(left[2]).channel, ChannelNumber{0x4001});
}

portal::Authorize authorize(std::uint8_t n) {
  portal::Authorize out;
  out.ref = "ref";
  out.resource.id = *ResourceId::parse("c2a9e4d7-0b35-4f18-92c6-5d71f3e8ab04");
  out.resource.network = *Cidr::parse("10.20.0.0/24", true);
  out.client.id = *ClientId::parse("7d0f1c52-9b1e-4c63-8a57-2f6d3f0b9e" + std::to_string(10 + n));
  out.client.public_key.fill(n);
  out.client.v4 = IpAddress::v4(100, 80, 3, n);
  out.client.v6 = *IpAddress::parse("fd00:2021:1111::3:" + std::to_string(n));
  out.client_ice = {"c" + std::to_string(100 + n), SecretText{"b6fvcn2h22ah436p3el3zr"}};
  out.gateway_ice = {"g" + std::to_string(100 + n), SecretText{"vvzsh3aql5cprilhk5hpja"}};
  return out;
}

TEST(CommandQueue, WhileWorkersDoNotKeepUpConnectionsStayAndNewOnesAreRefused) {
  controller::Options options;
  options.commands_max = 4;
  World world{1, std::move(options)};
  world.init();
  world.portal_says(authorize(1));
  const auto slot = world.commanded<pipeline::AddClient>().back()->slot;
  // Nobody takes commands from here on.
  auto first = authorize(1);
  for (std::uint16_t port = 1; port <= 100; ++port) {
    first.resource.filters = {{portal::Filter::Protocol::tcp, port, port}};
    world.controller.on_portal(portal::ResourceUpdated{first.resource}, world.now, world.wall());
  }
  std::uint8_t n = 2;
  for (; world.controller.drops().of(DropReason::command_queue_full) == 0; ++n) {
    ASSERT_LT(n, 10);
    world.controller.on_portal(authorize(n), world.now, world.wall());
  }
  const auto connections = world.controller.summary().connections;
  EXPECT_EQ(connections, n - 2U) << "all but the last";
  // The end of the first one is told all the same.
  world.controller.on_portal(portal::RejectAccess{first.client.id, first.resource.id}, world.now,
                             world.wall());
  world.settle();
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().back()->slot, slot);
  world.portal_says(authorize(n));
  EXPECT_EQ(world.controller.summary().connections, connections);
}

}  // namespace
}  // namespace fg
