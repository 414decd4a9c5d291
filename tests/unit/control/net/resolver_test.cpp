#include "control/net/resolver.h"

#include <gtest/gtest.h>

#include <algorithm>

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
