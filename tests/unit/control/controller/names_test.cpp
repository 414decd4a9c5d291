// Names of DNS resources between the portal, the client's tunnel, name servers and the worker.
#include <gtest/gtest.h>

#include "packet/control_message.h"
#include "tests/unit/control/controller/world.h"

namespace fg {
namespace {

using test::ip;
using test::kClient;
using test::World;

const ResourceId kWiki = *ResourceId::parse("5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35");
const ResourceId kOther = *ResourceId::parse("5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b36");
const dns::Resolved kResolved{std::vector{ip("10.20.0.2")}, std::vector{ip("fd20::2")}};
const dns::Resolved kNoAddress{std::vector<IpAddress>{}, std::vector<IpAddress>{}};

portal::Resource dns_resource(const ResourceId& id, const char* pattern) {
  portal::Resource out;
  out.type = portal::Resource::Type::dns;
  out.id = id;
  out.pattern = pattern;
  return out;
}

class NamesTest : public testing::Test {
 protected:
  void authorize(const ResourceId& id, const char* pattern, std::uint8_t key = 7) {
    auto out = test::authorization();
    out.resource = dns_resource(id, pattern);
    out.client.public_key.fill(key);
    world.portal_says(std::move(out));
  }
  void request(const char* name, std::vector<IpAddress> proxies) {
    portal::RequestConnection out;
    out.ref = "ref-a";
    out.resource = dns_resource(kWiki, "*.lab.test");
    out.client.id = kClient;
    out.client.public_key.fill(7);
    out.client.preshared_key = Secret<32>{{1, 2, 3}};
    out.client.v4 = ip("100.80.3.17");
    out.client.v6 = ip("fd00:2021:1111::3:11");
    out.client_ice = {"Kq3z", SecretText{"t8Jd0aYxVb2sTn5eLr7uCp"}};
    out.domain = portal::Domain{name, std::move(proxies)};
    world.portal_says(std::move(out));
  }
  void allow(const char* name, std::vector<IpAddress> proxies) {
    portal::AllowAccess out;
    out.ref = "ref-b";
    out.client = kClient;
    out.client_v4 = ip("100.80.3.17");
    out.client_v6 = ip("fd00:2021:1111::3:11");
    out.resource = dns_resource(kWiki, "*.lab.test");
    out.domain = portal::Domain{name, std::move(proxies)};
    world.portal_says(std::move(out));
  }
  void say(const std::string& json, std::uint8_t type = packet::ControlMessage::kAssignedIps) {
    pipeline::Punt punt;
    punt.kind = pipeline::Punt::Kind::inner;
    punt.slot = slot();
    punt.length =
        static_cast<std::uint16_t>(packet::ControlMessage{type, as_bytes(json)}.write(punt.bytes));
    world.controller.on_punt(punt, world.now, world.wall());
    world.settle();
  }
  void announce(const char* name, const char* proxies = R"("100.96.0.1")",
                const ResourceId& resource = kWiki) {
    say(R"({"resource":")" + resource.to_string() + R"(","domain":")" + name +
        R"(","proxy_ips":[)" + proxies + "]}");
  }
  void resolve(const dns::Resolved& resolved = kResolved) {
    ASSERT_FALSE(world.queries.empty());
    const auto query = world.queries.front();
    world.queries.erase(world.queries.begin());
    world.controller.on_resolved(query.id, resolved, world.now, world.wall());
    world.settle();
  }
  [[nodiscard]] ClientSlot slot() const {
    return world.commanded<pipeline::AddClient>().back()->slot;
  }
  [[nodiscard]] std::vector<std::string> answers() const {
    std::vector<std::string> out;
    for (const auto* sent : world.commanded<pipeline::SendInner>())
      out.emplace_back(as_text(Bytes{sent->bytes}.first(sent->length).subspan(48)));
    return out;
  }
  static std::string status(const char* name, const char* text, const ResourceId& id = kWiki) {
    return R"({"resource":")" + id.to_string() + R"(","domain":")" + name + R"(","status":")" +
           text + R"("})";
  }
  [[nodiscard]] const pipeline::SetTranslations* newest() const {
    const auto all = world.commanded<pipeline::SetTranslations>();
    return all.empty() ? nullptr : all.back();
  }
  [[nodiscard]] std::string real(const char* proxy) const {
    const auto* set = newest();
    const auto* entry = set != nullptr && set->translations != nullptr
                            ? set->translations->find(ip(proxy))
                            : nullptr;
    if (entry == nullptr) return "unknown";
    return entry->real ? entry->real->to_string() : "none";
  }
  [[nodiscard]] bool allows(const char* address) const {
    return world.newest_policy(slot())
        ->classify(ip(address), {filter::ProtoKind::tcp, 80})
        .is_allowed();
  }
  [[nodiscard]] std::uint64_t dropped(DropReason reason) const {
    return world.controller.drops().of(reason);
  }

  World world;
};

class Granted : public NamesTest {
 protected:
  void SetUp() override {
    world.init();
    authorize(kWiki, "*.lab.test");
    keep_the_client_only();
  }
  void keep_the_client_only() {
    std::erase_if(world.commands, [](const pipeline::Command& command) {
      return !std::holds_alternative<pipeline::AddClient>(command);
    });
  }
};

TEST_F(Granted, AnAnnouncedNameIsResolvedToldAndThenAnswered) {
  ASSERT_EQ(world.commanded<pipeline::AddClient>().size(), 1U);
  announce("Wiki.lab.test.", R"("100.96.0.1","fd00:2021:1111:8000::")");
  EXPECT_TRUE(answers().empty());
  ASSERT_EQ(world.queries.size(), 1U);
  EXPECT_EQ(world.queries[0].name, "Wiki.lab.test");
  keep_the_client_only();
  resolve();
  ASSERT_EQ(world.commands.size(), 4U);
  EXPECT_TRUE(std::holds_alternative<pipeline::SetTranslations>(world.commands[1]));
  EXPECT_TRUE(std::holds_alternative<pipeline::SetPolicy>(world.commands[2]));
  EXPECT_TRUE(std::holds_alternative<pipeline::SendInner>(world.commands[3]));
  EXPECT_EQ(answers().back(), status("Wiki.lab.test", "Active"));
  EXPECT_EQ(real("100.96.0.1"), "10.20.0.2");
  EXPECT_EQ(real("fd00:2021:1111:8000::"), "fd20::2");
  EXPECT_FALSE(newest()->forget_flows);
  EXPECT_FALSE(newest()->translations->watches_silence());
  EXPECT_TRUE(allows("100.96.0.1"));
  EXPECT_FALSE(allows("10.20.0.2"));
}
TEST_F(Granted, AnOperatorIsToldWhereANameLeadsAndWhyItLeadsNowhere) {
  announce("wiki.lab.test", R"("100.96.0.1","fd00:2021:1111:8000::")");
  resolve({std::vector{ip("10.20.0.2")}, std::vector<IpAddress>{}});
  auto& controller = world.controller;
  const std::vector proxies{ip("100.96.0.1"), ip("fd00:2021:1111:8000::")};
  EXPECT_EQ(controller.proxies_of(kClient, "WIKI.lab.test."), proxies);
  EXPECT_TRUE(controller.proxies_of(kClient, "other.lab.test").empty());
  EXPECT_EQ(controller.translation_reports(kClient, 1).size(), 1U);
  const auto explain = [&](const IpAddress& to) {
    return controller.explain({kClient, std::nullopt, to, filter::ProtoKind::tcp, 80});
  };
  const auto passing = explain(proxies[0]);
  EXPECT_FALSE(passing.refusal);
  ASSERT_TRUE(passing.resource && passing.translation);
  EXPECT_EQ(passing.resource->id, kWiki);
  EXPECT_EQ(passing.translation->name, "wiki.lab.test");
  EXPECT_EQ(passing.translation->real, ip("10.20.0.2"));
  const auto refused = explain(proxies[1]);
  ASSERT_TRUE(refused.refusal);
  EXPECT_EQ(refused.refusal->reason, DropReason::proxy_without_address);
  EXPECT_EQ(refused.refusal->answer, packet::IcmpAnswer::network_unreachable);
  const auto unknown = explain(ip("100.96.0.2"));
  ASSERT_TRUE(unknown.refusal);
  EXPECT_EQ(unknown.refusal->reason, DropReason::not_allowed);
}
TEST_F(Granted, AnOperatorIsToldThatTheGrantOfANameEnded) {
  authorize(kOther, "other.lab.test");
  announce("wiki.lab.test");
  resolve();
  world.portal_says(portal::RejectAccess{kClient, kWiki});
  const auto out = world.controller.explain(
      {kClient, std::nullopt, ip("100.96.0.1"), filter::ProtoKind::tcp, 80});
  ASSERT_TRUE(out.refusal);
  EXPECT_EQ(out.refusal->reason, DropReason::not_allowed);
  ASSERT_EQ(out.ended.size(), 1U);
  EXPECT_EQ(out.ended[0].resource.id, kWiki);
  EXPECT_EQ(out.ended[0].why, acl::EndedWhy::rejected);
}

// Spec policy 4.6.
TEST_F(Granted, TheAnswerIsByteForByteTheOriginals) {
  authorize(kWiki, "wiki.lab.test");
  announce("wiki.lab.test");
  resolve();
  const auto& sent = *world.commanded<pipeline::SendInner>().back();
  const auto bytes = Bytes{sent.bytes}.first(sent.length);
  ByteVector expected{0x60, 0, 0, 0, 0, 0x66, 0xFF, 0};
  expected.resize(40);
  expected.push_back(1);
  expected.resize(48);
  const std::string json =
      R"({"resource":"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35","domain":"wiki.lab.test","status":"Active"})";
  for (const char c : json) expected.push_back(static_cast<std::uint8_t>(c));
  EXPECT_EQ(copy_of(bytes), expected);
}
// Item 81.
TEST_F(Granted, ARepeatedAnnouncementIsAnsweredAndDisturbsNothing) {
  for (int i = 0; i < 3; ++i) {
    announce("wiki.lab.test");
    resolve();
  }
  EXPECT_EQ(answers().size(), 3U);
  EXPECT_EQ(world.commanded<pipeline::SetTranslations>().size(), 1U);
  EXPECT_EQ(world.commanded<pipeline::SetPolicy>().size(), 1U);
}
// Items 74 to 76 and 80.
TEST_F(Granted, WhatMayNotBeAnnouncedIsAnsweredInactiveAtOnceAndNotResolved) {
  announce("wiki.lab.test", R"("100.96.0.1")", kOther);
  announce("wiki.other.test");
  announce("wiki.lab.test", R"("10.20.0.2")");
  announce("wiki.lab.test", R"("100.100.111.1")");
  announce("wiki.lab.test", "");
  EXPECT_TRUE(world.queries.empty());
  EXPECT_EQ(answers().front(), status("wiki.lab.test", "Inactive", kOther));
  EXPECT_EQ(answers().size(), 5U);
  for (const auto& answer : answers()) EXPECT_NE(answer.find("Inactive"), std::string::npos);
  EXPECT_EQ(dropped(DropReason::name_not_granted), 1U);
  EXPECT_EQ(dropped(DropReason::name_not_covered), 1U);
  EXPECT_EQ(dropped(DropReason::foreign_proxy), 3U);
  EXPECT_FALSE(allows("10.20.0.2"));
}
// Items 77 and 78.
TEST_F(Granted, MalformedAndUnknownMessagesGetNoAnswer) {
  say("{");
  say("");
  say(R"({"resource":"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35","domain":"wiki.lab.test"})");
  say("{}", packet::ControlMessage::kDomainStatus);
  say("{}", 77);
  EXPECT_TRUE(answers().empty());
  EXPECT_TRUE(world.queries.empty());
  EXPECT_EQ(dropped(DropReason::control_malformed), 3U);
}
TEST_F(Granted, ANameThatExistsNoMoreLeadsNowhereButIsActive) {
  announce("wiki.lab.test");
  resolve();
  announce("wiki.lab.test");
  resolve(kNoAddress);
  EXPECT_EQ(answers().back(), status("wiki.lab.test", "Active"));
  EXPECT_EQ(real("100.96.0.1"), "none");
}
TEST_F(Granted, NoAnswerOfTheNameServersKeepsWhatIsKnown) {
  announce("wiki.lab.test");
  resolve({});
  EXPECT_EQ(answers().back(), status("wiki.lab.test", "Inactive"));
  EXPECT_EQ(dropped(DropReason::name_unresolved), 1U);
  EXPECT_FALSE(allows("100.96.0.1"));
  announce("wiki.lab.test");
  resolve();
  announce("wiki.lab.test");
  resolve({});
  EXPECT_EQ(answers().size(), 3U);
  EXPECT_EQ(answers().back(), status("wiki.lab.test", "Active"));
  EXPECT_EQ(real("100.96.0.1"), "10.20.0.2");
}
// Item 92.
TEST_F(Granted, RenumberedProxiesForgetFlowsAndAllOtherNames) {
  announce("wiki.lab.test", R"("100.96.0.1")");
  resolve();
  announce("git.lab.test", R"("100.96.0.2")");
  resolve();
  announce("git.lab.test", R"("100.96.0.1")");
  resolve({std::vector{ip("10.20.0.3")}, std::nullopt});
  EXPECT_TRUE(newest()->forget_flows);
  EXPECT_EQ(real("100.96.0.1"), "10.20.0.3");
  EXPECT_EQ(real("100.96.0.2"), "unknown");
  EXPECT_FALSE(allows("100.96.0.2"));
}
// Items 82 and 83.
TEST_F(Granted, AResourceRevokedWhileResolvingIsAnsweredInactive) {
  authorize(kOther, "git.lab.test");
  announce("wiki.lab.test");
  world.portal_says(portal::RejectAccess{kClient, kWiki});
  resolve();
  EXPECT_EQ(answers().back(), status("wiki.lab.test", "Inactive"));
  EXPECT_FALSE(allows("100.96.0.1"));
}
TEST_F(Granted, AClientGoneWhileResolvingGetsNothing) {
  announce("wiki.lab.test");
  world.portal_says(portal::RejectAccess{kClient, kWiki});
  ASSERT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
  resolve();
  EXPECT_TRUE(answers().empty());
  EXPECT_TRUE(world.commanded<pipeline::SetTranslations>().empty());
}
// Item 84.
TEST_F(Granted, AnswersComeInTheOrderOfTheirLookups) {
  announce("wiki.lab.test", R"("100.96.0.1")");
  announce("git.lab.test", R"("100.96.0.2")");
  std::swap(world.queries[0], world.queries[1]);
  resolve();
  resolve();
  ASSERT_EQ(answers().size(), 2U);
  EXPECT_EQ(answers()[0], status("git.lab.test", "Active"));
  EXPECT_EQ(answers()[1], status("wiki.lab.test", "Active"));
}
// Item 23.
TEST_F(Granted, NamesOutliveTheConnection) {
  announce("wiki.lab.test");
  resolve();
  const auto before = slot();
  authorize(kWiki, "*.lab.test", 8);
  ASSERT_NE(slot(), before);
  EXPECT_EQ(newest()->slot, slot());
  EXPECT_EQ(real("100.96.0.1"), "10.20.0.2");
  EXPECT_TRUE(allows("100.96.0.1"));
}
TEST_F(Granted, OneClientAwaitsSixtyFourNamesAndTheNextIsDroppedWithoutAnAnswer) {
  for (int i = 0; i < 65; ++i) announce("wiki.lab.test");
  EXPECT_EQ(world.queries.size(), 64U);
  EXPECT_TRUE(answers().empty());
  EXPECT_EQ(dropped(DropReason::names_limited), 1U);
}
TEST_F(Granted, AnnouncementsHaveARate) {
  for (int i = 0; i < controller::kAnnouncementBurst; ++i) announce("wiki.other.test");
  EXPECT_EQ(answers().size(), std::size_t{controller::kAnnouncementBurst});
  announce("wiki.other.test");
  EXPECT_EQ(answers().size(), std::size_t{controller::kAnnouncementBurst});
  EXPECT_EQ(dropped(DropReason::names_limited), 1U);
  world.advance(controller::kAnnouncementInterval);
  announce("wiki.other.test");
  EXPECT_EQ(answers().size(), controller::kAnnouncementBurst + 1U);
}
TEST_F(Granted, ManyNamesAreCompiledTogetherAndAnsweredThen) {
  for (std::size_t i = 0; i < 20; ++i) {
    std::string proxies;
    for (int j = 0; j < 16; ++j) {
      proxies += (j == 0 ? "\"100.97." : ",\"100.97.") + std::to_string(i) + "." +
                 std::to_string(j) + "\"";
    }
    announce(("n" + std::to_string(i) + ".lab.test").c_str(), proxies.c_str());
    resolve();
  }
  // From the seventeenth on the cost of the one before is made good first.
  EXPECT_EQ(answers().size(), 17U);
  EXPECT_EQ(world.commanded<pipeline::SetTranslations>().size(), 17U);
  world.advance(2ms);
  EXPECT_EQ(answers().size(), 20U);
  EXPECT_EQ(world.commanded<pipeline::SetTranslations>().size(), 18U);
  EXPECT_EQ(real("100.97.19.15"), "10.20.0.2");
  EXPECT_TRUE(allows("100.97.19.15"));
}

// ---- generation A ----

class RequestedName : public NamesTest {
 protected:
  void SetUp() override { world.init(false); }
};

TEST_F(RequestedName, IsTranslatedBeforeTheRequestIsAnswered) {
  request("wiki.lab.test", {ip("100.96.0.1"), ip("fd00:2021:1111:8000::")});
  resolve({std::vector{ip("10.20.0.2")}, std::vector<IpAddress>{}});
  ASSERT_EQ(world.all_said<portal::ConnectionReady>().size(), 1U);
  EXPECT_EQ(real("100.96.0.1"), "10.20.0.2");
  EXPECT_EQ(real("fd00:2021:1111:8000::"), "10.20.0.2") << "borrowed from the other family";
  EXPECT_TRUE(newest()->translations->watches_silence());
  EXPECT_TRUE(allows("100.96.0.1"));
  EXPECT_TRUE(allows("10.20.0.2"));
}
TEST_F(RequestedName, WithoutProxiesIsReachedAtItsAddressesOnly) {
  request("wiki.lab.test", {});
  resolve();
  const auto ready = world.all_said<portal::ConnectionReady>();
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_EQ(ready[0]->domain->addresses, (std::vector{ip("fd20::2"), ip("10.20.0.2")}));
  EXPECT_TRUE(allows("10.20.0.2"));
  EXPECT_EQ(real("100.96.0.1"), "unknown");
}
TEST_F(RequestedName, WithForeignProxiesIsNeitherResolvedNorAnswered) {
  request("wiki.lab.test", {ip("10.20.0.9")});
  EXPECT_TRUE(world.queries.empty());
  EXPECT_TRUE(world.said.empty());
  EXPECT_EQ(dropped(DropReason::foreign_proxy), 1U);
}
TEST_F(RequestedName, IsAnsweredWithNoAddressWhenNobodyKnowsIt) {
  request("wiki.lab.test", {ip("100.96.0.1")});
  resolve({});
  const auto ready = world.all_said<portal::ConnectionReady>();
  ASSERT_EQ(ready.size(), 1U);
  EXPECT_TRUE(ready[0]->domain->addresses.empty());
  EXPECT_FALSE(allows("100.96.0.1"));
}
TEST_F(RequestedName, OnAProxyOfAnotherNameTakesThatProxyAloneAndForgetsFlows) {
  request("wiki.lab.test", {ip("100.96.0.1"), ip("100.96.0.2")});
  resolve();
  allow("git.lab.test", {ip("100.96.0.1")});
  resolve({std::vector{ip("10.20.0.3")}, std::nullopt});
  EXPECT_TRUE(newest()->forget_flows);
  EXPECT_EQ(real("100.96.0.1"), "10.20.0.3");
  EXPECT_EQ(real("100.96.0.2"), "10.20.0.2");
}
// Spec policy 4.4.
class Silent : public RequestedName {
 protected:
  void SetUp() override {
    RequestedName::SetUp();
    request("wiki.lab.test", {ip("100.96.0.1")});
    resolve();
    fall_silent();
  }
  void fall_silent() {
    const auto name = newest()->translations->find(ip("100.96.0.1"))->name;
    world.controller.on_event(pipeline::NameSilent{slot(), name}, world.now, world.wall());
    world.settle();
  }
};
TEST_F(Silent, ANameIsResolvedAgainAndLeadsToItsNewAddress) {
  ASSERT_EQ(world.queries.size(), 1U);
  EXPECT_EQ(world.queries[0].name, "wiki.lab.test");
  resolve({std::vector{ip("10.20.0.7")}, std::vector<IpAddress>{}});
  EXPECT_EQ(real("100.96.0.1"), "10.20.0.7");
  EXPECT_TRUE(allows("10.20.0.7"));
  EXPECT_FALSE(allows("10.20.0.2"));
}
TEST_F(Silent, ANameNobodyAnswersForStaysAsItIsAndIsNotAskedForAtOnceAgain) {
  resolve({});
  EXPECT_EQ(real("100.96.0.1"), "10.20.0.2");
  fall_silent();
  EXPECT_TRUE(world.queries.empty());
}
TEST_F(RequestedName, GoesWithTheConnection) {
  request("wiki.lab.test", {ip("100.96.0.1")});
  resolve();
  ASSERT_EQ(world.controller.summary().clients, 1U);
  world.advance(15s);  // no candidate ever came
  EXPECT_EQ(world.commanded<pipeline::RemoveClient>().size(), 1U);
  EXPECT_EQ(world.controller.summary().clients, 0U);
}
TEST_F(RequestedName, GoesWithItsLastGrantWhileTheConnectionStays) {
  request("wiki.lab.test", {ip("100.96.0.1")});
  resolve();
  world.portal_says(portal::RejectAccess{kClient, kWiki});
  EXPECT_TRUE(world.commanded<pipeline::RemoveClient>().empty());
  EXPECT_EQ(real("100.96.0.1"), "unknown");
  EXPECT_FALSE(allows("100.96.0.1"));
  announce("wiki.lab.test");
  EXPECT_TRUE(answers().empty()) << "without any access there is nobody to answer";
  EXPECT_EQ(dropped(DropReason::name_not_granted), 1U);
}

}  // namespace
}  // namespace fg
