#include "base/drop_reason.h"

#include <gtest/gtest.h>

#include <set>

namespace fg {
namespace {

TEST(DropReason, EveryReasonHasItsOwnNameAndASentence) {
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    EXPECT_TRUE(names.insert(name_of(reason)).second) << name_of(reason);
    EXPECT_FALSE(sentence_of(reason).empty());
  }
  EXPECT_EQ(name_of(DropReason::replayed), "replayed");
}

TEST(DropCounters, CountByReason) {
  DropCounters counters;
  counters.count(DropReason::replayed);
  counters.count(DropReason::bad_tag, 3);
  EXPECT_EQ(counters.of(DropReason::replayed), 1U);
  EXPECT_EQ(counters.total(), 4U);
}

}  // namespace
}  // namespace fg
