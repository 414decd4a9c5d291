#include "control/dns/names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fg::dns {
namespace {

using testing::ElementsAre;

constexpr std::size_t kRoom = 1000;
constexpr Instant kNow{1000s};

IpAddress ip(const char* text) { return *IpAddress::parse(text); }
std::vector<IpAddress> ips(std::initializer_list<const char*> texts) {
  std::vector<IpAddress> out;
  for (const auto* text : texts) out.push_back(ip(text));
  return out;
}
ResourceId id(std::uint8_t n) { return ResourceId{std::array<std::uint8_t, 16>{n}}; }
const ResourceId kWiki = id(1);
const ResourceId kOther = id(2);

const std::vector<IpAddress> kProxies = ips({"100.96.0.1", "100.96.0.2", "100.96.0.3", "100.96.0.4",
                                             "fd00:2021:1111:8000::", "fd00:2021:1111:8000::1",
                                             "fd00:2021:1111:8000::2", "fd00:2021:1111:8000::3"});
Resolved both(std::vector<IpAddress> v4, std::vector<IpAddress> v6) {
  return {std::move(v4), std::move(v6)};
}
const Resolved kFailed;

class NamesTest : public testing::Test {
 protected:
  Result<Names::Change, DropReason> announce(std::string_view name, const Resolved& resolved,
                                             const std::vector<IpAddress>& proxies = kProxies,
                                             const ResourceId& resource = kWiki) {
    return names_.set_up({resource, name, proxies}, resolved, Assignment::sorted, kRoom);
  }
  Names::Change assign(std::string_view name, const Resolved& resolved,
                       const std::vector<IpAddress>& proxies = kProxies) {
    return *names_.set_up({kWiki, name, proxies}, resolved, Assignment::crossed, kRoom);
  }
  [[nodiscard]] std::string real(const char* proxy) const {
    const auto at = names_.proxies().find(ip(proxy));
    if (at == names_.proxies().end()) return "unknown";
    return at->second.real ? at->second.real->to_string() : "none";
  }
  [[nodiscard]] NameId id_of(const char* proxy) const { return names_.proxies().at(ip(proxy)).id; }

  Names names_;
};

// Spec policy 10.5, items 66 to 68.
TEST_F(NamesTest, ProxiesCycleThroughTheSortedAddressesOfTheirFamily) {
  ASSERT_TRUE(announce("wiki.test", both(ips({"10.0.0.9", "10.0.0.1", "10.0.0.5", "10.0.0.1"}),
                                         ips({"2001:db8::1"}))));
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.1");
  EXPECT_EQ(real("100.96.0.2"), "10.0.0.5");
  EXPECT_EQ(real("100.96.0.3"), "10.0.0.9");
  EXPECT_EQ(real("100.96.0.4"), "10.0.0.1");
  EXPECT_EQ(real("fd00:2021:1111:8000::3"), "2001:db8::1");
}
TEST_F(NamesTest, TheOrderOfProxiesAndOfAnswersDoesNotMatter) {
  auto proxies = kProxies;
  std::ranges::reverse(proxies);
  const auto six = ips({"10.0.0.6", "10.0.0.5", "10.0.0.4", "10.0.0.3", "10.0.0.2", "10.0.0.1"});
  ASSERT_TRUE(announce("wiki.test", both(six, {}), proxies));
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.1");
  EXPECT_EQ(real("100.96.0.4"), "10.0.0.4");
}
TEST_F(NamesTest, AFamilyWithoutAddressesHasProxiesThatLeadNowhere) {
  ASSERT_TRUE(announce("v6-only.test", both({}, ips({"2001:db8::1"}))));
  EXPECT_EQ(names_.proxies().size(), 8U);
  EXPECT_EQ(real("100.96.0.1"), "none");
  EXPECT_EQ(real("fd00:2021:1111:8000::"), "2001:db8::1");
}
TEST_F(NamesTest, AnEmptyAnswerIsAnAnswer) {
  ASSERT_TRUE(announce("wiki.test", both(ips({"10.0.0.1"}), {})));
  const auto change = announce("wiki.test", both({}, {}));
  ASSERT_TRUE(change);
  EXPECT_TRUE(change->mappings);
  EXPECT_EQ(real("100.96.0.1"), "none");
}
TEST_F(NamesTest, NoAnswerKeepsWhatIsKnownAndRefusesWhatIsNot) {
  EXPECT_EQ(announce("wiki.test", kFailed).error(), DropReason::name_unresolved);
  EXPECT_TRUE(names_.proxies().empty());
  ASSERT_TRUE(announce("wiki.test", both(ips({"10.0.0.1"}), {})));
  EXPECT_EQ(*announce("Wiki.Test", kFailed), Names::Change{});
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.1");
}
TEST_F(NamesTest, AFamilyNobodyAnsweredForKeepsItsAddresses) {
  ASSERT_TRUE(announce("wiki.test", both(ips({"10.0.0.1"}), ips({"2001:db8::1"}))));
  ASSERT_TRUE(announce("wiki.test", {std::nullopt, ips({"2001:db8::2"})}));
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.1");
  EXPECT_EQ(real("fd00:2021:1111:8000::"), "2001:db8::2");
}
TEST_F(NamesTest, ARepeatedAnnouncementChangesNothing) {
  const auto resolved = both(ips({"10.0.0.1"}), {});
  EXPECT_EQ(*announce("wiki.test", resolved), (Names::Change{true, true, false}));
  EXPECT_EQ(*announce("wiki.test", resolved), Names::Change{});
  EXPECT_EQ(*announce("WIKI.test.", resolved), Names::Change{});
}
TEST_F(NamesTest, AnotherResourceAddsItselfToTheSameProxies) {
  const auto resolved = both(ips({"10.0.0.1"}), {});
  ASSERT_TRUE(announce("wiki.test", resolved));
  EXPECT_EQ(*announce("wiki.test", resolved, kProxies, kOther),
            (Names::Change{false, true, false}));
  EXPECT_THAT(names_.proxies().at(ip("100.96.0.1")).resources, ElementsAre(kWiki, kOther));
  EXPECT_EQ(names_.weight(), 16U);
}
// Item 92.
TEST_F(NamesTest, AnotherNameOnAKnownProxyForgetsEverything) {
  ASSERT_TRUE(announce("wiki.test", both(ips({"10.0.0.1"}), {}), ips({"100.96.0.1"})));
  ASSERT_TRUE(announce("git.test", both(ips({"10.0.0.2"}), {}), ips({"100.96.0.2"})));
  const auto change = announce("git.test", both(ips({"10.0.0.3"}), {}), ips({"100.96.0.1"}));
  EXPECT_EQ(*change, (Names::Change{true, true, true}));
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.3");
  EXPECT_EQ(real("100.96.0.2"), "unknown");
  EXPECT_EQ(names_.weight(), 1U);
}
TEST_F(NamesTest, ARenumberedNameNobodyAnswersForKeepsItsAddresses) {
  ASSERT_TRUE(announce("wiki.test", both(ips({"10.0.0.1"}), {}), ips({"100.96.0.1"})));
  ASSERT_TRUE(announce("git.test", both(ips({"10.0.0.2"}), {}), ips({"100.96.0.2"})));
  ASSERT_TRUE(announce("git.test", kFailed, ips({"100.96.0.1"})));
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.2");
}
TEST_F(NamesTest, TheSameNameInOtherLettersIsNoOtherName) {
  ASSERT_TRUE(announce("wiki.test", both(ips({"10.0.0.1"}), {})));
  EXPECT_FALSE(announce("WIKI.test", both(ips({"10.0.0.2"}), {}))->renumbered);
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.2");
}
TEST_F(NamesTest, IdsLastAsLongAsTheirNameAndAreNeverReused) {
  ASSERT_TRUE(announce("wiki.test", both({}, {}), ips({"100.96.0.1"})));
  const auto first = id_of("100.96.0.1");
  ASSERT_TRUE(announce("wiki.test", both({}, {}), ips({"100.96.0.2"})));
  EXPECT_EQ(id_of("100.96.0.2"), first);
  ASSERT_TRUE(announce("git.test", both({}, {}), ips({"100.96.0.1"})));
  EXPECT_NE(id_of("100.96.0.1"), first);
  EXPECT_FALSE(names_.name_of(first));
}
TEST_F(NamesTest, WeightStopsAtItsRoomAndNothingIsLeftOfTheRefused) {
  const auto resolved = both(ips({"10.0.0.1"}), {});
  const auto set_up = [&](const std::vector<IpAddress>& proxies, const ResourceId& resource) {
    return names_.set_up({resource, "wiki.test", proxies}, resolved, Assignment::sorted, 8);
  };
  ASSERT_TRUE(set_up(kProxies, kWiki));
  ASSERT_TRUE(set_up(kProxies, kWiki)) << "again is no more";
  EXPECT_EQ(set_up(ips({"100.96.0.5"}), kWiki).error(), DropReason::translations_full);
  EXPECT_EQ(set_up(ips({"100.96.0.1"}), kOther).error(), DropReason::translations_full);
  EXPECT_EQ(names_.weight(), 8U);
  EXPECT_EQ(real("100.96.0.5"), "unknown");
}
TEST_F(NamesTest, ANarrowerResourceLosesTheNamesItNoLongerCovers) {
  const auto resolved = both(ips({"10.0.0.1"}), {});
  ASSERT_TRUE(announce("wiki.test", resolved, ips({"100.96.0.1", "100.96.0.2"})));
  ASSERT_TRUE(announce("git.test", resolved, ips({"100.96.0.3"})));
  const auto change =
      names_.restrict(kWiki, [](std::string_view name) { return name == "git.test"; });
  EXPECT_EQ(change, (Names::Change{false, true, false}));
  EXPECT_THAT(names_.proxies().at(ip("100.96.0.1")).resources, ElementsAre());
  EXPECT_THAT(names_.proxies().at(ip("100.96.0.3")).resources, ElementsAre(kWiki));
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.1");
  EXPECT_EQ(names_.weight(), 3U);
}

// ---- generation A: spec policy 4.3, 4.4, item 69 ----

TEST_F(NamesTest, UnderAAddressesAndProxiesKeepTheirOrder) {
  assign("wiki.test", both(ips({"10.0.0.9", "10.0.0.1"}), ips({"2001:db8::2", "2001:db8::1"})),
         ips({"100.96.0.7", "fd00:2021:1111:8000::9", "100.96.0.2", "100.96.0.3"}));
  EXPECT_EQ(real("100.96.0.7"), "10.0.0.9");
  EXPECT_EQ(real("100.96.0.2"), "10.0.0.1");
  EXPECT_EQ(real("100.96.0.3"), "10.0.0.9");
  EXPECT_EQ(real("fd00:2021:1111:8000::9"), "2001:db8::2");
}
TEST_F(NamesTest, UnderAAFamilyWithoutAddressesBorrowsTheOthers) {
  assign("v6-only.test", both({}, ips({"2001:db8::2", "2001:db8::1"})));
  EXPECT_EQ(real("100.96.0.1"), "2001:db8::2");
  EXPECT_EQ(real("100.96.0.2"), "2001:db8::1");
  EXPECT_EQ(real("fd00:2021:1111:8000::"), "2001:db8::2");
}
TEST_F(NamesTest, UnderANothingIsWrittenForANameWithoutAddresses) {
  EXPECT_EQ(assign("none.test", both({}, {})), Names::Change{});
  EXPECT_EQ(assign("none.test", kFailed), Names::Change{});
  EXPECT_TRUE(names_.proxies().empty());
  assign("wiki.test", both(ips({"10.0.0.1"}), {}));
  EXPECT_EQ(assign("wiki.test", both({}, {})), Names::Change{});
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.1");
}
TEST_F(NamesTest, UnderAProxiesMoveToAnotherNameAloneAndNeverLeadToTheOldOne) {
  assign("wiki.test", both(ips({"10.0.0.1"}), {}), ips({"100.96.0.1", "100.96.0.2"}));
  EXPECT_TRUE(assign("git.test", both(ips({"10.0.0.2"}), {}), ips({"100.96.0.2", "100.96.0.3"}))
                  .renumbered);
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.1");
  EXPECT_EQ(real("100.96.0.2"), "10.0.0.2");
  assign("none.test", both({}, {}), ips({"100.96.0.1", "100.96.0.2"}));
  EXPECT_EQ(real("100.96.0.1"), "unknown");
  EXPECT_EQ(real("100.96.0.2"), "unknown");
  EXPECT_EQ(real("100.96.0.3"), "10.0.0.2");
  EXPECT_EQ(names_.weight(), 1U);
}
TEST_F(NamesTest, ANameIsRefreshedAtMostEveryThirtySeconds) {
  assign("Wiki.test", both(ips({"10.0.0.1"}), {}));
  const auto name = id_of("100.96.0.1");
  EXPECT_EQ(names_.start_refresh(name, kNow), "wiki.test");
  EXPECT_FALSE(names_.start_refresh(name, kNow + 30s - 1ns));
  EXPECT_TRUE(names_.start_refresh(name, kNow + 30s));
  EXPECT_FALSE(names_.start_refresh(NameId{77}, kNow));
}
// Item 120.
TEST_F(NamesTest, ARefreshKeepsTheOldWithoutNewAndIgnoresTheOrder) {
  assign("wiki.test", both(ips({"10.0.0.1", "10.0.0.2"}), {}));
  const auto name = id_of("100.96.0.1");
  EXPECT_EQ(names_.refresh(name, kFailed), Names::Change{});
  EXPECT_EQ(names_.refresh(name, both({}, {})), Names::Change{});
  EXPECT_EQ(names_.refresh(name, both(ips({"10.0.0.2", "10.0.0.1"}), {})), Names::Change{});
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.1");
  EXPECT_TRUE(names_.refresh(name, both(ips({"10.0.0.3"}), {})).mappings);
  EXPECT_EQ(real("100.96.0.1"), "10.0.0.3");
  EXPECT_EQ(real("fd00:2021:1111:8000::"), "10.0.0.3");
}

}  // namespace
}  // namespace fg::dns
