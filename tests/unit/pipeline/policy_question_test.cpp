#include "pipeline/policy_question.h"

#include <gtest/gtest.h>

#include "tests/support/packets.h"

namespace fg::pipeline {
namespace {

using filter::Policy;
using filter::ProtoKey;
using filter::ProtoKind;
using test::ip;

std::unique_ptr<const Policy> web_on(std::string_view network) {
  filter::Rule rule{Cidr::parse(network, false).value(), ResourceId{{1}}, {}};
  rule.filter.tcp = {{80, 80}};
  return Policy::compile({.rules = {rule}, .internet = {}});
}

// Each question differs in one thing from the one before it.
TEST(LastVerdict, IsGivenToTheSameQuestionOnly) {
  struct Question {
    const Policy* policy;
    IpAddress to;
    ProtoKey key;
  };
  const auto one = web_on("10.0.0.0/24");
  const auto other = web_on("10.0.1.0/24");
  const ProtoKey web{ProtoKind::tcp, 80};
  const Question questions[] = {
      {one.get(), ip("10.0.0.1"), web},   {one.get(), ip("10.0.0.1"), {ProtoKind::tcp, 81}},
      {one.get(), ip("10.0.0.1"), web},   {one.get(), ip("10.0.0.1"), {ProtoKind::udp, 80}},
      {one.get(), ip("10.0.0.1"), web},   {one.get(), ip("10.0.1.1"), web},
      {other.get(), ip("10.0.1.1"), web}, {other.get(), ip("::a00:101"), web},
  };
  LastVerdict by_address;
  LastVerdict by_place;
  for (const auto& [policy, to, key] : questions) {
    const auto expected = policy->classify(to, key);
    Policy::Place place{policy, to};
    Policy::locate({&place, 1});
    for (int again = 0; again < 2; ++again) {
      EXPECT_EQ(by_address.classify(*policy, to, key), expected) << to.to_string();
      EXPECT_EQ(by_place.classify(place, key), expected) << to.to_string();
    }
  }
}

}  // namespace
}  // namespace fg::pipeline
