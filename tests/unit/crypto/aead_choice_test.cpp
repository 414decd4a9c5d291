#include <gtest/gtest.h>

#include <stdexcept>

#include "crypto/aead.h"

namespace fg::crypto {
namespace {

TEST(AeadChoice, MeasuresEveryAvailableProviderAndNamesTheFastest) {
  // A clock that makes each later measurement slower: the first provider wins everywhere.
  Instant now{};
  Duration step = 1us;
  const auto report = choose_aead([&] {
    step += 1us;
    return now += step;
  });
  std::size_t available = 0;
  for (const AeadProvider p : kAeadProviders) available += is_available(p) ? 1U : 0U;
  EXPECT_EQ(report.measured.size(), available);
  EXPECT_EQ(report.choice, AeadChoice::only(AeadProvider::sodium));
  EXPECT_NE(report.to_string().find("seal sodium/sodium open sodium/sodium; sodium "),
            std::string::npos);
}

TEST(AeadChoice, AForcedProviderIsNotMeasured) {
  const auto report = choose_aead([]() -> Instant { throw std::logic_error("no clock needed"); },
                                  AeadProvider::openssl);
  EXPECT_EQ(report.choice, AeadChoice::only(AeadProvider::openssl));
  EXPECT_TRUE(report.measured.empty());
}

}  // namespace
}  // namespace fg::crypto
