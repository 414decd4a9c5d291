#include "control/flow_log/ingest_token.h"

#include <gtest/gtest.h>

#include "tests/unit/control/flow_log/samples.h"

namespace fg::flow_log {
namespace {

using test::base64url;
using test::token_of;

// Spec portal A.4.
constexpr auto kSample =
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
    "eyJhY2NvdW50X2lkIjoiMmM0ZTZhODAtMTM1Ny00YjlkLThlMGYtYTFiMmMzZDRlNWY2IiwiaWF0IjoxNzkwMDAwMDAwLC"
    "JleHAiOjE3OTI2MDAwMDAsInVwbG9hZHNfZW5hYmxlZCI6ZmFsc2UsInJvbGUiOiJyZXNwb25kZXIiLCJpbml0aWF0b3Jf"
    "ZGV2aWNlX2lkIjoiN2QwZjFjNTItOWIxZS00YzYzLThhNTctMmY2ZDNmMGI5ZTExIiwicmVzcG9uZGVyX2RldmljZV9pZC"
    "I6IjFlNmIyYTkwLTRmN2QtNGQwYy05YzM1LTZhOGYyYjdjNGQyMCIsInBvbGljeV9hdXRob3JpemF0aW9uX2lkIjoiZDQx"
    "YzdlOTAtMmY1Yi00YTg2LTkzZDgtMGI3ZTZjNWE0ZjEyIiwicG9saWN5X2lkIjoiNjhiMGYzYTctYzkyZC00ZTE1LWI3YT"
    "QtNWQzZThmMWMwYTk2IiwicmVzb3VyY2VfaWQiOiJjMmE5ZTRkNy0wYjM1LTRmMTgtOTJjNi01ZDcxZjNlOGFiMDQiLCJy"
    "ZXNvdXJjZV9uYW1lIjoibGFiIiwiaW5pdGlhdG9yX2FjdG9yX2lkIjoiZjdlNmQ1YzQtYjNhMi00OTE4LThmMGUtMWQyYz"
    "NiNGE1OTY4IiwiaW5pdGlhdG9yX2FjdG9yX25hbWUiOiJUZXN0IFVzZXIiLCJhdXRob3JpemVkX2F0IjoiMjAyNi0wOS0y"
    "MVQxMzozMzoyMFoiLCJhdXRob3JpemF0aW9uX2V4cGlyZXNfYXQiOiIyMDI2LTA5LTIxVDE0OjMzOjIwWiJ9."
    "5px-IGmK32RdsiJdaj7fmJDFxmRsRD9KpuzLHQAVomI";

TEST(IngestToken, ReadsTheSampleOfTheSpec) {
  const auto claims = parse_ingest_token(kSample);
  ASSERT_TRUE(claims);
  EXPECT_FALSE(claims->uploads_enabled);
  EXPECT_EQ(claims->role, "responder");
  EXPECT_EQ(claims->expires_at, 1'792'600'000);
  EXPECT_EQ(claims->policy_authorization_id, "d41c7e90-2f5b-4a86-93d8-0b7e6c5a4f12");
  EXPECT_EQ(claims->resource_name, "lab");
  EXPECT_EQ(claims->resource_address, std::nullopt);
}

TEST(IngestToken, EveryRequiredClaimIsRequired) {
  ASSERT_TRUE(parse_ingest_token(token_of(test::claims())));
  const auto whole = test::claims();
  for (const auto& [name, value] : whole.items()) {
    auto claims = whole;
    claims.erase(name);
    EXPECT_FALSE(parse_ingest_token(token_of(claims))) << name;
    claims[name] = nullptr;
    EXPECT_FALSE(parse_ingest_token(token_of(claims))) << name;
  }
}

TEST(IngestToken, OptionalClaimsMayBeNullAndUnknownOnesAreNotLookedAt) {
  auto claims = test::claims();
  claims["initiator_actor_email"] = nullptr;
  claims["resource_address"] = "10.20.0.0/16";
  claims["something"] = {{"new", 1.5}};
  const auto read = parse_ingest_token(token_of(claims));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->initiator_actor_email, std::nullopt);
  EXPECT_EQ(read->resource_address, "10.20.0.0/16");
  claims["initiator_actor_email"] = 5;
  EXPECT_FALSE(parse_ingest_token(token_of(claims)));
}

TEST(IngestToken, WrongTypesAndRolesAreRefused) {
  for (const auto& [name, value] : std::initializer_list<std::pair<const char*, nlohmann::json>>{
           {"role", "observer"}, {"uploads_enabled", "true"}, {"exp", -1}, {"iat", 1.5}}) {
    auto claims = test::claims();
    claims[name] = value;
    EXPECT_FALSE(parse_ingest_token(token_of(claims))) << name;
  }
}

TEST(IngestToken, WhatIsNoTokenIsRefused) {
  const auto body = base64url(test::claims().dump());
  const auto head = base64url(R"({"alg":"HS256"})");
  EXPECT_TRUE(parse_ingest_token(head + "." + body + ".c2ln"));
  for (const auto& token : {std::string{}, std::string{"."}, std::string{".."}, head + "." + body,
                            head + "." + body + ".", head + "." + body + ".c2ln.x",
                            head + "." + body + ".c2l=", head + "..c2ln",
                            body + "." + body + ".c2ln", base64url("[]") + "." + body + ".c2ln",
                            base64url(R"({"alg":"none"})") + "." + body + ".c2ln",
                            head + "." + std::string(kTokenBytesMax, 'A') + ".c2ln"}) {
    EXPECT_FALSE(parse_ingest_token(token)) << token.substr(0, 40);
  }
}

}  // namespace
}  // namespace fg::flow_log
