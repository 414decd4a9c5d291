#include "nat/translations.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::nat {
namespace {

using test::ip;

Translation entry(std::string_view proxy, std::string_view real, std::uint32_t name = 1) {
  return {ip(proxy), real.empty() ? std::nullopt : std::optional{ip(real)}, NameId{name}};
}

TEST(TranslationsTest, FindsProxiesOfBothFamiliesWithWhatTheyStandFor) {
  const auto t = Translations::compile(
      {entry("fd00:2021:1111:8000::1", "2001:db8::1"), entry("100.96.0.2", ""),
       entry("100.96.0.1", "192.0.2.1"), entry("fd00:2021:1111:8000::", "192.0.2.1", 7)},
      false);
  EXPECT_EQ(*t->find(ip("100.96.0.1")), entry("100.96.0.1", "192.0.2.1"));
  EXPECT_EQ(t->find(ip("100.96.0.2"))->real, std::nullopt);
  EXPECT_EQ(t->find(ip("fd00:2021:1111:8000::1"))->real, ip("2001:db8::1"));
  EXPECT_EQ(t->find(ip("fd00:2021:1111:8000::"))->name, NameId{7});
  EXPECT_EQ(t->find(ip("100.96.0.3")), nullptr);
  EXPECT_EQ(t->find(ip("100.95.255.255")), nullptr);
  EXPECT_EQ(t->find(ip("fd00:2021:1111:8000::2")), nullptr);
  EXPECT_FALSE(t->watches_silence());
}

TEST(TranslationsTest, AnAddressThatDiffersAboveItsLastFourBytesIsAnother) {
  const auto t = Translations::compile(
      {entry("fd00:2021:1111:8000::1", "2001:db8::1"),
       entry("fd00:2021:1111:8001::1", "2001:db8::2"), entry("0.0.0.1", "192.0.2.1")},
      true);
  EXPECT_EQ(t->find(ip("fd00:2021:1111:8000::1"))->real, ip("2001:db8::1"));
  EXPECT_EQ(t->find(ip("fd00:2021:1111:8001::1"))->real, ip("2001:db8::2"));
  EXPECT_EQ(t->find(ip("fd00:2021:1111:8002::1")), nullptr);
  EXPECT_EQ(t->find(ip("0.0.0.1"))->real, ip("192.0.2.1"));
  EXPECT_TRUE(t->watches_silence());
}

TEST(TranslationsTest, OfSeveralEntriesForOneProxyTheLastCounts) {
  const auto t =
      Translations::compile({entry("100.96.0.1", "192.0.2.1"), entry("100.96.0.2", "192.0.2.9"),
                             entry("100.96.0.1", "192.0.2.2")},
                            false);
  EXPECT_EQ(t->find(ip("100.96.0.1"))->real, ip("192.0.2.2"));
  EXPECT_EQ(t->entries().size(), 2U);
}

TEST(TranslationsTest, NoneAtAllFindNothing) {
  const auto t = Translations::compile({}, false);
  EXPECT_EQ(t->find(ip("100.96.0.1")), nullptr);
  EXPECT_EQ(t->find(ip("fd00:2021:1111:8000::1")), nullptr);
}

TEST(TranslationsTest, RefusesMoreThanTheLimitAndFindsAllAtIt) {
  std::vector<Translation> entries;
  for (std::uint32_t i = 0; i < kTranslationsMax; ++i) {
    entries.push_back(
        {IpAddress::v4(100, 96 + static_cast<std::uint8_t>(i >> 16),
                       static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)),
         ip("192.0.2.1"), NameId{i}});
  }
  const auto full = Translations::compile(entries, false);
  ASSERT_NE(full, nullptr);
  for (const auto& e : entries) ASSERT_EQ(full->find(e.proxy)->name, e.name);
  entries.push_back(entry("100.97.0.0", "192.0.2.1"));
  EXPECT_EQ(Translations::compile(entries, false), nullptr);
}

}  // namespace
}  // namespace fg::nat
