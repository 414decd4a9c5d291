#include "base/assert.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace fg {
namespace {

TEST(Assert, AFalseExpressionEndsTheProcessAndSaysWhere) {
  EXPECT_DEATH(FG_ASSERT(1 + 1 == 3), "assertion failed: 1 \\+ 1 == 3 .*assert_test.cpp:");
}

TEST(Assert, ATrueExpressionDoesNothing) { FG_ASSERT(1 + 1 == 2); }

TEST(Assert, ABugIsCountedAndSurvived) {
  ::unsetenv("FG_ABORT_ON_BUG");
  const auto before = bugs_reported();
  FG_BUG("an entry was removed twice");
  EXPECT_EQ(bugs_reported(), before + 1);
}

TEST(Assert, ABugEndsTheProcessWhereTestsAskForIt) {
  EXPECT_DEATH(
      {
        ::setenv("FG_ABORT_ON_BUG", "1", 1);
        FG_BUG("an entry was removed twice");
      },
      "an entry was removed twice");
}

}  // namespace
}  // namespace fg
