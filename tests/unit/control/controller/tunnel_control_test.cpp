#include "control/controller/tunnel_control.h"

#include <gtest/gtest.h>

namespace fg::controller {
namespace {

TEST(TunnelControl, ReadsWhatClientsAnnounce) {
  const auto assigned = parse_assigned_ips(as_bytes(
      R"({"domain":"Wiki.lab.test.","extra":1,"proxy_ips":["100.96.0.1","fd00:2021:1111:8000::"],"resource":"5B8D7F13-6e2a-4b9c-8f41-0c7e9a2d6b35"})"));
  ASSERT_TRUE(assigned);
  EXPECT_EQ(assigned->domain, "Wiki.lab.test");
  EXPECT_EQ(assigned->proxy_ips.size(), 2U);
}

TEST(TunnelControl, RefusesWhatDoesNotFit) {
  for (const auto* text :
       {"", "{", "[]", "{}", R"({"resource":"x","domain":"a","proxy_ips":[]})",
        R"({"resource":"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35","domain":1,"proxy_ips":[]})",
        R"({"resource":"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35","domain":"a","proxy_ips":["1.2.3"]})",
        R"({"resource":"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35","domain":"","proxy_ips":[]})"}) {
    EXPECT_FALSE(parse_assigned_ips(as_bytes(text))) << text;
  }
  std::string many =
      R"({"resource":"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35","domain":"a","proxy_ips":[)";
  for (int i = 0; i < 65; ++i) many += (i > 0 ? ",\"100.96.0.1\"" : "\"100.96.0.1\"");
  EXPECT_FALSE(parse_assigned_ips(as_bytes(many + "]}")));
}

TEST(TunnelControl, WhatFollowsTheTextMustBeNothing) {
  const std::string text =
      R"({"resource":"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35","domain":"a","proxy_ips":[]})";
  EXPECT_TRUE(parse_assigned_ips(as_bytes(text)));
  EXPECT_TRUE(parse_assigned_ips(as_bytes(text + " ")));
  EXPECT_FALSE(parse_assigned_ips(as_bytes(text + "{")));
  EXPECT_FALSE(parse_assigned_ips(as_bytes(text + std::string{"\0{", 2})));
}

// spec policy 4.6, test vector.
TEST(TunnelControl, WritesTheStatusAsTheOriginals) {
  EXPECT_EQ(
      domain_status(*ResourceId::parse("5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35"), "wiki.lab.test",
                    true),
      R"({"resource":"5b8d7f13-6e2a-4b9c-8f41-0c7e9a2d6b35","domain":"wiki.lab.test","status":"Active"})");
}

}  // namespace
}  // namespace fg::controller
