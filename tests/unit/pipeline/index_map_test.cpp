#include "pipeline/index_map.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"

namespace fg::pipeline {
namespace {

TEST(IndexMap, HoldsAsManyAsItWasMadeForAndNotOneMore) {
  IndexMap map{3};
  EXPECT_TRUE(map.set(0, 10));
  EXPECT_TRUE(map.set(1, 11));
  EXPECT_TRUE(map.set(0x7FFFFFFE, 12));
  EXPECT_FALSE(map.set(3, 13));
  EXPECT_TRUE(map.set(1, 21)) << "a known key may change";
  EXPECT_EQ(map.find(0), 10U);
  EXPECT_EQ(map.find(1), 21U);
  EXPECT_EQ(map.find(3), std::nullopt);
  map.erase(0);
  EXPECT_TRUE(map.set(3, 13));
  EXPECT_EQ(map.size(), 3U);
}

TEST(IndexMap, AgreesWithAnOrderedMapUnderRandomChanges) {
  IndexMap map{64};
  std::map<std::uint32_t, std::uint32_t> model;
  SeededRandom random{3};
  for (int i = 0; i < 100'000; ++i) {
    const auto key = random.below(100);
    if (random.below(2) == 0) {
      map.erase(key);
      model.erase(key);
    } else if (map.set(key, static_cast<std::uint32_t>(i))) {
      model[key] = static_cast<std::uint32_t>(i);
    } else {
      ASSERT_EQ(model.size(), 64U);
      ASSERT_FALSE(model.contains(key));
    }
    ASSERT_EQ(map.size(), model.size());
    const auto probe = random.below(100);
    const auto known = model.find(probe);
    ASSERT_EQ(map.find(probe), known == model.end() ? std::nullopt : std::optional{known->second});
  }
}

}  // namespace
}  // namespace fg::pipeline
