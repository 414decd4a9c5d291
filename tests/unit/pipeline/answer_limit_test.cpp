#include "pipeline/answer_limit.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::pipeline {
namespace {

using Kind = packet::ProtoClass::Kind;

struct AnswerLimitTest : testing::Test {
  bool take(const char* to, std::uint16_t port = 80) {
    return limit.take(test::ip(to), {Kind::tcp, 40'000, port}, now);
  }
  int told(int packets, const char* to, std::uint16_t port = 80) {
    int out = 0;
    for (int i = 0; i < packets; ++i) out += take(to, port) ? 1 : 0;
    return out;
  }
  AnswerLimit limit;
  Instant now{1h};
};

TEST_F(AnswerLimitTest, OneFlowIsToldWhileHalfIsLeftAndThenOnceASecond) {
  EXPECT_EQ(told(500, "10.1.2.3"), 101);
  now += 10ms;
  EXPECT_EQ(told(500, "10.1.2.3"), 1) << "what has come back since";
  now += 1s - 1ns;
  EXPECT_GE(told(500, "10.1.2.3"), 1);
}

TEST_F(AnswerLimitTest, AStreamThatIsRefusedDoesNotSilenceTheOthers) {
  (void)told(1000, "10.1.2.3");
  int others = 0;
  for (std::uint16_t port = 1; port <= 20; ++port) others += take("10.1.2.4", port) ? 1 : 0;
  EXPECT_GE(others, 12) << "but for those that share a cell";
  EXPECT_FALSE(take("10.1.2.4", 1)) << "told a moment ago";
  now += 1s;
  (void)told(1000, "10.1.2.3");
  EXPECT_TRUE(take("10.1.2.4", 1));
}

TEST_F(AnswerLimitTest, AllFlowsTogetherAreToldTwoHundredTimesAtOnceAndAHundredTimesASecond) {
  int answers = 0;
  for (int second = 0; second < 10; ++second, now += 1s) {
    for (std::uint16_t port = 1; port <= 5000; ++port) answers += take("10.1.2.3", port) ? 1 : 0;
  }
  EXPECT_LE(answers, 200 + 9 * 100);
  EXPECT_GE(answers, 200 + 9 * 50);
}

}  // namespace
}  // namespace fg::pipeline
