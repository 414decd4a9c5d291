// Names of a client inside the access list. What a name leads to is control/dns's test.
#include <gmock/gmock.h>

#include "tests/unit/control/acl/access_list.h"

namespace fg::acl {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::IsEmpty;

const ClientId kClient = client(1);
IpAddress ip(const char* text) { return *IpAddress::parse(text); }
std::vector<IpAddress> ips(std::initializer_list<const char*> texts) {
  std::vector<IpAddress> out;
  for (const auto* text : texts) out.push_back(ip(text));
  return out;
}
Filter tcp(std::uint16_t port) { return {Filter::Protocol::tcp, port, port}; }
const dns::Resolved kResolved{ips({"10.0.0.1"}), ips({"2001:db8::1"})};
const std::vector<IpAddress> kProxies = ips({"100.96.0.1", "fd00:2021:1111:8000::"});

class AccessNames : public Access {
 protected:
  static Grant named(Resource resource, std::string name, std::vector<IpAddress> proxies,
                     dns::Resolved resolved = kResolved) {
    auto out = old_style(std::move(resource), std::nullopt,
                         portal::Domain{std::move(name), std::move(proxies)});
    out.resolved = std::move(resolved);
    return out;
  }
  Result<Change, DropReason> announce(std::uint8_t resource, std::string_view name,
                                      const std::vector<IpAddress>& proxies = kProxies,
                                      const dns::Resolved& resolved = kResolved) {
    return list_.announce(kClient, {id(resource), name, proxies}, resolved);
  }
};

// Spec policy 10.6, items 74 to 76 and 80.
TEST_F(AccessNames, OnlyGrantedNamesOnProxyAddressesMayBeAnnounced) {
  grant(newest(dns(1, "*.lab.test")));
  grant(newest(cidr(2, "10.0.0.0/8")));
  const auto refused = [&](std::uint8_t resource, std::string_view name,
                           const std::vector<IpAddress>& proxies) {
    return list_.refusal_of(kClient, {id(resource), name, proxies});
  };
  EXPECT_EQ(refused(1, "wiki.lab.test", kProxies), std::nullopt);
  EXPECT_EQ(refused(2, "wiki.lab.test", kProxies), DropReason::name_not_granted);
  EXPECT_EQ(refused(3, "wiki.lab.test", kProxies), DropReason::name_not_granted);
  EXPECT_EQ(refused(1, "wiki.other.test", kProxies), DropReason::name_not_covered);
  EXPECT_EQ(list_.refusal_of(client(9), {id(1), "wiki.lab.test", kProxies}),
            DropReason::name_not_granted);
  for (const auto* foreign :
       {"10.0.0.1", "100.95.255.255", "100.128.0.0", "100.64.0.1", "100.100.111.1",
        "fd00:2021:1111::1", "fd00:2021:1111:8000::20:0", "fd00:2021:1111:8000:100:100:111:1"}) {
    EXPECT_EQ(refused(1, "wiki.lab.test", ips({"100.96.0.1", foreign})), DropReason::foreign_proxy)
        << foreign;
    EXPECT_EQ(announce(1, "wiki.lab.test", ips({foreign})).error(), DropReason::foreign_proxy);
    EXPECT_TRUE(list_.rules_for(kClient).hosts.empty());
  }
  EXPECT_EQ(refused(1, "wiki.lab.test", {}), DropReason::foreign_proxy);
  const std::vector<IpAddress> many(16, ip("100.127.255.255"));
  EXPECT_EQ(refused(1, "wiki.lab.test", many), std::nullopt);
  const std::vector<IpAddress> too_many(17, ip("100.127.255.255"));
  EXPECT_EQ(refused(1, "wiki.lab.test", too_many), DropReason::foreign_proxy);
}

// Items 43 and 44.
TEST_F(AccessNames, ProxiesAreReachedUnderTheFiltersOfTheirResourcesAlone) {
  grant(newest(dns(1, "wiki.lab.test", {tcp(80)})));
  grant(newest(dns(2, "**.lab.test", {tcp(443)})));
  EXPECT_FALSE(allows_tcp("100.96.0.1", 80));
  ASSERT_TRUE(announce(1, "wiki.lab.test"));
  EXPECT_TRUE(allows_tcp("100.96.0.1", 80));
  EXPECT_TRUE(allows_tcp("fd00:2021:1111:8000::", 80));
  EXPECT_FALSE(allows_tcp("100.96.0.1", 443));
  const auto change = announce(2, "wiki.lab.test");
  ASSERT_TRUE(change);
  EXPECT_THAT(change->recompile, ElementsAre(kClient));
  EXPECT_THAT(change->translate, IsEmpty());
  EXPECT_TRUE(allows_tcp("100.96.0.1", 443));
  EXPECT_FALSE(allows_tcp("10.0.0.1", 80)) << "the real address is no resource";
}
// Items 46 and 48: the Internet resource has nothing to do with proxies.
TEST_F(AccessNames, TheInternetResourceDoesNotWidenAName) {
  grant(newest(dns(1, "wiki.lab.test", {tcp(80)})));
  grant(newest(internet(7)));
  ASSERT_TRUE(announce(1, "wiki.lab.test"));
  EXPECT_TRUE(allows_tcp("100.96.0.1", 80));
  EXPECT_FALSE(allows_tcp("100.96.0.1", 81));
  EXPECT_FALSE(allows_tcp("100.96.0.2", 80));
  EXPECT_FALSE(allows_tcp("100.127.255.255", 80));
}
TEST_F(AccessNames, TranslationsOutliveTheirResourceAndServeItsNextGrant) {
  grant(newest(dns(1, "wiki.lab.test"), kNowUnix + 60));
  grant(newest(dns(2, "git.lab.test")));
  ASSERT_TRUE(announce(1, "wiki.lab.test"));
  list_.expire(kNow + 60s);
  EXPECT_FALSE(allows_tcp("100.96.0.1", 80));
  EXPECT_EQ(list_.names_of(kClient)->proxies().size(), 2U);
  EXPECT_EQ(announce(1, "wiki.lab.test").error(), DropReason::name_not_granted);
  grant(newest(dns(1, "wiki.lab.test")));
  EXPECT_TRUE(allows_tcp("100.96.0.1", 80));
}
TEST_F(AccessNames, AGrantWithAnotherPatternDropsNamesItDoesNotCover) {
  grant(newest(dns(1, "*.lab.test")));
  ASSERT_TRUE(announce(1, "wiki.lab.test"));
  EXPECT_THAT(grant(newest(dns(1, "git.lab.test"))).recompile, ElementsAre(kClient));
  EXPECT_FALSE(allows_tcp("100.96.0.1", 80));
  grant(newest(dns(1, "*.lab.test")));
  EXPECT_FALSE(allows_tcp("100.96.0.1", 80)) << "only an announcement brings it back";
}
TEST_F(AccessNames, NamesGoWithTheLastGrantAndWithTheAddressesOfTheTunnel) {
  grant(newest(dns(1, "*.lab.test")));
  ASSERT_TRUE(announce(1, "wiki.lab.test"));
  EXPECT_EQ(list_.translation_count(), 2U);
  auto elsewhere = newest(dns(1, "*.lab.test"));
  elsewhere.v4 = k4b;
  const auto change = grant(elsewhere);
  EXPECT_THAT(change.translate, ElementsAre(kClient));
  EXPECT_THAT(change.renumbered, ElementsAre(kClient));
  EXPECT_EQ(list_.translation_count(), 0U);
  ASSERT_TRUE(announce(1, "wiki.lab.test"));
  list_.reject(kClient, id(1));
  EXPECT_EQ(list_.translation_count(), 0U);
  EXPECT_EQ(list_.names_of(kClient), nullptr);
}
TEST_F(AccessNames, AddressesNoResourceHasLeadNowhere) {
  grant(newest(dns(1, "*.lab.test")));
  ASSERT_TRUE(announce(
      1, "wiki.lab.test", kProxies,
      {ips({"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "100.64.0.9", "100.96.0.9"}),
       ips({"::", "::1", "ff02::1", "fd00:2021:1111::9", "fd00:2021:1111:8000::9",
            "::ffff:10.0.0.1"})}));
  for (const auto& [address, proxy] : list_.names_of(kClient)->proxies())
    EXPECT_EQ(proxy.real, std::nullopt) << address.to_string();
}
TEST_F(AccessNames, TranslationsAreBoundedForAClientAndForAll) {
  AccessList list{kStart, {.translations = 3, .translations_of_all = 5}};
  const auto other = client(2);
  ASSERT_TRUE(list.grant(newest(dns(1, "**")), kNow));
  auto second = newest(dns(1, "**"));
  second.client = other;
  second.v4 = k4b;
  second.v6 = k6b;
  ASSERT_TRUE(list.grant(second, kNow));
  const auto announce = [&](ClientId client, const char* name,
                            const std::vector<IpAddress>& proxies) {
    const auto id1 = id(1);
    return list.announce(client, {id1, name, proxies}, kResolved);
  };
  ASSERT_TRUE(announce(kClient, "a.test", ips({"100.96.0.1", "100.96.0.2", "100.96.0.3"})));
  EXPECT_EQ(announce(kClient, "b.test", ips({"100.96.0.4"})).error(),
            DropReason::translations_full);
  ASSERT_TRUE(announce(other, "a.test", ips({"100.96.0.1", "100.96.0.2"})));
  EXPECT_EQ(announce(other, "b.test", ips({"100.96.0.3"})).error(), DropReason::translations_full);
  EXPECT_EQ(list.translation_count(), 5U);
  list.remove(kClient);
  EXPECT_TRUE(announce(other, "b.test", ips({"100.96.0.3"})));
}
TEST_F(AccessNames, AsManyTranslationsAsAClientMayHaveCompile) {
  grant(newest(dns(1, "**", {tcp(80), tcp(81), tcp(82), tcp(83), tcp(84)})));
  for (std::uint32_t n = 0; n < nat::kTranslationsMax; n += dns::kProxiesMax) {
    std::vector<IpAddress> proxies;
    for (std::uint32_t i = n; i < n + dns::kProxiesMax; ++i)
      proxies.push_back(IpAddress::v4(100, static_cast<std::uint8_t>(104 + (i >> 16)),
                                      static_cast<std::uint8_t>(i >> 8),
                                      static_cast<std::uint8_t>(i)));
    ASSERT_TRUE(announce(1, "n" + std::to_string(n) + ".test", proxies)) << n;
  }
  EXPECT_EQ(list_.translation_count(), nat::kTranslationsMax);
  EXPECT_EQ(announce(1, "more.test", ips({"100.96.0.1"})).error(), DropReason::translations_full);
  EXPECT_TRUE(allows_tcp("100.104.255.255", 84));
  EXPECT_FALSE(allows_tcp("100.104.255.255", 85));
}

// ---- generation A ----

// Items 16 and 45.
TEST_F(AccessNames, UnderAANameIsReachedAtItsProxiesAndItsRealAddresses) {
  const auto change = grant(named(dns(1, "*.lab.test", {tcp(80)}), "wiki.lab.test", kProxies));
  EXPECT_THAT(change.translate, ElementsAre(kClient));
  for (const auto* address : {"100.96.0.1", "fd00:2021:1111:8000::", "10.0.0.1", "2001:db8::1"}) {
    EXPECT_TRUE(allows_tcp(address, 80)) << address;
    EXPECT_FALSE(allows_tcp(address, 81)) << address;
  }
}
TEST_F(AccessNames, UnderAANameWithoutProxiesIsReachedAtItsRealAddresses) {
  EXPECT_THAT(grant(named(dns(1, "*.lab.test"), "wiki.lab.test", {})).translate, IsEmpty());
  EXPECT_TRUE(allows_tcp("10.0.0.1", 80));
  EXPECT_TRUE(list_.names_of(kClient)->proxies().empty());
}
// Item 15.
TEST_F(AccessNames, UnderATwoNamesOfOneResourceExpireAlone) {
  auto first = named(dns(1, "*.lab.test"), "wiki.lab.test", ips({"100.96.0.1"}));
  first.expires_at = kNowUnix + 60;
  grant(first);
  grant(named(dns(1, "*.lab.test"), "git.lab.test", ips({"100.96.0.2"}), {ips({"10.0.0.2"}), {}}));
  EXPECT_TRUE(allows_tcp("100.96.0.1", 80));
  EXPECT_THAT(list_.expire(kNow + 60s).recompile, ElementsAre(kClient));
  EXPECT_FALSE(allows_tcp("100.96.0.1", 80));
  EXPECT_FALSE(allows_tcp("10.0.0.1", 80));
  EXPECT_TRUE(allows_tcp("100.96.0.2", 80));
  EXPECT_TRUE(allows_tcp("10.0.0.2", 80));
}
TEST_F(AccessNames, UnderAANewAnswerReplacesTheOldOneButNoAnswerDoesNot) {
  grant(named(dns(1, "*.lab.test"), "wiki.lab.test", kProxies));
  EXPECT_TRUE(grant(named(dns(1, "*.lab.test"), "wiki.lab.test", kProxies)).empty());
  EXPECT_TRUE(grant(named(dns(1, "*.lab.test"), "WIKI.lab.test", kProxies, {})).empty());
  EXPECT_TRUE(allows_tcp("10.0.0.1", 80));
  const auto change =
      grant(named(dns(1, "*.lab.test"), "wiki.lab.test", kProxies, {ips({"10.0.0.2"}), {}}));
  EXPECT_THAT(change.recompile, ElementsAre(kClient));
  EXPECT_THAT(change.translate, ElementsAre(kClient));
  EXPECT_FALSE(allows_tcp("10.0.0.1", 80));
  EXPECT_TRUE(allows_tcp("10.0.0.2", 80));
  EXPECT_EQ(list_.grant_count(kClient), 1U);
}
TEST_F(AccessNames, UnderAAForeignProxyOrTooManyTranslationsRefuseTheGrant) {
  EXPECT_EQ(list_.refusal_of(named(dns(1, "*.lab.test"), "wiki.lab.test", ips({"10.0.0.9"}))),
            Refusal::foreign_proxy);
  AccessList list{kStart, {.translations = 2}};
  ASSERT_TRUE(list.grant(named(dns(1, "*.lab.test"), "wiki.lab.test", kProxies), kNow));
  EXPECT_TRUE(list.grant(named(dns(1, "*.lab.test"), "wiki.lab.test", kProxies), kNow));
  EXPECT_EQ(list.refusal_of(named(dns(1, "*.lab.test"), "git.lab.test", ips({"100.96.0.9"}))),
            Refusal::translations_full);
  EXPECT_FALSE(list.has(ClientId{}));
}
TEST_F(AccessNames, UnderAARefreshMovesEveryGrantOfTheName) {
  grant(named(dns(1, "*.lab.test", {tcp(80)}), "wiki.lab.test", kProxies));
  grant(named(dns(2, "wiki.lab.test", {tcp(81)}), "wiki.lab.test", kProxies));
  const auto name = list_.names_of(kClient)->proxies().begin()->second.id;
  EXPECT_EQ(list_.start_refresh(kClient, name, kNow), "wiki.lab.test");
  EXPECT_TRUE(list_.refresh(kClient, name, {}).empty());
  EXPECT_TRUE(list_.refresh(kClient, name, kResolved).empty());
  const auto change = list_.refresh(kClient, name, {ips({"10.0.0.2"}), ips({})});
  EXPECT_THAT(change.recompile, ElementsAre(kClient));
  EXPECT_THAT(change.translate, ElementsAre(kClient));
  EXPECT_FALSE(allows_tcp("10.0.0.1", 80));
  EXPECT_TRUE(allows_tcp("10.0.0.2", 80));
  EXPECT_TRUE(allows_tcp("10.0.0.2", 81));
  EXPECT_FALSE(list_.start_refresh(ClientId{}, name, kNow + 60s));
}

}  // namespace
}  // namespace fg::acl
