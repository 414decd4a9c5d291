#include "gateway/data_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fg::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(DataPath, AWorkerThatStandsStillIsNamed) {
  DataPath path;
  path.check({WorkerIndex{3}}, {});
  EXPECT_THAT(path.problems(), ElementsAre(HasSubstr("worker 3 has not turned")));
  path.check({}, {});
  EXPECT_THAT(path.problems(), IsEmpty());
}

TEST(DataPath, TenRefusalsWithoutASuccessAreAProblemAndNineAreNot) {
  DataPath path;
  path.check({}, {.datagrams = 5, .failed = 0});
  path.check({}, {.datagrams = 5, .failed = 9});
  EXPECT_THAT(path.problems(), IsEmpty());
  path.check({}, {.datagrams = 5, .failed = 19});
  EXPECT_THAT(path.problems(), ElementsAre(HasSubstr("none of 10 datagrams")));
}

TEST(DataPath, OneDatagramThatLeftIsEnough) {
  DataPath path;
  path.check({}, {.datagrams = 5, .failed = 0});
  path.check({}, {.datagrams = 6, .failed = 100});
  EXPECT_THAT(path.problems(), IsEmpty());
}

}  // namespace
}  // namespace fg::gateway
