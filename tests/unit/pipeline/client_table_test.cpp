#include "pipeline/client_table.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::pipeline {
namespace {

using test::ip;

class ClientTableTest : public ::testing::Test {
 protected:
  Client& add(std::uint32_t slot, std::string_view v4, std::string_view v6 = "fd00:2021:1111::9") {
    return *table_.add({ClientSlot{slot}, ip(v4), ip(v6), nullptr});
  }
  std::optional<ClientTable::Owner> owner(std::string_view address) {
    return table_.owner_of(*tunnel_number(ip(address)));
  }

  ClientTable table_{WorkerIndex{1}, 2, 4};
};

TEST_F(ClientTableTest, AClientIsFoundBySlotConnectionAndBothAddresses) {
  auto& client = add(3, "100.64.0.9");
  ASSERT_TRUE(table_.set_connection(client, 0x1ABCDE));
  EXPECT_EQ(table_.get(ClientSlot{3}), &client);
  EXPECT_EQ(table_.get(ClientSlot{2}), nullptr);
  EXPECT_EQ(table_.get(ClientSlot{4}), nullptr);
  EXPECT_EQ(table_.by_connection(0x1ABCDE), &client);
  EXPECT_EQ(owner("100.64.0.9")->client, &client);
  EXPECT_EQ(owner("fd00:2021:1111::9")->client, &client);
  EXPECT_TRUE(client.owns(ip("100.64.0.9")));
  EXPECT_FALSE(client.owns(ip("100.64.0.8")));
  table_.remove(client);
  EXPECT_EQ(table_.by_connection(0x1ABCDE), nullptr);
  EXPECT_FALSE(owner("100.64.0.9"));
  EXPECT_EQ(table_.size(), 0U);
}

TEST_F(ClientTableTest, AConnectionOfAnotherClientIsNotTakenOver) {
  auto& first = add(0, "100.64.0.9");
  auto& second = add(1, "100.64.0.10");
  EXPECT_TRUE(table_.set_connection(first, 7));
  EXPECT_FALSE(table_.set_connection(second, 7));
  EXPECT_TRUE(table_.set_connection(first, 8));
  EXPECT_EQ(table_.by_connection(7), nullptr);
  EXPECT_TRUE(table_.set_connection(second, 7));
}

TEST_F(ClientTableTest, AddressesOfOtherWorkersAreKnownByTheirOwner) {
  table_.set_owner({ip("100.64.0.9"), WorkerIndex{0}});
  ASSERT_TRUE(owner("100.64.0.9"));
  EXPECT_EQ(owner("100.64.0.9")->worker, WorkerIndex{0});
  EXPECT_EQ(owner("100.64.0.9")->client, nullptr);
  table_.set_owner({ip("100.64.0.9"), std::nullopt});
  EXPECT_FALSE(owner("100.64.0.9"));
}

TEST_F(ClientTableTest, AnAddressThatMovedToAnotherWorkerStaysThereWhenTheOldClientGoes) {
  auto& client = add(0, "100.64.0.9");
  table_.set_owner({ip("100.64.0.9"), WorkerIndex{1}});
  EXPECT_EQ(owner("100.64.0.9")->client, &client);
  table_.set_owner({ip("100.64.0.9"), WorkerIndex{0}});
  EXPECT_EQ(owner("100.64.0.9")->worker, WorkerIndex{0});
  table_.remove(client);
  EXPECT_EQ(owner("100.64.0.9")->worker, WorkerIndex{0});
}

TEST_F(ClientTableTest, TheEndOfAnotherOwnerDoesNotTakeAnOwnAddressAway) {
  auto& client = add(0, "100.64.0.9");
  table_.set_owner({ip("100.64.0.9"), std::nullopt});
  EXPECT_EQ(owner("100.64.0.9")->client, &client);
}

}  // namespace
}  // namespace fg::pipeline
