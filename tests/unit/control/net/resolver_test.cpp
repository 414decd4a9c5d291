#include "control/net/resolver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "scripted_dns.h"

namespace fg::net {
namespace {

using test::ScriptedDns;

IpAddress ip(const char* text) { return *IpAddress::parse(text); }

class ResolverTest : public testing::Test {
 protected:
  Resolver::Answer resolve(const std::string& name) {
    Resolver resolver{loop, ResolverOptions{0, {dns.address()}}};
    std::optional<Resolver::Answer> answer;
    resolver.resolve(name, [&](Resolver::Answer got) {
      answer = std::move(got);
      loop.stop();
    });
    EXPECT_FALSE(answer);  // never from within the call
    loop.run();
    return *answer;
  }

  Loop loop;
  ScriptedDns dns{{{"both.test", {ip("192.0.2.1"), ip("192.0.2.2"), ip("2001:db8::1")}},
                   {"four.test", {ip("192.0.2.4")}},
                   {"mute6.test", {ip("192.0.2.6")}},
                   {"silent.test", {}}}};
};

TEST_F(ResolverTest, FindsAddressesOfBothFamilies) {
  const auto answer = resolve("both.test");
  ASSERT_TRUE(answer) << answer.error();
  auto addresses = *answer;
  std::sort(addresses.begin(), addresses.end());
  EXPECT_EQ(addresses, (std::vector{ip("192.0.2.1"), ip("192.0.2.2"), ip("2001:db8::1")}));
}

TEST_F(ResolverTest, OneFamilyIsEnough) {
  const auto answer = resolve("four.test");
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_EQ(*answer, std::vector{ip("192.0.2.4")});
}

TEST_F(ResolverTest, AnUnknownNameIsAnErrorInWords) {
  const auto answer = resolve("nowhere.test");
  ASSERT_FALSE(answer);
  EXPECT_FALSE(answer.error().empty());
}

TEST_F(ResolverTest, LiteralsResolveToThemselvesWithoutAQuery) {
  EXPECT_EQ(*resolve("192.0.2.9"), std::vector{ip("192.0.2.9")});
  EXPECT_EQ(*resolve("2001:db8::9"), std::vector{ip("2001:db8::9")});
  EXPECT_EQ(dns.queries(), 0);
}

TEST_F(ResolverTest, TheHostsFileIsConsulted) {
  const auto answer = resolve("localhost");
  ASSERT_TRUE(answer) << answer.error();
  EXPECT_TRUE(std::all_of(answer->begin(), answer->end(),
                          [](const IpAddress& a) { return a.is_loopback(); }));
  EXPECT_FALSE(answer->empty());
  EXPECT_EQ(dns.queries(), 0);
}

TEST_F(ResolverTest, ManyLookupsRunAtTheSameTime) {
  Resolver resolver{loop, ResolverOptions{0, {dns.address()}}};
  int answers = 0;
  for (int i = 0; i < 100; ++i) {
    resolver.resolve("both.test", [&](const Resolver::Answer& answer) {
      EXPECT_TRUE(answer);
      if (++answers == 100) loop.stop();
    });
  }
  loop.run();
  EXPECT_EQ(answers, 100);
}

// A resolver that lives on, asked again and again.
class CacheTest : public ResolverTest {
 protected:
  Resolver::Answer ask(Resolver& resolver, const std::string& name) {
    std::optional<Resolver::Answer> answer;
    resolver.resolve(name, [&](Resolver::Answer got) {
      answer = std::move(got);
      loop.stop();
    });
    EXPECT_FALSE(answer);
    loop.run();
    return *answer;
  }
};

TEST_F(CacheTest, AnswersAreKeptForTheirTimeToLive) {
  Resolver resolver{loop, ResolverOptions{0, {dns.address()}}};
  const auto first = ask(resolver, "both.test");
  EXPECT_EQ(dns.queries(), 2);  // A and AAAA
  EXPECT_EQ(*ask(resolver, "both.test"), *first);
  EXPECT_EQ(dns.queries(), 2);
}

TEST_F(CacheTest, ATimeToLiveOfZeroMeansAskingAnewEveryTime) {
  ScriptedDns fickle{{{"both.test", {ip("192.0.2.1"), ip("2001:db8::1")}}}, 0};
  Resolver resolver{loop, ResolverOptions{0, {fickle.address()}}};
  for (int i = 1; i <= 3; ++i) {
    EXPECT_TRUE(ask(resolver, "both.test"));
    EXPECT_EQ(fickle.queries(), 2 * i);
  }
}

TEST_F(CacheTest, ANameThatDoesNotExistIsKeptForAWhile) {
  Resolver resolver{loop, ResolverOptions{0, {dns.address()}}};
  EXPECT_FALSE(ask(resolver, "nowhere.test"));
  const int before = dns.queries();
  EXPECT_FALSE(ask(resolver, "nowhere.test"));
  EXPECT_EQ(dns.queries(), before);
}
TEST_F(CacheTest, RefusalsAreNotKept) {
  Resolver resolver{loop, ResolverOptions{0, {dns.address()}}};
  EXPECT_FALSE(ask(resolver, "broken.test"));
  const int before = dns.queries();
  EXPECT_FALSE(ask(resolver, "broken.test"));
  EXPECT_GT(dns.queries(), before);
}

// What tells a name without addresses from name servers that do not say (spec policy 4.5.3).
class LookUp : public ResolverTest {
 protected:
  dns::Resolved look_up(const std::string& name) {
    Resolver resolver{loop, ResolverOptions{0, {dns.address()}}};
    std::optional<dns::Resolved> out;
    resolver.look_up(name, [&](dns::Resolved resolved) {
      out = std::move(resolved);
      loop.stop();
    });
    loop.run();
    return *out;
  }
};

TEST_F(LookUp, AnswersByFamily) {
  const auto both = look_up("both.test");
  EXPECT_EQ(both.v4, (std::vector{ip("192.0.2.1"), ip("192.0.2.2")}));
  EXPECT_EQ(both.v6, std::vector{ip("2001:db8::1")});
  const auto four = look_up("four.test");
  EXPECT_EQ(four.v4, std::vector{ip("192.0.2.4")});
  EXPECT_EQ(four.v6, std::vector<IpAddress>{}) << "no AAAA is an answer";
}
TEST_F(LookUp, ANameThatDoesNotExistIsAnAnswer) {
  const auto none = look_up("nowhere.test");
  EXPECT_EQ(none.v4, std::vector<IpAddress>{});
  EXPECT_EQ(none.v6, std::vector<IpAddress>{});
}
TEST_F(LookUp, AServerThatFailsIsNone) { EXPECT_TRUE(look_up("broken.test").is_failed()); }
TEST_F(LookUp, WhatIsMissingAfterItsTimeIsNoAnswer) {
  const auto start = loop.now();
  const auto half = look_up("mute6.test");
  EXPECT_EQ(half.v4, std::vector{ip("192.0.2.6")});
  EXPECT_FALSE(half.v6);
  EXPECT_LT(loop.now() - start, Duration{10s});
}

TEST_F(CacheTest, OneNameMoreThanFitsPushesOutTheOneThatEndsFirst) {
  ScriptedDns::Zone zone;
  const auto name = [](std::size_t i) { return "n" + std::to_string(i) + ".test"; };
  for (std::size_t i = 0; i <= kCachedNamesMax; ++i) zone[name(i)] = {ip("192.0.2.1")};
  ScriptedDns many{zone};
  Resolver resolver{loop, ResolverOptions{0, {many.address()}}};
  for (std::size_t i = 0; i < kCachedNamesMax; ++i) ASSERT_TRUE(ask(resolver, name(i)));
  const int full = many.queries();
  EXPECT_TRUE(ask(resolver, name(0)));
  EXPECT_EQ(many.queries(), full);
  EXPECT_TRUE(ask(resolver, name(kCachedNamesMax)));
  EXPECT_EQ(many.queries(), full + 2);
  EXPECT_TRUE(ask(resolver, name(0)));
  EXPECT_EQ(many.queries(), full + 4);
}

TEST_F(CacheTest, AChangedResolvConfIsObeyedByTheNextLookupAndEmptiesTheCache) {
  const auto path = testing::TempDir() + "/firegate-resolv.conf";
  std::ofstream{path} << "nameserver 127.0.0.1\n";
  Resolver resolver{loop, ResolverOptions{0, {dns.address()}, path}};
  ASSERT_TRUE(ask(resolver, "four.test"));
  const int before = dns.queries();
  ASSERT_TRUE(ask(resolver, "four.test"));
  EXPECT_EQ(dns.queries(), before);
  std::ofstream{path} << "nameserver 127.0.0.1\nsearch other.test\n";
  ASSERT_TRUE(ask(resolver, "four.test"));
  EXPECT_GT(dns.queries(), before);
  std::remove(path.c_str());
}

TEST_F(CacheTest, WhoIsInAHurryDoesNotWaitForTheOtherFamily) {
  Resolver resolver{loop, ResolverOptions{0, {dns.address()}}};
  const auto start = loop.now();
  std::optional<Resolver::Answer> answer;
  resolver.resolve(
      "mute6.test",
      [&](Resolver::Answer got) {
        answer = std::move(got);
        loop.stop();
      },
      Resolver::Families::first_best);
  loop.run();
  ASSERT_TRUE(*answer);
  EXPECT_EQ(**answer, std::vector{ip("192.0.2.6")});
  EXPECT_GE(loop.now() - start, kOtherFamilyWait);
  EXPECT_LT(loop.now() - start, Duration{2s});  // less than the server is waited for
}

TEST_F(ResolverTest, AGoneResolverCallsNobody) {
  bool called = false;
  {
    Resolver resolver{loop, ResolverOptions{0, {dns.address()}}};
    resolver.resolve("silent.test", [&](const Resolver::Answer&) { called = true; });
  }
  loop.on_turn([&](Instant) { loop.stop(); });
  loop.run();
  EXPECT_FALSE(called);
}

}  // namespace
}  // namespace fg::net
