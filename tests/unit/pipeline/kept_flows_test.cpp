#include "pipeline/kept_flows.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::pipeline {
namespace {

using test::ip;

std::unique_ptr<nat::FlowTable> flows(std::size_t n) {
  static nat::FlowStore store{1};
  store.refill();
  auto table = store.take_table(Instant{1h});
  for (std::size_t i = 0; i < n; ++i) {
    const nat::Inside inside{
        {packet::ProtoClass::Kind::udp, static_cast<std::uint16_t>(i), ip("100.96.0.1")}};
    (void)table->on_outgoing(inside, ip("192.0.2.1"), 0, Instant{1h});
  }
  return table;
}

TEST(KeptFlowsTest, ComeBackOnceForTheSameAddresses) {
  KeptFlows kept;
  kept.keep(ip("100.64.0.1"), ip("fd00:2021:1111::1"), flows(3));
  EXPECT_EQ(kept.take(ip("100.64.0.2"), ip("fd00:2021:1111::1")), nullptr);
  EXPECT_EQ(kept.take(ip("100.64.0.1"), ip("fd00:2021:1111::1"))->size(), 3U);
  EXPECT_EQ(kept.take(ip("100.64.0.1"), ip("fd00:2021:1111::1")), nullptr);
}

TEST(KeptFlowsTest, AClientWithOtherAddressesEndsThem) {
  KeptFlows kept;
  kept.keep(ip("100.64.0.1"), ip("fd00:2021:1111::1"), flows(3));
  EXPECT_EQ(kept.take(ip("100.64.0.1"), ip("fd00:2021:1111::2")), nullptr);
  EXPECT_EQ(kept.clients(), 0U);
}

TEST(KeptFlowsTest, NothingIsKeptOfAClientWithoutFlows) {
  KeptFlows kept;
  kept.keep(ip("100.64.0.1"), ip("fd00:2021:1111::1"), nullptr);
  EXPECT_EQ(kept.clients(), 0U);
}

TEST(KeptFlowsTest, BeyondTheLimitOfAllClientsOneBeginsAnew) {
  KeptFlows kept{5};
  kept.keep(ip("100.64.0.1"), ip("fd00:2021:1111::1"), flows(3));
  kept.keep(ip("100.64.0.2"), ip("fd00:2021:1111::2"), flows(3));
  EXPECT_EQ(kept.clients(), 1U);
  kept.forget(ip("100.64.0.1"));
  kept.keep(ip("100.64.0.2"), ip("fd00:2021:1111::2"), flows(5));
  EXPECT_EQ(kept.clients(), 1U);
}

}  // namespace
}  // namespace fg::pipeline
